"""Names that hide something, in the API and in the admin alike."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from queries.models import EvaluationSet
from ragsite.lib import unseen
from tests.makers import Party, make_user
from tests.problems import problem
from tests.strangers import person, session

TURNED = "invoice \u202egpj.exe"


@pytest.mark.parametrize(
    "name",
    ["manuals", "Müller & Søn, 2024", "<b>", "日本語", "ملفات", "می\u200cخواهم", "👩\u200d🔧 repairs", "love \u2764\ufe0f", "1\ufe0f\u20e3 first", "\u2139\ufe0f", "\u260e\ufe0e", ""],
)  # fmt: skip
def test_names(name: str) -> None:
    unseen.check_name(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (TURNED, "U+202E"),
        ("a\u200bb", "U+200B"),
        ("two\nlines", "U+000A"),
        ("two\u2028lines", "U+2028"),
        ("a\ufe0f\ufe0e\ufe0f", "U+FE0E, U+FE0F"),
        ("manuals\ufe0f", "U+FE0F"),
        ("team 1\ufe0f", "U+FE0F"),
        ("a \ufe0eb", "U+FE0E"),
        ("a\U000e0041", "U+E0041"),
        ("\ud800", "U+D800"),
        ("\u3164", "U+3164"),
        ("\u200d", "something to be seen"),
    ],
)
def test_what_is_no_name(name: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said.replace("+", r"\+")):
        unseen.check_name(name)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/keys", {}, "name"),
        ("/api/webhooks", {"url": "https://hooks.example/"}, "description"),
        ("/api/evaluations/sets/from-past", {"origin": "history"}, "name"),
        ("/api/evaluations/runs", {"set": "01a1fbc0-794d-737e-9a93-08f2a90b78aa"}, "name"),
    ],
)
def test_the_api_says_what_is_wrong_with_a_name(
    ours: Party, path: str, body: dict[str, Any], field: str
) -> None:
    answer = person(ours.business).post(path, body | {field: TURNED}, content_type="application/json")
    (error,) = problem(answer, 400, "invalid")["errors"]
    assert (error["field"], error["code"]) == (field, "unseen")
    assert "U+202E" in error["detail"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "model", ["accounts_tenant", "apikeys_apikey", "documents_collection", "queries_evaluationset"]
)
def test_the_admin_says_it_too(ours: Party, model: str) -> None:
    operator: Client = session(make_user("operator", is_staff=True, is_superuser=True))
    answer = operator.post(reverse(f"admin:{model}_add"), {"tenant": str(ours.tenant.pk), "name": TURNED})
    assert answer.status_code == 200
    assert "such as U+202E." in answer.content.decode()
    assert not EvaluationSet.objects.across_tenants().exists()
