"""One run and one answer for a request that its client sends more than once, told by its Idempotency-Key.

After draft-ietf-httpapi-idempotency-key-header. Everything stands in Postgres: neither a lost Redis nor a killed
process makes a request run twice whose answer was kept. Whoever inserts the row runs the request, under a lease;
the others wait for the answer. Only an answer is kept: a request that failed has left nothing to protect, so that
its key is free again at once. A killed process leaves a lease that ends, and the next retry runs the request.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from time import monotonic
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import IntegrityError, connection

from apikeys.callers import Caller
from apikeys.models import APIKey, IdempotentRequest
from ragsite.lib import postgres
from ragsite.lib.concurrency import waiting
from ragsite.lib.errors import Conflict, Invalid, Unauthenticated

MAX_KEY = 255
MAX_BODY_BYTES = 1024 * 1024
KEPT_FOR = timedelta(days=1)
# A waiting request holds a thread of its server: a few of them must not hold up everybody else's for long.
WAIT_SECONDS = 10.0
RETRY_AFTER_SECONDS = 5
_PAUSE_SECONDS = 0.1
_SLACK_SECONDS = 30  # what a request may take besides the model's time, which is bounded

State = IdempotentRequest.State

# Takes a key that nobody has, whose day is over, or whose run was given up by a process that is gone. The last only
# with the same body: another one is a mistake of the client's, whatever became of the first.
_CLAIM = """
INSERT INTO apikeys_idempotentrequest AS earlier (id, tenant_id, client, endpoint, key_digest, body_digest, state,
    claim, leased_until, content_type, headers, created_at, expires_at)
VALUES (%(claim)s, %(tenant)s, %(client)s, %(endpoint)s, %(key)s, %(body)s, 'running', %(claim)s,
    STATEMENT_TIMESTAMP() + %(lease)s, '', '{}', STATEMENT_TIMESTAMP(), STATEMENT_TIMESTAMP() + %(kept)s)
ON CONFLICT (tenant_id, client, endpoint, key_digest) DO UPDATE SET
    body_digest = excluded.body_digest, state = 'running', claim = excluded.claim, leased_until = excluded.leased_until,
    status = NULL, content_type = '', headers = '{}', body = NULL,
    created_at = excluded.created_at, expires_at = excluded.expires_at
WHERE earlier.expires_at <= STATEMENT_TIMESTAMP()
    OR (earlier.state = 'running' AND earlier.leased_until <= STATEMENT_TIMESTAMP()
        AND earlier.body_digest = excluded.body_digest)
"""

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as far as it tells one from another. `claim`: the id of this sending of it."""

    tenant_id: UUID
    client: UUID
    endpoint: str
    key_digest: str
    body_digest: str
    claim: UUID


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it went out."""

    status: int
    content_type: str
    headers: Mapping[str, str]
    body: bytes


def check_key(value: str) -> str:
    """The key as it was sent, quotation marks and all; raises Invalid (`idempotency_key`)."""
    if not value.strip() or len(value) > MAX_KEY or not (value.isascii() and value.isprintable()):
        raise Invalid(
            f"An Idempotency-Key has 1 to {MAX_KEY} printable ASCII characters.", code="idempotency_key"
        )
    return value


def sent(caller: Caller, *, endpoint: str, key: str, body: Any, claim: UUID) -> Sent:
    """`body`: what JSON can tell. What the caller may read is part of the key: a kept answer never shows more."""
    return Sent(
        tenant_id=caller.tenant_id,
        client=_client(caller),
        endpoint=endpoint,
        key_digest=sha256(f"{caller.rights}:{key}".encode()).hexdigest(),
        body_digest=sha256(json.dumps(body, sort_keys=True).encode()).hexdigest(),
        claim=claim,
    )


def _client(caller: Caller) -> UUID:
    """A line of rotated keys is one client: it may get its new key between a request and the retry."""
    if caller.key_id is not None:
        key = APIKey.objects.for_tenant(caller.tenant_id).filter(pk=caller.key_id).first()
        return key.first_of_line if key else caller.key_id
    if caller.user_id is None:
        raise Unauthenticated("No valid credentials were given.")
    return caller.user_id


def begin(request: Sent) -> Kept | None:
    """The answer that an earlier sending got, waiting for it a while; None: this one is to be run.

    Then `keep` or `release` has to follow. Raises Conflict: `idempotency_mismatch` where the earlier one had another
    body, `idempotency_in_progress` where it is still running. To be called outside a transaction, or nobody sees it.
    """
    deadline = monotonic() + WAIT_SECONDS
    while not _claimed(request):
        kept = _kept(request)
        if kept is not None:
            return kept
        if monotonic() >= deadline:
            raise Conflict(
                "A request with this Idempotency-Key is still being answered.",
                code="idempotency_in_progress",
                headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
            )
        waiting.pause(_PAUSE_SECONDS)
    return None


def keep(request: Sent, answer: Kept) -> None:
    """Keeps the answer for retries, before it goes out; one that is too large is given up instead.

    Nothing is raised where Postgres is gone by now: the answer was made, and a retry makes it again.
    """
    if len(answer.body) > MAX_BODY_BYTES:
        release(request)
        return
    try:
        _own(request).update(
            state=State.ANSWERED,
            status=answer.status,
            content_type=answer.content_type,
            headers=dict(answer.headers),
            body=answer.body,
        )
    except postgres.DOWN:
        logger.exception("an answer could not be kept for retries")


def release(request: Sent) -> None:
    """Frees the key at once: nothing came of this sending, and the next one runs."""
    _own(request).delete()


def _claimed(request: Sent) -> bool:
    lease = timedelta(seconds=settings.ANSWER_TIMEOUT_SECONDS + _SLACK_SECONDS)
    values: dict[str, Any] = {
        "tenant": request.tenant_id,
        "client": request.client,
        "endpoint": request.endpoint,
        "key": request.key_digest,
        "body": request.body_digest,
        "claim": request.claim,
        "lease": lease,
        "kept": KEPT_FOR,
    }
    try:
        with connection.cursor() as cursor:
            cursor.execute(_CLAIM, values)
            return bool(cursor.rowcount)
    except IntegrityError as error:  # the tenant was deleted, and a copy of its key lives on for a moment
        raise Unauthenticated("No valid credentials were given.") from error


def _kept(request: Sent) -> Kept | None:
    """None while it is running, and when it has just been given up."""
    row = _rows(request).first()
    if row is None:
        return None
    if row.body_digest != request.body_digest:
        raise Conflict(
            "This Idempotency-Key was used with another body. A new request takes a new key.",
            code="idempotency_mismatch",
        )
    if row.status is None or row.body is None:
        return None
    return Kept(row.status, row.content_type, row.headers, bytes(row.body))


def _rows(request: Sent) -> Any:
    return IdempotentRequest.objects.for_tenant(request.tenant_id).filter(
        client=request.client, endpoint=request.endpoint, key_digest=request.key_digest
    )


def _own(request: Sent) -> Any:
    """The row, unless another sending has taken it over: this one's lease had ended then."""
    return _rows(request).filter(claim=request.claim, state=State.RUNNING)
