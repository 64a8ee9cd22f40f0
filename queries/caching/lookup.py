"""Looks for the answer to a request in the cache, and records a hit."""

from dataclasses import dataclass
from typing import Protocol

from rest_framework.request import Request

from accounts import corpus
from apikeys import tabs, usage
from apikeys.authentication import admission_of
from apikeys.callers import Caller
from queries import history
from queries.answers import Ask
from queries.caching import cache
from queries.caching.cache import Name
from queries.caching.seals import Kept, unseal
from queries.history import CacheHit
from ragsite.lib.concurrency import computing
from ragsite.lib.middleware import elapsed_ms, request_id


class Place(Protocol):
    """Where to look for the answer. `name` is the one that it would be kept under; None: it is not cached."""

    @property
    def name(self) -> Name | None: ...

    def find(self) -> Kept | None:
        """The cached answer, after recording that this request was given it."""
        ...


@dataclass(frozen=True, slots=True)
class Nowhere:
    """For requests that bypass the cache, and while the corpus is changing or Redis is down."""

    name: None = None

    def find(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class AtAdmission:
    """The admission of the request's key has looked already. `stored` is what it found, and recorded as a hit."""

    request: Request
    name: Name
    stored: bytes | None

    def find(self) -> Kept | None:
        """If `stored` is not a valid answer it counts as a miss; the request's own record of use corrects the hit's."""
        if self.stored is None:
            return None
        kept = unseal(str(self.name), self.stored)
        if kept is None:
            cache.count_miss_instead(self.name.tenant_id)
        else:
            usage.mark_recorded(self.request)
        return kept


@dataclass(frozen=True, slots=True)
class InCache:
    """Nobody has looked yet: for people, and for keys whose admission did not know the corpus version."""

    request: Request
    caller: Caller
    name: Name
    ask: Ask

    def find(self) -> Kept | None:
        kept = cache.find(self.name)
        if kept is not None:
            record(self.request, self.caller, self.ask, kept=kept)
        return kept


def place(request: Request, caller: Caller, ask: Ask) -> Place:
    admitted = admission_of(request)
    if admitted is not None and admitted.corpus_version is not None:
        name = cache.name(caller, admitted.corpus_version, cache.digest(ask))
        return AtAdmission(request, name, admitted.stored)
    version = corpus.version(caller.tenant_id)
    if version is None:
        return Nowhere()
    return InCache(request, caller, cache.name(caller, version, cache.digest(ask)), ask)


def record(request: Request, caller: Caller, ask: Ask, *, kept: Kept) -> None:
    """Records in the history that a request was given a kept answer. Its record of use is written at its end."""
    tabs.of(request_id(request)).from_cache = True
    hit = CacheHit(
        id=request_id(request),
        tenant_id=caller.tenant_id,
        key_id=caller.key_id,
        user_id=caller.person_id,
        question=ask.question,
        origin=kept.query_id,
        milliseconds=elapsed_ms(request),
        conversation_id=ask.conversation,
    )
    with computing.slot(for_client=False):  # hundreds may have waited for one answer
        history.save_cache_hits([hit])
