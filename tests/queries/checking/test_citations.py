"""Citations of sources that were not given never reach a reader, whole or in pieces."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queries.checking import citations

GIVEN = {1, 2, 3}


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ("Three years [1].", "Three years [1]."),
        ("Three years [9].", "Three years."),
        ("Three [9] years [2]", "Three years [2]"),
        ("[7] First [8]", "First"),
        ("Both [1, 9, 2] say so", "Both [1][2] say so"),
        ("All [1-3], none [7–9].", "All [1][2][3], none."),
        ("One [1][9] [2].", "One [1][2]."),
        ("glued [9]word", "glued word"),
        ("In [2024] and [a] and [] [^1]", "In [2024] and [a] and [] [^1]"),
        ("Space before : stays, and so does x .5", "Space before : stays, and so does x .5"),
        ("[ 12 ]", ""),
        ("open [1", "open [1"),
        ("[[9]7]", "[[]7]"),
        ("[[[9]8]7]", "[[[]8]7]"),
    ],
)
def test_only_given_sources_are_cited(answer: str, kept: str) -> None:
    assert citations.keep_given(answer, GIVEN) == kept


TEXTS = st.lists(
    st.sampled_from(["[1]", "[9]", "[", "]", " ", "\n", "7", "12", ",", "-", "word", ".", "\xa0"]),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_pieces_make_up_the_same_text_however_they_were_cut(pieces: list[str]) -> None:
    whole = citations.keep_given("".join(pieces), GIVEN)
    assert "".join(citations.checked(pieces, GIVEN)) == whole
    assert "".join(citations.checked("".join(pieces), GIVEN)) == whole


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_nothing_that_went_out_has_to_be_taken_back(pieces: list[str]) -> None:
    shown = ""
    for piece in citations.checked(pieces, GIVEN):
        shown += piece
        assert citations.cited(shown) <= GIVEN


def test_text_goes_out_as_soon_as_it_is_decided() -> None:
    heard = list(citations.checked(["Three ", "years ", "[", "9", "]", " and ", "more."], GIVEN))
    assert heard == ["Three", " years", " and", " more."]


def test_cited_names_the_numbers() -> None:
    assert citations.cited("a [1] b [2, 3][5-6]") == {1, 2, 3, 5, 6}


def test_a_long_run_of_spaces_takes_no_time() -> None:
    assert citations.keep_given("a" + " " * 200_000 + "b [9]", GIVEN).endswith("b")
