"""Makes evaluation sets: from an uploaded file, or from past questions and their feedback."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Final, Literal
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from documents.models import Document
from queries.checking import citations
from queries.evaluations import reading
from queries.evaluations.reading import Draft, Expected
from queries.models import EvaluationQuestion, EvaluationSet, Feedback, Query
from ragsite.lib.errors import Conflict, Invalid
from ragsite.lib.identifiers import floor

MAX_SETS: Final = 100  # of one tenant
MOST_LOOKED_AT: Final = 20_000  # past queries, many of which may ask the same
_PAGE: Final = 500  # questions that are stored at once

Origin = Literal["feedback", "history"]


def upload(tenant_id: UUID, *, name: str, content: bytes) -> EvaluationSet:
    """Makes a set from a CSV file. Raises Invalid, and Conflict (`name_taken`, `too_many_sets`)."""
    return _made(tenant_id, name=name, drafts=reading.drafts(content, _finder(tenant_id)))


def from_past(tenant_id: UUID, *, name: str, origin: Origin, days: int, limit: int) -> EvaluationSet:
    """Makes a set from past questions, newest first, each expecting the documents that its answer cited.

    `feedback`: questions whose answers were rated up, so that a person vouches for the documents. `history`: all that
    were answered; a run then tells what a change would lose. Raises Invalid where there are none, and what `upload`
    raises.
    """
    since = floor(timezone.now() - timedelta(days=days))
    # Without questions in conversations, which may mean nothing by themselves.
    queries = Query.objects.for_tenant(tenant_id).filter(
        pk__gte=since, status=Query.Status.ANSWERED, conversation=None, standalone_question=None
    )
    if origin == "feedback":
        queries = queries.filter(feedback__rating=Feedback.Rating.UP)
    else:
        queries = queries.filter(from_cache=False)
    found = _drafts(tenant_id, queries, limit=limit)
    if not found:
        raise Invalid(
            "No such question was answered from documents that are still there.", code="no_questions"
        )
    return _made(tenant_id, name=name, drafts=found)


@transaction.atomic
def _made(tenant_id: UUID, *, name: str, drafts: Sequence[Draft]) -> EvaluationSet:
    if EvaluationSet.objects.for_tenant(tenant_id).count() >= MAX_SETS:
        raise Conflict(f"There are {MAX_SETS} sets already.", code="too_many_sets")
    try:
        with transaction.atomic():
            made = EvaluationSet.objects.create(tenant_id=tenant_id, name=name)
    except IntegrityError as error:
        raise Conflict("There is a set of this name already.", code="name_taken") from error
    EvaluationQuestion.objects.bulk_create(
        (
            EvaluationQuestion(
                tenant_id=tenant_id,
                set=made,
                ordinal=ordinal,
                question=draft.question,
                expected=draft.expected,
                answer=draft.answer,
            )
            for ordinal, draft in enumerate(drafts, start=1)
        ),
        batch_size=_PAGE,
    )
    return made


def _finder(tenant_id: UUID) -> reading.Find:
    """Finds documents by id or file name, with one query for the whole file."""
    rows = Document.objects.for_tenant(tenant_id).values_list("pk", "filename").order_by("-pk")
    by_id = {str(pk): filename for pk, filename in rows}
    names = set(by_id.values())

    def find(document: str) -> Expected | None:
        identifier = document.lower()
        if identifier in by_id:
            return {"document_id": identifier, "filename": by_id[identifier]}
        return {"document_id": None, "filename": document} if document in names else None

    return find


# Of the past -------------------------------------------------------------------------------------------------


def _drafts(tenant_id: UUID, queries: QuerySet[Query], *, limit: int) -> list[Draft]:
    """One for each question; of several with the same words, the newest."""
    found: dict[str, Draft] = {}
    own = queries.exclude(trace__has_key="replay_of")
    rows = own.order_by("-pk").only("question", "answer", "sources")[:MOST_LOOKED_AT]
    for query in rows.iterator(_PAGE):
        plain = " ".join(query.question.casefold().split())
        if plain in found or not plain:
            continue
        expected = _cited(query)
        if expected:
            found[plain] = Draft(query.question[: reading.MAX_TEXT], expected)
        if len(found) == limit:
            break
    return _still_there(tenant_id, found.values())


def _cited(query: Query) -> list[Expected]:
    """The documents of the cited sources, or of all sources where the answer cites none."""
    numbers = citations.cited(query.answer)
    sources: list[dict[str, Any]] = query.sources
    cited = [source for source in sources if source["n"] in numbers] or sources
    ids = dict.fromkeys(source["document_id"] for source in cited)
    return [{"document_id": identifier, "filename": "", "page": None} for identifier in ids]


def _still_there(tenant_id: UUID, drafts: Iterable[Draft]) -> list[Draft]:
    """The drafts without documents that were removed since, and without questions that expect no other."""
    wanted = list(drafts)
    ids = {expected["document_id"] for draft in wanted for expected in draft.expected}
    there = Document.objects.for_tenant(tenant_id).filter(pk__in=ids)
    names = {str(pk): name for pk, name in there.values_list("pk", "filename")}
    for draft in wanted:
        draft.expected = [
            {**expected, "filename": names[expected["document_id"]]}
            for expected in draft.expected
            if expected["document_id"] in names
        ]
    return [draft for draft in wanted if draft.expected]
