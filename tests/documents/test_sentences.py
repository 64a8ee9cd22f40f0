import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents import sentences


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences.spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One thing. Another!  A third?", ["One thing.", "Another!", "A third?"]),
        ("He paid $3.5 million. He left.", ["He paid $3.5 million.", "He left."]),
        ("Mr. Smith saw Fig. 3 of J. K. Rowling.", ["Mr. Smith saw Fig. 3 of J. K. Rowling."]),
        ("Some, e.g. this one. Others.", ["Some, e.g. this one.", "Others."]),
        ("He lived in the U.S. It was cold.", ["He lived in the U.S.", "It was cold."]),
        ('He said "yes." Then he left.', ['He said "yes."', "Then he left."]),
        ("old typescripts .  the next one .", ["old typescripts .", "the next one ."]),
        ("A line\ncontinues here.", ["A line\ncontinues here."]),
        ("First\n\nSecond", ["First", "Second"]),
        ("- one\n- two\n2) three", ["- one", "- two", "2) three"]),
        ("| a | b |\n| c | d |", ["| a | b |", "| c | d |"]),
        ("# Title\n\nText.", ["# Title", "Text."]),
        ("東京です。大阪です。", ["東京です。", "大阪です。"]),
        (" \n ", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert split(text) == expected


@given(st.text('ab. \n\t|#!?"-1。é', max_size=200))
def test_spans_are_ordered_stripped_and_lose_nothing(text: str) -> None:
    spans = sentences.spans(text)
    bounds = [bound for span in spans for bound in span]
    assert bounds == sorted(bounds)
    assert all(sentence and sentence == sentence.strip() for sentence in split(text))
    assert "".join("".join(split(text)).split()) == "".join(text.split())


def test_a_part_of_a_text_is_split_within_its_bounds() -> None:
    text = "Before. One. Two. After."
    assert [text[start:end] for start, end in sentences.spans(text, 8, 17)] == ["One.", "Two."]


@pytest.mark.parametrize("unit", ["x", " ", "\n", "\n \t", ".", '."', "a. ", "|\t", "- "])
def test_hostile_text_takes_time_in_proportion(unit: str) -> None:
    def seconds(size: int) -> float:
        started = time.perf_counter()
        sentences.spans(unit * (size // len(unit)))
        return time.perf_counter() - started

    seconds(1_000)
    # five times the text; quadratic time would be twenty-five
    assert seconds(1_000_000) < 12 * seconds(200_000) + 0.2
