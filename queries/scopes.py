"""Where a question is searched: what its caller may read, and what its parameters ask for."""

from apikeys.callers import Caller
from documents import access
from documents.models import Document
from documents.searching import dates
from documents.searching.search import Scope
from queries.answers import Ask
from queries.models import Query
from ragsite.lib.errors import Invalid, NotFound


def scope(caller: Caller, ask: Ask) -> Scope:
    """The documents to search. Raises NotFound for a collection or document that the caller may not read, and Invalid
    for a filter that makes no sense."""
    if ask.database:
        raise NotFound("There is no such database.")
    if ask.route == Query.Route.DATABASE:
        raise Invalid("No database is connected.", code="no_database")
    collections = caller.collections
    if ask.collection is not None:
        collections = (access.collection(caller, ask.collection).pk,)
    within = Scope(
        caller.tenant_id,
        collections,
        ask.document_ids,
        ask.metadata,
        created=dates.span(ask.created_at) if ask.created_at else None,
        ready=dates.span(ask.ready_at) if ask.ready_at else None,
    )
    _check_documents(within)
    return within


def _check_documents(within: Scope) -> None:
    if not within.document_ids:
        return
    documents = Document.objects.for_tenant(within.tenant_id).filter(pk__in=within.document_ids)
    if within.collection_ids is not None:
        documents = documents.filter(collection_id__in=within.collection_ids)
    if documents.count() != len(set(within.document_ids)):
        raise NotFound("There is no such document.")
