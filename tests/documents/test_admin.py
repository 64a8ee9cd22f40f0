from typing import Any

import pytest
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
