from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents.searching import fusion, lexical
from documents.searching.fusion import Candidate, Ranked, argument, lexical_weight


def make_candidates(*scores: tuple[float, float]) -> list[Candidate]:
    return [Candidate(UUID(int=n), cosine, bm25) for n, (cosine, bm25) in enumerate(scores)]


def rank(candidates: list[Candidate], *, ceiling: float) -> list[Ranked]:
    return fusion.rank(candidates, ceiling=ceiling)[0]


def order(candidates: list[Candidate], *, ceiling: float) -> list[int]:
    return [ranked.chunk_id.int for ranked in rank(candidates, ceiling=ceiling)]


scores = st.tuples(st.floats(-1, 1), st.floats(0, 10))


@given(st.lists(scores, max_size=40), st.floats(10, 100))
def test_every_candidate_is_ranked_once_from_best_to_worst_within_0_to_1(
    pairs: list[tuple[float, float]], ceiling: float
) -> None:
    ranked = rank(make_candidates(*pairs), ceiling=ceiling)
    assert sorted(entry.chunk_id.int for entry in ranked) == list(range(len(pairs)))
    values = [entry.score for entry in ranked]
    assert values == sorted(values, reverse=True)
    assert all(0 <= value <= 1 for value in values)


@given(
    st.lists(scores, min_size=1, max_size=30, unique=True).flatmap(
        lambda pairs: st.permutations(range(len(pairs))).map(lambda turn: (pairs, turn))
    )
)
def test_the_order_in_which_candidates_come_changes_nothing(
    case: tuple[list[tuple[float, float]], list[int]],
) -> None:
    candidates = make_candidates(*case[0])
    turned = [candidates[i] for i in case[1]]
    expected = {entry.chunk_id: entry.score for entry in rank(candidates, ceiling=10)}
    assert {entry.chunk_id: entry.score for entry in rank(turned, ceiling=10)} == pytest.approx(expected)


def test_no_word_in_the_corpus_leaves_dense_to_rank() -> None:
    assert order(make_candidates((0.2, 0.0), (0.5, 0.0), (0.4, 0.0)), ceiling=0.0) == [1, 2, 0]


def test_a_code_that_one_chunk_holds_wins_over_rows_that_mean_the_same() -> None:
    rows = [(0.60 + n / 400, 1.0) for n in range(40)]
    candidates = make_candidates((0.58, 9.0), *rows)
    assert order(candidates, ceiling=12.0)[0] == 0


def test_rows_that_share_all_words_leave_the_ranking_to_dense() -> None:
    rows = [(0.3 + (n % 7) / 100, 6.0 + (n % 5) / 10) for n in range(40)]
    candidates = make_candidates((0.7, 5.9), *rows)
    assert order(candidates, ceiling=12.0)[0] == 0


def test_a_chunk_that_both_legs_like_wins_over_the_favourites_of_each() -> None:
    rest = [(0.2 + n / 100, 0.5) for n in range(10)]
    candidates = make_candidates((0.62, 1.0), (0.60, 5.6), (0.3, 6.0), *rest)
    assert order(candidates, ceiling=10.0)[0] == 1


def test_a_pasted_sentence_finds_its_chunk_though_the_model_does_not_know_its_language() -> None:
    # Twelve words, all in the first chunk, which the model thinks far from the question.
    rest = [(0.40 - n / 100, 5.0 + n % 5) for n in range(40)]
    candidates = make_candidates((0.156, 15.46), (0.525, 2.68), *rest)
    best = rank(candidates, ceiling=41.1)[0]
    assert best.chunk_id.int == 0
    assert best.score > 0.43


def test_a_lead_made_of_common_words_is_no_evidence() -> None:
    dense = [0.6, 0.5, 0.45] + [0.4 - n / 100 for n in range(30)]
    covered = [0.0] * 20 + [0.1] * 12 + [0.4]  # its best, and all it finds, dense thinks far
    weights = [lexical_weight(dense, covered, ceiling=ceiling) for ceiling in (3.0, 12.0, 40.0)]
    assert weights[0] < 0.5
    assert weights[-1] > 0.75


def test_words_that_stand_everywhere_are_no_argument_and_leave_dense_to_rank() -> None:
    """Reports with one prose: a table answers, and a paragraph has all of the question's common words."""
    dense = [0.62, 0.61, 0.61, 0.60] + [0.5 - n / 100 for n in range(30)]
    covered = [0.2, 0.2, 0.2, 0.2, 0.55] + [0.4 - n / 100 for n in range(29)]
    assert lexical_weight(dense, covered, ceiling=11.0) > 0.5
    assert lexical_weight(dense, covered, ceiling=11.0, argument=0.0) == 0.0


def test_an_argument_is_a_telling_word_that_the_nearest_lack() -> None:
    telling = {"owe": 0.0, "rent": 0.1, "cawdor": 1.0, "kx2291": 0.9}
    prose, table = {"owe", "rent", "cawdor", "other"}, {"cawdor", "lease"}
    assert argument(prose, [table] * 10, telling) == 0.1
    assert argument(prose | {"kx2291"}, [table] * 10, telling) == 0.9
    assert argument(prose, [table] * 5 + [{"lease"}] * 5, telling) == 1.0
    assert argument(prose, [prose] * 10, telling) == 0.0
    assert argument(set(), [], telling) == 0.0


def test_each_word_once_in_a_chunk_of_average_length_is_nearly_a_full_score() -> None:
    ceiling = 40.0
    rest = [(0.2, 0.1 * n) for n in range(30)]
    best = rank(make_candidates((0.2, ceiling / (1 + lexical.K1)), *rest), ceiling=ceiling)[0]
    assert 0.8 < best.score < 1


def test_a_score_without_any_lexical_part_is_the_cosine() -> None:
    candidates = make_candidates(*[(0.1 + n / 20, 0.0) for n in range(12)])
    scores = [entry.score for entry in rank(candidates, ceiling=9.0)]
    assert scores == pytest.approx(sorted((c.cosine for c in candidates), reverse=True))


def test_the_lexical_leg_weighs_more_the_further_its_best_stands_out() -> None:
    dense = [0.5, 0.45, 0.4, 0.38, 0.3]
    weights = [
        lexical_weight(dense, [best, 0.1, 0.1, 0.05, 0.0], ceiling=6.0) for best in (0.1, 0.3, 0.6, 0.9)
    ]
    assert weights == sorted(weights)
    assert weights[0] < 0.4
    assert 0.7 < weights[-1] < 1


def test_the_lexical_leg_weighs_more_when_dense_agrees_with_it() -> None:
    dense = [0.6, 0.5, 0.45] + [0.4 - n / 100 for n in range(30)]
    agreeing = [0.6, 0.3, 0.3] + [0.2 - n / 200 for n in range(30)]
    assert lexical_weight(dense, agreeing, ceiling=3.0) > lexical_weight(dense, agreeing[::-1], ceiling=3.0)


def test_copies_of_a_chunk_do_not_hide_that_it_stands_out() -> None:
    rest = [(0.5 + n / 1000, 0.5 + n / 50) for n in range(30)]
    copies = make_candidates(*[(0.5, 9.0)] * 12, *rest)
    assert set(order(copies, ceiling=10.0)[:12]) == set(range(12))


def test_chunks_without_a_word_of_the_question_are_not_counted_as_agreement() -> None:
    dense = [0.9 - n / 50 for n in range(30)]
    assert lexical_weight(dense, [0.0] * 30, ceiling=9.0) == 0.0


def test_a_model_whose_cosines_lie_close_together_still_counts() -> None:
    wide = [(0.1 + n / 60, 2.0 + (n % 4)) for n in range(30)]
    narrow = [(0.8 + cosine / 10, bm25) for cosine, bm25 in wide]
    assert (
        order(make_candidates(*narrow), ceiling=12.0)[0]
        == order(make_candidates(*wide), ceiling=12.0)[0]
        == 27
    )


def test_equals_are_ordered_by_id() -> None:
    assert order(make_candidates(*[(0.5, 1.0)] * 5)[::-1], ceiling=2.0) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("ceiling", [0.0, 5.0])
def test_nothing_found_ranks_nothing(ceiling: float) -> None:
    assert rank([], ceiling=ceiling) == []
