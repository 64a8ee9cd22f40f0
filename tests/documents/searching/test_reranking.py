"""A reranker over HTTP: its order, what it costs, and the fused order wherever it fails."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import Settings

from accounts.models import Tenant
from apikeys import tabs
from apikeys.callers import Caller
from apikeys.purses import CallersPurse
from documents.searching import reranking, search
from documents.searching.hits import Hit
from documents.searching.reranking import Reranked
from documents.searching.search import Found, Scope
from ragsite.lib.errors import ModelFailed
from ragsite.lib.identifiers import uuid7
from ragsite.lib.inference import circuits, reranker
from tests.makers import Party, ingest
from tests.model_server import Behaviour, ModelServer

TEXTS = (
    "Tea, tea and tea again: tea for everybody.",
    "Tea at four o'clock, in the garden behind the mill.",
    "Tea.",
)
FUSED, BY_LENGTH = [2, 0, 1], [1, 0, 2]  # as the legs rank them, and as the reranker does

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["jina", "cohere", "tei"])
def server(request: pytest.FixtureRequest, settings: Settings) -> Iterator[ModelServer]:
    circuits.forget()  # a port comes back in a later test
    with ModelServer() as server:
        settings.RERANK_PROVIDER = request.param
        settings.RERANK_URL = f"{server.url}/rerank"
        settings.RERANK_API_KEY = "rk-secret"
        settings.RERANK_MODEL = "rerank-1"
        settings.RERANK_TIMEOUT_MS = 30_000  # for a machine that is busy
        yield server


only_jina = pytest.mark.parametrize("server", ["jina"], indirect=True)


@pytest.fixture
def teas(ours: Party) -> Tenant:
    for text in TEXTS:
        ingest(ours.tenant, text)
    return ours.tenant


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Reranked]:
    """What became of each reranking."""
    became: list[Reranked] = []
    real = reranking.reranked

    def noted(*args: Any, **options: Any) -> tuple[list[Hit], Reranked]:
        hits, one = real(*args, **options)
        became.append(one)
        return hits, one

    monkeypatch.setattr(reranking, "reranked", noted)
    return became


def order(found: Found) -> list[int]:
    return [TEXTS.index(hit.text) for hit in found.hits]


def ask(tenant: Tenant, top_k: int = 5) -> Found:
    return search.hybrid(Scope(tenant.pk), "tea", top_k=top_k)


def test_the_reranker_has_the_last_word(
    teas: Tenant, server: ModelServer, settings: Settings, told: list[Reranked]
) -> None:
    found = ask(teas)
    assert order(found) == BY_LENGTH
    assert found.timings_ms["rerank"] > 0
    assert [one.failure for one in told] == [""]
    assert order(ask(teas, top_k=1)) == BY_LENGTH[:1]  # it is shown more than are wanted
    (asked, _) = server.requests
    assert asked.headers["authorization"] == "Bearer rk-secret"
    if settings.RERANK_PROVIDER == "tei":
        assert set(asked.body) == {"query", "texts", "truncate"}
    else:
        assert asked.body["model"] == "rerank-1"
        assert asked.body["top_n"] == len(asked.body["documents"]) == 3
    assert all(0 <= hit.score <= 1 and hit.rerank for hit in found.hits)


@only_jina
@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (Behaviour(status=500), "model_failed"),
        (Behaviour(status=429), "unavailable"),
        (Behaviour(status=401), "model_refused"),
        (Behaviour(fault="invalid_json"), "model_failed"),
        (Behaviour(fault="huge"), "model_failed"),
        (Behaviour(fault="reset"), "unavailable"),
        (Behaviour(delay=3), "model_timeout"),
        (Behaviour(drip=0.2), "model_timeout"),
        (Behaviour(fault="hang"), "model_timeout"),
        (Behaviour(status=302, headers={"Location": "http://127.0.0.1:1/"}), "model_refused"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_where_it_fails_the_fused_order_stands_and_it_is_said(
    teas: Tenant,
    server: ModelServer,
    settings: Settings,
    told: list[Reranked],
    *,
    behaviour: Behaviour,
    code: str,
) -> None:
    server.reset(behaviour)
    patience, settings.RERANK_TIMEOUT_MS = (
        settings.RERANK_TIMEOUT_MS,
        500 if code == "model_timeout" else 30_000,
    )
    found = ask(teas)
    settings.RERANK_TIMEOUT_MS = patience
    assert order(found) == FUSED
    assert [one.failure for one in told] == [code]
    assert "rerank" not in found.timings_ms
    assert found.timings_ms["rerank_failed"] > 0
    server.reset()
    assert order(ask(teas)) == BY_LENGTH  # the next one has it again


@only_jina
def test_a_reranker_that_is_not_there_is_left_alone_after_a_while(teas: Tenant, server: ModelServer) -> None:
    server.reset(Behaviour(status=503))
    assert [order(ask(teas)) for _ in range(5)] == [FUSED] * 5
    assert server.calls == 3


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"{}", b"null", b"7", b'"x"', b'{"results": []}', b'{"results": 3}', b'[{"index": 0}]', b"[[0, 1]]",
        b'[{"index": 3, "score": 1}]', b'[{"index": -1, "score": 1}]', b'[{"index": "0", "score": 1}]',
        b'[{"index": 0, "score": "much"}]', b'[{"index": 0, "score": NaN}]', b'[{"index": 0, "score": 1e999}]',
        b'[{"index": [], "score": 1}]', b"[" * 100_000,
    ],
)  # fmt: skip
def test_nonsense_is_no_order(content: bytes) -> None:
    with pytest.raises(ModelFailed):
        reranker.read(content, count=3)


def test_texts_that_it_leaves_out_come_last() -> None:
    told: dict[str, Any] = {
        "results": [{"index": 2, "relevance_score": -3}],
        "usage": {"total_tokens": True},
        "meta": [],
    }
    scores = reranker.read(json.dumps(told).encode(), count=3)
    assert scores == reranker.Scores([None, None, -3.0], 0, 0)


@only_jina
def test_what_it_takes_is_recorded(
    ours: Party, teas: Tenant, server: ModelServer, settings: Settings
) -> None:
    settings.MODEL_PRICES = {"rerank-1": (10.0, 0.0)}
    settings.RERANK_SEARCH_PRICE = 2.0
    request = uuid7()
    purse = CallersPurse(Caller(tenant_id=teas.pk), request)
    search.hybrid(Scope(teas.pk), "tea", top_k=5, purse=purse)
    tokens = tabs.of(request).spent().prompt_tokens
    assert tokens > len(TEXTS)
    cost = Decimal(tokens * 10) / 1_000_000 + Decimal("0.002")
    assert tabs.of(request).spent().cost_usd == cost
    answer = ours.client.post("/api/query", {"question": "tea"}, format="json").json()
    assert answer["usage"] == {"prompt_tokens": tokens, "completion_tokens": 0, "cost_usd": float(cost)}
    assert "rerank" in answer["timings_ms"]
    assert ours.client.post("/api/search", {"question": "tea"}, format="json").status_code == 200


@only_jina
def test_a_spent_budget_pays_no_reranker(
    ours: Party, teas: Tenant, server: ModelServer, settings: Settings
) -> None:
    settings.RERANK_SEARCH_PRICE = 2_000.0
    ours.tenant.monthly_budget_usd = Decimal(1)
    ours.tenant.save()
    assert ours.client.post("/api/search", {"question": "tea"}, format="json").status_code == 402
    assert server.calls == 0


@only_jina
def test_the_key_is_nowhere_but_in_the_request(
    teas: Tenant, server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.reset(Behaviour(status=500, error="rk-secret is wrong"))
    ask(teas)
    assert "the reranker gave no order" in caplog.text
    assert "rk-secret" not in caplog.text
