"""An answer as OpenAI's API gives it: whole, or as the chunks of a stream."""

import json
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.http import StreamingHttpResponse

from ragsite.lib import error_forms, server_sent
from ragsite.lib.identifiers import made_at

_DONE: Final = b"data: [DONE]\n\n"
# What an answer tells besides what OpenAI's have.
_OURS: Final = ("sources", "unsupported", "from_cache")


@dataclass(frozen=True, slots=True)
class Asked:
    """Which request is answered, and the model by the name that it was asked by."""

    id: UUID
    model: str
    wants_usage: bool = False

    def head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self.id}",
            "object": kind,
            "created": int(made_at(self.id).timestamp()),
            "model": self.model,
        }


def whole(asked: Asked, answer: Mapping[str, Any]) -> dict[str, Any]:
    """`answer` is as POST /api/query has it."""
    message = {"role": "assistant", "content": answer["answer"], "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return {
        **asked.head("chat.completion"),
        "choices": [choice],
        "usage": _usage(answer),
        **_ours(answer),
    }


def _usage(answer: Mapping[str, Any]) -> dict[str, Any]:
    spent = answer["usage"]
    return {**spent, "total_tokens": spent["prompt_tokens"] + spent["completion_tokens"]}


def _ours(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in _OURS}


class Chunks:
    """The events of an answer as chunks. Whoever sends them closes them, which closes the events."""

    def __init__(self, asked: Asked, events: StreamingHttpResponse) -> None:
        self._asked = asked
        self._events = events
        self._chunks = self._told()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        self._chunks.close()
        self._events.close()

    def _told(self) -> Generator[bytes, None, None]:
        yield self._chunk({"role": "assistant", "content": "", "refusal": None})
        for name, data in server_sent.read(iter(self._events)):
            match name:
                case "token":
                    yield self._chunk({"content": json.loads(data)["text"]})
                case "done":
                    yield from self._end(json.loads(data))
                case "error":
                    # The client raises what it finds under `error`. No [DONE] follows: it is not done.
                    yield _framed(error_forms.openai(json.loads(data)))
                case "":
                    yield data  # a comment, which keeps the connection open

    def _end(self, answer: Mapping[str, Any]) -> Iterator[bytes]:
        yield self._chunk({}, finish_reason="stop", **_ours(answer))
        if self._asked.wants_usage:
            head = self._asked.head("chat.completion.chunk")
            yield _framed({**head, "choices": [], "usage": _usage(answer)})
        yield _DONE

    def _chunk(self, delta: Mapping[str, Any], *, finish_reason: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        usage = {"usage": None} if self._asked.wants_usage else {}
        head = self._asked.head("chat.completion.chunk")
        return _framed({**head, "choices": [choice], **usage, **more})


def _framed(data: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
