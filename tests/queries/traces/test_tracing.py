"""What is kept of how an answer came about, and asking it again."""

from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from accounts.models import Tenant
from apikeys import keys, tabs
from apikeys.models import Usage
from documents import indexing
from documents.models import Document
from queries import recording
from queries.generating import recipe
from queries.models import Query
from queries.traces import tracing
from tests.makers import Party, ingest, make_key, with_key
from tests.model_server import Behaviour, ModelServer
from tests.problems import problem

pytestmark = pytest.mark.django_db
QUESTION = "How long does the warranty of the kettle last?"


def asked(party: Party, **body: Any) -> str:
    answer = party.client.post("/api/query", {"question": QUESTION, **body}, format="json")
    assert answer.status_code == 200, answer.content
    return str(answer.json()["id"])


def trace_of(party: Party, query_id: str) -> dict[str, Any]:
    answer = party.business_client.get(f"/api/history/{query_id}/trace")
    assert answer.status_code == 200, answer.content
    body: dict[str, Any] = answer.json()
    return body


def replay(party: Party, query_id: str) -> dict[str, Any]:
    answer = party.business_client.post(f"/api/history/{query_id}/replay")
    assert answer.status_code == 200, answer.content
    body: dict[str, Any] = answer.json()
    return body


def drain() -> None:
    redis = recording.client()
    recording.prepare(redis)
    recording.drain(redis, block_ms=None)
    redis.close()


def test_ranks_scores_and_settings_are_kept(ours: Party, kettle: Document) -> None:
    for subject in ("teapot", "garden", "mill", "river", "clock"):
        ingest(ours.tenant, f"The {subject} was warranted last year.", filename=f"{subject}.md")
    trace = trace_of(ours, asked(ours, top_k=2))
    assert trace["asked"] == {"top_k": 2}
    assert trace["collections"] is None
    assert trace["settings"]["top_k"] == 2
    assert trace["settings"]["generator"] == "extractive"
    assert trace["settings"]["space"]["name"].startswith("local:")
    assert 0 < trace["settings"]["lexical_weight"] < 1
    assert {"kettl", "warranti"} <= {term["word"] for term in trace["terms"]}
    candidates = trace["candidates"]
    assert [entry["fused"]["rank"] for entry in candidates] == list(range(1, trace["considered"] + 1))
    for leg in ("dense", "bm25"):
        ranked = sorted((e[leg]["rank"], -e[leg]["score"]) for e in candidates if e[leg]["rank"])
        assert [rank for rank, _ in ranked] == list(range(1, len(ranked) + 1))
        assert [score for _, score in ranked] == sorted(score for _, score in ranked)
    assert [entry["n"] for entry in candidates] == [1, 2, *[None] * (len(candidates) - 2)]
    assert "three years" in candidates[0]["text"]
    assert candidates[0]["title"] == kettle.title
    assert set(trace["timings_ms"]) == {"embed", "search", "generate"}
    assert trace["prompt"] is None


def test_a_model_s_prompt_and_attempt_are_kept_and_the_tenant_s_words_are_not(
    ours: Party, kettle: Document, model: ModelServer
) -> None:
    Tenant.objects.filter(pk=ours.tenant.pk).update(prompt="Answer in rhymes.")
    trace = trace_of(ours, asked(ours))
    assert trace["settings"]["models"] == ["scripted-1"]
    assert trace["settings"]["tenant_prompt"] == recipe.fingerprint("Answer in rhymes.")
    assert "rhymes" not in str(trace)
    assert [source["n"] for source in trace["prompt"]["sources"]] == [
        entry["n"] for entry in sorted(trace["candidates"], key=lambda e: e["n"] or 99) if entry["n"]
    ]
    assert all(source["tokens"] > 0 for source in trace["prompt"]["sources"])
    assert trace["attempts"]


def test_an_answer_from_the_cache_has_the_trace_of_the_one_it_was_made_for(
    ours: Party, kettle: Document
) -> None:
    first = asked(ours)
    hit = asked(ours)
    drain()
    row = Query.objects.for_tenant(ours.tenant).get(pk=hit)
    assert row.from_cache
    assert row.trace == {"of": first}
    assert trace_of(ours, hit)["answer_of"] == first
    assert trace_of(ours, hit)["candidates"] == trace_of(ours, first)["candidates"]
    Query.objects.for_tenant(ours.tenant).filter(pk=first).delete()
    problem(ours.business_client.get(f"/api/history/{hit}/trace"), 404)


def test_a_failed_answer_has_a_trace(ours: Party, kettle: Document, model: ModelServer) -> None:
    model.default = Behaviour(status=400)
    answer = ours.client.post("/api/query", {"question": QUESTION}, format="json")
    assert answer.status_code == 502
    row = Query.objects.for_tenant(ours.tenant).get()
    trace = trace_of(ours, str(row.pk))
    assert trace["error_code"]
    assert trace["candidates"]


@pytest.mark.django_db(transaction=True)
def test_a_stream_that_was_left_has_a_trace(ours: Party) -> None:
    ingest(ours.tenant, "The warranty of the kettle lasts three years.")
    body = {"question": QUESTION, "stream": True}
    answer: Any = ours.client.post("/api/query", body, format="json")
    next(iter(answer.streaming_content))
    answer.close()
    row = Query.objects.for_tenant(ours.tenant).get()
    assert row.error_code == "client_left"
    assert trace_of(ours, str(row.pk))["candidates"]
    assert row.pk not in tabs._open


def test_a_row_of_before_has_none(ours: Party, kettle: Document) -> None:
    query_id = asked(ours)
    Query.objects.for_tenant(ours.tenant).update(trace=None)
    problem(ours.business_client.get(f"/api/history/{query_id}/trace"), 404)
    problem(ours.business_client.post(f"/api/history/{query_id}/replay"), 404)


def test_what_is_kept_is_bounded(ours: Party) -> None:
    """With as many sources and documents as can be asked for, on a corpus where both legs find all they may."""
    text = "\n\n".join(
        f"# Kettle {n}\n\nThe kettle number {n} is warranted. " + f"w{n} " * 120 for n in range(150)
    )
    ingest(ours.tenant, text, filename="kettles.md")
    sizes = {}
    for name, body in {"plain": {}, "most": {"top_k": 50}}.items():
        query_id = asked(ours, **body)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_column_size(trace) FROM queries_query WHERE id = %s", [query_id])
            sizes[name] = cursor.fetchone()[0]
        kept = trace_of(ours, query_id)["candidates"]
        assert len(kept) <= (body.get("top_k") or 5) + tracing.MOST_FUSED + 2 * tracing.MOST_OF_A_LEG
    assert sizes["plain"] < 4_000
    assert sizes["most"] < 10_000


# Asked again -------------------------------------------------------------------------------------------------


def test_a_replay_shows_what_is_different(ours: Party, kettle: Document) -> None:
    query_id = asked(ours, top_k=1)
    same = replay(ours, query_id)
    assert [source["change"] for source in same["sources"]] == ["same"]
    assert {piece["change"] for piece in same["answer"]["pieces"]} == {"same"}
    assert same["settings"] == []
    better = ingest(
        ours.tenant, f"{QUESTION} The warranty of the kettle lasts nine years now.", filename="new.md"
    )
    changed = replay(ours, query_id)
    assert [(source["change"], source["document_id"]) for source in changed["sources"]] == [
        ("gained", str(better.pk)),
        ("lost", str(kettle.pk)),
    ]
    assert "nine" in changed["answer"]["now"]
    assert {"removed", "added"} <= {piece["change"] for piece in changed["answer"]["pieces"]}
    assert "corpus_version" in {setting["name"] for setting in changed["settings"]}


def test_a_replay_is_recorded_and_charged(ours: Party, kettle: Document, model: ModelServer) -> None:
    query_id = asked(ours)
    replayed = replay(ours, query_id)
    drain()
    row = Query.objects.for_tenant(ours.tenant).get(pk=replayed["id"])
    assert row.trace is not None
    assert (row.trace["replay_of"], row.user_id, row.key_id) == (query_id, ours.business.pk, None)
    assert trace_of(ours, replayed["id"])["replay_of"] == query_id
    record = Usage.objects.for_tenant(ours.tenant).get(pk=replayed["id"])
    assert record.cost_usd == row.cost_usd > 0
    assert replayed["usage"]["cost_usd"] == pytest.approx(float(row.cost_usd))
    Tenant.objects.filter(pk=ours.tenant.pk).update(monthly_budget_usd=0)
    problem(ours.business_client.post(f"/api/history/{query_id}/replay"), 402)


def test_a_replay_reads_no_more_than_its_caller_could(ours: Party) -> None:
    open_one = ingest(ours.tenant, "The warranty of the kettle lasts three years.", collection="open")
    ingest(ours.tenant, "The warranty of the kettle lasts nine years, says the safe.", collection="safe")
    key, raw = make_key(ours.tenant, collection_ids=[open_one.collection_id])
    answer = with_key(raw).post("/api/query", {"question": QUESTION}, format="json").json()
    assert documents_now(replay(ours, answer["id"])) == {str(open_one.pk)}
    keys.revoke(key)
    assert documents_now(replay(ours, answer["id"])) == {str(open_one.pk)}
    other = ingest(ours.tenant, "Another kettle's warranty.", collection="other")
    key.keycollection_set.update(collection=other.collection_id)
    assert documents_now(replay(ours, answer["id"])) == set()


def documents_now(replayed: dict[str, Any]) -> set[str]:
    return {source["document_id"] for source in replayed["sources"] if source["now"]}


def test_documents_that_are_gone(ours: Party, kettle: Document) -> None:
    query_id = asked(ours, document_ids=[str(kettle.pk)], use_cache=False)
    indexing.remove(kettle)
    trace = trace_of(ours, query_id)
    assert {entry["title"] for entry in trace["candidates"]} == {None}
    assert {entry["text"] for entry in trace["candidates"]} == {None}
    replayed = replay(ours, query_id)
    assert {source["change"] for source in replayed["sources"]} == {"lost"}
    assert UUID(replayed["id"])
