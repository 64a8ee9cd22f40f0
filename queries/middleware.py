"""Answers a question from the cache before DRF and most of Django run, with the same result.

A question that comes with a key and as plain JSON is admitted here, and if admission finds a cached answer, that is
sent at once. Everything else (a miss, a refusal, anything unusual) takes the long way through DRF. The admission is
left on the request, so that no token is taken twice and nothing is recorded twice.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse

from apikeys import admission, authentication, keys
from apikeys.admission import Admission, Lookup
from apikeys.middleware import limit_headers
from queries import quick_parse, replies
from queries.answers import Ask
from queries.caching import cache
from queries.caching.seals import unseal
from ragsite.lib.errors import Unauthenticated

PATH = "/api/query"
MAX_BODY = 32 * 1024  # enough for 4,000 characters, however they are escaped
_JSON = frozenset({"application/json", "application/json; charset=utf-8", "application/json;charset=utf-8"})
_ACCEPTED = frozenset(
    {"*/*", "application/json", "application/json, */*", "application/json, text/plain, */*"}
)
# Headers that may change the answer's headers (a browser's page), or what is done (a request that is repeated).
_UNUSUAL = ("HTTP_ORIGIN", "HTTP_IDEMPOTENCY_KEY", "HTTP_TRANSFER_ENCODING", "HTTP_EXPECT")


class _Asked(NamedTuple):
    key_hash: str
    ask: Ask
    digest: str


class CachedAnswers:
    """Stands after RequestID, and before the middleware that only writes headers or serves other requests.

    The headers that those would write are copied from the first cached answer of this process that went the long way. A
    request that could get other headers (see `_is_usual`) always goes the long way.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self._headers: dict[str, Mapping[str, str]] = {}  # by scheme: HTTPS has one more

    def __call__(self, request: HttpRequest) -> HttpResponse:
        asked = _asked(request)
        if asked is None:
            return self.get_response(request)
        try:
            found = admission.admit(asked.key_hash, _lookup(request, asked))
        except (OperationalError, InterfaceError) as error:
            # Redis does not know the key, and Postgres is down. The long way must not ask it again, which takes
            # seconds.
            authentication.leave(request, error)
            return self.get_response(request)
        body = _body(request, asked, found)
        headers = self._headers.get(str(request.scheme))
        if found is not None and body is not None and headers is not None:
            return HttpResponse(
                body, headers={**headers, "Content-Length": str(len(body)), **limit_headers(found)}
            )
        authentication.leave(request, found)
        response = self.get_response(request)
        if body is not None:
            self._learn(request, response)
        return response

    def _learn(self, request: HttpRequest, response: HttpResponse) -> None:
        if response.status_code == 200 and not response.cookies:
            self._headers[str(request.scheme)] = dict(response.items())


def _asked(request: HttpRequest) -> _Asked | None:
    """The question, if it is certainly one for the cache, with a key, that no other middleware would stop."""
    if request.method != "POST" or request.path != PATH or not _is_usual(request):
        return None
    raw = _key(request)
    ask = quick_parse.ask(request.body) if raw is not None else None
    if raw is None or ask is None:
        return None
    return _Asked(keys.digest(raw), ask, cache.digest(ask))


def _is_usual(request: HttpRequest) -> bool:
    meta = request.META
    return (
        request.path_info == PATH
        and not meta.get("QUERY_STRING")
        and meta.get("CONTENT_TYPE", "").lower() in _JSON
        and meta.get("HTTP_ACCEPT", "*/*") in _ACCEPTED
        and not any(name in meta for name in _UNUSUAL)
        and not meta.get("HTTP_COOKIE")
        and _is_small(meta.get("CONTENT_LENGTH", ""))
        and _is_for_us(request)
    )


def _is_small(length: str) -> bool:
    """Zeros may stand before a length, and make a long number of it: that one is not usual."""
    return length.isascii() and length.isdecimal() and len(length) < 10 and int(length) <= MAX_BODY


def _is_for_us(request: HttpRequest) -> bool:
    """Neither redirected to HTTPS nor refused for its host."""
    try:
        request.get_host()
    except DisallowedHost:
        return False
    return not settings.SECURE_SSL_REDIRECT or request.is_secure()


def _key(request: HttpRequest) -> str | None:
    """The presented key, if it has the shape of one."""
    try:
        raw = authentication.presented_key(request)
    except Unauthenticated:
        return None  # the long way refuses it
    return raw if raw is not None and keys.has_shape(raw) else None


def _lookup(request: HttpRequest, asked: _Asked) -> Lookup:
    question = asked.ask.question
    return authentication.lookup_for(
        request, endpoint=PATH, digest=asked.digest, question=question, asks=True
    )


def _body(request: HttpRequest, asked: _Asked, found: Admission | None) -> bytes | None:
    """The answer, if admission found a valid one. The long way corrects the hit if what it found is not valid."""
    if found is None or found.stored is None or found.corpus_version is None:
        return None
    name = cache.name(found.caller, found.corpus_version, asked.digest)
    kept = unseal(str(name), found.stored)
    return None if kept is None else replies.body(request, asked.ask, kept)
