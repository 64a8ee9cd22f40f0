"""The official clients of OpenAI's API and of the Model Context Protocol against a site as `make up` runs it."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from tests import site
from tests.model_server import Behaviour, ModelServer
from tests.site import Site

QUESTION = "How do I rotate an API key?"
ASKED: Any = [{"role": "user", "content": QUESTION}]
REPLY = "Post to the rotate address [1]."


@contextmanager
def running(**settings: str) -> Iterator[Site]:
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        site.running(Path(folder), **settings) as up,
    ):
        yield up


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer(default=Behaviour(reply=REPLY)) as server:
        yield server


@pytest.fixture(scope="module")
def plain() -> Iterator[Site]:
    """Without a model: answers quote."""
    with running() as up:
        yield up


@pytest.fixture(scope="module")
def written(model: ModelServer) -> Iterator[Site]:
    """A model writes the answers."""
    with running(
        ANSWER_PROVIDER="openai",
        ANSWER_MODEL="scripted-1",
        ANSWER_BASE_URL=model.url,
        ANSWER_API_KEY="sk-test",
    ) as up:
        yield up


def openai_client(up: Site, key: str = "") -> openai.OpenAI:
    base = f"{up.facts['url']}/v1"
    return openai.OpenAI(api_key=key or up.facts["api_key"], base_url=base, max_retries=0, timeout=60)


def text_of(stream: Any) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


# OpenAI --------------------------------------------------------------------------------------------------------


def test_openais_client_gets_a_cited_answer_models_and_vectors(plain: Site) -> None:
    with openai_client(plain) as client:
        answer: Any = client.chat.completions.create(model="ragsite", messages=ASKED)
        assert "[1]" in answer.choices[0].message.content
        assert answer.sources[0]["collection"] == "samples"
        streamed = client.chat.completions.create(model="ragsite/samples", messages=ASKED, stream=True)
        assert text_of(streamed) == answer.choices[0].message.content
        assert {"ragsite", "ragsite/samples", "all-MiniLM-L6-v2"} <= {
            model.id for model in client.models.list()
        }
        made = client.embeddings.create(model="all-MiniLM-L6-v2", input=["one", "two"])
        assert [len(item.embedding) for item in made.data] == [384, 384]


def test_openais_client_streams_what_a_model_writes(written: Site, model: ModelServer) -> None:
    with openai_client(written) as client:
        stream: Any = client.chat.completions.create(
            model="ragsite",
            messages=ASKED,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"top_k": 2, "use_cache": False},
        )
        *chunks, last = list(stream)
        assert text_of(chunks) == REPLY
        assert len(chunks[-1].sources) <= 2
        assert last.usage.completion_tokens > 0
        with client.chat.completions.with_streaming_response.create(
            model="ragsite", messages=ASKED, stream=True
        ) as raw:
            assert list(raw.iter_lines())[-2:] == ["data: [DONE]", ""]


def test_openais_client_raises_what_programs_catch(written: Site, model: ModelServer) -> None:
    with openai_client(written, "rag_" + "0" * 32) as stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    with openai_client(written) as client:
        with pytest.raises(openai.NotFoundError) as unknown:
            client.chat.completions.create(model="gpt-4o", messages=ASKED)
        assert unknown.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="ragsite", messages=ASKED, n=3)
        try:
            model.reset(Behaviour(fault="reset", reply=REPLY * 30))
            broken = client.chat.completions.create(
                model="ragsite", messages=ASKED, stream=True, extra_body={"use_cache": False}
            )
            with pytest.raises(openai.APIError):
                text_of(broken)
        finally:
            model.reset(Behaviour(reply=REPLY))


def test_openais_client_waits_for_its_limit(plain: Site) -> None:
    with openai_client(plain, limited_key(plain)) as client:
        client.models.list()
        with pytest.raises(openai.RateLimitError) as refused:
            client.models.list()
        patient = client.with_options(max_retries=2)  # it waits for as long as Retry-After says
        assert list(patient.models.list())
    assert int(refused.value.response.headers["Retry-After"]) >= 1


def limited_key(up: Site) -> str:
    """A key that may come once, and then once in two seconds."""
    with up.client() as client:
        who = {name: up.facts[f"business_{name}"] for name in ("username", "password")}
        token = client.post("/api/token", json=who).json()["access"]
        client.headers = httpx2.Headers({"Authorization": f"Bearer {token}"})
        made = client.post("/api/keys", json={"name": "limited", "rate_limit": 30, "burst": 1})
        return str(made.json()["key"])


# Model Context Protocol ----------------------------------------------------------------------------------------


def with_mcp(up: Site, use: Callable[[Client], Awaitable[Any]], *, mode: str, key: str = "") -> Any:
    async def run() -> Any:
        headers = {"Authorization": f"Bearer {key or up.facts['api_key']}"}
        async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
            transport = streamable_http_client(f"{up.facts['url']}/mcp", http_client=http)
            async with Client(transport, mode=mode) as client:
                return await use(client)

    return asyncio.run(run())


@pytest.mark.parametrize("mode", ["auto", "legacy", "2026-07-28"])
@pytest.mark.parametrize("which", ["plain", "written"])
def test_the_mcp_client_searches_and_asks(request: pytest.FixtureRequest, mode: str, which: str) -> None:
    up: Site = request.getfixturevalue(which)

    async def use(client: Client) -> tuple[Any, Any, Any, Any]:
        tools = await client.list_tools()
        found = await client.call_tool("search", {"question": QUESTION, "top_k": 2})
        answer = await client.call_tool("ask", {"question": QUESTION})
        wrong = await client.call_tool("ask", {"question": QUESTION, "collection": "nope"})
        return tools, found, answer, wrong

    tools, found, answer, wrong = with_mcp(up, use, mode=mode)
    assert [tool.name for tool in tools.tools] == ["search", "ask"]
    assert len(found.structured_content["results"]) == 2
    assert (found.is_error, answer.is_error, wrong.is_error) == (False, False, True)
    assert "[1]" in answer.structured_content["answer"]
    assert answer.content[0].text.startswith(answer.structured_content["answer"])
    assert "no such collection" in wrong.content[0].text
    if which == "written":
        assert answer.structured_content["answer"] == REPLY


def test_the_mcp_client_hears_why_it_is_refused(plain: Site) -> None:
    async def use(client: Client) -> Any:
        return await client.list_tools()

    for mode in ("auto", "legacy"):
        with pytest.raises(MCPError) as refused:
            with_mcp(plain, use, mode=mode, key="rag_" + "0" * 32)
        assert refused.value.code == 401
        assert "No valid credentials" in str(refused.value)


def test_the_mcp_client_speaks_the_version_that_both_know(plain: Site) -> None:
    async def version(client: Client) -> str:
        return str(client.session.protocol_version)

    assert with_mcp(plain, version, mode="auto") == "2026-07-28"
    assert with_mcp(plain, version, mode="legacy") == "2025-11-25"
