"""The history of questions and answers."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction

from accounts.tenancy import TenantQuerySet
from apikeys import tabs
from apikeys.callers import Caller
from queries.answers import Answer, Ask
from queries.chats import conversations
from queries.models import Feedback, Query
from queries.sources import shown
from ragsite.lib.identifiers import made_at


def save(caller: Caller, made: Answer, *, milliseconds: float) -> None:
    generated = made.generated
    _write(
        caller,
        made.query_id,
        question=made.question,
        conversation_id=made.conversation,
        standalone_question=made.standalone,
        answer=generated.text,
        sources=shown(made.sources),
        unsupported=[span._asdict() for span in generated.unsupported],
        generator=generated.generator,
        model=generated.model,
        timings_ms=dict(made.timings_ms),
        response_time_ms=milliseconds,
        status=Query.Status.ANSWERED if generated.found else Query.Status.NOT_FOUND,
        trace=made.trace or None,
    )


def save_failure(caller: Caller, ask: Ask, *, query_id: UUID, code: str, milliseconds: float) -> None:
    """Writes a question that was not answered, with the trace of how far it came."""
    story = tabs.of(query_id).story
    _write(
        caller,
        query_id,
        question=ask.question,
        conversation_id=ask.conversation,
        response_time_ms=milliseconds,
        status=Query.Status.FAILED,
        error_code=code,
        trace=story.stored() if story else None,
    )


def _write(caller: Caller, query_id: UUID, **fields: Any) -> None:
    """Writes the row, with the cost so far from the request's tab; the record of use closes the tab later."""
    tab = tabs.of(query_id)
    spent = tab.spent()
    row = Query(
        id=query_id,
        tenant_id=caller.tenant_id,
        key_id=caller.key_id,
        user_id=caller.person_id,
        created_at=made_at(query_id),
        prompt_tokens=spent.prompt_tokens,
        completion_tokens=spent.completion_tokens,
        cost_usd=spent.cost_usd,
        attempts=[attempt.shown() for attempt in tab.attempts],
        **fields,
    )
    if row.conversation_id is None:
        _insert(row)
        return
    with transaction.atomic():
        row.conversation_id = conversations.enter(row, answered=row.status != Query.Status.FAILED)
        _insert(row)


def _insert(row: Query) -> None:
    """Replaces the row of this id, if admission took the request for a cache hit by mistake and recorded it as one."""
    values = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in _FIELDS]
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, values)


# One statement without a transaction, because the client is waiting; `bulk_create` would take three.
_FIELDS = Query._meta.concrete_fields  # noqa: SLF001  Django's documented name
_COLUMNS = [str(field.column) for field in _FIELDS]
_INSERT = (
    f"INSERT INTO queries_query ({', '.join(_COLUMNS)}) "  # noqa: S608  constants
    f"VALUES ({', '.join(['%s'] * len(_COLUMNS))})"
    f" ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = EXCLUDED.{name}' for name in _COLUMNS if name != 'id')}"
)


def visible(caller: Caller) -> TenantQuerySet[Query]:
    """A key sees its own queries, a user their own, a business user the tenant's."""
    # A trace is larger than the rest of its row, and no list shows it.
    queries = Query.objects.for_tenant(caller.tenant_id).select_related("feedback").defer("trace")
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


# The row of a cache hit copies the row of the query that its answer was made for (`origin`), and its trace refers to
# that row. Where that row is gone, the question, who asked it and when are still recorded. One array per column: one
# statement, however many rows.
_COPY = """
INSERT INTO queries_query (id, tenant_id, key_id, user_id, question, route, answer, sources, unsupported, sql,
    generator, model, prompt_tokens, completion_tokens, cost_usd, attempts, timings_ms, response_time_ms, from_cache,
    status, error_code, created_at, conversation_id, standalone_question, trace) SELECT hit.id, hit.tenant, hit.key,
    hit."user", hit.question, coalesce(made.route, 'documents'), coalesce(made.answer, ''), coalesce(made.sources,
    '[]'), coalesce(made.unsupported, '[]'), made.sql, coalesce(made.generator, ''), coalesce(made.model, ''), 0, 0, 0,
    '[]', '{}', hit.ms, true, coalesce(made.status, 'answered'), '', hit.created, hit.conversation,
    made.standalone_question, jsonb_build_object('of', hit.origin) FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[],
    %s::uuid[], %s::text[], %s::uuid[], %s::float8[], %s::uuid[], %s::timestamptz[]) AS hit (id, tenant, key, "user",
    question, origin, ms, conversation, created) LEFT JOIN queries_query AS made ON made.id = hit.origin AND
    made.tenant_id = hit.tenant ON CONFLICT (id) DO NOTHING
"""


class CacheHit(NamedTuple):
    """A question that was answered from the cache. `origin` is the id of the query that the answer was made for."""

    id: UUID
    tenant_id: UUID
    key_id: UUID | None
    user_id: UUID | None
    question: str
    origin: UUID
    milliseconds: float
    conversation_id: UUID | None = None

    def row(self) -> tuple[Any, ...]:
        """The values of the columns of _COPY; the id tells when it was."""
        return (*self, made_at(self.id))


def save_cache_hits(hits: Sequence[CacheHit]) -> None:
    """Writes the rows of questions that were answered from the cache."""
    if not hits:
        return
    with transaction.atomic(), connection.cursor() as cursor:
        rows = [hit._replace(conversation_id=conversations.enter(hit, answered=True)).row() for hit in hits]
        cursor.execute(_COPY, [list(column) for column in zip(*rows, strict=True)])
