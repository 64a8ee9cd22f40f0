"""Chat completions from any OpenAI-compatible endpoint, whole or token by token."""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import openai
from openai.types.chat import ChatCompletionChunk

from ragsite.lib.concurrency import deadlines
from ragsite.lib.errors import ModelFailed
from ragsite.lib.inference import vendor, vendor_errors
from ragsite.lib.inference.vendor import Candidate
from ragsite.lib.inference.vendor_client import Endpoint, run
from ragsite.lib.inference.vendor_tries import Ledger, Try

Reply = TypeVar("Reply")
Said_co = TypeVar("Said_co", covariant=True)

# What an endpoint says of itself is bounded to what can be stored.
LONGEST_NAME = 200
MOST_TOKENS = 100_000_000
# Characters of a streamed answer, unless so many tokens are asked for that they may be more: with what events wrap
# around it, a stream of many megabytes would be within any bound of its bytes for half a minute.
LONGEST_STREAM = 100_000
_CHARACTERS_A_TOKEN = 10

Messages = Sequence[Mapping[str, str]]  # {"role": "system" | "user" | "assistant", "content": "..."}

# What a model may refuse, and how it may want to be told instead. OpenAI's reasoning models know no `max_tokens` and no
# `temperature` but their own, and say so with a 400 that names the parameter; older servers know no `stream_options`.
WISHES = {"max_tokens": "max_completion_tokens", "temperature": None, "stream_options": None}
UNKEPT = Ledger()


@dataclass(frozen=True, kw_only=True)
class ChatEndpoint(Endpoint):
    """A model, and where and how it is asked.

    `max_tokens` and `temperature` are the endpoint's own where None. `first_token_seconds`: until a stream's first
    piece; 0: as long as the whole may take. An answer that is not streamed has no first piece before its last.
    """

    model: str
    purpose: str = "chat"
    max_tokens: int | None = None
    temperature: float | None = None
    first_token_seconds: float = 0.0


class Asking(Protocol[Said_co]):
    """A request to a model, and what it says."""

    def __call__(
        self, client: openai.AsyncOpenAI, tried: Try, *, endpoint: ChatEndpoint, body: dict[str, Any]
    ) -> Coroutine[Any, Any, Said_co]: ...


@dataclass(frozen=True)
class Completion:
    """An answer, the model that gave it, and the tokens the endpoint says it used (0 where it does not say)."""

    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int


def complete(endpoints: Sequence[ChatEndpoint], messages: Messages, *, ledger: Ledger = UNKEPT) -> Completion:
    """The whole answer of the first endpoint that gives one. Raises what `vendor.first` raises.

    All of them together have the timeout of the first.
    """
    candidates = _candidates(endpoints, messages, whole)
    with vendor.first(candidates, seconds=endpoints[0].timeout_seconds, ledger=ledger) as reply:
        return reply.value


def _candidates(
    endpoints: Sequence[ChatEndpoint], messages: Messages, ask: Asking[Reply]
) -> list[Candidate[Reply]]:
    return [
        Candidate(endpoint, endpoint.model, partial(ask, endpoint=endpoint, body=body_of(endpoint, messages)))
        for endpoint in endpoints
    ]


def body_of(endpoint: ChatEndpoint, messages: Messages) -> dict[str, Any]:
    wishes = {"max_tokens": endpoint.max_tokens, "temperature": endpoint.temperature}
    return {
        "model": endpoint.model,
        "messages": [dict(message) for message in messages],
        **{name: value for name, value in wishes.items() if value is not None},
    }


async def whole(
    client: openai.AsyncOpenAI, tried: Try, *, endpoint: ChatEndpoint, body: dict[str, Any]
) -> Completion:
    answer = await _accepted(client.chat.completions.with_raw_response.create, body)
    completion = read_completion(answer.content, model=body["model"])
    tried.answered_by = completion.model
    tried.prompt_tokens, tried.completion_tokens = completion.prompt_tokens, completion.completion_tokens
    if not completion.text:
        raise ModelFailed("The model's answer is empty.")
    return completion


async def _accepted(create: Callable[..., Awaitable[Reply]], body: dict[str, Any]) -> Reply:
    """The reply to a body that the model accepts: asked anew, once for each wish that it refuses."""
    while True:
        try:
            return await create(**body)
        except openai.BadRequestError as error:
            refused = next((name for name in WISHES if name in body and _is_about(error, name)), None)
            if refused is None:
                raise
            instead = WISHES[refused]
            value = body[refused]
            body = {name: kept for name, kept in body.items() if name != refused}
            if instead:
                body[instead] = value


def _is_about(error: openai.BadRequestError, name: str) -> bool:
    """Not every endpoint fills in `param`; those that do not quote the name, or say which one they want instead."""
    return error.param == name or re.search(rf"\b{name}\b", error.message) is not None


def read_completion(content: bytes, *, model: str) -> Completion:
    """What the body of an answer says, which may be nothing; raises `ModelFailed` where it is no completion."""
    try:
        answer = json.loads(content)
        text = answer["choices"][0]["message"]["content"]
        usage = answer.get("usage") or {}
        return Completion(
            text=_text(text).strip(),
            model=_name(answer.get("model"), model),
            prompt_tokens=_count(usage.get("prompt_tokens")),
            completion_tokens=_count(usage.get("completion_tokens")),
        )
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        raise ModelFailed("The model endpoint's answer is not a chat completion.") from None


def _text(said: str) -> str:
    """Neither half of a surrogate pair nor a NUL: no database stores them."""
    return said.encode(errors="replace").decode().replace("\0", "\ufffd")


def _name(said: object, asked: str) -> str:
    return _text(str(said or asked))[:LONGEST_NAME]


def _count(said: Any) -> int:
    return max(0, min(int(said or 0), MOST_TOKENS))


def stream(
    endpoints: Sequence[ChatEndpoint], messages: Messages, *, ledger: Ledger = UNKEPT
) -> Generator[str | Completion, None, None]:
    """The answer's pieces as they come, and last the `Completion` they make up.

    Nothing is asked before the first `next`. Retries and fallbacks end with the first piece: what was shown stays
    shown, so a failure after it raises. The whole, with the time the reader takes, is bounded as in `complete`.
    """
    seconds = deadlines.left(endpoints[0].timeout_seconds)
    deadline = deadlines.after(seconds)
    reply = vendor.first(_candidates(endpoints, messages, streamed), seconds=seconds, ledger=ledger)
    answer = reply.value
    try:
        with vendor_errors.app_errors(), reply:
            yield answer.first
            while piece := run(answer.piece(), deadline - time.monotonic()):
                yield piece
        yield answer.completion()
    finally:
        with suppress(TimeoutError):
            run(answer.close(), 1.0)


async def streamed(
    client: openai.AsyncOpenAI, tried: Try, *, endpoint: ChatEndpoint, body: dict[str, Any]
) -> "StreamedAnswer":
    wishes = {"stream": True, "stream_options": {"include_usage": True}}
    create: Callable[..., Awaitable[openai.AsyncStream[ChatCompletionChunk]]] = client.chat.completions.create
    async with asyncio.timeout(endpoint.first_token_seconds or None):
        events = await _accepted(create, {**body, **wishes})
        longest = max(LONGEST_STREAM, (endpoint.max_tokens or 0) * _CHARACTERS_A_TOKEN)
        answer = StreamedAnswer(events, tried, longest=longest)
        try:
            answer.first = await answer.piece()
        except BaseException:  # a cancelled call too must give its connection back
            await answer.close()
            raise
        return answer


class StreamedAnswer:
    """A stream of events, and what has been read of it; lives on the event loop."""

    def __init__(self, events: openai.AsyncStream[ChatCompletionChunk], tried: Try, *, longest: int) -> None:
        self.first = ""
        self._events = events
        self._pieces: list[str] = []
        self._tried = tried
        self._left = longest  # characters
        self._finished = False

    async def piece(self) -> str:
        """The next text, or an empty one at the end. Raises `ModelFailed` where the answer is broken off or empty."""
        try:
            async for event in self._events:
                if text := self._noted(event):
                    return self._kept(text)
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            raise ModelFailed("The model endpoint's stream is not a chat completion.") from None
        if not self._finished:
            raise ModelFailed("The model endpoint broke off its answer.")
        if not "".join(self._pieces).strip():
            raise ModelFailed("The model's answer is empty.")
        return ""

    def _kept(self, text: str) -> str:
        self._left -= len(text)
        if self._left < 0:
            raise ModelFailed("The model's answer is longer than any that was asked for.")
        self._pieces.append(text)
        return text

    def _noted(self, event: ChatCompletionChunk) -> str:
        self._tried.answered_by = _name(event.model, self._tried.model)
        if event.usage:
            self._tried.prompt_tokens = _count(event.usage.prompt_tokens)
            self._tried.completion_tokens = _count(event.usage.completion_tokens)
        if not event.choices:
            return ""
        self._finished = self._finished or event.choices[0].finish_reason is not None
        return _text(event.choices[0].delta.content or "")

    def completion(self) -> Completion:
        """All that was read, as one answer."""
        tried = self._tried
        model = tried.answered_by or tried.model
        return Completion("".join(self._pieces), model, tried.prompt_tokens, tried.completion_tokens)

    async def close(self) -> None:
        """Give the connection back, or close it where the answer was not read to its end."""
        await self._events.close()
