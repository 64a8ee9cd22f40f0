"""Works on runs, a few seconds at a time. What is left to ask is found from the rows, so that a step may be killed."""

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
from queries.generating import trials
from queries.generating.trials import Trial
from queries.models import EvaluationQuestion, EvaluationResult, EvaluationRun
from queries.traces import tracing
from ragsite.lib import row_security
from ragsite.lib.errors import AppError, BudgetSpent, ModelRefused
from ragsite.lib.identifiers import uuid7
from ragsite.lib.problems import STATUS

T = TypeVar("T")

STEP_SECONDS: Final = 8.0
_PAGE: Final = 50
MOST_RANKED: Final = 10  # documents of a ranking that are kept
ENDPOINT: Final = "evaluation"  # what the record of use calls what it costs
MOST_FAILURES: Final = 10  # in a row: then it is the model, or the site, and not the questions

Status = EvaluationResult.Status


def step() -> bool:
    """Asks questions of one run for a few seconds; whether any run has more to do."""
    with row_security.across():
        run = states.claim_next()
    if run is None:
        return False
    with row_security.within(run.tenant_id):
        _work(run)
    with row_security.across():
        return states.has_free()


def _work(run: EvaluationRun) -> None:
    if states.spent(run):
        detail = f"Workers ended {states.MAX_ATTEMPTS} times without a result."
        states.fail(run, code="interrupted", detail=detail, summary=summary(run))
        return
    states.note_settings(run, made_with(run))
    try:
        ended = _asked(run)
    except (BudgetSpent, ModelRefused) as error:
        states.fail(run, code=error.error_code, detail=error.detail, summary=summary(run))
        return
    if ended is None:
        return  # it was cancelled, or this step was taken for dead
    if ended:
        states.finish(run, summary(run))
    else:
        states.rest(run)


def _asked(run: EvaluationRun) -> bool | None:
    """Whether every question has its result; None where the run is not ours any more."""
    deadline = monotonic() + STEP_SECONDS
    names = _Names(run.tenant_id)
    failures = 0
    for question in _left(run):
        if not states.hold(run):
            return None
        result = _result(run, question, names)
        if not states.keep(run, result):
            return None
        failures = failures + 1 if result.status == Status.FAILED else 0
        if failures == MOST_FAILURES:
            states.fail(
                run,
                code=result.error_code,
                detail=f"{MOST_FAILURES} questions in a row could not be answered.",
                summary=summary(run),
            )
            return None
        if monotonic() > deadline:
            return False
    return True


def _left(run: EvaluationRun) -> Iterator[EvaluationQuestion]:
    """A page at a time, and no cursor is open meanwhile: whoever waits for a model may give its connection away."""
    questions = EvaluationQuestion.objects.for_tenant(run.tenant_id).filter(set=run.set_id)
    there = states.results(run).values("question")
    while page := list(questions.exclude(pk__in=there).order_by("ordinal")[:_PAGE]):
        yield from page


class _Names:
    """The documents of a tenant by file name, and the names by id, as they are at the beginning of a step."""

    def __init__(self, tenant_id: UUID) -> None:
        rows = Document.objects.for_tenant(tenant_id).values_list("pk", "filename")
        self.names = {str(pk): name for pk, name in rows}
        self._ids: dict[str, set[str]] = {}
        for pk, name in self.names.items():
            self._ids.setdefault(name, set()).add(pk)

    def expected(self, question: EvaluationQuestion) -> list[tuple[str, int | None]]:
        """Documents and pages. One that was removed since stands there all the same: it is not found."""
        found = []
        for one in question.expected:
            ids = (
                [one["document_id"]]
                if one["document_id"]
                else self._ids.get(one["filename"], {one["filename"]})
            )
            found += [(identifier, one["page"]) for identifier in ids]
        return found


def _result(run: EvaluationRun, question: EvaluationQuestion, names: _Names) -> EvaluationResult:
    result = EvaluationResult(tenant_id=run.tenant_id, run=run, question=question)
    caller = Caller(tenant_id=run.tenant_id)
    ask = Ask(question=question.question)
    started = perf_counter()
    try:
        (_answer if run.answers else _retrieve)(run, result, caller, ask, names)
    except (BudgetSpent, ModelRefused):
        raise  # the next question would fare no better
    except AppError as error:
        result.status, result.error_code = Status.FAILED, error.error_code
    result.milliseconds = round((perf_counter() - started) * 1000, 1)
    return result


def made_with(run: EvaluationRun) -> dict[str, Any]:
    """What the run is asked with, all told: what is tried out, and the rest as it is set now."""
    tenant = trial(run).applied(Caller(tenant_id=run.tenant_id).tenant())
    with trials.answering_with(run.model):
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


def _retrieve(run: EvaluationRun, result: EvaluationResult, caller: Caller, ask: Ask, names: _Names) -> None:
    # Free, unless a reranker has the last word.
    found = _paid(caller, lambda asked: answering.retrieve(caller, ask, query_id=asked, trial=trial(run)))
    result.status = Status.RETRIEVED
    _score_hits(result, found.hits, [*found.hits, *found.considered], names)


def _answer(run: EvaluationRun, result: EvaluationResult, caller: Caller, ask: Ask, names: _Names) -> None:
    budgets.check(caller)  # a spent one gives no answers, whatever they cost
    made = _paid(caller, lambda asked: answering.attempt(caller, ask, query_id=asked, trial=trial(run)))
    generated = made.generated
    result.status = Status.ANSWERED if generated.found else Status.NOT_FOUND
    result.answer = generated.text
    result.prompt_tokens = made.spent.prompt_tokens
    result.completion_tokens = made.spent.completion_tokens
    result.cost_usd = made.spent.cost_usd
    given = [hit for source in made.sources for hit in source.hits]
    _score_hits(result, given, [*given, *made.considered], names)
    _score_answer(result, made, names)


def _paid(caller: Caller, ask: Callable[[UUID], T]) -> T:
    """What was asked for; what it costs is the tenant's, under a record of use of its own, whatever becomes of it."""
    asked = uuid7()
    started, status = perf_counter(), 200
    try:
        return ask(asked)
    except AppError as error:
        status, _ = STATUS[type(error)]
        raise
    finally:
        usage.settle(
            Entry(
                id=asked,
                tenant_id=caller.tenant_id,
                endpoint=ENDPOINT,
                method="POST",
                status=status,
                milliseconds=round((perf_counter() - started) * 1000, 1),
            )
        )


# What it is worth --------------------------------------------------------------------------------------------


def _score_hits(result: EvaluationResult, given: Sequence[Hit], found: Iterable[Hit], names: _Names) -> None:
    """`given` are the sources; `found` all that was considered, best first, of which each document counts once."""
    expected = names.expected(result.question)
    relevant = frozenset(document for document, _ in expected)
    best: dict[str, Hit] = {}
    for hit in found:
        best.setdefault(str(hit.document_id), hit)
    result.ranking = [
        {
            "document_id": document,
            "filename": names.names.get(document, ""),
            "page": hit.first_page,
            "score": hit.score,
            "expected": document in relevant,
        }
        for document, hit in list(best.items())[:MOST_RANKED]
    ]
    sources = [(str(hit.document_id), hit.first_page, hit.last_page) for hit in given]
    result.scores = scoring.of_ranking(list(best), relevant) | scoring.of_sources(sources, expected)


def _score_answer(result: EvaluationResult, made: Answer, names: _Names) -> None:
    relevant = frozenset(document for document, _ in names.expected(result.question))
    documents = {source.n: str(source.best.document_id) for source in made.sources}
    cited = [number for number in sorted(citations.cited(made.generated.text)) if number in documents]
    result.citations = [
        {
            "n": number,
            "document_id": documents[number],
            "filename": names.names.get(documents[number], ""),
            "expected": documents[number] in relevant,
        }
        for number in cited
    ]
    result.scores |= (
        scoring.of_citations([documents[number] for number in cited], relevant)
        | scoring.of_words(made.generated.text, result.question.answer)
        | {"answered": float(made.generated.found)}
    )


def summary(run: EvaluationRun) -> Mapping[str, Any]:
    """The means of what there is by now; see `scoring.MEASURES`."""
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
