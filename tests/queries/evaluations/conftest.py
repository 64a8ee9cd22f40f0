"""A set with known answers, and runs of it without a broker."""

from typing import Any

import pytest

from documents.models import Document
from queries import tasks
from queries.evaluations import running
from queries.models import EvaluationRun, EvaluationSet
from tests.makers import Party, ingest

CSV = (
    "question,document,answer\n"
    "How long does the warranty of the kettle last?,kettle.md,three years\n"
    "When is tea served?,kettle.md,noon\n"
    "Where is the lighthouse?,lighthouse.md,on the cliff\n"
    "Who is the queen of chess?,,\n"
)


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the workers were told; the test is the worker."""
    found: list[str] = []
    monkeypatch.setattr(tasks.evaluate, "delay_on_commit", lambda: found.append("evaluate"))
    monkeypatch.setattr(tasks.evaluate, "delay", lambda: found.append("again"))
    return found


@pytest.fixture
def asked(ours: Party, kettle: Document) -> EvaluationSet:
    ingest(ours.tenant, "The lighthouse stands on the cliff.", filename="lighthouse.md")
    from queries.evaluations import sets

    return sets.upload(ours.tenant.pk, name="a few", content=CSV.encode())


def work() -> None:
    """As the workers do, until nothing is left."""
    for _ in range(50):
        if not running.step():
            return
    raise AssertionError("The work does not end.")


def finished(run: EvaluationRun, **expected: Any) -> EvaluationRun:
    work()
    run.refresh_from_db()
    assert run.status == expected.get("status", "done"), (run.error_code, run.error_detail)
    return run
