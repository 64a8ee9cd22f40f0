"""Networks, scopes and limits: who is refused gets nothing and spends nothing."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from django.test import Client

from apikeys import usage
from apikeys.admission import Lookup
from ragsite.lib import redis_client
from tests.apikeys.admitting import HERE, admit
from tests.makers import Party, make_key
from tests.outages import redis_refused
from tests.problems import problem


@pytest.mark.parametrize(
    ("network", "address", "inside"),
    [
        ("10.0.0.0/8", "10.255.0.1", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("192.0.2.7/32", "192.0.2.7", True),
        ("192.0.2.7/32", "192.0.2.6", False),
        ("0.0.0.0/0", "203.0.113.1", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("2001:db8::/33", "2001:db8:7fff::1", True),
        ("2001:db8::/33", "2001:db8:8000::1", False),
    ],
)
def test_networks(ours: Party, network: str, address: str, inside: bool) -> None:  # noqa: FBT001  a column of the table
    _, raw = make_key(ours.tenant, networks=["198.51.100.0/24", network])
    lookup = Lookup(address=address)
    assert admit(raw, lookup).from_here is inside
    with redis_refused():
        assert admit(raw, lookup).from_here is inside


def test_stolen_key_cannot_spend_its_owners_limit(ours: Party) -> None:
    _, raw = make_key(ours.tenant, networks=["10.0.0.0/8"], rate_limit=1, burst=1)
    for _ in range(5):
        assert not admit(raw, Lookup(address="203.0.113.1")).admitted
    assert admit(raw, Lookup(address="10.0.0.1")).admitted


def kept(party: Party, digest: str) -> None:
    """An answer in the cache, under the version that the corpus has."""
    client = redis_client.client()
    client.hset(f"corpus:{party.tenant.pk}", mapping={"version": 3, "pending": 3})
    client.set(f"answer:{party.tenant.pk}:all:3:{digest}", b"s" * 16 + str(party.key.pk).encode() + b"{}")


def test_cached_answer_is_found_and_recorded_in_the_same_trip(ours: Party) -> None:
    digest = sha256(b"question").hexdigest()
    kept(ours, digest)
    request = str(ours.tenant.pk)
    found = admit(
        ours.raw,
        replace(
            HERE, digest=digest, question="Why?", request_id=request, endpoint="/api/query", method="POST"
        ),
    )
    assert found.corpus_version == 3
    assert found.stored is not None
    entries: Any = redis_client.client().xrange(usage.STREAM)
    ((_, fields),) = entries
    assert fields[b"id"] == request.encode()
    assert fields[b"answer"] == str(ours.key.pk).encode()


@pytest.mark.parametrize("why", ["scope", "network", "limit", "change under way", "other rights"])
def test_who_is_refused_finds_nothing_and_leaves_no_record(ours: Party, why: str) -> None:
    digest = sha256(b"question").hexdigest()
    kept(ours, digest)
    kinds: dict[str, dict[str, Any]] = {
        "scope": {"scopes": ["ingest"]},
        "network": {"networks": ["10.0.0.0/8"]},
        "limit": {"rate_limit": 1, "burst": 1},
        "other rights": {"collection_ids": []},
    }
    _, raw = make_key(ours.tenant, **kinds.get(why, {}))
    if why == "limit":
        admit(raw)
    if why == "change under way":
        redis_client.client().hset(f"corpus:{ours.tenant.pk}", "pending", 4)
    assert admit(raw, Lookup(digest=digest, address="203.0.113.1")).stored is None
    assert redis_client.client().xlen(usage.STREAM) == 0


# Over HTTP ------------------------------------------------------------------------------------------------------


def test_limit_is_told_in_headers(ours: Party) -> None:
    _, raw = make_key(ours.tenant, rate_limit=30, burst=3)
    client = Client(HTTP_X_API_KEY=raw)
    answers = [client.get("/api/keys/self") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert {answer["X-RateLimit-Limit"] for answer in answers} == {"30"}
    assert {answer["RateLimit-Policy"] for answer in answers} == {'"key";q=3;w=6'}
    assert [answer["X-RateLimit-Reset"] for answer in answers] == ["2", "4", "6", "6"]
    assert answers[-1]["RateLimit"] == '"key";r=0;t=2'
    problem(answers[-1], 429, "rate_limited")
    assert answers[-1]["Retry-After"] == "2"
    assert "Retry-After" not in answers[0]


def test_forwarded_address_counts_only_behind_a_proxy_of_ours(ours: Party, settings: Any) -> None:
    _, raw = make_key(ours.tenant, networks=["198.51.100.0/24"])
    client = Client(HTTP_X_API_KEY=raw)
    forged: Any = {"HTTP_X_FORWARDED_FOR": "198.51.100.7"}
    problem(client.get("/api/keys/self", REMOTE_ADDR="203.0.113.9", **forged), 403, "network")
    settings.TRUSTED_PROXIES = ["10.0.0.1"]
    problem(client.get("/api/keys/self", REMOTE_ADDR="203.0.113.9", **forged), 403, "network")
    assert client.get("/api/keys/self", REMOTE_ADDR="10.0.0.1", **forged).status_code == 200
    twice: Any = {"HTTP_X_FORWARDED_FOR": "198.51.100.7, 203.0.113.9"}
    problem(client.get("/api/keys/self", REMOTE_ADDR="10.0.0.1", **twice), 403, "network")
