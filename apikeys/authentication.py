"""Reads a key from a request's headers and admits the request."""

import math
from typing import Any, Protocol, runtime_checkable

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from apikeys import admission, budgets, callers, keys, retries, usage
from apikeys.admission import Admission, Lookup
from apikeys.callers import Caller
from apikeys.permissions import HasBudget
from ragsite.lib.addresses import client_address
from ragsite.lib.errors import Forbidden, RateLimited, Unauthenticated
from ragsite.lib.middleware import elapsed_ms, request_id

_ADMISSION = "ragsite.admission"  # in request.META; the middleware makes the limit's headers of it
_BEFORE = "ragsite.admitted"  # in request.META: what somebody before DRF has found


@runtime_checkable
class AnswersFromCache(Protocol):
    """A view whose answer may be cached tells, before anyone is signed in, what it would be cached under."""

    def digest(self, request: Request) -> tuple[str, str]:
        """A digest of everything that decides the answer, and the question as asked; ("", "") when invalid."""
        ...


class APIKeyAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[Caller, Admission] | None:
        raw = presented_key(request)
        if raw is None:
            return None
        # Unknown, revoked, expired and malformed keys get one and the same answer. They are compared as SHA-256
        # digests by an index look-up: its timing tells about the digest, from which no key can be worked out.
        found = _admitted(request, raw)
        if found is None:
            raise Unauthenticated("No valid credentials were given.")
        request.META[_ADMISSION] = found
        callers.attach(request, found.caller)
        if not found.from_here:
            raise Forbidden("This key may not be used from this network.", code="network")
        if not found.admitted:
            wait = math.ceil(found.retry_after)
            raise RateLimited(
                f"This key's limit is {found.rate_limit} requests a minute. Try again in {wait} s.",
                headers={"Retry-After": str(max(1, wait))},
            )
        if found.exhausted:
            raise budgets.refusal(found.exhausted)
        return found.caller, found

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="ragsite"'


def leave(request: HttpRequest, found: Admission | OperationalError | InterfaceError | None) -> None:
    """Hands what `admission.admit` found on to DRF, so that the request is not admitted, limited and recorded twice.

    `found` may be an error that it raised: DRF's view raises that again, and makes an answer of it.
    """
    request.META[_BEFORE] = found


def _admitted(request: Request, raw: str) -> Admission | None:
    if _BEFORE in request.META:
        found: Admission | OperationalError | InterfaceError | None = request.META[_BEFORE]
        if isinstance(found, OperationalError | InterfaceError):
            raise found
        return found
    return admission.admit(keys.digest(raw), _lookup(request)) if keys.has_shape(raw) else None


def presented_key(request: HttpRequest | Request) -> str | None:
    """The key in `X-API-Key` or `Authorization: Bearer`; None where there is none, so that a JWT gets its turn."""
    header = request.META.get("HTTP_X_API_KEY")
    scheme, _, bearer = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    bearer = bearer.strip() if scheme.lower() == "bearer" and bearer.strip().startswith("rag_") else None
    if header is not None and bearer is not None and header != bearer:
        raise Unauthenticated("No valid credentials were given.")  # whether one of them counts is not told
    return header if header is not None else bearer


def admission_of(request: Any) -> Admission | None:
    found: Admission | None = request.META.get(_ADMISSION)
    return found


def lookup_for(
    request: HttpRequest | Request, *, endpoint: str, digest: str, question: str, asks: bool
) -> Lookup:
    """What admission is asked for a request; for the rest see `Lookup`."""
    return Lookup(
        address=client_address(request),
        digest=digest,
        question=question,
        request_id=str(request_id(request)),
        endpoint=endpoint,
        method=str(request.method),
        milliseconds=elapsed_ms(request),
        asks=asks,
    )


def _lookup(request: Request) -> Lookup:
    view = request.parser_context["view"]  # DRF sets it before it authenticates
    # Another method than POST is refused later on, and must not be recorded as an answer that was found.
    posted = request.method == "POST"
    # Nor must one that may be answered with what its first sending got: that is no new answer.
    cacheable = posted and isinstance(view, AnswersFromCache) and not retries.is_repeatable(request)
    digest, question = view.digest(request) if cacheable else ("", "")
    asks = posted and HasBudget in view.permission_classes
    return lookup_for(request, endpoint=usage.endpoint(request), digest=digest, question=question, asks=asks)
