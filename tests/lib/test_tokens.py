"""Tokens that are estimated: never more than the most, and as much text as is asked for."""

from hypothesis import given
from hypothesis import strategies as st

from ragsite.lib import tokens


@given(st.text())
def test_a_guess_is_no_more_than_the_most(text: str) -> None:
    assert tokens.about(text) <= tokens.most(text)


@given(st.text(), st.integers(-3, 40))
def test_a_beginning_has_room(text: str, room: int) -> None:
    kept = tokens.beginning(text, room)
    assert text.startswith(kept)
    assert tokens.about(kept) <= max(0, room)
    assert kept == text or tokens.about(text[: len(kept) + 1]) > room  # and no more of it has
