"""From one embedding model to another while the site serves."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import numpy as np
import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.models.functions import Now
from pytest_django import Settings

from accounts.models import Tenant
from documents import chunking, indexing, reweighing, tasks
from documents import ingest as ingesting
from documents.embedding import reembedding, retiring, space_changes, spaces, vector_index
from documents.embedding.spaces import State
from documents.models import Chunk, ChunkVector, EmbeddingSpace
from documents.searching import search
from documents.searching.search import Scope
from ragsite.lib import row_security
from ragsite.lib.errors import Conflict, Invalid
from ragsite.lib.inference import circuits, embeddings, vendor
from tests.documents.corpora import assert_counts_are_exact, make_loaded
from tests.makers import Party, ingest
from tests.model_server import Behaviour, ModelServer
from tests.turned import TURNED, turned

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

TEXTS = [
    "The warranty of the kettle lasts three years.",
    "Order KX-2291 was shipped from Rotterdam.",
    "Tea is served at four in the garden.",
    "Visitors park their cars behind the old mill.",
    "Snow fell on the river all night.",
]


@pytest.fixture
def vendor_server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    monkeypatch.setattr(vendor, "BACKOFF", lambda _: 0.01)
    settings.EMBEDDING_PATIENCE_SECONDS = 0
    circuits.forget()  # a port comes back in a later test, and an open breaker would with it
    with ModelServer(embedder=turned(django_settings.DATA_DIR / "models")) as server:
        host = server.url.split("/")[2]
        settings.EMBEDDING_API_KEYS = {host: "sk-test"}
        yield server


@pytest.fixture
def corpus(ours: Party, theirs: Party) -> None:
    """As if it had been uploaded: with the vectors of the model that serves."""
    model = spaces.model(spaces.active())
    for party in (ours, theirs):
        for text in (f"{text} It is {party.tenant.name}." for text in TEXTS):
            context = chunking.in_context(text, title="note", heading="")
            make_loaded(party.tenant, [text], embeddings.embed(model, [context]))
        reweighing.settle(party.tenant.pk)


def begin(server: ModelServer, *, switches: bool = True, **more: Any) -> EmbeddingSpace:
    return space_changes.begin(
        space_changes.target("openai:turned", base_url=server.url, **more), switches=switches
    )


def build(*, steps: int = 50) -> None:
    """As the workers do, until there is no more to do at once."""
    turn = None
    for _ in range(steps):
        if not (turn := reembedding.step(turn)):
            return
    raise AssertionError("it never ends")


def vectors_in(space: EmbeddingSpace) -> int:
    return ChunkVector.objects.across_tenants().filter(space=space).count()


def chunks() -> int:
    return Chunk.objects.across_tenants().count()


def found(tenant: Tenant, question: str = "How long is the boiler's guarantee?") -> list[tuple[str, float]]:
    hits = search.hybrid(Scope(tenant.pk), question, top_k=5).hits
    return [(hit.text, round(hit.cosine, 2)) for hit in hits]


def test_the_new_space_is_built_beside_the_old_one_and_then_serves(
    ours: Party, theirs: Party, corpus: None, vendor_server: ModelServer
) -> None:
    before, versions = found(ours.tenant), set(Tenant.objects.values_list("slug", "corpus_version"))
    old, new = spaces.active(), begin(vendor_server)
    assert (new.dimensions, new.state, new.total) == (TURNED, State.BUILDING, chunks())
    assert found(ours.tenant) == before
    build()
    assert spaces.active() == new
    assert vectors_in(new) == vectors_in(old) == chunks()
    assert found(ours.tenant) == before  # the same angles, in another space
    assert all(len(row.vector) == TURNED for row in ChunkVector.objects.filter(space=new))
    after = dict(Tenant.objects.values_list("slug", "corpus_version"))
    assert all(after[slug] == version + 1 for slug, version in versions)
    old.refresh_from_db()
    assert old.state == State.RETIRED


def test_a_space_can_be_held_complete_until_it_is_to_serve(corpus: None, vendor_server: ModelServer) -> None:
    old, new = spaces.active(), begin(vendor_server, switches=False)
    build()
    new.refresh_from_db()
    assert (new.state, new.is_complete, new.percent) == (State.BUILDING, True, 100)
    assert spaces.active() == old
    space_changes.switch(new)
    build()
    assert spaces.active() == new


def test_a_killed_step_costs_a_batch_and_the_next_goes_on(
    corpus: None, vendor_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reembedding, "MOST_CHUNKS", 2)
    new = begin(vendor_server)
    vendor_server.reset()
    real = reembedding._store

    def killed(*args: Any, **kwargs: Any) -> int:
        if vectors_in(new) >= 4:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(reembedding, "_store", killed)
    with pytest.raises(KeyboardInterrupt):
        build()
    monkeypatch.setattr(reembedding, "_store", real)
    assert vectors_in(new) == 4
    assert not reembedding.step()  # its lease runs still
    EmbeddingSpace.objects.filter(pk=new.pk).update(leased_until=Now())
    build()
    assert spaces.active() == new
    assert vectors_in(new) == chunks()
    texts = [text for request in vendor_server.requests for text in request.body["input"]]
    assert len(texts) - len(set(texts)) <= 2  # no more than a batch was made twice


def test_hints_that_come_besides_begin_no_second_row_of_steps(
    corpus: None, vendor_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reembedding, "STEP_SECONDS", 0)
    monkeypatch.setattr(reembedding, "MOST_CHUNKS", 2)
    new = begin(vendor_server)
    first = reembedding.step()
    assert first is not None
    assert reembedding.step() is None
    second = reembedding.step(first)
    assert second is not None
    assert reembedding.step(first) is None
    EmbeddingSpace.objects.filter(pk=new.pk).update(leased_until=Now())  # its worker was killed
    third = reembedding.step()
    assert third is not None
    assert reembedding.step(second) is None


def test_documents_that_come_in_meanwhile_are_in_both_spaces(
    ours: Party, corpus: None, vendor_server: ModelServer
) -> None:
    old, new = spaces.active(), begin(vendor_server)
    document = ingest(ours.tenant, "The lift is mended on Mondays.")
    for space in (old, new):
        assert ChunkVector.objects.filter(chunk__document=document, space=space).count() == 1
    build()
    assert found(ours.tenant, "When is the lift mended?")[0][0] == "The lift is mended on Mondays."


@pytest.mark.parametrize("switches", [False, True])
def test_a_space_that_begins_or_serves_between_embedding_and_storing_gets_its_vectors(
    ours: Party,
    corpus: None,
    vendor_server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    switches: bool,  # noqa: FBT001  a column of the table
) -> None:
    real = ingesting._stored
    changed: list[EmbeddingSpace] = []

    def changed_before(prepared: Any) -> bool:
        if not changed:
            changed.append(begin(vendor_server, switches=switches))
            build()
        return real(prepared)

    monkeypatch.setattr(ingesting, "_stored", changed_before)
    document = ingest(ours.tenant, "In between.")
    assert (spaces.active() == changed[0]) == switches
    kept = ChunkVector.objects.filter(chunk__document=document).values_list("space", flat=True)
    assert set(kept) == {space.pk for space in spaces.live()}
    assert changed[0].pk in kept


def test_what_came_in_behind_the_cursor_without_its_vector_is_found(
    corpus: None, vendor_server: ModelServer
) -> None:
    new = begin(vendor_server, switches=False)
    build()
    lost = Chunk.objects.across_tenants().order_by("tenant", "pk").first()
    ChunkVector.objects.filter(space=new, chunk=lost).delete()
    space_changes.switch(new)
    build()
    assert spaces.active() == new
    assert vectors_in(new) == chunks()


def test_a_failing_model_makes_the_building_pause_and_uploads_go_on(
    ours: Party, corpus: None, vendor_server: ModelServer
) -> None:
    new = begin(vendor_server)
    vendor_server.reset(Behaviour(status=503))
    assert not reembedding.step()
    new.refresh_from_db()
    assert (new.state, new.problem) == (State.BUILDING, "The model endpoint answered with HTTP 503.")
    assert ingest(ours.tenant, "Uploaded while the new model is down.").status == "ready"
    assert not reembedding.step()
    vendor_server.reset()
    circuits.forget()
    EmbeddingSpace.objects.filter(pk=new.pk).update(leased_until=Now())
    build()
    assert spaces.active() == new
    assert vectors_in(new) == chunks()
    new.refresh_from_db()
    assert new.problem == ""


def test_an_upload_that_meets_the_failing_model_first_is_ready_all_the_same(
    ours: Party, corpus: None, vendor_server: ModelServer
) -> None:
    new = begin(vendor_server)
    vendor_server.reset(Behaviour(status=500))
    assert ingest(ours.tenant, "Nobody knew that it is down.").status == "ready"
    new.refresh_from_db()
    assert new.problem
    assert not new.is_complete


def test_removed_chunks_leave_no_vector_behind(
    ours: Party, corpus: None, vendor_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(vendor_server)
    document = ingest(ours.tenant, "Soon to be gone.")
    ChunkVector.objects.filter(space__state=State.BUILDING).delete()
    real = embeddings.embed

    def removed_meanwhile(*args: Any, **options: Any) -> Any:
        made = real(*args, **options)
        indexing.remove(document)
        return made

    monkeypatch.setattr(embeddings, "embed", removed_meanwhile)
    build()
    assert vectors_in(spaces.active()) == chunks() == 2 * len(TEXTS)
    assert_counts_are_exact(ours.tenant)


# What is refused -----------------------------------------------------------------------------------------------


def test_a_model_with_other_dimensions_fails_at_once(vendor_server: ModelServer) -> None:
    vendor_server.embedder = lambda texts, _: np.ones((len(texts), 7), dtype=np.float32)
    with pytest.raises(CommandError, match=r"7 dimensions, not the 512.*Nothing was begun"):
        call_command("reembed", to="openai:turned", base_url=vendor_server.url, dimensions=512)
    assert spaces.building() is None


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("turned", {}),
        ("cohere:embed", {}),
        ("openai:", {}),
        ("local:bge-m3", {}),
        ("local:all-MiniLM-L6-v2", {"dimensions": 768}),
        ("local:all-MiniLM-L6-v2", {"precision": "fp16"}),
        ("local:all-MiniLM-L6-v2", {"base_url": "http://127.0.0.1"}),
        ("openai:bge-m3", {"precision": "int8"}),
        ("openai:bge-m3", {"dimensions": 16_001}),
        ("openai:bge-m3", {"base_url": "ftp://127.0.0.1"}),
        ("openai:bge-m3", {"base_url": "http://user:word@127.0.0.1"}),
    ],
)
def test_what_can_be_no_model_is_refused(name: str, more: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        space_changes.target(name, **more)


def test_one_space_is_built_at_a_time_and_the_same_one_goes_on(
    corpus: None, vendor_server: ModelServer
) -> None:
    new = begin(vendor_server)
    assert begin(vendor_server) == new
    with pytest.raises(Conflict):
        begin(vendor_server, dimensions=600)
    with pytest.raises(Conflict):
        space_changes.begin(space_changes.target("local:all-MiniLM-L6-v2"))  # it serves


def test_no_endpoint_gets_the_key_of_another(settings: Settings, vendor_server: ModelServer) -> None:
    settings.EMBEDDING_API_KEY, settings.EMBEDDING_API_KEYS = "sk-of-another", {}
    with pytest.raises(Invalid, match="There is no key for 127"):
        begin(vendor_server)
    assert vendor_server.calls == 0
    settings.EMBEDDING_BASE_URL = vendor_server.url
    assert begin(vendor_server).dimensions == TURNED


# The end of a space --------------------------------------------------------------------------------------------


def drop_all() -> None:
    while retiring.step():
        pass


def test_a_cancelled_space_is_dropped_and_the_old_one_serves_on(
    ours: Party, corpus: None, vendor_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retiring, "BATCH", 3)
    old, new = spaces.active(), begin(vendor_server, switches=False)
    build()
    space_changes.cancel(new)
    assert not reembedding.step()
    drop_all()
    new.refresh_from_db()
    assert (new.state, vectors_in(new), vectors_in(old)) == (State.DROPPED, 0, chunks())
    assert spaces.active() == old
    with pytest.raises(Conflict):
        space_changes.cancel(new)


def test_a_retired_space_is_kept_for_a_while_and_then_dropped(
    corpus: None, vendor_server: ModelServer, settings: Settings
) -> None:
    old, new = spaces.active(), begin(vendor_server)
    build()
    drop_all()
    assert vectors_in(old) == chunks()
    space_changes.drop(old)
    drop_all()
    assert vectors_in(old) == chunks()  # a search may be held to it still
    EmbeddingSpace.objects.filter(pk=old.pk).update(drops_at=Now())
    drop_all()
    old.refresh_from_db()
    assert (old.state, vectors_in(old), vectors_in(new)) == (State.DROPPED, 0, chunks())
    with pytest.raises(Conflict):
        space_changes.drop(new)


def test_the_way_back_makes_only_what_came_in_since(
    ours: Party, corpus: None, vendor_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = spaces.active()
    begin(vendor_server)
    build()
    ingest(ours.tenant, "Only in the new space.")
    made: list[int] = []
    real = embeddings.embed

    def counted(model: Any, texts: Any, **options: Any) -> Any:
        made.append(len(texts))
        return real(model, texts, **options)

    monkeypatch.setattr(embeddings, "embed", counted)
    again = space_changes.begin(space_changes.target("local:all-MiniLM-L6-v2"))
    build()
    assert spaces.active() == again == old
    assert vectors_in(old) == chunks()
    assert sum(made) <= 2  # the probe, and the one chunk


def test_a_large_space_has_its_index_before_it_serves_and_loses_it_with_its_vectors(
    corpus: None, vendor_server: ModelServer, settings: Settings
) -> None:
    settings.EXACT_SEARCH_MAX_CHUNKS = 5
    old, new = spaces.active(), begin(vendor_server)
    tasks.tend_corpora()
    assert vector_index.rows(old)
    assert not vector_index.rows(new)
    build()
    assert spaces.active() == new
    assert vector_index.rows(new)
    EmbeddingSpace.objects.filter(pk=old.pk).update(drops_at=Now())
    drop_all()
    assert not vector_index.rows(old)
    vector_index.drop(new)


# At the same time ----------------------------------------------------------------------------------------------


def test_loads_and_searches_during_the_change_see_one_space_and_lose_nothing(
    ours: Party, theirs: Party, corpus: None, vendor_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reembedding, "MOST_CHUNKS", 2)
    over, wrong = Event(), []

    def work(tenant: Tenant, number: int) -> None:
        try:
            turn = 0
            while not over.is_set():
                document = ingest(tenant, f"Note {number} of turn {turn}: the lift is mended.")
                if document.status != "ready":
                    wrong.append(document.error_detail)
                turn += 1
                hits = search.hybrid(Scope(tenant.pk), "the warranty of the kettle", top_k=1).hits
                if not hits or not hits[0].text.startswith("The warranty"):
                    wrong.append(str(hits))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4, initializer=row_security.enter_across) as pool:
        running = [
            pool.submit(work, party.tenant, number)
            for number, party in enumerate([ours, theirs, ours, theirs])
        ]
        try:
            for target in ("openai:turned", "local:all-MiniLM-L6-v2"):
                url = vendor_server.url if target.startswith("openai") else ""
                wanted = space_changes.begin(space_changes.target(target, base_url=url))
                turn = None
                while spaces.active() != wanted:
                    turn = reembedding.step(turn)
                assert not reembedding.is_missing(wanted)
        finally:
            over.set()
        for one in running:
            one.result()
    assert not wrong
    assert not reembedding.is_missing(spaces.active())
    for party in (ours, theirs):
        assert_counts_are_exact(party.tenant)
