"""A change to a model that is slow, refuses texts, or has more dimensions than an index takes; and who comes between."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from django.db import connection, connections
from django.db.models.functions import Now
from numpy.typing import NDArray
from pytest_django import Settings

from documents import indexing, reweighing
from documents.embedding import reembedding, space_changes, spaces, stored_chunks, vector_index
from documents.embedding.spaces import State
from documents.models import Chunk, ChunkVector, Document, EmbeddingSpace
from documents.searching import search
from documents.searching.search import Scope
from ragsite.lib import row_security
from ragsite.lib.inference import circuits, embeddings, vendor
from tests.documents.corpora import make_loaded, unit_vectors
from tests.makers import Party, ingest
from tests.model_answers import bags_of_words
from tests.model_server import Behaviour, ModelServer, Recorded

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

COUNT, SIZE = 12, 64
LONG = "The gearbox of the ferry has seven wheels. " + "It is oiled in spring and in autumn. " * 30


class Choosy(ModelServer):
    """An endpoint that refuses requests with a text that `refuses`, as real ones do: with 400 and no vector at all."""

    refuses: Callable[[str], bool] = staticmethod(lambda _: False)

    def record(self, request: Recorded) -> Behaviour:
        behaviour = super().record(request)
        refused = any(map(self.refuses, request.body["input"]))
        return replace(behaviour, status=400) if refused else behaviour

    @property
    def sizes(self) -> list[int]:
        """How many texts each request had that was no probe."""
        batches = [request.body["input"] for request in self.requests]
        return [len(batch) for batch in batches if batch != ["How many dimensions has this?"]]


@pytest.fixture
def server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Choosy]:
    monkeypatch.setattr(vendor, "BACKOFF", lambda _: 0.01)
    settings.EMBEDDING_PATIENCE_SECONDS = 0
    circuits.forget()  # a port comes back in a later test, and an open breaker would with it
    with Choosy(embedder=lambda texts, dimensions: bags_of_words(texts, dimensions or SIZE)) as server:
        host = server.url.split("/")[2]
        settings.EMBEDDING_API_KEYS = {host: "sk-test"}
        yield server


@pytest.fixture
def corpus(ours: Party) -> list[Document]:
    """As many documents of one chunk each; what serves has random vectors."""
    vectors = unit_vectors(np.random.default_rng(1), COUNT)
    texts = [f"Note {number} tells of lift number {number * 7}." for number in range(COUNT)]
    return [make_loaded(ours.tenant, [text], vectors[n : n + 1]) for n, text in enumerate(texts)]


def begin(server: ModelServer, **more: Any) -> EmbeddingSpace:
    new = space_changes.begin(space_changes.target("openai:choosy", base_url=server.url, **more))
    server.reset()
    return new


def build(new: EmbeddingSpace) -> EmbeddingSpace:
    """As the workers do, until there is no more to do at once."""
    turn = None
    for _ in range(200):
        if not (turn := reembedding.step(turn)):
            new.refresh_from_db()
            return new
    raise AssertionError("it never ends")


def vectors_in(space: EmbeddingSpace) -> int:
    return ChunkVector.objects.across_tenants().filter(space=space).count()


# Slow ----------------------------------------------------------------------------------------------------------


def test_an_endpoint_that_is_too_slow_for_a_batch_gets_smaller_ones(
    corpus: list[Document], server: Choosy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reembedding, "STEP_SECONDS", 0)
    real = spaces.model
    monkeypatch.setattr(spaces, "model", lambda space: replace(real(space), timeout_seconds=1.0))

    def slow(texts: Sequence[str], _: int | None) -> NDArray[np.float32]:
        time.sleep(0.15 * len(texts))
        return bags_of_words(texts, SIZE)

    server.embedder = slow
    new = begin(server)
    turn = reembedding.step()
    new.refresh_from_db()
    assert (new.batch, new.problem, new.done, server.sizes) == (COUNT // 2, "", 0, [COUNT])
    reembedding.step(turn)  # and were this one killed, the next would still know
    assert server.sizes == [COUNT, COUNT // 2]
    assert build(new).state == State.BUILDING  # whoever holds no turn waits for the lease
    EmbeddingSpace.objects.filter(pk=new.pk).update(leased_until=Now())
    assert build(new).state == State.ACTIVE
    assert vectors_in(new) == COUNT
    assert new.batch == COUNT // 2 + 1  # of two batches, the second had no more to give
    assert max(server.sizes[1:]) <= COUNT // 2 + 1


def test_batches_grow_back_by_an_eighth(corpus: list[Document], server: Choosy) -> None:
    new = begin(server)
    EmbeddingSpace.objects.filter(pk=new.pk).update(batch=2)
    build(new)
    assert server.sizes == [2, 3, 4, 3]


def test_an_endpoint_that_is_down_keeps_its_size_of_batch(corpus: list[Document], server: Choosy) -> None:
    new = begin(server)
    server.reset(Behaviour(status=500))
    new = build(new)
    assert new.problem == "The model endpoint answered with HTTP 500."
    assert new.batch == 64


def test_a_slow_answer_keeps_its_lease(
    corpus: list[Document], server: Choosy, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.INGEST_LEASE_SECONDS = 2
    new = begin(server)
    beside: list[int] = []

    def asked_meanwhile(*args: Any, **options: Any) -> embeddings.Vectors:
        if not beside:
            beside.append(0)
            time.sleep(2.5)
            beside[0] = EmbeddingSpace.objects.filter(pk=new.pk, leased_until__gt=Now()).count()
        return real(*args, **options)

    real = embeddings.embed
    monkeypatch.setattr(embeddings, "embed", asked_meanwhile)
    build(new)
    assert beside == [1]


# Refusing ------------------------------------------------------------------------------------------------------


def test_a_chunk_that_is_refused_is_embedded_by_its_beginning(
    ours: Party, corpus: list[Document], server: Choosy
) -> None:
    server.refuses = lambda text: len(text) > 400
    make_loaded(ours.tenant, [LONG], unit_vectors(np.random.default_rng(2), 1))
    new = build(begin(server))
    assert (new.state, new.problem) == (State.ACTIVE, "")
    assert vectors_in(new) == COUNT + 1
    reweighing.settle(ours.tenant.pk)
    first, *_ = search.hybrid(Scope(ours.tenant.pk), "the gearbox of the ferry", top_k=1).hits
    assert first.text == LONG


def test_a_chunk_that_is_refused_whole_and_in_part_is_named_and_may_be_removed(
    ours: Party, corpus: list[Document], server: Choosy
) -> None:
    server.refuses = lambda text: "gearbox" in text
    document = make_loaded(ours.tenant, ["gearbox " * 40], unit_vectors(np.random.default_rng(2), 1))
    new = build(begin(server))
    assert new.state == State.BUILDING
    assert "HTTP 400. This is chunk 0 of the document" in new.problem
    assert str(document.pk) in new.problem
    assert spaces.live() == [spaces.active()]  # uploads do not wait for it
    indexing.remove(document)
    EmbeddingSpace.objects.filter(pk=new.pk).update(leased_until=Now())
    assert build(new).state == State.ACTIVE
    assert vectors_in(new) == Chunk.objects.across_tenants().count() == COUNT


# Large ---------------------------------------------------------------------------------------------------------


def test_a_model_of_more_dimensions_than_an_index_takes_serves_by_exact_search(
    ours: Party, corpus: list[Document], server: Choosy, settings: Settings
) -> None:
    settings.EXACT_SEARCH_MAX_CHUNKS = 5
    old, new = spaces.active(), build(begin(server, dimensions=4_100))
    assert (new.state, new.dimensions, vector_index.rows(new)) == (State.ACTIVE, 4_100, 0)
    [hit] = search.hybrid(Scope(ours.tenant.pk), "Note 5 tells of lift number 35.", top_k=1).hits
    assert hit.text == "Note 5 tells of lift number 35."
    assert vectors_in(old) == COUNT
    back = build(space_changes.begin(space_changes.target("local:all-MiniLM-L6-v2")))
    assert (back, spaces.active()) == (old, old)
    assert vector_index.rows(old) == COUNT
    vector_index.drop(old)


# Who comes between ---------------------------------------------------------------------------------------------


def test_vectors_that_another_step_has_stored_meanwhile_stay(
    corpus: list[Document], server: Choosy, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = stored_chunks.embed

    def made_twice(space: EmbeddingSpace, batch: Sequence[stored_chunks.Stored]) -> embeddings.Vectors:
        vectors = real(space, batch)
        for tenant_id, chunks in groupby(batch, key=lambda chunk: chunk.tenant_id):
            assert reembedding._store(space, tenant_id, list(chunks), vectors)
        return vectors

    monkeypatch.setattr(stored_chunks, "embed", made_twice)
    new = build(begin(server))
    assert (new.state, vectors_in(new)) == (State.ACTIVE, COUNT)


def test_a_removal_waits_for_the_vectors_that_are_being_stored(
    ours: Party, corpus: list[Document], server: Choosy
) -> None:
    removed: list[Future[None]] = []

    def remove() -> None:
        try:
            indexing.remove(corpus[3])
        finally:
            connections.close_all()

    def removing(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001  Django's signature
        result = execute(sql, params, many, context)
        if "INSERT INTO documents_chunkvector" in sql and not removed:
            removed.append(pool.submit(remove))
            time.sleep(0.5)
            assert not removed[0].done()
        return result

    new = begin(server)
    with ThreadPoolExecutor(1, initializer=row_security.enter_across) as pool:
        with connection.execute_wrapper(removing):
            build(new)
        removed[0].result(30)
    assert vectors_in(new) == vectors_in(EmbeddingSpace.objects.get(state=State.RETIRED)) == COUNT - 1


def test_a_new_version_takes_over_the_vectors_of_each_space_that_has_them(
    ours: Party, corpus: list[Document], server: Choosy
) -> None:
    paragraphs = [
        f"Part {n}. " + f"The kettle number {n} is warm and the tea is hot. " * 17 for n in range(6)
    ]
    ingest(ours.tenant, "\n\n".join(paragraphs), filename="kettles.txt")
    new = begin(server)
    changed = [*paragraphs[:5], paragraphs[5].replace("tea", "coffee")]
    ingest(ours.tenant, "\n\n".join(changed), filename="kettles.txt", replace=True)
    assert server.sizes == [6]  # the building has not come to them yet
    build(new)
    assert server.sizes == [6, COUNT]
    ingest(ours.tenant, "\n\n".join(paragraphs), filename="kettles.txt", replace=True)
    assert server.sizes == [6, COUNT, 1]
    assert vectors_in(new) == COUNT + 6
