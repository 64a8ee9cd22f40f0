"""A worker that is killed in the middle of a run: another one goes on, and nothing is asked twice but one question."""

import time
from pathlib import Path

import pytest

from queries import tasks
from queries.evaluations import runs, sets, states
from queries.models import EvaluationRun
from tests.documents.workers import kill, wait_until, worker
from tests.makers import Party, ingest
from tests.model_server import Behaviour, ModelServer

pytestmark = pytest.mark.django_db(transaction=True)
QUESTIONS = 12


def test_a_run_outlives_kill_9(ours: Party, tmp_path: Path) -> None:
    ingest(ours.tenant, "The kettle is blue.", filename="kettle.md")
    lines = "\n".join(f"Which colour has the kettle of room {n}?,kettle.md" for n in range(QUESTIONS))
    asked = sets.upload(ours.tenant.pk, name="rooms", content=f"question,document\n{lines}\n".encode())
    run = runs.begin(asked)
    log = tmp_path / "worker.log"
    with ModelServer(default=Behaviour(reply="Blue [1].", delay=0.2)) as model:
        answering = {
            "ANSWER_PROVIDER": "openai",
            "ANSWER_BASE_URL": model.url,
            "ANSWER_API_KEY": "sk-test",
            "ANSWER_MODEL": "scripted-1",
            "ANSWER_TIMEOUT_SECONDS": "2",
            "MODEL_PRICES": "scripted-1=1/1",
        }
        tasks.evaluate.apply_async()
        with worker(log, **answering) as first:
            wait_until(lambda: done(run) >= 3, log=log)
            kill(first)
        before = done(run)
        assert 3 <= before < QUESTIONS
        time.sleep(4.2)  # its lease
        tasks.evaluate.apply_async()
        with worker(log, **answering):
            wait_until(lambda: fresh(run).status == "done", log=log)
        assert model.calls <= QUESTIONS + 1
    assert states.results(run).values("question").distinct().count() == QUESTIONS
    assert fresh(run).summary["measures"]["citation precision"] == {"mean": 1.0, "questions": QUESTIONS}


def fresh(run: EvaluationRun) -> EvaluationRun:
    return EvaluationRun.objects.get(pk=run.pk)


def done(run: EvaluationRun) -> int:
    return fresh(run).done
