"""Sentences that no source supports are told, each with its span and what is lacking."""

import pytest

from queries.checking import support
from tests.queries.checking.test_defusing import make_sources

KETTLE = (
    "The warranty of the kettle lasts three years and covers 1,190 parts. It was designed by John Bradfield in Sydney, "
    "who said: “A kettle is a promise – kept daily.”"
)
TEA = "Tea is served at 4 o'clock in the garden by Mary."
SOURCES = make_sources(KETTLE, TEA)


def told(answer: str) -> list[tuple[str, str]]:
    return [(answer[one.start : one.end], one.reason) for one in support.unsupported(answer, SOURCES)]


@pytest.mark.parametrize(
    "answer",
    [
        "The kettle's warranty lasts three years [1].",
        "The kettle's warranty lasts 3 years. [1]",
        "It covers 1190 parts [1], and tea is served in the garden [2].",
        "The kettle was designed in Sydney by John Bradfield [1].",
        'Its designer said: "a kettle is a promise - kept daily" [1].',
        "He said “A kettle … kept daily” [1].",
        "# Warranty\n\nAccording to the documents:\n\n1. The warranty lasts three years [1].\n2. Tea is served at four [2].",
        "Yes.",
        "Is the warranty of Peru longer?",
        "",
    ],
)
def test_what_the_sources_say_is_supported(answer: str) -> None:
    assert told(answer) == []


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("The kettle's warranty lasts five hundred and 7 years [1].", "number"),
        ("The warranty covers 1,191 parts [1].", "number"),
        ("The kettle was designed by Peter Bradfield in Sydney [1].", "name"),
        ("Bananas ripen quickly near apples and pears [1].", "words"),
        ("The warranty of the kettle lasts three years [2].", "words"),
        ('The designer said "a kettle is a burden" [1].', "quote"),
        ('It says "a kettle is a promise" [2].', "quote"),
    ],
)
def test_what_they_do_not_say_is_told(sentence: str, reason: str) -> None:
    assert told(sentence) == [(sentence, reason)]


def test_a_citation_behind_the_full_stop_is_its_sentences() -> None:
    answer = "Tea is served in the garden. [2] The moon is made of cheese. [1] The kettle has a warranty. [1]"
    assert told(answer) == [("The moon is made of cheese. [1]", "words")]


def test_without_a_citation_all_sources_count() -> None:
    assert told("The kettle has a warranty of three years, tea is served in the garden.") == []
    assert told("The kettle is served in Peru.") == [("The kettle is served in Peru.", "name")]
