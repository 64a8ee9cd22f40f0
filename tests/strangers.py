"""Callers of every kind: those whom nobody knows, and those who are known and may do some things."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.test import Client
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from accounts.models import Tenant, User
from accounts.serializers import TokenIn
from apikeys import keys
from tests.makers import Party, make_key, make_user

MALFORMED = "rag_7"


def strangers(party: Party) -> dict[str, Client]:
    """Whoever holds nothing that counts. Everybody who once was known is of the party's tenant."""
    return (
        _with_no_key(party) | _with_dead_keys(party) | _with_dead_tokens(party) | _with_dead_sessions(party)
    )


@dataclass(frozen=True)
class World:
    """Two tenants' people and keys, by the columns of a table of permissions."""

    known: Mapping[str, Client]
    query_key: Any


def known(ours: Party, theirs: Party) -> World:
    query_key, raw = make_key(ours.tenant, scopes=["query"])
    return World(
        {
            "away": key(ours.tenant, networks=["192.0.2.0/24"]),
            "bare": key(ours.tenant, scopes=[]),
            "query": with_header(raw),
            "ingest": key(ours.tenant, scopes=["ingest"]),
            "user": session(ours.user),
            "boss": session(ours.business),
            "staff": session(make_user("operator", is_staff=True, is_superuser=True)),
            "t.query": key(theirs.tenant, scopes=["query"]),
            "t.ingest": key(theirs.tenant, scopes=["ingest"]),
            "t.user": session(theirs.user),
            "t.boss": session(theirs.business),
        },
        query_key,
    )


def key(tenant: Tenant, **settings: Any) -> Client:
    return with_header(make_key(tenant, **settings)[1])


def with_header(raw: str) -> Client:
    return Client(raise_request_exception=False, HTTP_X_API_KEY=raw)


def bearer(credential: object) -> Client:
    return Client(raise_request_exception=False, HTTP_AUTHORIZATION=f"Bearer {credential}")


def session(user: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def person(user: User) -> Client:
    """A session, and a token for where sessions do not count."""
    client = session(user)
    client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {access_token(user)}"
    return client


def access_token(user: User) -> AccessToken:
    refresh = TokenIn.get_token(user)
    assert isinstance(refresh, RefreshToken)
    return refresh.access_token


def _with_no_key(party: Party) -> dict[str, Client]:
    other = make_key(party.tenant)[1]
    both = Client(
        raise_request_exception=False, HTTP_X_API_KEY=party.raw, HTTP_AUTHORIZATION=f"Bearer {other}"
    )
    return {
        "nobody": Client(raise_request_exception=False),
        "unknown key": with_header(keys.generate()),
        "malformed key": bearer(MALFORMED),
        "key in capitals": with_header(party.raw.upper()),
        "key under another scheme": Client(HTTP_AUTHORIZATION=f"Token {party.raw}"),
        "two keys": both,
    }


def _with_dead_keys(party: Party) -> dict[str, Client]:
    revoked, raw = make_key(party.tenant)
    keys.revoke(revoked)
    rotated, old = make_key(party.tenant)
    keys.rotate(rotated)
    return {
        "expired key": key(party.tenant, expires_at=timezone.now() - timedelta(seconds=1)),
        "revoked key": with_header(raw),
        "rotated key": with_header(old),
        "closed tenant's key": key(_closed()),
    }


def _with_dead_tokens(party: Party) -> dict[str, Client]:
    inactive = make_user("inactive-jwt", tenant=party.tenant, role="business", is_active=False)
    changed = make_user("changed-jwt", tenant=party.tenant, role="business")
    before = access_token(changed)
    changed.password += "changed"  # the hash of another; making one properly takes long
    changed.save()
    return {
        "expired token": bearer(_expired(party.business)),
        "forged token": bearer(f"{access_token(party.business)}x"),
        "refresh token": bearer(TokenIn.get_token(party.business)),
        "inactive user's token": bearer(access_token(inactive)),
        "old password's token": bearer(before),
        "closed tenant's token": bearer(access_token(_closed_user("closed-jwt"))),
    }


def _with_dead_sessions(party: Party) -> dict[str, Client]:
    inactive = make_user("inactive", tenant=party.tenant, role="business", is_active=False)
    return {
        "inactive user": session(inactive),
        "closed tenant's user": session(_closed_user("closed")),
    }


def _expired(user: User) -> Token:
    token = access_token(user)
    token.set_exp(from_time=timezone.now() - timedelta(days=1), lifetime=timedelta(minutes=1))
    return token


def _closed() -> Tenant:
    return Tenant.objects.get_or_create(slug="closed", defaults={"name": "Closed", "active": False})[0]


def _closed_user(name: str) -> User:
    return make_user(name, tenant=_closed(), role="business")
