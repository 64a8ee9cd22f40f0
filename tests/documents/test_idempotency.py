"""Idempotency-Key on uploads."""

from typing import Any

import pytest

from documents.models import Document
from tests.makers import Party
from tests.repeating import is_replay, kept, upload

pytestmark = pytest.mark.django_db


def test_an_upload_is_answered_again_as_it_was(ours: Party) -> None:
    first = upload(ours.client, collection="menus", metadata='{"meal": "tea"}')
    Document.objects.for_tenant(ours.tenant).update(title="changed")
    again = upload(ours.client, collection="menus", metadata='{"meal": "tea"}')
    assert (first.status_code, again.status_code, is_replay(again)) == (202, 202, True)
    assert again.content == first.content
    assert again["Location"] == first["Location"]
    assert upload(ours.client, "second", collection="menus").status_code == 200


@pytest.mark.parametrize(
    "other",
    [{"content": b"Tea at five."}, {"filename": "other.txt"}, {"collection": "b"}, {"metadata": '{"a": 1}'}],
)
def test_an_upload_of_something_else_is_a_conflict(ours: Party, other: dict[str, Any]) -> None:
    upload(ours.client)
    refused = upload(ours.client, **other)
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_mismatch")
    assert Document.objects.for_tenant(ours.tenant).count() == 1


def test_a_refused_upload_frees_its_key(ours: Party, settings: Any) -> None:
    assert upload(ours.client, content=b"").status_code == 400
    assert upload(ours.client, content=b"\x7fELF\0\0").status_code == 415
    settings.MAX_UPLOAD_BYTES = 10
    assert upload(ours.client, content=b"x" * 30).status_code == 413
    assert not kept().exists()
    assert upload(ours.client, content=b"x" * 9).status_code == 202
