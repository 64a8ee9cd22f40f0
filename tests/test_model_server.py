"""The server that plays the vendor does what the vendor's own client expects."""

from collections.abc import Iterator

import openai
import pytest

from tests.model_answers import vector_of
from tests.model_server import Behaviour, ModelServer

HELLO: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "hello there"}]


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as started:
        yield started


@pytest.fixture
def client(server: ModelServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url, api_key="sk-test", max_retries=0) as made:
        yield made


def test_a_reply_may_depend_on_the_messages(server: ModelServer, client: openai.OpenAI) -> None:
    server.reset(Behaviour(reply=lambda messages: messages[-1]["content"].upper()))
    answer = client.chat.completions.create(model="m", messages=HELLO)
    assert answer.choices[0].message.content == "HELLO THERE"
    assert answer.usage
    assert answer.usage.total_tokens == 4


def test_a_stream_reports_usage_only_where_asked(client: openai.OpenAI) -> None:
    plain = list(client.chat.completions.create(model="m", messages=HELLO, stream=True))
    told = list(
        client.chat.completions.create(
            model="m", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    assert [chunk.usage is not None for chunk in plain] == [False] * len(plain)
    assert [chunk.usage is not None for chunk in told] == [False] * len(plain) + [True]


def test_embeddings_are_the_same_in_both_encodings(client: openai.OpenAI) -> None:
    encoded = client.embeddings.create(model="m", input=["one text"], dimensions=8)
    floats = client.embeddings.create(model="m", input="one text", dimensions=8, encoding_format="float")
    assert encoded.data[0].embedding == pytest.approx(floats.data[0].embedding)


def test_texts_that_share_words_are_near() -> None:
    cats, more_cats, taxes = (vector_of(text, 256) for text in ("the black cat", "a black cat", "income tax"))
    assert cats @ more_cats > 0.5 > cats @ taxes


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["scripted-1"]


def test_a_script_serves_one_request_each(server: ModelServer, client: openai.OpenAI) -> None:
    server.script(Behaviour(status=429, retry_after="3"))
    with pytest.raises(openai.RateLimitError) as limited:
        client.models.list()
    assert limited.value.response.headers["retry-after"] == "3"
    assert client.models.list().data
    assert server.calls == 2
