"""The official clients of OpenAI's API and of the Model Context Protocol, pointed at a site of the tests' own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import openai
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.site import Site

QUESTION = "How do I rotate an API key?"
ASKED: Any = [{"role": "user", "content": QUESTION}]


def openai_client(up: Site, key: str = "") -> openai.OpenAI:
    base = f"{up.facts['url']}/v1"
    return openai.OpenAI(api_key=key or up.facts["api_key"], base_url=base, max_retries=0, timeout=60)


def text_of(stream: Any) -> str:
    """What the chunks say together."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def with_mcp(up: Site, use: Callable[[Client], Awaitable[Any]], *, mode: str, key: str = "") -> Any:
    """What `use` makes of a client that is connected. `mode`: "legacy" begins with a handshake, "auto" finds out."""

    async def run() -> Any:
        headers = {"Authorization": f"Bearer {key or up.facts['api_key']}"}
        async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
            transport = streamable_http_client(f"{up.facts['url']}/mcp", http_client=http)
            async with Client(transport, mode=mode) as client:
                return await use(client)

    return asyncio.run(run())


async def tools_used(client: Client) -> tuple[Any, Any, Any, Any]:
    """The tools, a search, an answer, and a question that cannot be answered."""
    return (
        await client.list_tools(),
        await client.call_tool("search", {"question": QUESTION, "top_k": 2}),
        await client.call_tool("ask", {"question": QUESTION}),
        await client.call_tool("ask", {"question": QUESTION, "collection": "nope"}),
    )
