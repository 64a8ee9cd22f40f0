"""Sets made of what was asked, and of what people thought of it."""

from typing import Any

import pytest

from documents import indexing
from documents.models import Document
from queries.evaluations import sets
from queries.models import EvaluationQuestion, EvaluationSet
from ragsite.lib.errors import Conflict, Invalid
from tests.makers import Party, ingest

pytestmark = pytest.mark.django_db


def ask(party: Party, question: str, rating: str = "") -> str:
    answer = party.client.post("/api/query", {"question": question, "use_cache": False}, format="json").json()
    if rating:
        party.client.post(f"/api/history/{answer['id']}/feedback", {"rating": rating}, format="json")
    return str(answer["id"])


def questions(made: EvaluationSet) -> dict[str, list[str]]:
    rows = EvaluationQuestion.objects.for_tenant(made.tenant_id).filter(set=made)
    return {row.question: [entry["filename"] for entry in row.expected] for row in rows}


def past(party: Party, name: str, origin: Any, **limits: int) -> EvaluationSet:
    return sets.from_past(party.tenant.pk, name=name, origin=origin, **{"days": 30, "limit": 100, **limits})


def test_of_answers_that_were_rated_up(ours: Party, kettle: Document) -> None:
    ask(ours, "How long does the warranty of the kettle last?", "up")
    ask(ours, "how long does the  warranty of the kettle last?", "up")
    ask(ours, "When is tea served in the garden?", "down")
    ask(ours, "Who is the queen of chess?", "up")
    liked = past(ours, "liked", "feedback")
    assert questions(liked) == {"how long does the  warranty of the kettle last?": ["kettle.md"]}
    given = past(ours, "given", "history")
    assert len(questions(given)) == 2
    assert len(questions(past(ours, "one", "history", limit=1))) == 1


def test_a_document_that_is_gone_is_expected_no_more(ours: Party, kettle: Document) -> None:
    ask(ours, "How long does the warranty of the kettle last?", "up")
    indexing.remove(kettle)
    with pytest.raises(Invalid, match="still there"):
        past(ours, "liked", "feedback")


def test_a_replay_is_no_question_of_its_own(ours: Party, kettle: Document) -> None:
    query = ask(ours, "How long does the warranty of the kettle last?")
    assert ours.business_client.post(f"/api/history/{query}/replay").status_code == 200
    assert len(questions(past(ours, "given", "history"))) == 1


def test_another_tenants_documents_are_not_there(ours: Party, theirs: Party) -> None:
    document = ingest(theirs.tenant, "The kettle is theirs.", filename="theirs.md")
    for name in ("theirs.md", str(document.pk)):
        with pytest.raises(Invalid):
            sets.upload(ours.tenant.pk, name="x", content=f"question,document\nWhy?,{name}\n".encode())


def test_names_and_numbers_of_sets(ours: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    sets.upload(ours.tenant.pk, name="one", content=b"question\nWhy?\n")
    with pytest.raises(Conflict, match="of this name"):
        sets.upload(ours.tenant.pk, name="one", content=b"question\nWhy?\n")
    monkeypatch.setattr(sets, "MAX_SETS", 1)
    with pytest.raises(Conflict, match="already"):
        sets.upload(ours.tenant.pk, name="two", content=b"question\nWhy?\n")


def test_a_document_is_named_by_its_id_or_its_file(ours: Party, kettle: Document) -> None:
    content = f"question,document,page\nWhy?,{str(kettle.pk).upper()},\nWho?,kettle.md,2\n".encode()
    made = sets.upload(ours.tenant.pk, name="both", content=content)
    rows = EvaluationQuestion.objects.for_tenant(ours.tenant).filter(set=made).order_by("ordinal")
    assert [row.expected for row in rows] == [
        [{"document_id": str(kettle.pk), "filename": "kettle.md", "page": None}],
        [{"document_id": None, "filename": "kettle.md", "page": 2}],
    ]
