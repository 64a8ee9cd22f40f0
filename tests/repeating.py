"""Requests with an Idempotency-Key, and what is on record of them."""

from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile

from apikeys.models import IdempotentRequest, Usage
from queries import recording
from queries.models import Query

QUESTION = "How long is the kettle's warranty?"


def ask(client: Any, key: str | None = "first", **body: Any) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    body = {"question": QUESTION, "use_cache": False, **body}
    return client.post("/api/query", body, format="json", headers=headers)


def upload(client: Any, key: str = "first", *, content: bytes = b"Tea at four.", **fields: Any) -> Any:
    name = fields.pop("filename", "note.txt")
    form = {"file": SimpleUploadedFile(name, content), **fields}
    return client.post("/api/documents", form, headers={"Idempotency-Key": key})


def content(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else bytes(response.content)


def is_replay(response: Any) -> bool:
    return "Idempotency-Replayed" in response and response["Idempotency-Replayed"] == "true"


def queries() -> int:
    return Query.objects.across_tenants().count()


def kept() -> Any:
    return IdempotentRequest.objects.across_tenants()


def records() -> list[Usage]:
    client = recording.client()
    recording.prepare(client)
    while recording.drain(client, block_ms=None):
        pass
    client.close()
    return list(Usage.objects.across_tenants().order_by("id"))
