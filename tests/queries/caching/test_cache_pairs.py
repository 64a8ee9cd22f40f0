"""Questions that differ in one thing never share an answer, in the real Redis and by the way that requests go."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from apikeys import admission
from apikeys.admission import Admission, Lookup
from apikeys.models import APIKey
from documents.models import Collection
from queries.answers import Ask, Turn
from queries.caching import cache
from queries.caching.cache import Name
from queries.caching.seals import unseal
from ragsite.lib import compact, redis_client
from ragsite.lib.identifiers import uuid7
from tests.makers import Party, make_key
from tests.outages import redis_waited_for

pytestmark = pytest.mark.django_db

PAIRS = 1_000
WITHIN = cache.Limits(seconds=60, room=10_000_000)
DOCUMENTS = tuple(uuid7() for _ in range(4))


@pytest.fixture(autouse=True)
def redis_has_time() -> Iterator[None]:
    with redis_waited_for():
        yield


@dataclass(frozen=True)
class Asked:
    """Whose key asks what, at which version of the corpus."""

    tenant: str
    rights: str
    version: int
    ask: Ask


Keys = Mapping[tuple[str, str], APIKey]


@pytest.fixture
def keys(ours: Party, theirs: Party) -> Keys:
    """Three of each tenant: one may read everything, the others a collection each."""
    found = {}
    for party in (ours, theirs):
        slug = party.tenant.slug
        found[slug, "all"], _ = make_key(party.tenant)
        for name in ("minutes", "letters"):
            collection = Collection.objects.create(tenant=party.tenant, name=name)
            found[slug, name], _ = make_key(party.tenant, collection_ids=[collection.pk])
    return found


def look(keys: Keys, asked: Asked) -> tuple[Name, Admission]:
    """As a request does: at admission."""
    key = keys[asked.tenant, asked.rights]
    redis_client.client().hset(f"corpus:{key.tenant_id}", "version", asked.version)
    digest = cache.digest(asked.ask)
    found = admission.admit(key.key_hash, Lookup("127.0.0.1", digest=digest, request_id=str(uuid7())))
    assert found is not None
    assert found.corpus_version == asked.version
    return cache.name(found.caller, asked.version, digest), found


CHANGES: Mapping[str, Callable[[random.Random, Ask], Ask]] = {
    "digits": lambda _, ask: replace(ask, question=ask.question.replace("13", "31")),
    "words": lambda chance, ask: replace(ask, question=f"{ask.question} {chance.choice(['not', '²', 'a', '.'])}"),
    "top_k": lambda chance, ask: replace(ask, top_k=(ask.top_k or 0) + chance.randrange(1, 9)),
    "collection": lambda chance, ask: replace(ask, collection=f"{ask.collection}{chance.randrange(9)}"),
    "documents": lambda _, ask: replace(ask, document_ids=(ask.document_ids or ())[1:] or DOCUMENTS[2:]),
    "metadata": lambda chance, ask: replace(ask, metadata={**ask.metadata, "year": chance.choice([1, "1", None])}),
    "route": lambda _, ask: replace(ask, route={"auto": "documents"}.get(ask.route, "auto")),
    "database": lambda chance, ask: replace(ask, database=f"{ask.database}{chance.randrange(9)}"),
    "turns": lambda chance, ask: replace(ask, turns=(*ask.turns, Turn("user", str(chance.randrange(9))))),
}  # fmt: skip


def some(chance: random.Random, number: int) -> Asked:
    """A question that no other pair has."""
    ask = Ask(
        f"What became of order {number:05}13?",
        top_k=chance.choice([None, 1, 5]),
        collection=chance.choice([None, "minutes"]),
        document_ids=chance.choice([None, (), DOCUMENTS[:2]]),
        metadata=chance.choice([{}, {"year": 2}]),
        route=chance.choice(["auto", "documents"]),
        turns=chance.choice([(), (Turn("user", "Hello"), Turn("assistant", "Hello"))]),
    )
    return Asked(
        chance.choice(["ours", "theirs"]), chance.choice(["all", "minutes"]), chance.randrange(1, 99), ask
    )


def other(chance: random.Random, asked: Asked) -> tuple[str, Asked]:
    """The same but for one thing, and which that is."""
    what = chance.choice(["tenant", "rights", "version", *CHANGES])
    if what == "tenant":
        return what, replace(asked, tenant={"ours": "theirs", "theirs": "ours"}[asked.tenant])
    if what == "rights":
        return what, replace(asked, rights={"all": "minutes", "minutes": "letters"}[asked.rights])
    if what == "version":
        return what, replace(asked, version=asked.version + chance.choice([1, 10, 100]))
    return what, replace(asked, ask=CHANGES[what](chance, asked.ask))


def test_a_thousand_pairs_that_differ_in_one_thing_share_no_answer(keys: Keys) -> None:
    chance = random.Random(48213)
    seen: dict[str, int] = {}
    shared: list[Any] = []
    for number in range(PAIRS):
        one = some(chance, number)
        what, another = other(chance, one)
        seen[what] = seen.get(what, 0) + 1
        name, _ = look(keys, one)
        cache.keep(name, WITHIN, query_id=uuid7(), body=compact.encoded({"answer": number}))
        found = look(keys, another)
        if found[1].stored is not None or cache.find(found[0]) is not None:
            shared.append((what, one, another))
        own = unseal(str(name), look(keys, one)[1].stored)
        assert own is not None
        assert own.shared() == {"answer": number}
    assert not shared, (len(shared), shared[:3])
    assert sum(seen.values()) == PAIRS
    assert min(seen.values()) >= 50
