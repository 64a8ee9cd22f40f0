import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queries.generating.extractive import MOST_CHARACTERS, Passage, answer
from queries.generating.quoting import LONGEST_QUOTE

TESLA = (
    "Tesla was born in Smiljan. He worked for Mr. Edison from 1884, for $3.5 a day, and left within a year. "
    "His pigeons were dear to him."
)
OXYGEN = "Oxygen is a gas. It was found by Carl Scheele in Uppsala in 1773. Steel works use much of it."


def make_passages(*texts: str, score: float = 0.5) -> list[Passage]:
    return [Passage(n, text, score) for n, text in enumerate(texts, start=1)]


def test_the_sentence_that_answers_is_quoted_and_cited() -> None:
    extract = answer("Who found oxygen in Uppsala?", make_passages(TESLA, OXYGEN))
    assert "It was found by Carl Scheele in Uppsala in 1773. [2]" in extract.text
    assert "pigeons" not in extract.text


@given(st.text(max_size=80), st.lists(st.text("ab c.?!\n|#1 xé。", max_size=300), max_size=4))
def test_every_quote_is_verbatim_and_in_the_text(question: str, texts: list[str]) -> None:
    passages = make_passages(*texts)
    extract = answer(question, passages)
    for quote in extract.quotes:
        assert quote.text == passages[quote.n - 1].text[quote.start : quote.end]
        assert f"{' '.join(quote.said.split())} [{quote.n}]" in extract.text
        assert quote.is_row or quote.said == quote.text
    assert bool(extract.text) == bool(extract.quotes)


@given(st.text("ab .", max_size=3_000))
def test_an_answer_is_short(text: str) -> None:
    extract = answer("a b", make_passages(text, text[::-1]))
    assert len(extract.quotes) <= 3
    assert sum(len(quote.text) for quote in extract.quotes) <= MOST_CHARACTERS


def test_nothing_near_enough_gives_nothing() -> None:
    assert answer("Who found oxygen?", make_passages(OXYGEN, score=0.2), threshold=0.3).text == ""
    assert answer("Who found oxygen?", make_passages(OXYGEN, score=0.3), threshold=0.3).text
    assert answer("Who found oxygen?", []).quotes == ()


def test_rare_words_weigh_more_than_common_ones() -> None:
    passages = make_passages(
        "The gas company sells gas and more gas in the town. " + "Xenon was isolated in London by Ramsay."
    )
    extract = answer(
        "gas company xenon town", passages, idf={"xenon": 9.0, "gas": 0.1, "compani": 0.1, "town": 0.1}
    )
    assert extract.text == "Xenon was isolated in London by Ramsay. [1]"


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("When did the bridge open?", "The bridge did open in 1932 to traffic."),
        ("How many lanes has the bridge?", "The bridge now has eight lanes for cars."),
        ("Who designed the bridge?", "The bridge is by John Bradfield and others."),
    ],
)
def test_the_kind_of_thing_asked_for_decides_between_equals(question: str, expected: str) -> None:
    passages = make_passages(
        "The bridge is long and made of steel. The bridge did open in 1932 to traffic. "
        "The bridge now has eight lanes for cars. The bridge is by John Bradfield and others."
    )
    assert expected in answer(question, passages).text


def test_headings_and_questions_are_not_quoted_but_what_follows_them_is() -> None:
    text = "# Refund period\n\nWhat is the refund period?\n\nCustomers have thirty days to send goods back."
    extract = answer("What is the refund period?", make_passages(text))
    assert extract.text == "Customers have thirty days to send goods back. [1]"


def test_equal_sentences_are_quoted_once() -> None:
    extract = answer("Who found oxygen?", make_passages(OXYGEN, OXYGEN))
    assert extract.text.count("Carl Scheele") == 1


def test_quotes_stand_in_the_order_of_the_passages() -> None:
    extract = answer("oxygen gas Uppsala steel", make_passages(TESLA, OXYGEN))
    places = [(quote.n, quote.start) for quote in extract.quotes]
    assert len(places) > 1
    assert places == sorted(places)


def test_line_breaks_inside_a_sentence_are_joined_and_abbreviations_end_none() -> None:
    extract = answer("What did Mr. Edison pay?", make_passages(TESLA.replace(" for $3.5", "\nfor $3.5")))
    assert "He worked for Mr. Edison from 1884, for $3.5 a day, and left within a year. [1]" in extract.text


TABLE = "| item | price |\n|---|---|\n| steel bolt M8 | 3.20 euro |\n| brass hinge large | 7.90 euro |"


@pytest.mark.parametrize(
    "passage",
    [
        Passage(1, f"Prices:\n\n{TABLE}", 0.5),
        Passage(1, TABLE.splitlines()[-1], 0.5, heading="Prices > | item | price |"),
    ],
    ids=["whole", "cut from its head"],
)
def test_a_row_of_a_table_is_quoted_with_the_names_of_its_columns(passage: Passage) -> None:
    extract = answer("price of the brass hinge", [passage])
    assert "item: brass hinge large; price: 7.90 euro [1]" in extract.text
    assert "item | price" not in extract.text


def test_a_sentence_is_quoted_rather_than_a_row_that_says_as_much() -> None:
    extract = answer(
        "price of the brass hinge", make_passages(f"The price of the brass hinge is 8 euro.\n\n{TABLE}")
    )
    assert extract.text == "The price of the brass hinge is 8 euro. [1]"


FENCED = "```sh\nmake kettle # boil the kettle with make. Then\nmake tea\n```"


@pytest.mark.parametrize(
    "text",
    [
        f"To boil the kettle, call make:\n\n{FENCED}\n\nThe kettle is made by Smith and Sons.",
        f"{FENCED[6:]}\n\nThe kettle is made by Smith and Sons.",
        f"The kettle is made by Smith and Sons.\n\n{FENCED[:-4]}",
        f"make the kettle boil\n```\n\nThe kettle is made by Smith and Sons.\n\n{FENCED}",
    ],
    ids=["whole", "its end", "its beginning", "the end of one before another"],
)
def test_code_is_not_quoted(text: str) -> None:
    assert (
        answer("make the kettle boil", make_passages(text)).text
        == "The kettle is made by Smith and Sons. [1]"
    )


def test_the_marks_of_a_list_are_not_quoted() -> None:
    text = "- The kettle boils in three minutes.\n2. The pot is made of clay from Delft."
    assert (
        answer("When does the kettle boil?", make_passages(text)).text
        == "The kettle boils in three minutes. [1]"
    )


def test_text_without_full_stops_is_quoted_in_part() -> None:
    extract = answer("What of the needle?", make_passages("hay " * 400 + "needle " + "hay " * 400))
    assert "needle" in extract.text
    assert all(len(quote.text) <= LONGEST_QUOTE for quote in extract.quotes)


@pytest.mark.parametrize("unit", ["x", "x ", "a. ", ".", "\n", "| a ", "|-\n", "```\n", "a.\"'"])
def test_hostile_text_takes_time_in_proportion(unit: str) -> None:
    def seconds(size: int) -> float:
        started = time.process_time()
        answer("what is a x?", make_passages(unit * (size // len(unit))))
        return time.process_time() - started

    seconds(1_000)
    # five times the text; quadratic time would be twenty-five
    assert seconds(500_000) < 12 * seconds(100_000) + 0.2


def test_a_row_of_hyphens_takes_time_in_proportion() -> None:
    def seconds(size: int) -> float:
        started = time.process_time()
        answer("what is a x?", make_passages(f"|{'-' * size}x"))
        return time.process_time() - started

    seconds(100)
    assert seconds(50_000) < 12 * seconds(10_000) + 0.2
