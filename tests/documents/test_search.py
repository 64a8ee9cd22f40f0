from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from django.db import IntegrityError, connection, connections
from numpy.typing import NDArray
from pgvector import HalfVector
from pytest_django import Settings

from accounts.models import Tenant
from documents import ingest as ingesting
from documents import search, spaces, tasks, vector_index
from documents.models import Chunk, Collection, CorpusStatistics, Document, EmbeddingSpace
from documents.search import Scope
from ragsite.lib import row_security
from tests.documents.corpora import make_loaded, unit_vectors
from tests.makers import Party, ingest

SMALL_CORPUS = {
    "The warranty of the kettle lasts three years.": "guides",
    "Order KX-2291 was shipped from Rotterdam.": "orders",
    "Tea is served at four in the garden.": "guides",
}


@pytest.fixture
def small(tenant: Tenant) -> dict[str, Document]:
    return {text: ingest(tenant, text, collection=name) for text, name in SMALL_CORPUS.items()}


def found(scope: Scope, question: str = "kettle warranty", top_k: int = 10) -> list[str]:
    return [hit.text for hit in search.hybrid(scope, question, top_k=top_k).hits]


def collection_ids(tenant: Tenant, *names: str) -> tuple[Any, ...]:
    return tuple(Collection.objects.for_tenant(tenant).filter(name__in=names).values_list("pk", flat=True))


pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


def test_words_and_meaning_both_find(tenant: Tenant, small: dict[str, Document]) -> None:
    scope = Scope(tenant.pk)
    assert found(scope, "KX2291")[0].startswith("Order KX-2291")
    assert found(scope, "How long is the boiler's guarantee?")[0].startswith("The warranty")
    assert len(found(scope, "zzz")) == 3
    assert len(found(scope, "zzz", top_k=2)) == 2


def test_a_scope_holds(tenant: Tenant, small: dict[str, Document]) -> None:
    guides = collection_ids(tenant, "guides")
    order = small["Order KX-2291 was shipped from Rotterdam."]
    assert len(found(Scope(tenant.pk, guides), "KX-2291 order")) == 2
    assert found(Scope(tenant.pk, None, (order.pk,))) == [
        text for text in SMALL_CORPUS if text.startswith("Order")
    ]
    assert found(Scope(tenant.pk, guides, (order.pk,))) == []
    assert found(Scope(tenant.pk, ())) == []
    assert found(Scope(tenant.pk, None, ())) == []
    assert found(Scope(tenant.pk, metadata={"no": "such"})) == []


def test_metadata_filters_by_containment(tenant: Tenant) -> None:
    ingest(tenant, "Tea in March.", metadata={"year": 2024, "tags": ["a", "b"]})
    ingest(tenant, "Tea in April.", metadata={"year": 2025, "tags": ["b"]})
    assert found(Scope(tenant.pk, metadata={"year": 2024}), "tea") == ["Tea in March."]
    assert found(Scope(tenant.pk, metadata={"tags": ["a"]}), "tea") == ["Tea in March."]
    assert len(found(Scope(tenant.pk, metadata={"tags": ["b"]}), "tea")) == 2
    assert found(Scope(tenant.pk, metadata={"year": "2024"}), "tea") == []


def test_tenants_never_mix(ours: Party, theirs: Party) -> None:
    ingest(ours.tenant, "The kettle is ours.")
    document = ingest(theirs.tenant, "The kettle is theirs, and has a warranty.", collection="secret")
    foreign = collection_ids(theirs.tenant, "secret")
    assert found(Scope(ours.tenant.pk)) == ["The kettle is ours."]
    assert found(Scope(ours.tenant.pk, foreign)) == []
    assert found(Scope(ours.tenant.pk, None, (document.pk,))) == []
    assert not search.hybrid(Scope(ours.tenant.pk), "warranty", top_k=5).idf  # nothing is told of their words


def test_a_tenant_without_documents_finds_nothing(tenant: Tenant) -> None:
    assert search.hybrid(Scope(tenant.pk), "tea", top_k=5).hits == []


def test_hits_tell_where_they_stand_and_are_best_first(tenant: Tenant, small: dict[str, Document]) -> None:
    hits = search.hybrid(Scope(tenant.pk), "kettle warranty", top_k=3).hits
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    best = hits[0]
    assert (best.document_id, best.collection) == (small[best.text].pk, "guides")
    assert small[best.text].decoded.text[best.start : best.end] == best.text
    assert best.cosine > 0.3
    assert best.bm25 > hits[1].bm25 == 0


# A large corpus ----------------------------------------------------------------------------------------------

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
    _, rows = search._run(scope, spaces.active(), HalfVector(vector), [], exact=exact)
    return [row["chunk_id"] for row in sorted(rows, key=lambda row: -row["cosine"])]


def plan(scope: Scope, *, exact: bool) -> str:
    """How Postgres runs the statement of a search."""
    lines: list[str] = []

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001  Django's signature
        told, _, statement = sql.partition(";")
        if statement.lstrip().startswith("WITH"):
            execute(f"{told}; EXPLAIN {statement}", params, many, context)
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
    (term,) = search._terms(ours.tenant.pk, "row3")
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
    monkeypatch.setattr(search, "EF_SEARCH", 1)
    ran: list[bool] = []
    real = search._run

    def few(*args: Any, exact: bool) -> Any:
        ran.append(exact)
        near, rows = real(*args, exact=exact)
        return (near, rows) if exact else (99, rows[:99])

    monkeypatch.setattr(search, "_run", few)
    assert len(found(Scope(ours.tenant.pk), "tea", top_k=50)) == 50
    assert ran == [False, True]


def test_the_rarest_terms_are_looked_at_within_the_budget(ours: Party, large: EmbeddingSpace) -> None:
    terms = search._terms(ours.tenant.pk, "tea word3 row7 unheard")
    assert [term.word for term in terms] == ["row7", "word3", "tea"]
    assert [term.chunks for term in terms] == sorted(term.chunks for term in terms)
    search_budget = search.ROW_BUDGET
    assert [term.word for term in search._rarest(terms)] == ["row7", "word3", "tea"]
    try:
        search.ROW_BUDGET = terms[0].chunks + terms[1].chunks
        assert [term.word for term in search._rarest(terms)] == ["row7", "word3"]
        search.ROW_BUDGET = 0
        assert [term.word for term in search._rarest(terms)] == ["row7"]
    finally:
        search.ROW_BUDGET = search_budget


# The index ---------------------------------------------------------------------------------------------------


def definition(space: EmbeddingSpace) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexrelid, indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)",
            [vector_index.name(space)],
        )
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row


def test_a_space_gets_its_index_once_when_it_is_large(
    tenant: Tenant, settings: Settings, request: pytest.FixtureRequest
) -> None:
    settings.EXACT_SEARCH_MAX_CHUNKS = 5
    space = spaces.active()
    make_loaded(tenant, ["a"] * 5, unit_vectors(RANDOM, 5))
    assert not vector_index.tend(space)
    assert definition(space) is None
    make_loaded(tenant, ["b"], unit_vectors(RANDOM, 1))
    assert vector_index.tend(space)
    made = definition(space)
    assert not vector_index.tend(space)
    assert definition(space) == made
    with connections["owner"].cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone()[0] == "30s"  # the pool hands the connection on
        cursor.execute(f"DROP INDEX {vector_index.name(space)}")
        # As an interrupted build does, it leaves an index that is not valid.
        with row_security.nobody(), pytest.raises(IntegrityError):
            cursor.execute(
                f"CREATE UNIQUE INDEX CONCURRENTLY {vector_index.name(space)} ON documents_chunkvector (tenant_id)"
            )
    assert (broken := definition(space)) is not None
    assert not broken[1]
    assert vector_index.tend(space)
    assert (mended := definition(space)) is not None
    assert mended[1]
    drop(vector_index.name(space))


def test_reprocessed_documents_stay_searchable_until_they_are_replaced(tenant: Tenant) -> None:
    from documents import states

    document = ingest(tenant, "The kettle is blue.")
    states.queue_again(document)
    assert found(Scope(tenant.pk)) == ["The kettle is blue."]
    ingesting.process_now(document.pk)
    assert found(Scope(tenant.pk)) == ["The kettle is blue."]
    assert Chunk.objects.for_tenant(tenant).count() == 1
    assert CorpusStatistics.objects.get(tenant=tenant).chunks == 1
