"""Drops the vectors of spaces that serve no more, a few thousand at a time."""

from datetime import timedelta
from time import monotonic
from typing import Final
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models.functions import Now

from accounts.models import Tenant
from documents.embedding import spaces, vector_index
from documents.embedding.spaces import State
from documents.models import EmbeddingSpace
from ragsite.lib import row_security

STEP_SECONDS = 4.0
BATCH = 5_000
# After the switch, whatever is asked to be dropped: no search that began before it lasts so long.
IN_FLIGHT = timedelta(minutes=5)

logger = structlog.get_logger(__name__)

# Never waits for whoever removes a document and its vectors, and so is never in a deadlock with them.
_DELETE: Final = """
DELETE FROM documents_chunkvector WHERE (chunk_id, space_id) IN (
    SELECT chunk_id, space_id FROM documents_chunkvector WHERE tenant_id = %s AND space_id = %s
    LIMIT %s FOR UPDATE SKIP LOCKED)
"""
_IS_LEFT: Final = """
SELECT EXISTS (SELECT FROM accounts_tenant AS tenant WHERE EXISTS (
    SELECT FROM documents_chunkvector AS vector WHERE vector.tenant_id = tenant.id AND vector.space_id = %s))
"""


def step() -> bool:
    """Deletes for a few seconds, where a retired space's time has come; whether there is more to do."""
    space = EmbeddingSpace.objects.filter(state=State.RETIRED, drops_at__lte=Now()).order_by("pk").first()
    if space is None:
        return False
    vector_index.drop(space)  # first: each row's removal would have to be told to it
    deadline = monotonic() + STEP_SECONDS
    for tenant_id in _tenants(space):
        while _delete(space, tenant_id):
            if monotonic() > deadline:
                return True
        EmbeddingSpace.objects.filter(pk=space.pk, state=State.RETIRED).update(cursor_tenant=tenant_id)
    return _ended(space)


def _tenants(space: EmbeddingSpace) -> list[UUID]:
    """From the one that an earlier step was at."""
    tenants = Tenant.objects.order_by("pk")
    if space.cursor_tenant is not None:
        tenants = tenants.filter(pk__gte=space.cursor_tenant)
    with row_security.across():
        return list(tenants.values_list("pk", flat=True))


@transaction.atomic
def _delete(space: EmbeddingSpace, tenant_id: UUID) -> int:
    """How many vectors were deleted; none of a space that is being built again."""
    spaces.hold()
    if not EmbeddingSpace.objects.filter(pk=space.pk, state=State.RETIRED).exists():
        return 0
    with row_security.within(tenant_id), connection.cursor() as cursor:
        cursor.execute(_DELETE, [tenant_id, space.pk, BATCH])
        return int(cursor.rowcount)


@transaction.atomic
def _ended(space: EmbeddingSpace) -> bool:
    """The row stays, as the history of what served."""
    retired = EmbeddingSpace.objects.filter(pk=space.pk, state=State.RETIRED)
    with row_security.across(), connection.cursor() as cursor:
        cursor.execute(_IS_LEFT, [space.pk])
        if cursor.fetchone()[0]:
            retired.update(cursor_tenant=None)
            return False  # somebody held them: the next step looks again
    if retired.update(state=State.DROPPED, cursor_tenant=None):
        logger.info("an embedding space was dropped", space=str(space))
    return True
