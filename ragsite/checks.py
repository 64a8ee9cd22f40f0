"""System checks: bad configuration says what to do."""

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004  Django's name for it
from django.db import connections

from accounts import attempts
from queries.generating import chat_models
from ragsite.lib import crypto
from ragsite.lib.inference import endpoint_keys


@register()
def encryption_key_is_one(**_: Any) -> list[CheckMessage]:
    try:
        crypto.check(settings.ENCRYPTION_KEY)
    except ValueError:
        return [
            Error(
                "ENCRYPTION_KEY is not a Fernet key, or several with commas between.",
                hint="Make one: python -c 'from cryptography.fernet import Fernet; "
                "print(Fernet.generate_key().decode())'",
                id="ragsite.E001",
            )
        ]
    return []


@register()
def models_can_be_reached(**_: Any) -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    for name in endpoint_keys.KINDS:
        key = endpoint_keys.key_for(getattr(settings, f"{name}_BASE_URL"), of=name)
        if getattr(settings, f"{name}_PROVIDER") == "openai" and not key:
            problems.append(
                Error(
                    f"{name}_PROVIDER is openai and {name}_API_KEY is empty.",
                    hint="Set the endpoint's key; for one that asks for none, any word.",
                    id="ragsite.E002",
                )
            )
    return problems


@register()
def fallbacks_can_be_asked(**_: Any) -> list[CheckMessage]:
    try:
        keyless = [listed for listed in chat_models.listed()[1:] if not listed.api_key]
    except ValueError as error:
        return [
            Error(
                f"ANSWER_MODEL or ANSWER_FALLBACK_MODELS cannot be read: {error}.",
                hint="Write a model's name, or: model at https://host/v1. Keys stand in ANSWER_API_KEYS.",
                id="ragsite.E008",
            )
        ]
    if settings.ANSWER_PROVIDER != "openai":
        return []
    return [
        Error(
            f"The fallback {listed.model} at {listed.base_url} has no key.",
            hint="Add host=key to ANSWER_API_KEYS; for an endpoint that asks for none, any word.",
            id="ragsite.E002",
        )
        for listed in keyless
    ]


@register()
def networks_are_networks(**_: Any) -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    for name in ("TRUSTED_PROXIES", "WEBHOOK_ALLOWED_NETWORKS"):
        for entry in getattr(settings, name):
            try:
                ip_network(entry, strict=False)
            except ValueError:
                problems.append(
                    Error(
                        f"{name} has {entry!r}, which is no address.",
                        hint="List addresses or networks (10.0.0.0/8), separated by commas.",
                        id="ragsite.E003",
                    )
                )
    return problems


@register()
def token_rate_is_a_rate(**_: Any) -> list[CheckMessage]:
    try:
        attempts.parse(settings.TOKEN_RATE)
    except ValueError:
        return [
            Error(
                f"TOKEN_RATE is {settings.TOKEN_RATE!r}, which is no rate.",
                hint="Write tries and time, such as 10/m; s, m, h and d are known, and 10/5m is 10 in 5 minutes.",
                id="ragsite.E004",
            )
        ]
    return []


@register()
def reranker_has_an_address(**_: Any) -> list[CheckMessage]:
    if settings.RERANK_PROVIDER != "none" and not settings.RERANK_URL.startswith(("http://", "https://")):
        return [
            Error(
                f"RERANK_PROVIDER is {settings.RERANK_PROVIDER} and RERANK_URL is {settings.RERANK_URL!r}.",
                hint="Set the whole address that reranks, such as https://api.jina.ai/v1/rerank.",
                id="ragsite.E009",
            )
        ]
    return []


# Instructions, a tenant's prompt, the question and a source that says something: 4,000 characters and some more.
LEAST_PROMPT_TOKENS = 1_500


@register()
def window_has_room(**_: Any) -> list[CheckMessage]:
    if settings.ANSWER_WINDOW_TOKENS >= settings.ANSWER_MAX_TOKENS + LEAST_PROMPT_TOKENS:
        return []
    return [
        Error(
            "ANSWER_WINDOW_TOKENS has no room for a prompt beside ANSWER_MAX_TOKENS.",
            hint=f"Set it to what the model reads at once, at least {LEAST_PROMPT_TOKENS} more than ANSWER_MAX_TOKENS.",
            id="ragsite.E010",
        )
    ]


@register(Tags.database)
def walls_hold(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Runs as `servers_are_recent` does. Row-level security holds nobody who may bypass it."""
    if not databases:
        return []
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        bypasses = cursor.fetchone()[0]
    return role_messages(bypasses=bypasses, owns=not settings.DATABASE_OWNER_URL)


def role_messages(*, bypasses: bool, owns: bool) -> list[CheckMessage]:
    if bypasses:
        return [
            Error(
                "DATABASE_URL's role is a superuser, or has BYPASSRLS: row-level security does not hold it.",
                hint="Connect as a plain role; docs/deployment.md makes one.",
                id="ragsite.E005",
            )
        ]
    if owns:
        return [
            Warning(
                "DATABASE_URL's role owns the tables, and could take down the walls between tenants.",
                hint="Set DATABASE_OWNER_URL for migrations and workers, and connect as a role that owns nothing.",
                id="ragsite.W004",
            )
        ]
    return []


@register(Tags.database)
def servers_are_recent(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Runs where a database may be asked: with `migrate`, and with `check --database default`."""
    if not databases:
        return []
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('server_version_num')::int,"
            " (SELECT extversion FROM pg_extension WHERE extname = 'vector')"
        )
        server, vector = cursor.fetchone()
    return [*outdated_postgres(server), *outdated_pgvector(vector)]


# The first minors of August 2026. Before them a text index can be used against the server (CVE-2026-14662).
SAFE_MINORS = {15: 19, 16: 15, 17: 11, 18: 6}
SAFE_PGVECTOR = (0, 8, 6)


def outdated_postgres(number: int) -> list[CheckMessage]:
    """`number` as `server_version_num` has it: 180005 is 18.5."""
    major, minor = divmod(number, 10_000)
    if minor >= SAFE_MINORS.get(major, 0):
        return []
    return [
        Warning(
            f"Postgres {major}.{minor} has a known hole (CVE-2026-14662).",
            hint=f"Update the server to {major}.{SAFE_MINORS[major]} or later.",
            id="ragsite.W001",
        )
    ]


def outdated_pgvector(version: str | None) -> list[CheckMessage]:
    """`version` None: it is not installed yet; the first migration does that."""
    if version is None or tuple(int(part) for part in version.split(".")) >= SAFE_PGVECTOR:
        return []
    return [
        Warning(
            f"pgvector {version} is older than 0.8.6.",
            hint="Update the server's package, then: ALTER EXTENSION vector UPDATE.",
            id="ragsite.W002",
        )
    ]
