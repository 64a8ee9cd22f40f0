"""What counts as a copy of a passage, and that copies never cost a search results."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Tenant
from documents.searching import duplicates, search
from documents.searching.hits import Hit
from documents.searching.search import Scope
from tests.makers import ingest

CLAUSE = (
    "Either party may end this agreement at the end of a month with ninety days of notice in writing. The rent is paid"
    " on the first working day of each month, and interest of 8 percent a year is due on what is paid late."
)  # fmt: skip


def hit(number: int, text: str, *, bm25: float = 3.0) -> Hit:
    return Hit(UUID(int=number), UUID(int=number), "", "", "", None, None, 0, len(text), text, 0.5, bm25)


def order(*hits: Hit, wanted: int = 10) -> list[int]:
    return [found.chunk_id.int for found in duplicates.last(hits, wanted=wanted)]


def test_a_copy_stands_behind_what_differs() -> None:
    other = "Nothing is said here of either."
    assert order(hit(0, CLAUSE), hit(1, CLAUSE), hit(2, other), hit(3, CLAUSE.upper())) == [0, 2, 1, 3]


@pytest.mark.parametrize(
    ("changed", "is_copy"),
    [
        (CLAUSE.replace("agreement", "contract"), True),
        (f"{CLAUSE} Signed.", True),
        (CLAUSE.replace("8 percent", "9 percent"), False),
        (f"§ 12. {CLAUSE}", False),
        (CLAUSE[: len(CLAUSE) // 2], False),
        ("", False),
    ],
)
def test_words_may_differ_a_little_and_figures_not_at_all(changed: str, is_copy: bool) -> None:  # noqa: FBT001
    other = hit(2, "Something else.")
    assert order(hit(0, CLAUSE), hit(1, changed), other) == ([0, 2, 1] if is_copy else [0, 1, 2])


def test_what_covers_more_of_the_question_is_no_copy() -> None:
    """Two contracts with one clause, of which the question names the second by its title."""
    assert order(hit(0, CLAUSE, bm25=5.0), hit(1, CLAUSE, bm25=3.0), hit(2, "Other.")) == [0, 1, 2]
    assert order(hit(0, CLAUSE, bm25=5.0), hit(1, CLAUSE, bm25=4.8), hit(2, "Other.")) == [0, 2, 1]
    assert order(hit(0, CLAUSE, bm25=0.0), hit(1, CLAUSE, bm25=0.0), hit(2, "Other.")) == [0, 2, 1]


@given(st.lists(st.sampled_from([CLAUSE, "One.", "Two.", "Tea 4", ""]), max_size=12), st.integers(1, 12))
def test_as_many_as_before_and_the_best_first(texts: list[str], wanted: int) -> None:
    hits = [hit(number, text) for number, text in enumerate(texts)]
    ordered = order(*hits, wanted=wanted)
    assert sorted(ordered) == list(range(len(texts)))
    distinct = list(dict.fromkeys(texts))
    assert [texts[number] for number in ordered[: min(wanted, len(distinct))]] == distinct[:wanted]


@pytest.mark.django_db(transaction=True)
def test_copies_of_a_passage_do_not_fill_an_answers_sources(tenant: Tenant) -> None:
    for number in range(6):
        ingest(tenant, f"# Lease of house {'ABCDEF'[number]}\n\n{CLAUSE}", filename=f"{number}.md")
    ingest(
        tenant, "# House rules\n\nNotice of a party that is loud is given a day before.", filename="rules.md"
    )
    texts = [found.text for found in search.hybrid(Scope(tenant.pk), "notice of a party", top_k=2).hits]
    assert len({"House rules" in text for text in texts}) == 2
    assert len(search.hybrid(Scope(tenant.pk), "notice of a party", top_k=7).hits) == 7
