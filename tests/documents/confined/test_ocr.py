import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from documents import checks
from documents.confined import interpreters, ocr, ocr_children, ocr_text, parsing, sandbox
from documents.confined.parsing import ParseFailed
from documents.structure import Block, Failure, Limits, ParsedDocument
from tests.documents import pdfs, scans

installed = pytest.mark.skipif(shutil.which("tesseract") is None, reason="Tesseract is not installed")

TEXT = [
    "The committee met on the first Tuesday of March",
    "and agreed that the bridge across the river should",
    "be painted green before the summer begins.",
]


def complete(path: Path, raw: bytes, **limits: Any) -> ParsedDocument:
    path.write_bytes(raw)
    own = Limits(**limits)
    return ocr.complete(path, parsing.parse(path, "application/pdf", limits=own), limits=own)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "upload"


@pytest.fixture
def scan(tmp_path: Path) -> pdfs.Page:
    return scans.scanned(tmp_path, pdfs.Page(pdfs.flowing(*TEXT)))


@installed
def test_a_scanned_page_amid_others_is_read_in_its_place(path: Path, scan: pdfs.Page) -> None:
    first, last = (pdfs.Page(pdfs.flowing(text)) for text in ("The first page.", "The last page."))
    document = complete(path, pdfs.pdf(first, scan, pdfs.Page(), last))
    assert document.text == "The first page.\n\n" + "\n".join(TEXT) + "\n\n\n\nThe last page."
    assert document.page_starts == [0, 17, 17 + len("\n".join(TEXT)) + 2, 17 + len("\n".join(TEXT)) + 4]
    assert (document.unread_pages, document.ocr_pages) == ([], 1)
    assert [document.text[b.start : b.end] for b in document.blocks] == [
        "The first page.",
        "\n".join(TEXT),
        "The last page.",
    ]


@installed
def test_a_scanned_table_keeps_its_rows(path: Path, tmp_path: Path) -> None:
    rows = [
        ["Label", "2023", "2024"],
        ["Sales", "1,204", "1,310"],
        ["Costs", "998", "1,020"],
        ["Profit", "206", "290"],
    ]
    page = scans.scanned(tmp_path, pdfs.Page(pdfs.table(rows, [72, 300, 400], right=True)))
    assert complete(path, pdfs.pdf(page)).text == "\n".join(" | ".join(row) for row in rows)


def test_without_recognition_the_pages_that_were_not_read_are_named(
    path: Path, scan: pdfs.Page, settings: Any
) -> None:
    settings.OCR_ENABLED = False
    document = complete(path, pdfs.pdf(pdfs.Page(pdfs.flowing("Text.")), scan, pdfs.Page(), scan))
    assert (document.text, document.unread_pages, document.ocr_pages) == ("Text.\n\n\n\n\n\n", [2, 4], 0)
    assert ocr.is_needed(document) is False
    with pytest.raises(ParseFailed) as caught:
        complete(path, pdfs.pdf(scan, pdfs.Page()))
    assert caught.value.code is Failure.NEEDS_OCR


@installed
def test_an_image_without_letters_was_read_and_holds_no_text(path: Path) -> None:
    with pytest.raises(ParseFailed) as caught:
        complete(path, pdfs.pdf(pdfs.Page(picture=pdfs.Picture(2, 2, b"\x20\x80\x80\xe0"))))
    assert caught.value.code is Failure.NO_TEXT


def test_which_pages_need_recognition(path: Path, scan: pdfs.Page) -> None:
    long = [f"Line {n} of a recognised text that lies under the image." for n in range(5)]
    pages = [
        scan,  # 1: nothing but an image
        pdfs.Page(pdfs.flowing(*long), picture=scan.picture, invisible=True),  # recognised already
        pdfs.Page(pdfs.flowing("Page 3"), picture=scan.picture),  # 3: a stamp on a scan
        pdfs.Page(pdfs.flowing(*long), unmapped=True),  # 4: shapes that nothing names
        pdfs.Page(),  # empty
        pdfs.Page(pdfs.flowing("Text."), image=True),
    ]
    path.write_bytes(pdfs.pdf(*pages))
    document = parsing.parse(path, "application/pdf", limits=Limits())
    assert document.unread_pages == [1, 3, 4]
    assert document.text.split() == [*" ".join(long).split(), "Page", "3", "Text."]


@installed
def test_limits_of_pages_and_of_time_leave_pages_unread(path: Path, scan: pdfs.Page, settings: Any) -> None:
    settings.OCR_MAX_PAGES = 1
    document = complete(path, pdfs.pdf(scan, scan))
    assert (document.unread_pages, document.ocr_pages) == ([2], 1)
    settings.OCR_PAGE_SECONDS = 0.01
    with pytest.raises(ParseFailed) as caught:
        complete(path, pdfs.pdf(scan))
    assert caught.value.code is Failure.NEEDS_OCR


@installed
def test_a_page_that_ends_its_process_costs_no_other(
    path: Path, scan: pdfs.Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognise, seen = ocr_children.recognise, []

    def interrupted(bitmap: ocr_children.Bitmap, *arguments: Any, **options: Any) -> str | None:
        seen.append(bitmap.number)
        return None if bitmap.number == 1 else recognise(bitmap, *arguments, **options)

    monkeypatch.setattr(ocr_children, "recognise", interrupted)
    document = complete(path, pdfs.pdf(scan, scan))
    assert (seen, document.unread_pages, document.ocr_pages) == ([1, 2], [1], 1)


# A program that takes Tesseract's place and tries what a Tesseract that was taken over would.
@pytest.mark.skipif(sandbox.landlock_version() < 6, reason="the kernel is older than Linux 6.12")
@pytest.mark.parametrize(
    "attempt",
    [
        "open('/etc/hostname').read()",
        "open('written', 'w')",
        "open(f'/proc/{os.getppid()}/environ', 'rb').read()",
        "os.execv('/bin/true', ['true'])",
        "socket.socket(socket.AF_UNIX)",
        "socket.create_connection(('127.0.0.1', 9), 1)",
        "os.kill(os.getppid(), 0)",
    ],
)
def test_what_reads_an_image_reaches_nothing_outside(attempt: str) -> None:
    code = f"import os, socket\ntry:\n    {attempt}\nexcept PermissionError:\n    print('refused')"
    launch = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); from documents.confined import ocr_launch; real = os.execve; "
        "os.execve = lambda program, _, environment: real(program, [program, '-I', '-S', '-c', sys.argv[-1]], environment); "
        "ocr_launch.LIBRARIES += (sys.base_prefix,); "
        "ocr_launch.main(sys.argv[2:-1])"
    )
    program = str(Path(sys.executable).resolve())
    arguments = [str(os.getpid()), "20", str(1 << 30), program, "", "eng"]
    root = str(Path(ocr.__file__).parents[2])
    ran = subprocess.run(
        [sys.executable, "-I", "-c", launch, root, *arguments, code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout == "refused\n", ran.stderr


def test_a_hostile_drawing_process_is_not_believed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"x")
    for answer in ("(9, 1, 1)) + b'x'", "(1, 99999, 99999))", "(1, 2, 2)) + b'abc'", "(1, 0, 5))"):
        code = f"import os, struct; os.write(1, struct.pack('<III', *{answer}); os._exit(0)"
        monkeypatch.setattr(interpreters, "START", code)
        with (
            ocr_children.drawing(path, [1, 2], limits=Limits(), seconds=9) as bitmaps,
            pytest.raises(ocr_children.RenderingFailed),
        ):
            list(bitmaps)


def test_what_tesseract_is_not_sure_of_is_no_text() -> None:
    def row(text: str, certain: float, left: int = 0) -> str:
        return f"5\t1\t1\t1\t1\t1\t{left}\t10\t100\t40\t{certain}\t{text}"

    assert (
        ocr_text.page("\n".join([row("Sure", 96), row("|", 5, 110), row("words", 91, 120)])).text
        == "Sure words"
    )
    assert ocr_text.page("\n".join([row("il;", 40), row("ee", 35, 120)])).text == ""
    assert ocr_text.page("level\tpage_num\n5\t1\tnonsense\n" + row("x", float("nan"))).text == ""


def test_a_tesseract_that_was_taken_over_is_not_believed() -> None:
    """What it says is read in the worker, which has no limits of its own."""
    row = "5\t1\t1\t1\t1\t1\t{}\t10\t100\t40\t96\tword".format
    assert ocr_text.page(row(f"-{'9' * 400}")).text == "word"
    many = [row(number) for number in range(2 * ocr_text.MOST_WORDS)]
    assert len(ocr_text.page("\n".join(many)).text.split()) == ocr_text.MOST_WORDS


def test_pages_are_filled_in_where_they_belong() -> None:
    parsed = ParsedDocument("a\n\n\n\nstamp", [Block(0, 1), Block(5, 10)], [0, 3, 5], unread_pages=[2, 3])
    filled = ocr_text.filled(parsed, {2: ocr_text.Page("scan", [Block(0, 4)])})
    assert (filled.text, filled.page_starts, filled.unread_pages) == ("a\n\nscan\n\nstamp", [0, 3, 9], [3])
    assert [filled.text[b.start : b.end] for b in filled.blocks] == ["a", "scan", "stamp"]
    shorter = ocr_text.filled(parsed, {3: ocr_text.Page("st", [Block(0, 2)])})
    assert shorter.text == parsed.text


def test_languages_that_are_not_installed_are_a_warning(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocr, "languages", lambda: ["eng", "osd"])
    settings.OCR_ENABLED, settings.OCR_LANGUAGES = True, ["eng", "xyz"]
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/tesseract")
    (warning,) = checks.languages_are_installed()
    assert warning.id == "ragsite.W006"
    assert "xyz" in warning.msg
    settings.OCR_LANGUAGES = ["eng"]
    assert checks.languages_are_installed() == []
