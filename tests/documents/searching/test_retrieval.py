"""Candidates of a search over much: the legs' indexes, filters, and the end of the index's patience."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from django.db import connection, connections
from numpy.typing import NDArray
from pgvector import HalfVector
from pytest_django import Settings

from accounts.models import Tenant
from documents import tasks
from documents.embedding import spaces, vector_index
from documents.models import Collection, Document, EmbeddingSpace
from documents.searching import retrieval, search
from documents.searching.retrieval import Legs
from documents.searching.scope import Scope
from ragsite.lib import row_security
from tests.documents.corpora import make_loaded, unit_vectors
from tests.makers import Party

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


def found(scope: Scope, question: str, *, top_k: int) -> list[str]:
    return [hit.text for hit in search.hybrid(scope, question, top_k=top_k).hits]


def collection_ids(tenant: Tenant, *names: str) -> tuple[Any, ...]:
    return tuple(Collection.objects.for_tenant(tenant).filter(name__in=names).values_list("pk", flat=True))


SIZE = 1_200
RANDOM = np.random.default_rng(5)


@pytest.fixture
def large(ours: Party, theirs: Party, settings: Settings) -> Iterator[EmbeddingSpace]:
    """Two tenants over the limit of exact search, in one indexed space; ours in three collections and tiny documents."""
    settings.EXACT_SEARCH_MAX_CHUNKS = 200
    for number in range(12):
        vectors = unit_vectors(RANDOM, SIZE // 12)
        texts = [f"tea {number} word{n % 7} row{n}" for n in range(SIZE // 12)]
        name = "rare" if number == 0 else "half" if number % 2 else "other"
        make_loaded(ours.tenant, texts, vectors, collection=name, part=number, even=number % 2 == 0)
        make_loaded(theirs.tenant, [f"their {text}" for text in texts], unit_vectors(RANDOM, SIZE // 12))
    make_loaded(ours.tenant, ["the only one"], unit_vectors(RANDOM, 1), collection="single")
    space = spaces.active()
    tasks.tend_corpora()
    with connection.cursor() as cursor:
        cursor.execute("SET enable_sort = off")  # over so few vectors the planner would not need the index
        yield space
        cursor.execute("RESET enable_sort")
    drop(vector_index.name(space))


def drop(index: str) -> None:
    with connections["owner"].cursor() as cursor:
        cursor.execute(f"DROP INDEX {index}")


def dense(scope: Scope, vector: NDArray[np.float32], *, exact: bool) -> list[Any]:
    legs = Legs(vectors_by_index=not exact, terms_by_index=not exact)
    _, rows = retrieval.run(scope, spaces.active(), HalfVector(vector), [], legs=legs)
    return [row["chunk_id"] for row in sorted(rows, key=lambda row: -row["cosine"])]


def plan(scope: Scope, *, exact: bool) -> str:
    """How Postgres runs the statement of a search."""
    lines: list[str] = []

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001  Django's signature
        told, _, statement = sql.rpartition(";")
        if statement.lstrip().startswith("WITH"):
            execute(f"{told}; EXPLAIN {statement}", params, many, context)
            for _ in range(told.count(";") + 1):
                context["cursor"].nextset()
            lines.extend(row[0] for row in context["cursor"].fetchall())
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        dense(scope, unit_vectors(RANDOM, 1)[0], exact=exact)
    return "\n".join(lines)


def test_a_large_corpus_is_searched_by_its_index_and_a_small_one_is_not(
    ours: Party, large: EmbeddingSpace
) -> None:
    scope = Scope(ours.tenant.pk)
    assert vector_index.name(large) in plan(scope, exact=False)
    assert vector_index.name(large) not in plan(scope, exact=True)


def test_words_of_a_large_corpus_can_be_found_by_their_index(ours: Party, large: EmbeddingSpace) -> None:
    """As the function runs that looks for them: with the eyes of the tables' owner."""
    (term,) = search.terms_of(ours.tenant.pk, "row3")
    with row_security.within(ours.tenant.pk), connections["owner"].cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")  # it is a small corpus, after all
        cursor.execute("EXPLAIN SELECT id FROM documents_chunk WHERE terms && %s::int[]", [[term.id]])
        assert "chunk_terms" in "\n".join(line for (line,) in cursor.fetchall())
        cursor.execute("RESET enable_seqscan")


def test_the_index_finds_what_an_exact_search_finds(ours: Party, large: EmbeddingSpace) -> None:
    scope, recalls = Scope(ours.tenant.pk), []
    for vector in unit_vectors(RANDOM, 20):
        best = set(dense(scope, vector, exact=True)[:10])
        recalls.append(len(best & set(dense(scope, vector, exact=False)[:10])) / 10)
    assert np.mean(recalls) >= 0.95


def test_filters_cost_no_results_in_a_large_corpus(ours: Party, theirs: Party, large: EmbeddingSpace) -> None:
    tenant = ours.tenant
    one = Document.objects.for_tenant(tenant).get(collection__name="single")
    scopes = [
        (Scope(tenant.pk), 50),
        (Scope(tenant.pk, collection_ids(tenant, "half")), 50),
        (Scope(tenant.pk, collection_ids(tenant, "rare")), 50),
        (Scope(tenant.pk, collection_ids(tenant, "rare", "single")), 50),
        (Scope(tenant.pk, collection_ids(tenant, "single")), 1),
        (Scope(tenant.pk, None, (one.pk,)), 1),
        (Scope(tenant.pk, collection_ids(tenant, "rare"), (one.pk,)), 0),
        (Scope(tenant.pk, collection_ids(theirs.tenant, "default")), 0),
        (Scope(tenant.pk, ()), 0),
    ]
    for scope, expected in scopes:
        hits = search.hybrid(scope, "the tea of row7", top_k=50).hits
        assert len(hits) == expected, scope
        assert not any(hit.text.startswith("their") for hit in hits)
    for metadata, expected in (({"part": 3}, 50), ({"even": True}, 50), ({"part": 99}, 0)):
        assert len(found(Scope(tenant.pk, metadata=metadata), "tea", top_k=50)) == expected


def test_an_index_that_gives_up_early_is_followed_by_an_exact_search(
    ours: Party, large: EmbeddingSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[bool] = []
    real = retrieval.run

    def few(*args: Any, legs: Legs) -> Any:
        ran.append(legs.vectors_by_index)
        near, rows = real(*args, legs=legs)
        return (99, rows[:99]) if legs.vectors_by_index else (near, rows)

    monkeypatch.setattr(retrieval, "run", few)
    assert len(found(Scope(ours.tenant.pk), "tea", top_k=50)) == 50
    assert ran == [True, False]


def test_the_rarest_terms_are_looked_at_within_the_budget(
    ours: Party, large: EmbeddingSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = search.terms_of(ours.tenant.pk, "tea word3 row7 unheard")
    assert [term.word for term in terms] == ["row7", "word3", "tea"]
    assert [term.chunks for term in terms] == sorted(term.chunks for term in terms)
    assert [term.word for term in retrieval.rarest(terms)] == ["row7", "word3", "tea"]
    monkeypatch.setattr(retrieval, "ROW_BUDGET", terms[0].chunks + terms[1].chunks)
    assert [term.word for term in retrieval.rarest(terms)] == ["row7", "word3"]
    monkeypatch.setattr(retrieval, "ROW_BUDGET", 0)
    assert [term.word for term in retrieval.rarest(terms)] == ["row7"]


def test_each_leg_goes_by_its_index_where_that_is_quicker(
    ours: Party, large: EmbeddingSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    legs_of: list[Legs] = []
    real = retrieval.run

    def noted(*args: Any, legs: Legs) -> Any:
        legs_of.append(legs)
        return real(*args, legs=legs)

    monkeypatch.setattr(retrieval, "run", noted)
    monkeypatch.setattr(retrieval, "LEXICAL_SCAN", 600)
    tenant = ours.tenant
    whole, half = Scope(tenant.pk), Scope(tenant.pk, collection_ids(tenant, "half"))
    rare = Scope(tenant.pk, collection_ids(tenant, "rare"))
    for scope in (whole, half, rare):
        found(scope, "tea", top_k=10)
    exact, indexed = (Legs(vectors_by_index=by, terms_by_index=by) for by in (False, True))
    assert legs_of == [indexed, exact, exact]  # of 1,201, 600 and 100 chunks
