"""Where the answer to a request's question is looked for in the cache, and what is on record of one that was there."""

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
from queries.history import Hit
from ragsite.lib.concurrency import turns
from ragsite.lib.middleware import elapsed_ms, request_id


class Place(Protocol):
    """`name`: under which an answer is kept; None where none is."""

    @property
    def name(self) -> Name | None: ...

    def find(self) -> Kept | None:
        """What is there, on record as this request's answer."""
        ...


@dataclass(frozen=True, slots=True)
class Nowhere:
    """While the corpus is changing or Redis is down, and for who asks past the cache."""

    name: None = None

    def find(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class AtAdmission:
    """A key's admission has looked, and has recorded what it took for a hit. `stored`: as it stands in Redis."""

    request: Request
    name: Name
    stored: bytes | None

    def find(self) -> Kept | None:
        """What is no answer was no hit; the request's own record corrects that one (`apikeys.usage.write`)."""
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
    """Nobody has looked yet: for people, and for keys whose admission knew no version, after a quiet minute."""

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
    """That a request was given an answer that somebody else's made; the record of use follows at its end."""
    tabs.of(request_id(request)).from_cache = True
    hit = Hit(
        id=request_id(request),
        tenant_id=caller.tenant_id,
        key_id=caller.key_id,
        user_id=caller.person_id,
        question=ask.question,
        answer=kept.query_id,
        milliseconds=elapsed_ms(request),
        conversation_id=ask.conversation,
    )
    with turns.turn(for_client=False):  # hundreds may have waited for one answer
        history.save_hits([hit])
