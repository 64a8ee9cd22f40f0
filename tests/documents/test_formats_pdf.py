from pathlib import Path

import pytest

from documents.formats import pdf
from documents.formats.pdf_columns import HYPHEN, Line
from documents.formats.pdf_words import clean, mend_hyphens
from documents.structure import Failure, Kind, Limits, ParsedDocument, UnreadableError
from tests.documents import pdfs

BODY = [f"This is line number {n} of a body that is long enough to have a size." for n in range(8)]


def parsed(tmp_path: Path, raw: bytes, **limits: int) -> ParsedDocument:
    path = tmp_path / "upload"
    path.write_bytes(raw)
    return pdf.parse(path, Limits(**limits))


def failure(tmp_path: Path, raw: bytes, **limits: int) -> Failure:
    with pytest.raises(UnreadableError) as caught:
        parsed(tmp_path, raw, **limits)
    return caught.value.code


def test_each_page_begins_where_page_starts_says_and_an_empty_one_has_a_start_too(tmp_path: Path) -> None:
    pages = [
        pdfs.Page(),
        pdfs.Page(pdfs.flowing("First page.")),
        pdfs.Page(),
        pdfs.Page(pdfs.flowing("Last page.")),
    ]
    document = parsed(tmp_path, pdfs.pdf(*pages))
    assert document.text == "\n\nFirst page.\n\n\n\nLast page."
    assert document.page_starts == [0, 2, 15, 17]
    assert [document.text[b.start : b.end] for b in document.blocks] == ["First page.", "Last page."]


def test_a_wider_gap_parts_paragraphs(tmp_path: Path) -> None:
    document = parsed(tmp_path, pdfs.pdf(pdfs.Page(pdfs.flowing("one", "two", "three", "", "four", "five"))))
    assert [document.text[b.start : b.end] for b in document.blocks] == ["one\ntwo\nthree", "four\nfive"]


def test_larger_type_is_a_heading_and_names_an_untitled_document(tmp_path: Path) -> None:
    lines = [pdfs.Line("Annual Report", size=24), *pdfs.flowing(*BODY, top=700)]
    lines += [pdfs.Line("Outlook", y=540, size=16), *pdfs.flowing(*BODY, top=510)]
    document = parsed(tmp_path, pdfs.pdf(pdfs.Page(lines), title="Untitled-3.indd"))
    assert [(b.level, b.label) for b in document.blocks if b.kind is Kind.HEADING] == [
        (1, "Annual Report"),
        (2, "Outlook"),
    ]
    assert document.title == "Annual Report"


def test_the_title_in_the_metadata_wins(tmp_path: Path) -> None:
    document = parsed(tmp_path, pdfs.pdf(pdfs.Page(pdfs.flowing("text")), title="Terms  of\tUse"))
    assert document.title == "Terms of Use"


@pytest.mark.parametrize("rotate", [90, 180, 270])
def test_a_rotated_page_reads_the_same(tmp_path: Path, rotate: int) -> None:
    document = parsed(tmp_path, pdfs.pdf(pdfs.Page(pdfs.flowing("one", "two", "", "three"), rotate=rotate)))
    assert document.text == "one\ntwo\n\nthree"


def columns() -> tuple[list[pdfs.Line], list[pdfs.Line]]:
    left = pdfs.flowing(*[f"left column text of the row {n:02}" for n in range(20)])
    right = pdfs.flowing(*[f"right column text of the row {n:02}" for n in range(20)], x=320)
    return left, right


def test_columns_written_one_after_the_other_are_read_so(tmp_path: Path) -> None:
    left, right = columns()
    document = parsed(tmp_path, pdfs.pdf(pdfs.Page([*left, *right])))
    assert document.text.split() == [word for line in [*left, *right] for word in line.text.split()]


def test_columns_written_row_by_row_are_read_column_by_column(tmp_path: Path) -> None:
    left, right = columns()
    rows = [line for pair in zip(left, right, strict=True) for line in pair]
    document = parsed(tmp_path, pdfs.pdf(pdfs.Page(rows)))
    assert document.text.split() == [word for line in [*left, *right] for word in line.text.split()]


def test_a_table_is_read_row_by_row(tmp_path: Path) -> None:
    rows = [
        line
        for n in range(20)
        for line in (pdfs.Line(f"item {n}", 72, 700 - 14 * n), pdfs.Line(f"{n}.00", 320, 700 - 14 * n))
    ]
    document = parsed(tmp_path, pdfs.pdf(pdfs.Page(rows)))
    assert document.text.split("\n")[0] == "item 0 | 0.00"


def test_words_broken_at_line_ends_are_whole_again() -> None:
    texts = [
        f"adip{HYPHEN}iscing",
        f"Schwarz{HYPHEN}Weiß",
        f"a well{HYPHEN}known fact",
        "this is well-known",
        f"end{HYPHEN}",
    ]
    lines = [Line(text) for text in texts]
    mend_hyphens([lines])
    assert [line.text for line in lines] == [
        "adipiscing",
        "Schwarz-Weiß",
        "a well-known fact",
        "this is well-known",
        "end-",
    ]


def test_what_cannot_be_stored_or_seen_is_cleaned_away() -> None:
    assert clean("a\0b\x07c\ufffed\ud83d\ude00e\ud83df\ufb01\xa0g") == "abcd😀e\ufffdffi g"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", Failure.CORRUPT),
        (b"%PDF-1.7\nnothing more", Failure.CORRUPT),
        (pdfs.pdf(pdfs.Page(pdfs.flowing("text")))[:200], Failure.CORRUPT),
        (pdfs.pdf(), Failure.CORRUPT),
        (pdfs.pdf(pdfs.Page()), Failure.NO_TEXT),
    ],
)
def test_a_file_without_text_says_why(tmp_path: Path, raw: bytes, code: Failure) -> None:
    assert failure(tmp_path, raw) is code


def test_pages_that_only_show_text_are_named(tmp_path: Path) -> None:
    document = parsed(tmp_path, pdfs.pdf(pdfs.Page(), pdfs.Page(image=True)))
    assert (document.text.strip(), document.unread_pages) == ("", [2])


def test_too_many_pages_and_too_much_text_are_refused(tmp_path: Path) -> None:
    raw = pdfs.pdf(*[pdfs.Page(pdfs.flowing("some text"))] * 3)
    assert failure(tmp_path, raw, pages=2) is Failure.TOO_MANY_PAGES
    assert failure(tmp_path, raw, characters=20) is Failure.TOO_LARGE_TEXT
    assert len(parsed(tmp_path, raw, pages=3, characters=31).page_starts) == 3
