"""Who may see and do what in the admin: every page of it with every kind of person."""

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import transaction
from django.test import Client
from django.utils import timezone

from apikeys import usage
from apikeys.usage import Entry
from queries.models import EvaluationRun, Feedback, Query
from ragsite.lib.identifiers import uuid7
from tests import hidden
from tests.makers import Party, ingest, make_conversation, make_key, make_user
from tests.routes import everything
from tests.strangers import session, with_header
from tests.webhooks.making import make_webhook
from webhooks import endpoints

# What an operator gets of a model's pages. Everybody else is sent to sign in, and staff without permissions hear 403.
# 302: to the row's page, or from its history to the audit log, which is a page of the table's own.
#                    list  add  change  delete  history
MODELS = """
accounts.tenant       200  200     200     403      302
accounts.user         200  200     200     200      302
apikeys.apikey        200  200     200     403      302
auditlog.logentry     200  403     200     403      200
apikeys.usage         200  403     200     403      200
documents.chunk       200  403     200     403      200
documents.collection  200  200     200     200      200
documents.corpusstatistics  200  403  200  403      200
documents.document    200  403     200     403      200
documents.embeddingspace    200  200  200  403      200
queries.conversation  200  403     200     403      200
queries.evaluationset 200  200     200     200      200
queries.evaluationrun 200  200     200     200      200
queries.feedback      200  403     200     403      200
webhooks.endpoint     200  200     200     200      302
webhooks.delivery     200  403     200     403      200
queries.query         200  403     200     403      200
"""
PAGES = {"list": "", "add": "add/", "change": "<path:object_id>/change/", "delete": "<path:object_id>/delete/",
         "history": "<path:object_id>/history/"}  # fmt: skip
# The rest of the admin: what an operator gets, staff without permissions, and everybody else. 302: to the sign-in.
#                                                      operator  staff  others
SITE = """
/admin/                                                     200    200     302
/admin/search/                                              200    200     302
/admin/login/                                               302    302     200
/admin/password_change/                                     200    200     302
/admin/password_change/done/                                200    200     302
/admin/autocomplete/                                        403    403     302
/admin/jsi18n/                                              200    200     302
/admin/r/<path:content_type_id>/<path:object_id>/           404    404     302
/admin/accounts/user/<id>/password/                         200    403     302
/admin/queries/query/models/                                200    403     302
/admin/queries/evaluationrun/compare/                       404    403     302
/admin/queries/evaluationrun/<uuid:pk>/results/             200    403     302
/admin/queries/query/<uuid:pk>/trace/                       200    403     302
/admin/queries/query/<uuid:pk>/replay/                      405    403     302
/admin/^(?P<app_label>auditlog|accounts|apikeys|webhooks|documents|queries)/$ 200    404     302
/admin/(?P<url>.*)$                                         404    404     302
/admin/logout/                                              405    405     302
"""


def read(table: str) -> dict[str, list[int]]:
    rows = [line.split() for line in table.splitlines() if line.strip()]
    return {name: [int(status) for status in statuses] for name, *statuses in rows}


@pytest.fixture
def people(ours: Party) -> dict[str, Client]:
    return {
        "operator": session(make_user("operator", is_staff=True, is_superuser=True)),
        "staff": session(make_user("staff", is_staff=True)),
        "nobody": Client(),
        "key": with_header(ours.raw),
        "user": session(ours.user),
        "business": session(ours.business),
        "inactive operator": session(
            make_user("gone", is_staff=True, is_superuser=True, is_active=False),
        ),
    }


@pytest.fixture
def a_row_of_everything(ours: Party) -> dict[str, str]:
    """The id of one row of each model, by the model's label."""
    hidden.evaluate(ours, ingest(ours.tenant, "There is a row of everything."))
    query = Query.objects.for_tenant(ours.tenant).create(
        id=uuid7(), tenant=ours.tenant, question="Whose?", created_at=timezone.now(), status="answered"
    )
    make_conversation(ours.tenant, user=ours.user)
    Feedback.objects.for_tenant(ours.tenant).create(tenant=ours.tenant, query=query, rating="up")
    endpoints.send_test(make_webhook(ours, "https://hooks.example/")[0])
    usage.write([Entry(uuid7(), ours.tenant.pk, "/api/query", "POST", 200, 1.0, key_id=ours.key.pk)])
    rows = {label: apps.get_model(label)._base_manager.first() for label in read(MODELS)}
    return {label: str(row.pk) for label, row in rows.items() if row}


def pages_of_models(rows: dict[str, str]) -> dict[str, tuple[int, str]]:
    """What an operator gets, and the path, by route."""
    found = {}
    for label, statuses in read(MODELS).items():
        start = f"/admin/{label.replace('.', '/')}/"
        for page, status in zip(PAGES, statuses, strict=True):
            route = f"{start}{PAGES[page]}"
            found[route] = (status, route.replace("<path:object_id>", rows[label]))
        redirect = f"{start}<path:object_id>/"
        found[redirect] = (302, redirect.replace("<path:object_id>", rows[label]))
    return found


def path_of(route: str, ours: Party) -> str:
    if "<uuid:pk>" in route:
        query = hidden.ask(ours, "Whose?")
        row = EvaluationRun.objects.get() if "evaluationrun" in route else query
        route = route.replace("<uuid:pk>", str(row.pk))
    path = route.replace("<id>", str(ours.user.pk)).replace("<path:content_type_id>/<path:object_id>", "1/2")
    return path.replace(
        "^(?P<app_label>auditlog|accounts|apikeys|webhooks|documents|queries)/$", "accounts/"
    ).replace("(?P<url>.*)$", "nothing/")


def test_every_page_is_in_the_tables(a_row_of_everything: dict[str, str]) -> None:
    routes = {route for route in everything() if route.startswith("/admin/")}
    assert routes == set(pages_of_models(a_row_of_everything)) | set(read(SITE))
    assert {model._meta.label_lower for model in admin.site._registry} == set(read(MODELS))


def test_pages_of_models(people: dict[str, Client], a_row_of_everything: dict[str, str]) -> None:
    wrong = {}
    for route, (status, path) in pages_of_models(a_row_of_everything).items():
        expected = {"operator": status, "staff": 302 if status == 302 else 403}
        for name, client in people.items():
            answer = client.get(path)
            if answer.status_code != expected.get(name, 302):
                wrong[route, name] = answer.status_code
            elif name not in expected:
                assert answer["Location"].startswith("/admin/login/?next="), (route, name)
    assert not wrong


def test_pages_of_the_site(people: dict[str, Client], ours: Party) -> None:
    hidden.evaluate(ours, ingest(ours.tenant, "There is a run."))
    wrong = {}
    for route, (operator, staff, others) in read(SITE).items():
        for name, client in people.items():
            status = client.get(path_of(route, ours)).status_code
            if status != {"operator": operator, "staff": staff}.get(name, others):
                wrong[route, name] = status
    assert not wrong


def test_nobody_else_changes_anything(people: dict[str, Client], a_row_of_everything: dict[str, str]) -> None:
    """The same pages with POST: what is not allowed to be seen cannot be sent either."""
    for route, (status, path) in pages_of_models(a_row_of_everything).items():
        for name, client in people.items():
            if (name != "operator" or status == 403) and status != 302:
                with transaction.atomic():
                    answer = posted(client, path, a_row_of_everything)
                assert answer.status_code == (403 if name in {"operator", "staff"} else 302), (route, name)
    for label, pk in a_row_of_everything.items():
        assert apps.get_model(label)._base_manager.filter(pk=pk).exists(), label


def posted(client: Client, path: str, rows: dict[str, str]) -> Any:
    label = ".".join(path.split("/")[2:4])
    return client.post(path, {"post": "yes", "action": "revoke", "_selected_action": rows[label]})


def test_staff_without_permissions_are_offered_no_action(people: dict[str, Client], ours: Party) -> None:
    key, _ = make_key(ours.tenant)
    for action in ("revoke", "rotate", "remove", "reprocess", "delete_selected"):
        answer = people["staff"].post(
            "/admin/apikeys/apikey/", {"action": action, "_selected_action": str(key.pk), "post": "yes"}
        )
        assert answer.status_code == 403
    key.refresh_from_db()
    assert key.revoked_at is None
