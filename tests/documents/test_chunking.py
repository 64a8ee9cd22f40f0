import time

from hypothesis import given, settings
from hypothesis import strategies as st

from documents.chunking import MAXIMUM, TARGET, chunk, in_context
from documents.structure import Block, Kind, ParsedDocument

SENTENCE = "The quick brown fox jumps over the lazy dog near the river bank. "


def make_document(*parts: tuple[Kind, str, int], separator: str = "\n\n") -> ParsedDocument:
    text, blocks = "", []
    for kind, words, level in parts:
        label = words if kind is Kind.HEADING else ""
        blocks.append(Block(len(text), len(text) + len(words), kind, level, label))
        text += words + separator
    return ParsedDocument(text, blocks)


def heading(words: str, level: int = 1) -> tuple[Kind, str, int]:
    return Kind.HEADING, words, level


def paragraph(sentences: int) -> tuple[Kind, str, int]:
    return Kind.PARAGRAPH, (SENTENCE * sentences).strip(), 0


def texts(document: ParsedDocument) -> list[str]:
    return [document.text[piece.start : piece.end] for piece in chunk(document)]


characters = st.sampled_from("ab.!?。 \t\n|#-1é\u3000東x")
words = st.text(characters, max_size=60).map(lambda unit: unit * 60)


@st.composite
def documents(draw: st.DrawFn) -> ParsedDocument:
    text = draw(st.one_of(words, st.lists(words, max_size=6).map("".join)))
    bounds = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    kinds = st.sampled_from(list(Kind))
    blocks = []
    for start, end in zip(bounds[::2], bounds[1::2], strict=False):
        kind = draw(kinds)
        level = draw(st.integers(1, 4)) if kind is Kind.HEADING else 0
        blocks.append(Block(start, end, kind, level, text[start:end].strip() if level else ""))
    starts = draw(st.lists(st.integers(1, max(1, len(text))), max_size=5, unique=True).map(sorted))
    return ParsedDocument(text, blocks, [0, *starts] if draw(st.booleans()) else [])


@given(documents())
@settings(max_examples=150, deadline=None)
def test_pieces_are_ordered_disjoint_stripped_within_the_maximum_and_lose_nothing(
    document: ParsedDocument,
) -> None:
    position, uncovered = 0, ""
    for ordinal, piece in enumerate(chunk(document)):
        text = document.text[piece.start : piece.end]
        assert piece.ordinal == ordinal
        assert position <= piece.start < piece.end
        assert text == text.strip()
        assert len(text) <= MAXIMUM
        uncovered += document.text[position : piece.start]
        position = piece.end
    assert not (uncovered + document.text[position:]).strip()


@given(documents())
@settings(max_examples=100, deadline=None)
def test_pages_are_those_of_the_first_and_the_last_character(document: ParsedDocument) -> None:
    for piece in chunk(document):
        if document.page_starts:
            assert piece.first_page == sum(start <= piece.start for start in document.page_starts)
            assert piece.last_page == sum(start < piece.end for start in document.page_starts)
        else:
            assert piece.first_page is None
            assert piece.last_page is None


def test_small_neighbours_are_packed_together() -> None:
    pieces = texts(make_document(*[paragraph(2)] * 20))
    assert all(TARGET - 200 <= len(piece) <= TARGET for piece in pieces[:-1])


def test_a_paragraph_that_fits_is_not_cut() -> None:
    document = make_document(paragraph(8), paragraph(8))
    assert texts(document) == [paragraph(8)[1]] * 2


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    pieces = texts(make_document(paragraph(60)))
    assert len(pieces) > 2
    assert all(piece.startswith("The quick") and piece.endswith("bank.") for piece in pieces)


def test_a_long_table_is_cut_between_rows() -> None:
    rows = "\n".join(f"| row {row} | some value. With a stop | other |" for row in range(100))
    pieces = texts(make_document((Kind.TABLE, rows, 0)))
    assert all(piece.startswith("| row") and piece.endswith("other |") for piece in pieces)


def test_text_without_spaces_is_cut_at_the_maximum_at_the_latest() -> None:
    pieces = texts(ParsedDocument("x" * 10_000))
    assert "".join(pieces) == "x" * 10_000


def test_a_top_heading_begins_a_piece_and_headings_path_is_kept() -> None:
    document = make_document(
        heading("One"),
        paragraph(5),
        heading("Two"),
        heading("Deep", 2),
        paragraph(5),
        heading("Three"),
        paragraph(5),
    )
    pieces = chunk(document)
    assert [piece.heading for piece in pieces] == ["One", "Two > Deep", "Three"]
    assert [text.splitlines()[0] for text in texts(document)] == ["One", "Two", "Three"]


def test_a_tiny_section_is_packed_with_the_next_one() -> None:
    document = make_document(
        heading("One"), paragraph(1), heading("Two"), paragraph(1), heading("Three"), paragraph(5)
    )
    assert len(chunk(document)) < 3


def test_a_heading_is_never_parted_from_what_it_heads() -> None:
    parts = [part for n in range(12) for part in (heading(f"Part {n}", 2), paragraph(4 + n % 5))]
    last_lines = [text.splitlines()[-1] for text in texts(make_document(heading("Title"), *parts))]
    assert not any(line.startswith(("Part", "Title")) for line in last_lines)


def test_a_piece_stands_on_one_page_however_small() -> None:
    page, small = (SENTENCE * 9).strip(), "A short page."
    big = ParsedDocument(page + "\n" + small, page_starts=[0, len(page) + 1])
    assert [(piece.first_page, piece.last_page) for piece in chunk(big)] == [(1, 1), (2, 2)]
    little = ParsedDocument(small + "\n" + small, page_starts=[0, len(small) + 1])
    assert [(piece.first_page, piece.last_page) for piece in chunk(little)] == [(1, 1), (2, 2)]


def test_headings_of_any_length_and_number_stay_small_in_the_path() -> None:
    document = make_document(*[heading("h" * 3_000, level) for level in range(1, 60)], paragraph(1))
    assert max(len(piece.heading) for piece in chunk(document)) < 1_000


def test_five_megabytes_take_time_in_proportion() -> None:
    def seconds(text: str) -> float:
        started = time.perf_counter()
        chunk(ParsedDocument(text))
        return time.perf_counter() - started

    for unit in (SENTENCE, "x", "\n", "\n ", "a. ", ".", "| a | b |\n"):
        small, large = (unit * (size // len(unit)) for size in (200_000, 800_000))
        seconds(small)
        # four times the text; eight leaves room for a busy machine, and quadratic time would be sixteen
        assert seconds(large) < 8 * max(seconds(small), seconds(small)) + 0.2, repr(unit)


def test_title_and_headings_are_put_over_a_piece_that_does_not_begin_with_them() -> None:
    assert in_context("Some text.", title="Guide", heading="One > Two") == "Guide\nOne\nTwo\nSome text."
    assert (
        in_context("# Guide\n\n## One\n\nText.", title="Guide", heading="One") == "# Guide\n\n## One\n\nText."
    )
    assert in_context("Text.", title="", heading="") == "Text."
    assert in_context("Text.", title="One", heading="One > Two") == "One\nTwo\nText."
