"""Idempotency-Key: one run and one answer for what a client sends more than once."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from time import monotonic, sleep
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, connections
from django.db.models import F
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from apikeys import idempotency, keys
from apikeys.models import IdempotentRequest, Usage
from documents.models import Document
from queries import recording
from queries.models import Query
from tests.makers import Party, make_key, make_user, signed_in, with_key
from tests.model_server import Behaviour, ModelServer
from tests.outages import redis_refused
from tests.queries.conftest import kettle, model

__all__ = ["kettle", "model"]  # fixtures

pytestmark = pytest.mark.django_db

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


@pytest.mark.usefixtures("kettle")
def test_a_retry_gets_the_same_answer_and_nothing_runs_again(ours: Party, model: ModelServer) -> None:
    first, again = ask(ours.client), ask(ours.client)
    assert (first.status_code, is_replay(first)) == (200, False)
    assert (again.status_code, is_replay(again)) == (200, True)
    assert again.content == first.content
    assert again["Content-Type"] == first["Content-Type"] == "application/json"
    assert again["X-Request-ID"] != first["X-Request-ID"] == again.json()["id"]
    assert (model.calls, queries()) == (1, 1)
    used, free = records()
    assert str(free.pk) == again["X-Request-ID"]
    assert (free.status, free.prompt_tokens, free.cost_usd) == (200, 0, 0)
    assert used.prompt_tokens > 0
