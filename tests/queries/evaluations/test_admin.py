"""Evaluation in the admin: for operators, and safe to look at."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from documents.models import Document
from queries.evaluations import runs, sets
from queries.models import EvaluationRun, EvaluationSet
from tests.makers import Party, ingest, make_user
from tests.queries.evaluations.conftest import finished
from tests.strangers import session

pytestmark = pytest.mark.django_db
SCRIPT = "<img src=x onerror=alert(1)>"  # no slash, which a file name could not have


@pytest.fixture
def operator(db: None) -> Client:
    return session(make_user("operator", is_staff=True, is_superuser=True))


def test_a_set_is_uploaded_and_run(ours: Party, operator: Client, kettle: Document, told: list[str]) -> None:
    add = reverse("admin:queries_evaluationset_add")
    assert operator.get(add).status_code == 200
    form = {"tenant": str(ours.tenant.pk), "name": "mine", "origin": "file", "days": 90, "limit": 200}
    wrong = operator.post(
        add, {**form, "file": SimpleUploadedFile("a.csv", b"question,document\nWhy?,none.md\n")}
    )
    assert "Line 2: there is no document" in wrong.content.decode()
    made = operator.post(
        add, {**form, "file": SimpleUploadedFile("a.csv", b"question,document\nWhy?,kettle.md\n")}
    )
    assert made.status_code == 302
    asked = EvaluationSet.objects.get()
    assert asked.questions.count() == 1
    begin = reverse("admin:queries_evaluationrun_add")
    assert operator.get(begin).status_code == 200
    begun = operator.post(begin, {"set": str(asked.pk), "name": "first", "answers": "on", "top_k": "2"})
    assert begun.status_code == 302
    run = EvaluationRun.objects.get()
    assert (run.top_k, run.answers, run.prompt, told) == (2, True, None, ["evaluate"])
    finished(run)
    page = operator.get(reverse("admin:queries_evaluationrun_change", args=[run.pk]))
    assert page.status_code == 200


def test_pages_escape_what_they_show(ours: Party, operator: Client) -> None:
    ingest(ours.tenant, f"The kettle is {SCRIPT} blue.", filename=f"a{SCRIPT}.txt")
    content = f"question,document\nWhich kettle {SCRIPT} is blue?,a{SCRIPT}.txt\n".encode()
    asked = sets.upload(ours.tenant.pk, name=SCRIPT, content=content)
    before, after = finished(runs.begin(asked, name=SCRIPT)), finished(runs.begin(asked, name=SCRIPT))
    compare = {"action": "compare", "_selected_action": [str(before.pk), str(after.pk)]}
    chosen = operator.post(reverse("admin:queries_evaluationrun_changelist"), compare)
    assert chosen.status_code == 302
    pages = [
        operator.get(chosen["Location"]),
        operator.get(reverse("admin:queries_evaluationrun_results", args=[after.pk])),
        operator.get(reverse("admin:queries_evaluationrun_changelist")),
        operator.get(reverse("admin:queries_evaluationset_changelist")),
        operator.get(reverse("admin:queries_evaluationset_change", args=[asked.pk])),
    ]
    for page in pages:
        text = page.content.decode()
        assert page.status_code == 200
        assert SCRIPT not in text
        assert "&lt;img src=x" in text


def test_runs_that_cannot_be_compared(ours: Party, operator: Client, asked: EvaluationSet) -> None:
    other = sets.upload(ours.tenant.pk, name="other", content=b"question\nWhy?\n")
    one, two = runs.begin(asked), runs.begin(other)
    changelist = reverse("admin:queries_evaluationrun_changelist")
    lonely = {"action": "compare", "_selected_action": [str(one.pk)]}
    assert b"Select two runs" in operator.post(changelist, lonely, follow=True).content
    both = {"action": "compare", "_selected_action": [str(one.pk), str(two.pk)]}
    assert b"different sets" in operator.post(changelist, both, follow=True).content
    operator.post(changelist, {"action": "cancel", "_selected_action": [str(one.pk)]})
    one.refresh_from_db()
    assert one.status == "cancelled"
    for path in (f"{changelist}compare/", f"{changelist}compare/?before=x&after=y"):
        assert operator.get(path).status_code == 404


def test_lists_ask_as_much_for_many_rows_as_for_few(
    ours: Party, operator: Client, asked: EvaluationSet, django_assert_max_num_queries: object
) -> None:
    for number in range(5):
        runs.begin(sets.upload(ours.tenant.pk, name=f"set {number}", content=b"question\nWhy?\n"))
    for name in ("evaluationset", "evaluationrun"):
        with django_assert_max_num_queries(12):  # type: ignore[operator]
            assert operator.get(reverse(f"admin:queries_{name}_changelist")).status_code == 200
