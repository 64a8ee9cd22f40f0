"""Formats an answer as OpenAI's API does: whole, or as the chunks of a stream."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from protocols.openai import errors
from queries import replies
from queries.answers import Ask
from queries.asking import Given
from ragsite.lib import compact, server_sent
from ragsite.lib.identifiers import made_at

_DONE: Final = server_sent.framed(b"[DONE]")
# The fields of an answer that OpenAI's does not have.
_OURS: Final = ("sources", "unsupported", "from_cache")


@dataclass(frozen=True, slots=True)
class CompletionFace:
    """The format of `POST /v1/chat/completions`. `id` is the request's; `model` is the name in the request."""

    id: UUID
    model: str
    wants_usage: bool = False

    def whole(self, request: Request, ask: Ask, given: Given) -> HttpResponse:
        answer = replies.shown(request, ask, given)
        message = {"role": "assistant", "content": answer["answer"], "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return Response(
            {**self._head("chat.completion"), "choices": [choice], "usage": _usage(answer), **_ours(answer)}
        )

    def begun(self) -> bytes:
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def source(self, entry: Mapping[str, Any]) -> bytes:
        return b""  # the last chunk has all sources

    def token(self, text: str) -> bytes:
        return self._chunk({"content": text})

    def done(self, request: Request, ask: Ask, given: Given) -> bytes:
        answer = replies.shown(request, ask, given)
        last = self._chunk({}, finish_reason="stop", **_ours(answer))
        if self.wants_usage:
            head = self._head("chat.completion.chunk")
            last += _event({**head, "choices": [], "usage": _usage(answer)})
        return last + _DONE

    def failed(self, problem: Mapping[str, Any]) -> bytes:
        """Clients raise what stands under `error`. No [DONE] follows, since the answer is not complete."""
        return _event(errors.body(problem))

    def _chunk(self, delta: Mapping[str, Any], *, finish_reason: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        usage = {"usage": None} if self.wants_usage else {}
        head = self._head("chat.completion.chunk")
        return _event({**head, "choices": [choice], **usage, **more})

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self.id}",
            "object": kind,
            "created": int(made_at(self.id).timestamp()),
            "model": self.model,
        }


def _usage(answer: Mapping[str, Any]) -> dict[str, Any]:
    spent = answer["usage"]
    return {**spent, "total_tokens": spent["prompt_tokens"] + spent["completion_tokens"]}


def _ours(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in _OURS}


def _event(data: Mapping[str, Any]) -> bytes:
    return server_sent.framed(compact.encoded(data))
