"""New versions of a document: which document takes whose place, when, and what is kept of the work done before.

Documents of one name in one collection are versions of one another. One that was uploaded with `replace=true` takes
the place of those that came before it in the transaction that makes it ready, so that a search sees the old or the
new one, never none and never both; until then, and if it fails, they stay. What came before is told by the moment
of the upload and not by who is ready first: a version that is still in the queue when a later one becomes ready is
removed with the rest, and does not come back.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

import numpy as np
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Coalesce, Now
from numpy.typing import NDArray

from accounts.tenancy import TenantQuerySet
from documents import passages
from documents.models import ChunkVector, Document, EmbeddingSpace

_CAME = Coalesce("replaces_before", "created_at")
_ROWS_AT_ONCE = 1_000


def take_over(document: Document, name: str) -> bool:
    """What `replace=true` means for bytes that are there already: their document is the latest of this name now.

    False where it was removed meanwhile. To be called in a transaction; what it overtakes is to be removed in it.
    """
    if not _others(document, name).exists():
        return True
    _lock(_others(document, name) | _rows([document]))
    return bool(_rows([document]).update(filename=name, replaces_before=Now()))


def lock(documents: Sequence[Document]) -> None:
    """Takes the rows of documents of one tenant that are to be made ready, and of those that they replace.

    First in the transaction, and in the order of their ids as everyone does: the statistics come after the rows.
    """
    rows = _rows(documents)
    for document in rows.exclude(replaces_before=None):
        rows |= _others(document, document.filename)
    _lock(rows)


def overtaken(documents: Sequence[Document]) -> list[Document]:
    """What to remove because of these documents: of each that is ready and replaces others, the versions before it.

    Or the document itself, where a later version was ready first, which did not see this one. To be called in the
    transaction that made them ready, with the statistics locked.
    """
    gone: dict[UUID, Document] = {}
    ready = _rows(documents).filter(_has_others(), status=Document.Status.READY)
    for document in ready.annotate(came=_CAME):
        others = _others(document, document.filename).annotate(came=_CAME)
        if others.filter(_has_been_ready(), replaces_before__gt=document.came).exists():
            gone[document.pk] = document
        elif document.replaces:
            # One that somebody else has locked by now is being removed, or will find itself overtaken.
            earlier = others.filter(came__lt=document.came).select_for_update(skip_locked=True)
            gone |= {version.pk: version for version in earlier}
    return list(gone.values())


def known_vectors(
    document: Document, contexts: Iterable[str], *, space: EmbeddingSpace
) -> dict[str, NDArray[np.float32]]:
    """Vectors of `space` for those texts that the document, or a version before it, is embedded as already.

    By the text, each (dimensions,), to the half precision in which they are stored and will be stored again.
    """
    if document.ready_at is None and not document.replaces:
        return {}  # there is nothing of it yet
    wanted = frozenset(contexts)
    known: dict[str, NDArray[np.float32]] = {}
    vectors = (
        ChunkVector.objects.for_tenant(document.tenant_id)
        .filter(space=space, document_id__in=_sources(document).values("pk"))
        .select_related("chunk__document")
        .defer("chunk__terms", "chunk__weights")
    )
    for row in vectors.iterator(_ROWS_AT_ONCE):
        text = passages.context(row.chunk)
        if text in wanted:
            known[text] = np.array(row.vector, dtype=np.float32)
    return known


def _sources(document: Document) -> TenantQuerySet[Document]:
    """The document as it is searched now, and the versions whose place it takes."""
    own = _rows([document])
    return own | _others(document, document.filename) if document.replaces_before else own


def _others(document: Document, name: str) -> TenantQuerySet[Document]:
    """The other versions under this name."""
    return Document.objects.for_tenant(document.tenant_id).filter(
        ~Q(pk=document.pk), collection=document.collection_id, filename=name
    )


def _has_others() -> Exists:
    """There are other versions of the document: few have any, and one look for a whole batch tells which."""
    same = {name: OuterRef(name) for name in ("tenant", "collection", "filename")}
    return Exists(Document.objects.across_tenants().filter(~Q(pk=OuterRef("pk")), **same))


def _rows(documents: Sequence[Document]) -> TenantQuerySet[Document]:
    """The documents, of one tenant, as they are in Postgres now."""
    of_tenant = Document.objects.for_tenant(documents[0].tenant_id) if documents else Document.objects.none()
    return of_tenant.filter(pk__in=[document.pk for document in documents])


def _lock(rows: TenantQuerySet[Document]) -> None:
    list(rows.order_by("pk").select_for_update().values_list("pk"))


def _has_been_ready() -> Q:
    """It is searched now: a ready document stays so while it is processed again."""
    return Q(ready_at__isnull=False) & ~Q(status=Document.Status.FAILED)
