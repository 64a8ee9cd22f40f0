"""The official clients against a site as `make up` runs it, with a model that writes the answers.

tests/test_site.py has them against one without.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from mcp import Client, MCPError

from tests import site
from tests.model_server import Behaviour, ModelServer
from tests.official_clients import ASKED, openai_client, text_of, tools_used, with_mcp
from tests.site import Site

pytestmark = pytest.mark.long

REPLY = "Post to the rotate address [1]."


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer(default=Behaviour(reply=REPLY)) as server:
        yield server


@pytest.fixture(scope="module")
def up(model: ModelServer) -> Iterator[Site]:
    settings = {
        "ANSWER_PROVIDER": "openai",
        "ANSWER_MODEL": "scripted-1",
        "ANSWER_BASE_URL": model.url,
        "ANSWER_API_KEY": "sk-test",
    }
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        site.running(Path(folder), **settings) as running,
    ):
        yield running


# OpenAI --------------------------------------------------------------------------------------------------------


def test_openais_client_streams_what_a_model_writes(up: Site) -> None:
    with openai_client(up) as client:
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


def test_openais_client_raises_what_programs_catch(up: Site) -> None:
    with openai_client(up, "rag_" + "0" * 32) as stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    with openai_client(up) as client:
        with pytest.raises(openai.NotFoundError) as unknown:
            client.chat.completions.create(model="gpt-4o", messages=ASKED)
        assert unknown.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="ragsite", messages=ASKED, n=3)


def test_openais_client_hears_of_a_stream_that_breaks_off(up: Site, model: ModelServer) -> None:
    model.script(Behaviour(fault="reset", reply=REPLY * 30))
    with openai_client(up) as client:
        stream = client.chat.completions.create(
            model="ragsite", messages=ASKED, stream=True, extra_body={"use_cache": False}
        )
        with pytest.raises(openai.APIError):
            text_of(stream)


def test_openais_client_waits_for_its_limit(up: Site) -> None:
    with openai_client(up, limited_key(up)) as client:
        client.models.list()
        with pytest.raises(openai.RateLimitError) as refused:
            client.models.list()
        patient = client.with_options(max_retries=2)  # it waits for as long as Retry-After says
        assert list(patient.models.list())
    assert int(refused.value.response.headers["Retry-After"]) >= 1


def limited_key(up: Site) -> str:
    """A key that may come once, and then once in four seconds."""
    with up.client() as client:
        who = {name: up.facts[f"business_{name}"] for name in ("username", "password")}
        token = client.post("/api/token", json=who).json()["access"]
        client.headers = httpx2.Headers({"Authorization": f"Bearer {token}"})
        made = client.post("/api/keys", json={"name": "limited", "rate_limit": 15, "burst": 1})
        return str(made.json()["key"])


# Model Context Protocol ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "version"), [("auto", "2026-07-28"), ("2026-07-28", "2026-07-28"), ("legacy", "2025-11-25")]
)
def test_the_mcp_client_speaks_the_version_that_both_know(up: Site, mode: str, version: str) -> None:
    async def spoken(client: Client) -> tuple[str, Any]:
        return client.protocol_version, await tools_used(client)

    agreed, (_, found, answer, wrong) = with_mcp(up, spoken, mode=mode)
    assert agreed == version
    assert (found.is_error, answer.is_error, wrong.is_error) == (False, False, True)
    assert answer.structured_content["answer"] == REPLY
    assert answer.content[0].text.startswith(REPLY)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_mcp_client_hears_why_it_is_refused(up: Site, mode: str) -> None:
    with pytest.raises(ExceptionGroup) as refused:
        with_mcp(up, tools_used, mode=mode, key="rag_" + "0" * 32)
    errors = refused.value.subgroup(MCPError)
    error: Any = errors
    while isinstance(error, ExceptionGroup):
        (error,) = error.exceptions
    assert (error.code, str(error)) == (401, "No valid credentials were given.")
