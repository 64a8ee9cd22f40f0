"""The bodies an OpenAI-compatible server answers with: completions, their streams, and embeddings."""

import base64
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEFAULT_DIMENSIONS = 1536


def usage(body: Mapping[str, Any], text: str) -> dict[str, int]:
    """Tokens of prompt and answer, a token being a word."""
    prompt = sum(len(str(message.get("content", "")).split()) for message in body["messages"])
    answer = len(text.split())
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def completion(body: Mapping[str, Any], text: str) -> dict[str, Any]:
    """A chat.completion object."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    head = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
    }
    return {**head, "choices": [choice], "usage": usage(body, text)}


def completion_events(body: Mapping[str, Any], text: str) -> Iterator[bytes]:
    """The server-sent events of a streamed answer: one a word, the usage where asked for, and [DONE]."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": body["model"]}
    words = ({"content": word[0]} for word in re.finditer(r"\S+\s*", text))
    for delta in chain([{"role": "assistant", "content": ""}], words):
        yield _event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    yield _event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if (body.get("stream_options") or {}).get("include_usage"):
        yield _event({**head, "choices": [], "usage": usage(body, text)})
    yield b"data: [DONE]\n\n"


def _event(data: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


Embedder = Callable[[Sequence[str], int | None], NDArray[np.float32]]
"""The vectors of texts, (texts, dimensions): as many as asked for, or as the model has."""


def bags_of_words(texts: Sequence[str], dimensions: int | None) -> NDArray[np.float32]:
    return np.stack([vector_of(text, dimensions or DEFAULT_DIMENSIONS) for text in texts])


def embeddings(body: Mapping[str, Any], embedder: Embedder = bags_of_words) -> dict[str, Any]:
    """A list of embedding objects, as floats or in base64 as the request asks."""
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector, body)}
        for index, vector in enumerate(embedder(texts, body.get("dimensions")))
    ]
    words = sum(len(text.split()) for text in texts)
    counts = {"prompt_tokens": words, "total_tokens": words}
    return {"object": "list", "data": data, "model": body["model"], "usage": counts}


def vector_of(text: str, dimensions: int) -> NDArray[np.float32]:
    """A hashed bag of words of unit length: the same text is the same vector, and shared words bring texts near."""
    vector = np.zeros(dimensions, dtype=np.float32)
    for word in re.findall(r"\w+", text.lower()) or [text]:
        digest = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "big")
        vector[digest % dimensions] += 1.0 if digest >> 63 else -1.0
    length = float(np.linalg.norm(vector))
    if not length:  # opposite words in one place
        vector[0] = length = 1.0
    return vector / np.float32(length)


def _encoded(vector: NDArray[np.float32], body: Mapping[str, Any]) -> str | list[float]:
    if body.get("encoding_format") == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return [float(value) for value in vector]
