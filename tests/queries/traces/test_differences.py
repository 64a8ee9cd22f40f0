"""What differs between an answer then and now."""

from hypothesis import given, strategies

from queries.traces import differences
from queries.traces.differences import GivenSource, Piece

A = GivenSource(1, "a", "doc", 1, 0, 100)
B = GivenSource(2, "b", "doc", 2, 100, 200)
C = GivenSource(3, "c", "other", None, 0, 50)


def changes(then: list[GivenSource], now: list[GivenSource]) -> list[tuple[str, int | None, int | None]]:
    return [(row["change"], row["then"], row["now"]) for row in differences.sources(then, now)]


def test_sources_gained_lost_and_moved() -> None:
    now = [B._replace(n=1), A._replace(n=2), GivenSource(3, "d", "new", None, 0, 9)]
    assert changes([A, B, C], now) == [
        ("moved", 2, 1), ("moved", 1, 2), ("gained", None, 3), ("lost", 3, None)
    ]  # fmt: skip


def test_a_chunk_that_was_cut_anew_is_the_same_source() -> None:
    assert changes([A], [A._replace(chunk="fresh", start=50, end=150)]) == [("same", 1, 1)]
    assert changes([A], [A._replace(chunk="fresh", start=100, end=150)]) == [
        ("gained", None, 1),
        ("lost", 1, None),
    ]


def test_words_that_changed() -> None:
    assert differences.texts("It lasts three years. [1]", "It lasts four years. [1]") == [
        Piece("same", "It lasts "), Piece("removed", "three"), Piece("added", "four"), Piece("same", " years. [1]")
    ]  # fmt: skip


@given(strategies.text(max_size=60), strategies.text(max_size=60))
def test_the_pieces_make_up_both_texts(then: str, now: str) -> None:
    pieces = differences.texts(then, now)
    assert "".join(piece.text for piece in pieces if piece.change != "added") == then
    assert "".join(piece.text for piece in pieces if piece.change != "removed") == now


def test_very_long_answers_are_not_compared_word_by_word() -> None:
    long = "word " * 20_000
    assert [piece.change for piece in differences.texts(long, long + "more")] == ["removed", "added"]
    assert [piece.change for piece in differences.texts(long, long)] == ["same"]


def test_settings_that_differ() -> None:
    then = {"top_k": 5, "space": "a", "gone": 1}
    assert differences.settings(then, {"top_k": 5, "space": "b", "new": 2}) == [
        {"name": "space", "then": "a", "now": "b"},
        {"name": "gone", "then": 1, "now": None},
        {"name": "new", "then": None, "now": 2},
    ]
