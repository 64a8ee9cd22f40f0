"""The main job, through HTTP."""

import pytest

from tests.makers import Party, ingest


@pytest.mark.django_db(transaction=True)
def test_question_gets_cited_answer(ours: Party) -> None:
    document = ingest(ours.tenant, "The warranty of the kettle lasts three years.\n\nTea is served at four.")
    assert document.status == "ready", document.error_detail
    response = ours.client.post(
        "/api/query", {"question": "How long is the kettle's warranty?"}, format="json"
    )
    assert response.status_code == 200, response.content
    body = response.json()
    assert "three years" in body["answer"]
    assert "[1]" in body["answer"]
    assert body["sources"][0]["document_id"] == str(document.pk)
