"""The history of questions and answers."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.tenancy import TenantQuerySet
from apikeys.callers import Caller
from queries.answers import Answer
from queries.models import Feedback, Query
from ragsite.lib.identifiers import made_at


def save(caller: Caller, made: Answer, *, milliseconds: float) -> None:
    generated = made.generated
    _write(
        caller,
        made.query_id,
        question=made.question,
        answer=generated.text,
        sources=made.shared()["sources"],
        generator=generated.generator,
        model=generated.model,
        prompt_tokens=generated.spent.prompt_tokens,
        completion_tokens=generated.spent.completion_tokens,
        cost_usd=generated.spent.cost_usd,
        timings_ms=dict(made.timings_ms),
        response_time_ms=milliseconds,
        status=Query.Status.ANSWERED if generated.found else Query.Status.NOT_FOUND,
    )


def save_failure(caller: Caller, question: str, *, query_id: UUID, code: str, milliseconds: float) -> None:
    _write(
        caller,
        query_id,
        question=question,
        response_time_ms=milliseconds,
        status=Query.Status.FAILED,
        error_code=code,
    )


def _write(caller: Caller, query_id: UUID, **fields: Any) -> None:
    """Replaces a row that was written of what looked like a hit, and was none."""
    row = Query(
        id=query_id,
        tenant_id=caller.tenant_id,
        key_id=caller.key_id,
        user_id=caller.person_id,
        created_at=made_at(query_id),
        **fields,
    )
    Query.objects.for_tenant(caller.tenant_id).bulk_create(
        [row], update_conflicts=True, unique_fields=["id"], update_fields=_COLUMNS
    )


_COLUMNS = [field.name for field in Query._meta.concrete_fields if not field.primary_key]  # noqa: SLF001  Django's documented name


def visible(caller: Caller) -> TenantQuerySet[Query]:
    """A key sees its own queries, a user their own, a business user the tenant's."""
    queries = Query.objects.for_tenant(caller.tenant_id).select_related("feedback")
    if caller.key_id:
        return queries.filter(key=caller.key_id)
    if caller.is_business:
        return queries
    return queries.filter(user=caller.user_id)


def rate(query: Query, *, rating: str, comment: str) -> Feedback:
    """A later rating replaces an earlier one."""
    feedback, _ = Feedback.objects.for_tenant(query.tenant_id).update_or_create(
        tenant_id=query.tenant_id, query=query, defaults={"rating": rating, "comment": comment}
    )
    return feedback


# A cached answer's row is a copy of the row of the query that it was made for, found by `answer`. Where that one is
# gone, what was asked, by whom and when is still true. One array a column: one statement, however many rows.
_HIT = {"id": "uuid", "tenant": "uuid", "key": "uuid", "user": "uuid", "question": "text", "answer": "uuid", "ms": "float8",
        "created": "timestamptz"}  # fmt: skip
_COPY = f"""
INSERT INTO queries_query (id, tenant_id, key_id, user_id, question, route, answer, sources, sql, generator, model,
    prompt_tokens, completion_tokens, cost_usd, timings_ms, response_time_ms, from_cache, status, error_code, created_at)
SELECT hit.id, hit.tenant, hit.key, hit."user", hit.question, coalesce(made.route, 'documents'), coalesce(made.answer, ''),
    coalesce(made.sources, '[]'), made.sql, coalesce(made.generator, ''), coalesce(made.model, ''),
    0, 0, 0, '{{}}', hit.ms, true, coalesce(made.status, 'answered'), '', hit.created
FROM unnest({", ".join(f"%s::{kind}[]" for kind in _HIT.values())})
    AS hit ({", ".join(f'"{name}"' for name in _HIT)})
LEFT JOIN queries_query AS made ON made.id = hit.answer AND made.tenant_id = hit.tenant
ON CONFLICT (id) DO NOTHING
"""  # noqa: S608  constants


def save_hits(hits: Sequence[Mapping[str, Any]]) -> None:
    """Rows for questions that were answered from the cache; see `queries.recording` for the fields."""
    if not hits:
        return
    with connection.cursor() as cursor:
        cursor.execute(_COPY, [[hit[name] for hit in hits] for name in _HIT])
