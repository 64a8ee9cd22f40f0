"""Chat completions as OpenAI's own client asks for them."""

import json
from typing import Any

import openai
import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from apikeys.models import Usage
from documents.models import Document
from queries.models import Query
from tests.makers import Party, ingest, make_key
from tests.model_server import Behaviour, ModelServer
from tests.protocols.conftest import client_of
from tests.queries.test_replies import records

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("kettle")]

QUESTION = "How long is the kettle's warranty?"
ASKED: Any = [{"role": "user", "content": QUESTION}]


def chat(client: openai.OpenAI, messages: Any = ASKED, **more: Any) -> Any:
    return client.chat.completions.create(**{"model": "ragsite", "messages": messages, **more})


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_an_answer_has_openais_shape_and_our_sources(client: openai.OpenAI, ours: Party) -> None:
    answer = chat(client)
    (choice,) = answer.choices
    assert (answer.object, answer.model, choice.finish_reason) == ("chat.completion", "ragsite", "stop")
    assert choice.message.role == "assistant"
    assert "three years" in choice.message.content
    assert "[1]" in choice.message.content
    assert answer.sources[0]["n"] == 1
    assert "three years" in answer.sources[0]["text"]
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    row = Query.objects.for_tenant(ours.tenant).get()
    assert answer.id == f"chatcmpl-{row.pk}"
    assert (row.question, row.answer) == (QUESTION, choice.message.content)


def test_it_is_the_answer_that_query_gives(client: openai.OpenAI, ours: Party) -> None:
    answer = chat(client)
    other = ours.client.post("/api/query", {"question": QUESTION}, format="json").json()
    assert other["from_cache"]
    assert (other["answer"], other["sources"]) == (answer.choices[0].message.content, answer.sources)


def test_a_models_answer_counts_its_tokens(client: openai.OpenAI, model: ModelServer, ours: Party) -> None:
    model.reset(Behaviour(reply="Three years [1] and not two [9]."))
    answer = chat(client)
    assert answer.choices[0].message.content == "Three years [1] and not two."
    assert answer.usage.completion_tokens > 0
    (used,) = records()
    assert (used.endpoint, used.status, used.from_cache) == ("/v1/chat/completions", 200, False)
    assert (used.prompt_tokens, used.completion_tokens) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )
    assert float(used.cost_usd) == answer.usage.cost_usd > 0
    assert chat(client).from_cache
    assert model.calls == 1
    assert [row.from_cache for row in records()] == [False, True]


def test_a_stream_is_the_same_answer_in_chunks(client: openai.OpenAI, model: ModelServer) -> None:
    model.reset(Behaviour(reply="Three years [1], they say."))
    for from_cache in (False, True):
        chunks = list(chat(client, stream=True, stream_options={"include_usage": True}))
        assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
        assert len({chunk.id for chunk in chunks}) == 1
        assert chunks[0].choices[0].delta.role == "assistant"
        assert text_of(chunks) == "Three years [1], they say."
        *_, last, counted = chunks
        assert last.choices[0].finish_reason == "stop"
        assert (last.sources[0]["n"], last.from_cache) == (1, from_cache)
        assert counted.choices == []
        assert (counted.usage.completion_tokens > 0) is not from_cache
    assert [chunk.usage for chunk in chat(client, stream=True) if chunk.usage] == []


def test_the_raw_stream_ends_as_openais_does(client: openai.OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(
        model="ragsite", messages=ASKED, stream=True
    ) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        lines = list(response.iter_lines())
    data = [line.removeprefix("data: ") for line in lines if line]
    assert data[-1] == "[DONE]"
    assert all(json.loads(line)["id"].startswith("chatcmpl-") for line in data[:-1])


def test_what_was_said_before_goes_with_the_question(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = spy(monkeypatch)
    said = [
        {"role": "system", "content": "Speak plainly."},
        {"role": "user", "content": "What is a kettle?"},
        {"role": "assistant", "content": "It boils water [1].", "refusal": None, "annotations": []},
        {"role": "developer", "content": [{"type": "text", "text": "In one "}, {"type": "text", "text": "line."}]},
        {"role": "user", "content": [{"type": "text", "text": f"  {QUESTION}\n"}]},
    ]  # fmt: skip
    chat(client, said, temperature=0.2, max_tokens=50, tools=[], n=1, user="x", extra_body={"top_k": 2})
    (ask,) = asked
    assert ask.question == QUESTION
    assert ask.turns == (("user", "What is a kettle?"), ("assistant", "It boils water [1]."))
    assert ask.instructions == "Speak plainly.\n\nIn one line."
    assert ask.top_k == 2


def spy(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    from queries import answering

    asked, answer = [], answering.answer

    def noted(caller: Any, ask: Any, **more: Any) -> Any:
        asked.append(ask)
        return answer(caller, ask, **more)

    monkeypatch.setattr(answering, "answer", noted)
    return asked


def test_a_system_message_stands_below_the_sites_and_the_tenants_own(
    client: openai.OpenAI, model: ModelServer, ours: Party
) -> None:
    ours.tenant.prompt = "Answer in English."
    ours.tenant.save()
    chat(client, [{"role": "system", "content": "Rhyme."}, *ASKED])
    prompt = model.requests[0].body["messages"][0]["content"]
    assert prompt.index("from nothing else") < prompt.index("Answer in English.") < prompt.index("Rhyme.")
    assert chat(client).from_cache is False  # another prompt is another answer


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"n": 2}, "n", "unsupported_parameter"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "unsupported_parameter"),
    ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
    ({"stop": ["\n"]}, "stop", "unsupported_parameter"),
    ({"logprobs": True}, "logprobs", "unsupported_parameter"),
    ({"temperature": 3}, "temperature", "invalid_value"),
    ({"max_tokens": 0}, "max_tokens", "invalid_value"),
    ({"extra_body": {"topk": 5}}, "topk", "unknown_parameter"),
    ({"extra_body": {"top_k": 0}}, "top_k", "invalid_value"),
    ({"messages": []}, "messages", "invalid_value"),
    ({"messages": [{"role": "system", "content": "x"}]}, "messages", "invalid_value"),
    ({"messages": [*ASKED, {"role": "assistant", "content": "x"}]}, "messages", "invalid_value"),
    ({"messages": [{"role": "user", "content": "x" * 4_001}]}, "messages", "invalid_value"),
    ({"messages": [{"role": "tool", "tool_call_id": "1", "content": "x"}]}, "messages.0.tool_call_id", "unknown_parameter"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "messages.0.content", "invalid_value"),
    ({"messages": [{"role": "user", "content": "a\0b"}]}, "messages.0.content", "invalid_value"),
]  # fmt: skip


def test_what_cannot_be_done_is_refused_by_name(client: openai.OpenAI) -> None:
    for body, param, code in REFUSED:
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError) as refused:
                chat(client, stream=stream, **body)
            assert (refused.value.param, refused.value.code) == (param, code)
            assert refused.value.type == "invalid_request_error"
            assert param in refused.value.message
            assert refused.value.request_id


# Models --------------------------------------------------------------------------------------------------------


def test_a_collection_is_a_model(client: openai.OpenAI, ours: Party) -> None:
    ingest(ours.tenant, "The kettle of the attic whistles.", collection="attic rooms/east")
    assert {model.id for model in client.models.list()} == {
        "ragsite", "ragsite/attic rooms/east", "ragsite/default", "all-MiniLM-L6-v2"
    }  # fmt: skip
    for name in ("ragsite", "ragsite/attic rooms/east", "all-MiniLM-L6-v2"):
        assert client.models.retrieve(name).id == name
    answer = chat(
        client, [{"role": "user", "content": "What does the kettle do?"}], model="ragsite/attic rooms/east"
    )
    assert {source["collection"] for source in answer.sources} == {"attic rooms/east"}
    with pytest.raises(openai.BadRequestError) as refused:
        chat(client, model="ragsite/default", extra_body={"collection": "attic rooms/east"})
    assert refused.value.param == "collection"


def test_an_unknown_model_is_not_found(ours: Party, theirs: Party, kettle: Document) -> None:
    ingest(ours.tenant, "Not for this key.", collection="hidden")
    ingest(theirs.tenant, "Not for this tenant.", collection="theirs")
    client = client_of(make_key(ours.tenant, collection_ids=[kettle.collection_id])[1])
    assert [model.id for model in client.models.list()] == ["ragsite", "ragsite/default", "all-MiniLM-L6-v2"]
    for name in (
        "gpt-4o",
        "ragsite/nope",
        "ragsite/",
        "ragsite/hidden",
        "ragsite/theirs",
        "all-MiniLM-L6-v2",
    ):
        with pytest.raises(openai.NotFoundError) as refused:
            chat(client, model=name)
        assert (refused.value.code, refused.value.type) == ("model_not_found", "invalid_request_error")
        assert refused.value.message.endswith(
            f"The model “{name}” does not exist, or not for this key. GET /v1/models lists those that do."
        )
    for name in ("gpt-4o", "ragsite/hidden", "ragsite/theirs"):
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve(name)


# Errors --------------------------------------------------------------------------------------------------------


def test_errors_are_the_exceptions_that_programs_catch(client: openai.OpenAI, ours: Party) -> None:
    with pytest.raises(openai.AuthenticationError) as unknown:
        chat(client_of("rag_" + "0" * 32))
    assert unknown.value.code == "invalid_api_key"
    with pytest.raises(openai.PermissionDeniedError) as scope:
        chat(client_of(make_key(ours.tenant, scopes=["ingest"])[1]))
    assert scope.value.code == "scope"
    with pytest.raises(openai.NotFoundError) as collection:
        chat(client, extra_body={"collection": "nope"})
    assert collection.value.code == "not_found"
    with pytest.raises(openai.NotFoundError):
        client.post("/completions", body={}, cast_to=object)
    with pytest.raises(openai.APIStatusError) as big:
        chat(client, [{"role": "user", "content": "x" * 1_100_000}])
    assert (big.value.status_code, big.value.code) == (413, "too_large")


def test_a_limit_and_a_budget_are_429(ours: Party) -> None:
    limited = client_of(make_key(ours.tenant, rate_limit=1, burst=1)[1])
    chat(limited)
    with pytest.raises(openai.RateLimitError) as refused:
        chat(limited)
    assert (refused.value.code, refused.value.type) == ("rate_limit_exceeded", "requests")
    assert 0 < int(refused.value.response.headers["Retry-After"]) <= 60
    spent = client_of(make_key(ours.tenant, monthly_budget_usd=0)[1])
    with pytest.raises(openai.RateLimitError) as quota:
        chat(spent)
    assert (quota.value.code, quota.value.type) == ("insufficient_quota", "insufficient_quota")
    assert quota.value.response.headers["x-should-retry"] == "false"
    assert [row.status for row in records()] == [200, 429, 402]  # on record as what it is


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Behaviour(status=500), 502, "model_failed"),
        (Behaviour(status=429, retry_after="99"), 503, "unavailable"),
        (Behaviour(fault="invalid_json"), 502, "model_failed"),
        (Behaviour(fault="empty"), 502, "model_failed"),
    ],
)
def test_a_model_that_fails_is_an_internal_server_error(
    client: openai.OpenAI, model: ModelServer, fault: Behaviour, status: int, code: str
) -> None:
    model.reset(fault)
    with pytest.raises(openai.InternalServerError) as failed:
        chat(client)
    assert (failed.value.status_code, failed.value.code, failed.value.type) == (status, code, "server_error")
    assert Query.objects.across_tenants().get().error_code == code


def test_a_failure_in_mid_stream_is_raised_by_the_client(client: openai.OpenAI, model: ModelServer) -> None:
    model.reset(Behaviour(reply="Three years, so they say [1]. " * 20, fault="reset"))
    stream = chat(client, stream=True)
    chunks = []
    with pytest.raises(openai.APIError) as failed:
        chunks.extend(stream)
    assert failed.value.code in {"model_failed", "unavailable"}
    assert failed.value.type == "server_error"
    assert Query.objects.across_tenants().get().status == "failed"
    assert [row.status >= 500 for row in records()] == [True]


def test_leaving_a_stream_ends_it_and_is_on_record(client: openai.OpenAI, model: ModelServer) -> None:
    model.reset(Behaviour(reply="word " * 500))
    stream = chat(client, stream=True)
    for number, _ in enumerate(stream):
        if number == 5:
            break
    stream.close()
    assert Query.objects.across_tenants().get().error_code == "client_left"
    assert [row.status for row in records()] == [499]


def test_500_tells_nothing(client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("the secret of the house")

    monkeypatch.setattr("protocols.openai.catalog.listed", explode)
    with pytest.raises(openai.InternalServerError) as failed:
        client.models.list()
    assert (failed.value.status_code, failed.value.code) == (500, "internal")
    assert "secret" not in str(failed.value.body)


def test_people_come_with_a_token_and_not_with_a_session(ours: Party) -> None:
    from tests.strangers import access_token, bearer, session

    body = {"model": "ragsite", "messages": ASKED}
    allowed = bearer(access_token(ours.user)).post(
        "/v1/chat/completions", body, content_type="application/json"
    )
    assert allowed.status_code == 200
    refused = session(ours.user).post("/v1/chat/completions", body, content_type="application/json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")


def test_nobody_elses_rows_are_touched(client: openai.OpenAI, theirs: Party, settings: Settings) -> None:
    ingest(theirs.tenant, "The kettle of the other house has a warranty of nine centuries.")
    answer = chat(client)
    assert "centuries" not in json.dumps(answer.model_dump())
    assert connection.in_atomic_block
    assert not Usage.objects.for_tenant(theirs.tenant).exists()
