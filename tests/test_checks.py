"""Bad configuration says what to do."""

from typing import Any

import pytest
from django.core.checks import run_checks

from ragsite import checks


def found() -> set[str]:
    return {message.id or "" for message in run_checks() if (message.id or "").startswith("ragsite.")}


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("ENCRYPTION_KEY", "short", "ragsite.E001"),
        ("ENCRYPTION_KEY", "", "ragsite.E001"),
        ("TRUSTED_PROXIES", ["10.0.0.0/33"], "ragsite.E003"),
        ("TRUSTED_PROXIES", ["proxy"], "ragsite.E003"),
        ("WEBHOOK_ALLOWED_NETWORKS", ["intranet"], "ragsite.E003"),
        ("TOKEN_RATE", "often", "ragsite.E004"),
        ("TOKEN_RATE", "0/m", "ragsite.E004"),
        ("ANSWER_FALLBACK_MODELS", ["llama at 10.0.0.5:11434"], "ragsite.E008"),
        ("ANSWER_FALLBACK_MODELS", ["llama at https://me:word@host/v1"], "ragsite.E008"),
        ("ANSWER_WINDOW_TOKENS", 2_499, "ragsite.E010"),
    ],
)
def test_bad_settings(settings: Any, setting: str, value: object, expected: str) -> None:
    setattr(settings, setting, value)
    assert found() == {expected}


@pytest.mark.parametrize("name", ["EMBEDDING", "ANSWER"])
def test_vendor_without_a_key(settings: Any, name: str) -> None:
    setattr(settings, f"{name}_PROVIDER", "openai")
    setattr(settings, f"{name}_API_KEY", "")
    assert found() == {"ragsite.E002"}


def test_a_fallback_elsewhere_without_a_key(settings: Any) -> None:
    settings.ANSWER_FALLBACK_MODELS = ["second", "llama at http://10.0.0.5:11434/v1"]
    assert found() == set()  # nobody asks it
    settings.ANSWER_PROVIDER, settings.ANSWER_API_KEY = "openai", "sk-first"
    assert found() == {"ragsite.E002"}
    settings.ANSWER_API_KEYS = {"10.0.0.5:11434": "none"}
    assert found() == set()


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        ({"S3_BUCKET": "uploads"}, set()),
        ({"S3_BUCKET": "uploads", "S3_ACCESS_KEY_ID": "id", "S3_SECRET_ACCESS_KEY": "secret"}, set()),
        ({}, {"ragsite.E006"}),
        ({"S3_BUCKET": "uploads", "S3_ACCESS_KEY_ID": "id"}, {"ragsite.E006"}),
        ({"S3_BUCKET": "uploads", "S3_SECRET_ACCESS_KEY": "secret"}, {"ragsite.E006"}),
        ({"S3_BUCKET": "uploads", "S3_ENDPOINT_URL": "minio:9000"}, {"ragsite.E006"}),
    ],
)
def test_a_bucket_is_described(settings: Any, described: dict[str, str], expected: set[str]) -> None:
    settings.STORAGE = "s3"
    for name, value in described.items():
        setattr(settings, name, value)
    assert found() == expected


def test_good_settings_are_silent() -> None:
    assert found() == set()


@pytest.mark.parametrize(
    ("number", "old"),
    [(180_005, True), (180_006, False), (150_018, True), (150_019, False), (190_000, False)],
)
def test_versions_of_postgres(number: int, old: bool) -> None:  # noqa: FBT001  a column of the table
    assert [message.id for message in checks.outdated_postgres(number)] == ["ragsite.W001"] * old


@pytest.mark.parametrize(
    ("version", "old"), [("0.8.5", True), ("0.8.6", False), ("0.10.0", False), ("1.0", False), (None, False)]
)
def test_versions_of_pgvector(version: str | None, old: bool) -> None:  # noqa: FBT001  a column of the table
    assert [message.id for message in checks.outdated_pgvector(version)] == ["ragsite.W002"] * old


@pytest.mark.django_db
def test_servers_are_asked_where_a_database_may_be() -> None:
    assert all(
        message.id in {"ragsite.W001", "ragsite.W002"}
        for message in checks.servers_are_recent(databases=["default"])
    )
    assert checks.servers_are_recent(databases=None) == []


@pytest.mark.parametrize(
    ("bypasses", "owns", "ids"),
    [(True, True, ["ragsite.E005"]), (False, True, ["ragsite.W004"]), (False, False, [])],
)
def test_a_role_that_walls_do_not_hold_is_told_of(bypasses: bool, owns: bool, ids: list[str]) -> None:  # noqa: FBT001  a table's columns
    assert [message.id for message in checks.role_messages(bypasses=bypasses, owns=owns)] == ids
