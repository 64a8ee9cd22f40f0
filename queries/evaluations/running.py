"""Works on runs, a few seconds at a time. The results tell what is left to ask, so that a step may be killed."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from time import monotonic, perf_counter
from typing import Any, Final, TypeVar
from uuid import UUID

from apikeys import budgets, usage
from apikeys.callers import Caller
from apikeys.usage import Entry
from documents.embedding import spaces
from documents.models import Document
from documents.searching.search import Hit
from queries import answering
from queries.answers import Answer, Ask
from queries.checking import citations
from queries.evaluations import scoring, states
from queries.generating import chat_models
from queries.models import EvaluationQuestion, EvaluationResult, EvaluationRun
from queries.traces import tracing
from queries.trials import Trial
from ragsite.lib import row_security
from ragsite.lib.errors import AppError, BudgetSpent, ModelRefused
from ragsite.lib.identifiers import uuid7
from ragsite.lib.problems import STATUS

T = TypeVar("T")

STEP_SECONDS: Final = 8.0
_PAGE: Final = 50
MOST_RANKED: Final = 10  # the documents of a ranking that are stored
ENDPOINT: Final = "evaluation"  # of its records of use
MOST_FAILURES: Final = (
    10  # in a row, which is then the fault of the model or the site, and not of the questions
)

Status = EvaluationResult.Status


def step() -> bool:
    """Asks questions of one run for a few seconds; returns whether any run has more to do."""
    with row_security.across():
        run = states.claim_next()
    if run is None:
        return False
    with row_security.within(run.tenant_id):
        _work(run)
    with row_security.across():
        return states.has_free()


def _work(run: EvaluationRun) -> None:
    if states.too_many_attempts(run):
        detail = f"Workers ended {states.MAX_ATTEMPTS} times without a result."
        _fail(run, code="interrupted", detail=detail)
        return
    states.note_settings(run, made_with(run))
    try:
        _ask(run)
    except (BudgetSpent, ModelRefused) as error:
        _fail(run, code=error.error_code, detail=error.detail)


def _ask(run: EvaluationRun) -> None:
    """Asks until time is up or every question has its result; stops at once when the run is not ours any more."""
    deadline = monotonic() + STEP_SECONDS
    documents = _Documents(run.tenant_id)
    failures = 0
    for question in _left(run):
        if not states.hold(run):
            return
        result = _result(run, question, documents)
        if not states.keep(run, result):
            return
        failures = failures + 1 if result.status == Status.FAILED else 0
        if failures == MOST_FAILURES:
            detail = f"{MOST_FAILURES} questions in a row could not be answered."
            _fail(run, code=result.error_code, detail=detail)
            return
        if monotonic() > deadline:
            states.rest(run)
            return
    states.finish(run, summary(run))


def _fail(run: EvaluationRun, *, code: str, detail: str) -> None:
    states.fail(run, code=code, detail=detail, summary=summary(run))


def _left(run: EvaluationRun) -> Iterator[EvaluationQuestion]:
    """Questions without a result. No cursor is open between pages: waiting for a model may drop the connection."""
    questions = EvaluationQuestion.objects.for_tenant(run.tenant_id).filter(set=run.set_id)
    there = states.results(run).values("question")
    while page := list(questions.exclude(pk__in=there).order_by("ordinal")[:_PAGE]):
        yield from page


class _Documents:
    """The names of a tenant's documents by id, and the ids by name, as of the beginning of a step."""

    def __init__(self, tenant_id: UUID) -> None:
        rows = Document.objects.for_tenant(tenant_id).values_list("pk", "filename")
        self.names = {str(pk): name for pk, name in rows}
        self._ids: dict[str, set[str]] = {}
        for pk, name in self.names.items():
            self._ids.setdefault(name, set()).add(pk)

    def expected(self, question: EvaluationQuestion) -> list[tuple[str, int | None]]:
        """The ids and pages of the expected documents. One that was removed stays in the list, and is never found."""
        return [(pk, one["page"]) for one in question.expected for pk in self._matching(one)]

    def _matching(self, expected: Mapping[str, Any]) -> Iterable[str]:
        identifier, name = expected["document_id"], str(expected["filename"])
        return [identifier] if identifier else self._ids.get(name, {name})


def _result(run: EvaluationRun, question: EvaluationQuestion, documents: _Documents) -> EvaluationResult:
    result = EvaluationResult(tenant_id=run.tenant_id, run=run, question=question)
    started = perf_counter()
    try:
        (_answer if run.answers else _retrieve)(result, documents)
    except (BudgetSpent, ModelRefused):
        raise  # the next question would fail too
    except AppError as error:
        result.status, result.error_code = Status.FAILED, error.error_code
    result.milliseconds = round((perf_counter() - started) * 1000, 1)
    return result


def made_with(run: EvaluationRun) -> dict[str, Any]:
    """All settings that the run is asked with: those that are tried out, and the others as they are now."""
    tenant = trial(run).applied(Caller(tenant_id=run.tenant_id).tenant())
    with chat_models.only(run.model):
        settled = tracing.settled(tenant, Ask(question=""))
    return {**settled, "answers": run.answers, "space": str(run.space or spaces.active())}


def trial(run: EvaluationRun) -> Trial:
    return Trial(
        prompt=run.prompt,
        top_k=run.top_k,
        distance_threshold=run.distance_threshold,
        model=run.model,
        space=run.space,
    )


def _retrieve(result: EvaluationResult, documents: _Documents) -> None:
    caller, ask, tried = _asker(result), Ask(question=result.question.question), trial(result.run)
    # It is free, unless there is a reranker.
    found = _paid(caller, lambda query_id: answering.retrieve(caller, ask, query_id=query_id, trial=tried))
    result.status = Status.RETRIEVED
    _score_hits(result, found.hits, [*found.hits, *found.considered], documents)


def _answer(result: EvaluationResult, documents: _Documents) -> None:
    caller, ask, tried = _asker(result), Ask(question=result.question.question), trial(result.run)
    budgets.check(caller)  # once a budget is spent there are no answers, even free ones
    made = _paid(caller, lambda query_id: answering.try_out(caller, ask, query_id=query_id, trial=tried))
    generated = made.generated
    result.status = Status.ANSWERED if generated.found else Status.NOT_FOUND
    result.answer = generated.text
    result.prompt_tokens = made.spent.prompt_tokens
    result.completion_tokens = made.spent.completion_tokens
    result.cost_usd = made.spent.cost_usd
    given = [hit for source in made.sources for hit in source.hits]
    _score_hits(result, given, [*given, *made.considered], documents)
    _score_answer(result, made, documents)


def _asker(result: EvaluationResult) -> Caller:
    return Caller(tenant_id=result.tenant_id)


def _paid(caller: Caller, ask: Callable[[UUID], T]) -> T:
    """Calls `ask` with a new id, and charges the tenant by a record of use with that id, also when `ask` fails."""
    query_id = uuid7()
    started, status = perf_counter(), 200
    try:
        return ask(query_id)
    except AppError as error:
        status, _ = STATUS[type(error)]
        raise
    finally:
        usage.settle(
            Entry(
                id=query_id,
                tenant_id=caller.tenant_id,
                endpoint=ENDPOINT,
                method="POST",
                status=status,
                milliseconds=round((perf_counter() - started) * 1000, 1),
            )
        )


# Scores ----------------------------------------------------------------------------------------------------


def _score_hits(
    result: EvaluationResult, given: Sequence[Hit], found: Iterable[Hit], documents: _Documents
) -> None:
    """`given` are the sources. `found` is all that was considered, best first; each document counts once."""
    expected = documents.expected(result.question)
    relevant = frozenset(document for document, _ in expected)
    best: dict[str, Hit] = {}
    for hit in found:
        best.setdefault(str(hit.document_id), hit)
    result.ranking = [
        {
            "document_id": document,
            "filename": documents.names.get(document, ""),
            "page": hit.first_page,
            "score": hit.score,
            "expected": document in relevant,
        }
        for document, hit in list(best.items())[:MOST_RANKED]
    ]
    sources = [(str(hit.document_id), hit.first_page, hit.last_page) for hit in given]
    result.scores = scoring.of_ranking(list(best), relevant) | scoring.of_sources(sources, expected)


def _score_answer(result: EvaluationResult, made: Answer, documents: _Documents) -> None:
    relevant = frozenset(document for document, _ in documents.expected(result.question))
    sources = {source.n: str(source.best.document_id) for source in made.sources}
    cited = [number for number in sorted(citations.cited(made.generated.text)) if number in sources]
    result.citations = [
        {
            "n": number,
            "document_id": sources[number],
            "filename": documents.names.get(sources[number], ""),
            "expected": sources[number] in relevant,
        }
        for number in cited
    ]
    result.scores |= (
        scoring.of_citations([sources[number] for number in cited], relevant)
        | scoring.of_words(made.generated.text, result.question.answer)
        | {"answered": float(made.generated.found)}
    )


def summary(run: EvaluationRun) -> Mapping[str, Any]:
    """The means of the results so far; see `scoring.MEASURES`."""
    rows = list(
        states.results(run).values_list(
            "scores", "status", "milliseconds", "prompt_tokens", "completion_tokens", "cost_usd"
        )
    )
    counted = Counter(row[1] for row in rows)
    return {
        "questions": len(rows),
        "measures": scoring.means(row[0] for row in rows),
        **{status.value: counted[status.value] for status in Status},
        **scoring.latency([row[2] for row in rows if row[1] != Status.FAILED]),
        "prompt_tokens": sum(row[3] for row in rows),
        "completion_tokens": sum(row[4] for row in rows),
        "cost_usd": float(sum((row[5] for row in rows), Decimal(0))),
    }
