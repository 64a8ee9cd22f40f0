from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from accounts.models import Tenant, User
from documents import tasks
from documents.models import Chunk, Collection, CorpusStatistics, Document, EmbeddingSpace
from tests.makers import ingest, make_document

pytestmark = pytest.mark.django_db(transaction=True)
SCRIPT = "<script>alert(1)</script>"
MODELS = [Collection, Document, Chunk, EmbeddingSpace, CorpusStatistics]


@pytest.fixture
def operator(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create(username="operator", is_staff=True, is_superuser=True))
    return client


def page(model: Any, name: str = "changelist", *args: Any) -> str:
    return reverse(f"admin:documents_{model._meta.model_name}_{name}", args=args)


@pytest.mark.parametrize("model", MODELS)
def test_a_list_takes_as_many_queries_for_many_rows_as_for_few(
    tenant: Tenant, operator: Client, model: Any, django_assert_max_num_queries: Any
) -> None:
    for number in range(8):
        ingest(tenant, f"text {number}", collection=f"collection {number}")
    with django_assert_max_num_queries(12):
        response = operator.get(page(model))
    assert response.status_code == 200


@pytest.mark.parametrize("model", MODELS)
def test_a_row_shows_no_vector_and_no_path_and_is_escaped(
    tenant: Tenant, operator: Client, model: Any
) -> None:
    document = ingest(tenant, f"{SCRIPT} text", filename=f"a{SCRIPT}.txt", collection=SCRIPT)
    Document.objects.update(title=SCRIPT)
    row = model.objects.first()
    for url in (page(model), page(model, "change", row.pk)):
        response = operator.get(url)
        text = response.content.decode()
        assert response.status_code == 200
        assert SCRIPT not in text
        assert f"{document.sha256[:2]}/{document.sha256}" not in text
        assert "/999999999" not in text  # a sparse vector


def test_the_actions_process_again_and_remove(
    tenant: Tenant, operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Document] = []
    monkeypatch.setattr(tasks, "hint", told.append)
    ready, queued = ingest(tenant, "ready"), make_document(tenant, "queued")
    both = [str(ready.pk), str(queued.pk)]
    operator.post(page(Document), {"action": "reprocess", "_selected_action": both})
    assert told == [ready]
    operator.post(page(Document), {"action": "remove", "_selected_action": both})
    assert not Document.objects.exists()
    assert CorpusStatistics.objects.get(tenant=tenant).chunks == 0


def test_documents_are_neither_added_nor_edited_nor_deleted_behind_the_index(
    tenant: Tenant, operator: Client
) -> None:
    document = make_document(tenant, "text")
    assert operator.get(reverse("admin:documents_document_add")).status_code == 403
    assert operator.post(page(Document, "delete", document.pk), {"post": "yes"}).status_code == 403
    operator.post(page(Document, "change", document.pk), {"title": "changed"})
    assert Document.objects.get().title == "note"


def test_a_space_is_begun_switched_and_given_up_by_an_operator(
    tenant: Tenant, operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[None] = []
    monkeypatch.setattr(tasks.tend_spaces, "delay_on_commit", lambda: told.append(None))
    ingest(tenant, "text")
    form = {
        "provider": "local",
        "model": "all-MiniLM-L6-v2",
        "precision": "fp32",
        "dimensions": "",
        "base_url": "",
    }
    assert operator.post(page(EmbeddingSpace, "add"), form).status_code == 302
    space = EmbeddingSpace.objects.get(state="building")
    assert (space.precision, space.switches, space.total) == ("fp32", False, 1)
    shown = operator.get(page(EmbeddingSpace)).content.decode()
    assert '<progress value="0" max="100">0 %</progress>' in shown
    operator.post(page(EmbeddingSpace), {"action": "switch", "_selected_action": str(space.pk)})
    space.refresh_from_db()
    assert space.switches
    operator.post(page(EmbeddingSpace), {"action": "cancel", "_selected_action": str(space.pk)})
    space.refresh_from_db()
    assert space.state == "retired"
    operator.post(page(EmbeddingSpace), {"action": "drop", "_selected_action": str(space.pk)})
    assert len(told) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "This model serves already."),
        ({"model": "bge-m3"}, "The only local model is"),
        ({"provider": "openai", "precision": ""}, "There is no key for api.openai.com."),
    ],
)
def test_a_space_that_cannot_be_begun_says_why(
    tenant: Tenant, operator: Client, changes: dict[str, str], message: str
) -> None:
    ingest(tenant, "text")
    form = {"provider": "local", "model": "all-MiniLM-L6-v2", "precision": "int8", "switches": "on"}
    response = operator.post(page(EmbeddingSpace, "add"), form | changes)
    assert response.status_code == 200
    assert message in response.content.decode()
    assert not EmbeddingSpace.objects.filter(state="building").exists()


def test_staff_who_may_only_look_change_no_space(tenant: Tenant) -> None:
    viewer = User.objects.create(username="viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_embeddingspace"))
    ingest(tenant, "text")
    space = EmbeddingSpace.objects.create(provider="openai", model="m", dimensions=8)
    client = Client()
    client.force_login(viewer)
    assert client.get(page(EmbeddingSpace)).status_code == 200
    assert client.get(page(EmbeddingSpace, "add")).status_code == 403
    client.post(page(EmbeddingSpace), {"action": "cancel", "_selected_action": str(space.pk)})
    space.refresh_from_db()
    assert space.state == "building"
