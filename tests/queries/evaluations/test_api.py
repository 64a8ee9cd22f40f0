"""Evaluation over HTTP."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from documents.models import Document
from queries.evaluations import runs
from queries.models import EvaluationResult, EvaluationRun, EvaluationSet
from ragsite.lib.identifiers import uuid7
from tests.makers import Party
from tests.problems import problem
from tests.queries.evaluations.conftest import CSV, finished, work

pytestmark = pytest.mark.django_db
SETS, RUNS = "/api/evaluations/sets", "/api/evaluations/runs"


def upload(party: Party, content: bytes, **fields: Any) -> Any:
    form = {"name": "mine", "file": SimpleUploadedFile("set.csv", content), **fields}
    return party.business_client.post(SETS, form, format="multipart")


def test_from_a_file_to_figures(ours: Party, asked: EvaluationSet, told: list[str]) -> None:
    client = ours.business_client
    made = upload(ours, CSV.encode())
    assert made.status_code == 201
    assert made.json()["questions"] == 4
    listed = client.get(SETS).json()["results"]
    assert [row["name"] for row in listed] == ["mine", "a few"]
    shown = client.get(f"{SETS}/{made.json()['id']}/questions").json()["results"]
    assert {row["ordinal"] for row in shown} == {1, 2, 3, 4}
    begun = client.post(RUNS, {"set": made.json()["id"], "name": "first", "top_k": 2}, format="json")
    assert begun.status_code == 202
    assert begun.json()["progress"] == {"done": 0, "total": 4}
    assert told == ["evaluate"]
    work()
    run = client.get(f"{RUNS}/{begun.json()['id']}").json()
    assert (run["status"], run["progress"]["done"]) == ("done", 4)
    assert run["summary"]["measures"]["recall@5"]["mean"] == 1.0
    results = client.get(f"{RUNS}/{run['id']}/results").json()["results"]
    assert {row["status"] for row in results} == {"answered", "not_found"}
    assert client.delete(f"{SETS}/{made.json()['id']}").status_code == 204
    assert not EvaluationResult.objects.exists()


def test_what_is_wrong_with_a_file_is_told_by_line(ours: Party, kettle: Document) -> None:
    body = problem(upload(ours, b"question,document\nWhy?,teapot.md\n"), 400, "invalid")
    assert body["errors"] == [
        {"field": "file.2", "code": "line", "detail": "Line 2: there is no document 'teapot.md'."}
    ]
    problem(upload(ours, b""), 400)
    problem(upload(ours, b"question\nWhy?\n", surprise="x"), 400)
    problem(ours.business_client.post(SETS, {"name": "x"}, format="json"), 415)
    assert upload(ours, b"question\nWhy?\n").status_code == 201
    problem(upload(ours, b"question\nWhy?\n"), 409, "name_taken")


def test_two_runs_side_by_side(ours: Party, asked: EvaluationSet) -> None:
    client = ours.business_client
    before = finished(runs.begin(asked, top_k=5))
    after = finished(runs.begin(asked, top_k=1))
    address = f"{RUNS}/{after.pk}/comparison"
    compared = client.get(f"{address}?other={before.pk}&limit=2").json()
    assert compared["settings"] == [{"name": "top_k", "then": 5, "now": 1}]
    assert compared["questions_compared"] == 4
    by_name = {row["name"]: row for row in compared["measures"]}
    assert by_name["recall@5"]["difference"] == 0
    assert by_name["recall@5"]["p"] == 1.0
    assert len(compared["questions"]) == 2
    assert compared["questions"][0]["before"]["scores"]
    problem(client.get(address), 400)
    problem(client.get(address, {"other": str(uuid7())}), 404)
    other = EvaluationSet.objects.create(tenant=ours.tenant, name="other")
    foreign = EvaluationRun.objects.create(tenant=ours.tenant, set=other)
    problem(client.get(address, {"other": str(foreign.pk)}), 409, "not_comparable")


def test_a_run_is_cancelled_and_removed(ours: Party, asked: EvaluationSet) -> None:
    client = ours.business_client
    begun = client.post(RUNS, {"set": str(asked.pk)}, format="json").json()
    assert client.post(f"{RUNS}/{begun['id']}/cancel").json()["status"] == "cancelled"
    problem(client.post(f"{RUNS}/{begun['id']}/cancel"), 409, "finished")
    assert client.delete(f"{RUNS}/{begun['id']}").status_code == 204
    assert client.get(RUNS).json()["results"] == []


@pytest.mark.parametrize(
    "body",
    [{}, {"set": 7}, {"set": "x"}, {"top_k": 0}, {"top_k": 51}, {"distance_threshold": 3}, {"answers": "yes"},
     {"model": "unheard-of"}, {"space": "x"}, {"prompt": "a\0b"}, {"surprise": 1}],
)  # fmt: skip
def test_runs_that_cannot_be(ours: Party, asked: EvaluationSet, body: dict[str, Any]) -> None:
    wanted = {**({} if not body else {"set": str(asked.pk)}), **body}
    problem(ours.business_client.post(RUNS, wanted, format="json"), 400, "invalid")


def test_no_answers_on_a_spent_budget(ours: Party, asked: EvaluationSet) -> None:
    ours.tenant.monthly_budget_usd = 0
    ours.tenant.save()
    client = ours.business_client
    problem(client.post(RUNS, {"set": str(asked.pk)}, format="json"), 402)
    assert client.post(RUNS, {"set": str(asked.pk), "answers": False}, format="json").status_code == 202


def test_sets_from_the_past(ours: Party, kettle: Document) -> None:
    client = ours.business_client
    wanted = {"name": "liked", "origin": "feedback"}
    problem(client.post(f"{SETS}/from-past", wanted, format="json"), 400, "no_questions")
    question = {"question": "How long does the warranty of the kettle last?"}
    answer = client.post("/api/query", question, format="json").json()
    client.post(f"/api/history/{answer['id']}/feedback", {"rating": "up"}, format="json")
    made = client.post(f"{SETS}/from-past", wanted, format="json")
    assert made.status_code == 201
    assert made.json()["questions"] == 1
