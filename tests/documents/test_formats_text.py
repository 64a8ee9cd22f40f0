from pathlib import Path

import pytest

from documents.formats import text
from documents.formats.decoding import decode
from documents.structure import Failure, Kind, Limits, ParsedDocument, UnreadableError


def parsed(tmp_path: Path, raw: bytes, limits: Limits = Limits()) -> ParsedDocument:  # noqa: B008 - frozen
    path = tmp_path / "upload"
    path.write_bytes(raw)
    return text.parse(path, limits)


def pieces(document: ParsedDocument) -> list[str]:
    return [document.text[block.start : block.end] for block in document.blocks]


def test_paragraphs_are_parted_by_blank_lines_and_index_into_the_untouched_text(tmp_path: Path) -> None:
    raw = "\r\nfirst line\r\nsecond\r\n \t\r\nthird — naïve 😀\r\rfourth"
    document = parsed(tmp_path, raw.encode())
    assert document.text == raw
    assert pieces(document) == ["first line\r\nsecond", "third — naïve 😀", "fourth"]
    assert document.page_starts == []


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_decides_and_is_no_part_of_the_text(tmp_path: Path, encoding: str) -> None:
    document = parsed(tmp_path, "żółw 😀\n\nzwei".encode(encoding))
    assert document.text == "żółw 😀\n\nzwei"
    assert pieces(document) == ["żółw 😀", "zwei"]


def test_what_postgres_cannot_store_is_replaced_one_for_one() -> None:
    assert decode(b"a\0b\xed\xa0\x80c") == "a\ufffdb\ufffdc"
    assert decode(b"\xff\xfea\0\x00\xd8b\0") == "a\ufffdb"
    assert decode(b"\xff\xfea\0b") == "a\ufffd"  # cut in the middle of a character


def test_an_old_encoding_is_guessed() -> None:
    prose = "Les élèves français étaient déjà très fâchés à la fenêtre. " * 20
    assert decode(prose.encode("cp1252")) == prose
    russian = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 20
    assert decode(russian.encode("cp1251")) == russian


def test_damaged_utf_8_stays_utf_8() -> None:
    prose = "Größe und Übermaß sind schön. " * 5
    raw = prose.encode()
    assert decode(raw + b"\xff") == prose + "\ufffd"


def test_any_bytes_decode_to_something_storable() -> None:
    for first in range(256):
        decoded = decode(bytes([first, 0x81, 0x00, 0xFF, first]) * 3)
        assert "\0" not in decoded
        decoded.encode()


def test_underlined_numbered_and_capital_headings_are_found(tmp_path: Path) -> None:
    raw = "The Report\n==========\nIntro text.\n\n1.2 Scope of work\n\nWords.\n\nRESULTS AND METHODS\n\nMore words.\n\nChapter 4: Ends\n\nLast."
    document = parsed(tmp_path, raw.encode())
    found = [(b.level, b.label) for b in document.blocks if b.kind is Kind.HEADING]
    assert found == [
        (1, "The Report"),
        (2, "1.2 Scope of work"),
        (1, "RESULTS AND METHODS"),
        (1, "Chapter 4: Ends"),
    ]
    assert pieces(document)[:2] == ["The Report\n==========", "Intro text."]
    assert document.title == "The Report"


def test_sentences_and_list_items_are_no_headings(tmp_path: Path) -> None:
    raw = "STOP IT.\n\n1. Buy milk\n\n2. Sleep\n\n2.5 million people live there.\n\nUSA\n\na\n---------------\nb\n\nNO TEXT FOLLOWS"
    document = parsed(tmp_path, raw.encode())
    assert [b.kind for b in document.blocks] == [Kind.PARAGRAPH] * len(document.blocks)
    assert document.title == ""


def test_too_much_text_and_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError) as caught:
        parsed(tmp_path, b"abcdef", Limits(characters=5))
    assert caught.value.code is Failure.TOO_LARGE_TEXT
    with pytest.raises(UnreadableError) as caught:
        parsed(tmp_path, b" \n\xc2\xa0\n")
    assert caught.value.code is Failure.NO_TEXT
