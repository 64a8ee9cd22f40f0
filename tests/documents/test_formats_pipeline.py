"""Each format through the real pipeline: a question finds the cell, with the label that says what it is."""

from pathlib import Path

import pytest
from pytest_django import Settings

from accounts.models import Tenant
from documents.models import Document
from documents.searching import search
from documents.searching.search import Scope
from queries.generating import extractive
from tests.documents import office
from tests.makers import ingest

pytestmark = pytest.mark.django_db(transaction=True)

DOCKS = [f"Dock {number}" for number in range(1, 61)]
CRANES = {dock: 100 + 7 * number for number, dock in enumerate(DOCKS)}
ROWS = [
    ["Dock", "Crane capacity in tonnes", "Keeper"],
    *([dock, str(CRANES[dock]), f"Keeper of {dock}"] for dock in DOCKS),
]
CSV = "\n".join(";".join(row) for row in ROWS)
HTML = "<h1>Docks</h1><table>" + "".join(f"<tr><td>{'<td>'.join(row)}" for row in ROWS) + "</table>"
FRAME = '<p:graphicFrame><a:graphic><a:graphicData uri="http://x/table"><a:tbl><a:tblPr firstRow="1"/>{}</a:tbl></a:graphicData></a:graphic></p:graphicFrame>'
SLIDE_ROWS = "".join(
    f"<a:tr>{''.join(f'<a:tc><a:txBody><a:p><a:r><a:t>{cell}</a:t></a:r></a:p></a:txBody></a:tc>' for cell in row)}</a:tr>"
    for row in ROWS
)
MAIL = "From: ann@x.example\nSubject: Cranes\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B\n\n--B\n\nSee the list.\n--B\n"
FILES: dict[str, tuple[bytes, int | None]] = {
    "docks.docx": (office.docx(office.paragraph("Our docks") + office.table(*ROWS)), None),
    "docks.pptx": (office.pptx(office.shape("Welcome", "title"), office.shape("Docks", "title") + FRAME.format(SLIDE_ROWS)), 2),
    "docks.xlsx": (office.xlsx({"Cover": office.cells(["Hello"]), "Docks": office.cells(*ROWS)}), 2),
    "docks.html": (HTML.encode("utf-16"), None),
    "docks.csv": (CSV.encode(), None),
    "docks.tsv": (CSV.replace(";", "\t").encode(), None),
    "docks.eml": (f'{MAIL}Content-Type: text/csv; name="d.csv"\n\n{CSV}\n--B--\n'.encode(), None),
}  # fmt: skip


@pytest.fixture(autouse=True)
def media(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


@pytest.mark.parametrize("filename", FILES)
def test_a_question_finds_the_cell_with_its_label(tenant: Tenant, filename: str) -> None:
    content, page = FILES[filename]
    document = ingest(tenant, content, filename=filename)
    assert (document.status, document.pages) == (Document.Status.READY, page)
    question = "What is the crane capacity of Dock 41?"
    hits = search.hybrid(Scope(tenant.pk), question, top_k=5).hits
    passages = [extractive.Passage(n, hit.text, hit.score, hit.heading) for n, hit in enumerate(hits, 1)]
    answer = extractive.answer(question, passages).text
    assert f"Dock: Dock 41; Crane capacity in tonnes: {CRANES['Dock 41']};" in answer
    holder = next(hit for hit in hits if "Dock: Dock 41 |" in hit.text)
    assert (holder.first_page, holder.last_page) == (page, page)
