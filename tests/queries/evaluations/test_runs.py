"""Runs in the background: what they find, what they cost, and that nothing is lost or done twice."""

from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import Tenant
from apikeys.models import Usage
from documents.embedding import space_changes
from documents.models import Document, EmbeddingSpace
from queries import answering, recording, tasks
from queries.evaluations import running, runs, states
from queries.generating import recipe
from queries.models import EvaluationResult, EvaluationRun, EvaluationSet, Query
from ragsite.celery import app
from ragsite.lib import row_security
from ragsite.lib.errors import Conflict, Invalid, NotFound
from ragsite.lib.identifiers import uuid7
from tests.makers import Party, ingest
from tests.model_server import Behaviour, ModelServer
from tests.queries.evaluations.conftest import finished, work

pytestmark = pytest.mark.django_db


def results(run: EvaluationRun) -> list[EvaluationResult]:
    return list(states.results(run).select_related("question").order_by("question__ordinal"))


def test_a_run_measures_retrieval_answers_and_citations(asked: EvaluationSet) -> None:
    run = finished(runs.begin(asked))
    warranty, tea, lighthouse, chess = results(run)
    assert warranty.scores["nDCG@10"] == warranty.scores["citation precision"] == 1.0
    assert warranty.scores["expected words"] == 1.0
    assert tea.scores["expected words"] == 0.0
    assert lighthouse.ranking[0] == {
        "document_id": str(Document.objects.get(filename="lighthouse.md").pk),
        "filename": "lighthouse.md", "page": None, "score": lighthouse.ranking[0]["score"], "expected": True,
    }  # fmt: skip
    assert chess.status == "not_found"
    assert set(chess.scores) == {"answered"}
    assert run.summary["measures"]["recall@5"] == {"mean": 1.0, "questions": 3}
    assert run.summary["measures"]["answered"] == {"mean": 0.75, "questions": 4}
    assert (run.summary["answered"], run.summary["not_found"]) == (3, 1)
    assert run.summary["p95_ms"] >= run.summary["p50_ms"] > 0
    assert run.settings["generator"] == "extractive"
    assert (run.done, run.total) == (4, 4)
    assert not Query.objects.exists()


def test_retrieval_alone(asked: EvaluationSet, model: ModelServer) -> None:
    run = finished(runs.begin(asked, answers=False, top_k=1))
    assert model.calls == 0
    assert {result.status for result in results(run)} == {"retrieved"}
    assert run.summary["measures"]["given"]["mean"] == 1.0
    assert run.settings["top_k"] == 1


def test_what_is_tried_out_is_asked_with(asked: EvaluationSet, model: ModelServer, settings: Any) -> None:
    run = finished(runs.begin(asked, prompt="Answer in rhymes.", top_k=1))
    systems = {request.body["messages"][0]["content"] for request in model.requests}
    assert all("Answer in rhymes." in system for system in systems)
    assert run.settings["tenant_prompt"] == recipe.fingerprint("Answer in rhymes.")
    assert Tenant.objects.get(pk=asked.tenant_id).prompt == ""
    near = finished(runs.begin(asked, distance_threshold=0.0))
    assert near.settings["distance_threshold"] == 0.0


def test_another_embedding_space(asked: EvaluationSet) -> None:
    wanted = space_changes.target("local:all-MiniLM-L6-v2", precision="fp32", dimensions=None, base_url="")
    space = space_changes.begin(wanted, switches=False)
    with pytest.raises(Conflict, match="lacks vectors"):
        runs.begin(asked, space=space.pk)
    from documents.embedding import reembedding

    turn = reembedding.step()
    while turn:
        turn = reembedding.step(turn)
    run = finished(runs.begin(asked, space=space.pk))
    assert "fp32" in run.settings["space"]
    assert run.summary["measures"]["recall@5"]["mean"] == 1.0
    EmbeddingSpace.objects.filter(pk=space.pk).update(state="dropped")
    with pytest.raises(Conflict):
        runs.begin(asked, space=space.pk)
    with pytest.raises(NotFound):
        runs.begin(asked, space=uuid7())


def test_another_model(asked: EvaluationSet, model: ModelServer, settings: Any) -> None:
    settings.MODEL_PRICES = {**settings.MODEL_PRICES, "dear-1": (5000.0, 9000.0)}
    plain, dear = finished(runs.begin(asked)), finished(runs.begin(asked, model="dear-1"))
    # The question that nothing is near to is put to none.
    assert [request.body["model"] for request in model.requests] == ["scripted-1"] * 3 + ["dear-1"] * 3
    assert (plain.settings["models"], dear.settings["models"]) == (["scripted-1"], ["dear-1"])
    assert dear.cost_usd > plain.cost_usd > 0


def test_a_model_whose_price_nobody_knows(asked: EvaluationSet, model: ModelServer) -> None:
    for name in ("unheard-of", "gpt-1"):
        with pytest.raises(Invalid):
            runs.begin(asked, model=name)


def test_what_it_costs_is_the_tenants(asked: EvaluationSet, model: ModelServer) -> None:
    model.default = Behaviour(reply="Three years [1] and [2].")
    run = finished(runs.begin(asked))
    assert run.cost_usd > 0
    assert run.summary["cost_usd"] == pytest.approx(float(run.cost_usd))
    redis = recording.client()
    recording.prepare(redis)
    recording.drain(redis, block_ms=None)
    redis.close()
    records = Usage.objects.for_tenant(asked.tenant_id)
    assert sum(record.cost_usd for record in records) == run.cost_usd
    assert {record.endpoint for record in records} == {running.ENDPOINT}


def test_it_stops_when_the_budget_is_spent(asked: EvaluationSet, model: ModelServer) -> None:
    run = runs.begin(asked)
    Tenant.objects.filter(pk=asked.tenant_id).update(monthly_budget_usd="0.0001")
    run = finished(run, status="failed")
    assert run.error_code == "budget_spent"
    assert (run.done, model.calls) == (0, 0)


def test_a_model_that_fails_every_time_ends_the_run(
    ours: Party, asked: EvaluationSet, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "MOST_FAILURES", 2)
    model.default = Behaviour(status=500)
    run = finished(runs.begin(asked), status="failed")
    assert run.done == 2
    assert {result.status for result in results(run)} == {"failed"}


# Whatever becomes of its worker ------------------------------------------------------------------------------


class Killed(BaseException):
    """As kill -9: nothing that follows is done."""


def test_a_killed_worker_costs_a_question_at_most(
    asked: EvaluationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs.begin(asked)
    try_out, calls = answering.try_out, []

    def dies(*args: Any, **kwargs: Any) -> Any:
        calls.append(args[1].question)
        if len(calls) == 3:
            raise Killed
        return try_out(*args, **kwargs)

    monkeypatch.setattr(answering, "try_out", dies)
    with pytest.raises(Killed):
        running.step()
    run.refresh_from_db()
    assert (run.status, run.done) == ("running", 2)
    assert running.step() is False  # its lease lasts
    assert len(calls) == 3
    expire(run)
    run = finished(run)
    assert len(calls) == 5
    assert calls[2] == calls[3]
    assert run.done == len(results(run)) == 4


def expire(run: EvaluationRun) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE queries_evaluationrun SET leased_until = now() - interval '1 second' WHERE id = %s",
            [run.pk],
        )


def test_a_question_that_ends_worker_after_worker_ends_the_run(
    asked: EvaluationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs.begin(asked)

    def dies(*_: Any, **__: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(answering, "try_out", dies)
        for _ in range(states.MAX_ATTEMPTS):
            with pytest.raises(Killed):
                running.step()
            expire(run)
    run = finished(run, status="failed")
    assert run.error_code == "interrupted"


def test_steps_are_short_and_the_rest_follows(
    asked: EvaluationSet, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    monkeypatch.setattr(running, "STEP_SECONDS", 0.0)
    run = runs.begin(asked)
    for done in (1, 2, 3):
        tasks.evaluate()
        run.refresh_from_db()
        assert (run.status, run.done) == ("running", done)
    tasks.evaluate()
    run.refresh_from_db()
    assert run.done == 4
    tasks.evaluate()
    run.refresh_from_db()
    assert run.status == "done"
    assert told == ["again"] * 4


def test_a_worker_that_was_given_up_writes_nothing(
    asked: EvaluationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one has taken the run over while a question took too long."""
    run = runs.begin(asked)
    try_out = answering.try_out

    def slow(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(answering, "try_out", try_out)
        expire(run)
        with row_security.across():
            assert states.claim_next() is not None
        return try_out(*args, **kwargs)

    monkeypatch.setattr(answering, "try_out", slow)
    running.step()
    assert results(run) == []


def test_a_cancelled_run_ends_and_keeps_what_it_has(
    asked: EvaluationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs.begin(asked)
    try_out, calls = answering.try_out, []

    def cancels(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            states.cancel(run)
        return try_out(*args, **kwargs)

    monkeypatch.setattr(answering, "try_out", cancels)
    work()
    run.refresh_from_db()
    assert (run.status, run.done, len(calls)) == ("cancelled", 1, 2)
    with pytest.raises(Conflict):
        states.cancel(run)


def test_runs_take_turns_and_a_closed_tenants_wait(
    ours: Party, theirs: Party, asked: EvaluationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from queries.evaluations import sets

    monkeypatch.setattr(running, "STEP_SECONDS", 0.0)
    ingest(theirs.tenant, "The kettle is theirs.", filename="theirs.md")
    other = sets.upload(theirs.tenant.pk, name="other", content=b"question\none\ntwo\n")
    first, second = runs.begin(asked), runs.begin(other)
    for _ in range(4):
        running.step()
    for run in (first, second):
        run.refresh_from_db()
        assert run.done == 2
    Tenant.objects.filter(pk=theirs.tenant.pk).update(active=False)
    work()
    for run, status in ((first, "done"), (second, "running")):
        run.refresh_from_db()
        assert run.status == status


def test_only_so_many_at_once(asked: EvaluationSet) -> None:
    for _ in range(runs.MAX_IN_WORK):
        runs.begin(asked)
    with pytest.raises(Conflict, match="in work"):
        runs.begin(asked)


def test_beat_looks_after_it() -> None:
    assert app.conf.beat_schedule["evaluate"]["task"] == tasks.evaluate.name
    assert app.amqp.router.route({}, tasks.evaluate.name)["queue"].name == "low"


def test_a_result_is_kept_once(asked: EvaluationSet) -> None:
    run = runs.begin(asked)
    with row_security.across():
        claimed = states.claim_next()
    assert claimed is not None
    question = asked.questions.first()
    for _ in range(2):
        result = EvaluationResult(
            tenant_id=run.tenant_id, run=claimed, question=question, status="retrieved", milliseconds=1
        )
        with transaction.atomic():
            assert states.keep(claimed, result)
    assert states.results(run).count() == 1
