"""The contract of questions, search, history and feedback."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from documents.models import Collection, Document
from queries.models import Feedback, Query
from tests.documents.pdfs import Page, flowing, pdf
from tests.makers import Party, ingest, make_key, make_user, signed_in, with_key

pytestmark = pytest.mark.django_db

QUESTION = "How long is the kettle's warranty?"
ANSWER = {"id", "question", "standalone_question", "answer", "route", "sources", "unsupported", "sql", "columns", "rows",
          "from_cache", "generator", "model", "fallback", "usage", "timings_ms", "response_time_ms"}  # fmt: skip
SOURCE = {"n", "document_id", "title", "collection", "page", "last_page", "chunk_id", "chunk_ids", "start", "end", "text",
          "score"}  # fmt: skip


def ask(client: Any, **body: Any) -> Any:
    return client.post("/api/query", {"question": QUESTION, **body}, format="json")


@pytest.fixture
def library(ours: Party) -> list[Document]:
    """Seven documents in two collections, with metadata."""
    return [
        ingest(
            ours.tenant,
            f"Kettle number {number} has a warranty of {number} years.",
            filename=f"kettle-{number}.txt",
            collection="odd" if number % 2 else "even",
            metadata={"number": number, "tags": {"kind": "kettle"}},
        )
        for number in range(1, 8)
    ]


def test_an_answer_has_the_contracts_fields_and_no_others(ours: Party, library: list[Document]) -> None:
    answer = ask(ours.client).json()
    assert set(answer) == ANSWER
    assert [set(source) for source in answer["sources"]] == [SOURCE] * 5
    assert [source["n"] for source in answer["sources"]] == [1, 2, 3, 4, 5]
    assert (answer["route"], answer["generator"], answer["model"]) == (
        "documents",
        "extractive",
        "extractive-1",
    )
    assert set(answer["timings_ms"]) == {"embed", "search", "generate"}
    assert answer["response_time_ms"] > 0
    assert all(0 <= source["score"] <= 1 for source in answer["sources"])


@pytest.mark.parametrize(("top_k", "count"), [(1, 1), (3, 3), (7, 7), (50, 7), (None, 5)])
def test_there_are_as_many_sources_as_asked_for_or_exist(
    ours: Party, library: list[Document], top_k: int | None, count: int
) -> None:
    question = "Which kettle has a warranty?"
    assert len(ask(ours.client, question=question, top_k=top_k).json()["sources"]) == count
    found = ours.client.post("/api/search", {"question": question, "top_k": top_k}, format="json").json()
    assert set(found) == {"results"}
    assert [set(source) for source in found["results"]] == [SOURCE] * count


def test_a_sources_text_stands_at_its_span(ours: Party) -> None:
    text = "# Köttel ☕\n\nThe *warranty* of the kettle lasts three years.\n\n" + "Tea is served late. " * 200
    document = ingest(ours.tenant, text, filename="köttel.md")
    whole = ours.client.get(f"/api/documents/{document.pk}/text").content.decode()
    sources = ask(ours.client).json()["sources"]
    assert sum(len(source["chunk_ids"]) for source in sources) > 1
    for source in sources:
        assert whole[source["start"] : source["end"]] == source["text"]


def test_a_source_names_its_page(ours: Party) -> None:
    pages = [
        "Nothing is said of it here.",
        "The warranty of the kettle lasts three years.",
        "Tea is at four.",
    ]
    document = ingest(ours.tenant, pdf(*(Page(flowing(text)) for text in pages)), filename="kettle.pdf")
    whole = ours.client.get(f"/api/documents/{document.pk}/text").content.decode()
    (best, *_) = ask(ours.client).json()["sources"]
    first = best["text"].index("The warranty") if "The warranty" in best["text"] else -1
    assert first >= 0
    assert whole[best["start"] : best["end"]] == best["text"]
    assert best["page"] == (2 if first == 0 else 1)  # where the passage begins


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ({"collection": "odd"}, {1, 3, 5, 7}),
        ({"metadata": {"number": 4}}, {4}),
        ({"metadata": {"tags": {"kind": "kettle"}, "number": 2}}, {2}),
        ({"collection": "odd", "metadata": {"number": 2}}, set()),
        ({"document_ids": []}, set()),
    ],
)
def test_filters_hold(
    ours: Party, library: list[Document], filters: dict[str, Any], numbers: set[int]
) -> None:
    wanted = {str(library[number - 1].pk) for number in numbers}
    answer = ask(ours.client, top_k=50, **filters).json()
    assert {source["document_id"] for source in answer["sources"]} == wanted
    if not wanted:
        assert answer["answer"] == "The documents do not say."


def test_documents_and_collections_can_be_chosen_by_id(ours: Party, library: list[Document]) -> None:
    chosen = [str(library[1].pk), str(library[4].pk)]
    answer = ask(ours.client, document_ids=[*chosen, chosen[0]]).json()
    assert {source["document_id"] for source in answer["sources"]} == set(chosen)
    even = Collection.objects.for_tenant(ours.tenant).get(name="even")
    assert len(ask(ours.client, collection=str(even.pk), top_k=9).json()["sources"]) == 3


def test_nothing_near_is_not_in_the_documents(ours: Party) -> None:
    ingest(ours.tenant, "Quarks carry colour charge, and gluons bind them.")
    answer = ask(ours.client, question="Wann kommt Omas Paket?").json()
    assert (answer["answer"], answer["sources"]) == ("The documents do not say.", [])
    assert Query.objects.for_tenant(ours.tenant).get().status == "not_found"


def test_a_question_of_signs_alone_is_answered(ours: Party, library: list[Document]) -> None:
    assert ask(ours.client, question="?!… ☕").status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"route": "database"}, 400, "no_database"),
        ({"route": "database", "database": "sales"}, 404, "not_found"),
        ({"database": "sales"}, 404, "not_found"),
        ({"collection": "no such"}, 404, "not_found"),
        ({"document_ids": ["0190c0de-0000-7000-8000-000000000000"]}, 404, "not_found"),
        ({"route": "elsewhere"}, 400, "invalid"),
        ({"top_k": 0}, 400, "invalid"),
        ({"top_k": 51}, 400, "invalid"),
        ({"top_k": "5"}, 400, "invalid"),
        ({"top_k": True}, 400, "invalid"),
        ({"question": "  "}, 400, "invalid"),
        ({"question": 5}, 400, "invalid"),
        ({"question": "x" * 4_001}, 400, "invalid"),
        ({"question": "a\0b"}, 400, "invalid"),
        ({"document_ids": "all"}, 400, "invalid"),
        ({"document_ids": ["1"]}, 400, "invalid"),
        ({"metadata": []}, 400, "invalid"),
        ({"metadata": "a"}, 400, "invalid"),
        ({"metadata": {"a": "\0"}}, 400, "invalid"),
        ({"stream": "yes"}, 400, "invalid"),
        ({"use_cache": 1}, 400, "invalid"),
        ({"topk": 5}, 400, "invalid"),
    ],
    ids=str,
)
def test_bad_requests_are_documented_problems(
    ours: Party, body: dict[str, Any], status: int, code: str
) -> None:
    for stream in ({}, {"stream": True}):
        response = ask(ours.client, **{**stream, **body})
        assert (response.status_code, response.json()["code"]) == (status, code)
        assert response["Content-Type"] == "application/problem+json"
        if code == "invalid":
            assert next(iter(body)) in {error["field"].split(".")[0] for error in response.json()["errors"]}


def test_what_is_anothers_is_unknown(ours: Party, theirs: Party, library: list[Document]) -> None:
    for body in ({"collection": str(library[0].collection_id)}, {"document_ids": [str(library[0].pk)]}):
        assert ask(theirs.client, **body).status_code == 404
        assert theirs.client.post("/api/search", {"question": "?", **body}, format="json").status_code == 404
    assert ask(theirs.client).json()["sources"] == []


def test_a_restricted_key_finds_what_it_may_read(ours: Party, library: list[Document]) -> None:
    odd = Collection.objects.for_tenant(ours.tenant).get(name="odd")
    _, raw = make_key(ours.tenant, owner=ours.business, collection_ids=[odd.pk])
    client = with_key(raw)
    assert {source["collection"] for source in ask(client, top_k=50).json()["sources"]} == {"odd"}
    assert ask(client, collection="even").status_code == 404
    assert ask(client, document_ids=[str(library[1].pk)]).status_code == 404
    assert ask(client, document_ids=[str(library[0].pk)]).status_code == 200


# History -----------------------------------------------------------------------------------------------------


def test_everyone_sees_the_history_that_is_theirs(ours: Party, theirs: Party) -> None:
    _, other_raw = make_key(ours.tenant, owner=ours.business)
    other_user = signed_in(make_user("another", tenant=ours.tenant, role=User.Role.USER))
    ids = {
        name: ask(client, use_cache=False).json()["id"]
        for name, client in (
            ("key", ours.client),
            ("user", ours.user_client),
            ("business", ours.business_client),
        )
    }

    def seen(client: Any) -> set[str]:
        return {entry["id"] for entry in client.get("/api/history").json()["results"]}

    assert seen(ours.client) == {ids["key"]}
    assert seen(ours.user_client) == {ids["user"]}
    assert seen(ours.business_client) == set(ids.values())
    for stranger in (with_key(other_raw), other_user, theirs.client, theirs.business_client):
        assert seen(stranger) == set()
        for identifier in ids.values():
            assert stranger.get(f"/api/history/{identifier}").status_code == 404
            path = f"/api/history/{identifier}/feedback"
            assert stranger.post(path, {"rating": "up"}, format="json").status_code == 404
    assert not Feedback.objects.across_tenants().exists()


def test_history_is_paged_newest_first_with_bounded_queries(
    ours: Party, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    asked = [ask(ours.client, use_cache=False).json()["id"] for _ in range(5)]
    with django_assert_max_num_queries(2):
        page = ours.client.get("/api/history?limit=2").json()
    assert set(page) == {"results", "next", "previous"}
    listed = [entry["id"] for entry in page["results"]]
    while page["next"]:
        page = ours.client.get(page["next"]).json()
        listed += [entry["id"] for entry in page["results"]]
    assert listed == asked[::-1]


def test_a_later_rating_replaces_an_earlier_one(ours: Party) -> None:
    path = f"/api/history/{ask(ours.client).json()['id']}"
    assert ours.client.get(path).json()["feedback"] is None
    for rating, comment in (("up", "good"), ("down", "<b>bad</b>")):
        given = ours.client.post(f"{path}/feedback", {"rating": rating, "comment": comment}, format="json")
        assert given.status_code == 200
    feedback = ours.business_client.get(path).json()["feedback"]
    assert (feedback["rating"], feedback["comment"]) == ("down", "<b>bad</b>")
    for wrong in ({}, {"rating": "sideways"}, {"rating": "up", "comment": 5}, {"rating": "up", "stars": 5}):
        assert ours.client.post(f"{path}/feedback", wrong, format="json").status_code == 400


# In a terminal, and for operators ----------------------------------------------------------------------------


def test_ask_shows_the_answer_and_its_sources(
    ours: Party, library: list[Document], capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("ask", "Which kettle has a warranty of 3 years?", "--tenant", "ours", "--top-k", "2")
    printed = capsys.readouterr().out
    assert "Kettle number 3" in printed
    assert "[2] kettle-" in printed
    assert "[3]" not in printed
    assert Query.objects.for_tenant(ours.tenant).get().answer in printed
    for wrong in (
        ["--tenant", "nobody"],
        ["--tenant", "ours", "--collection", "none"],
        ["--tenant", "ours", "--top-k", "0"],
    ):
        with pytest.raises(CommandError):
            call_command("ask", QUESTION, *wrong)
    with pytest.raises(CommandError):
        call_command("ask", "  ", "--tenant", "ours")


def test_the_admin_shows_hostile_text_as_text_with_bounded_queries(
    ours: Party, admin_client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    hostile = "<script>alert(1)</script>"
    for _ in range(12):
        answer = ask(ours.client, question=hostile, use_cache=False).json()
        path = f"/api/history/{answer['id']}/feedback"
        ours.client.post(path, {"rating": "down", "comment": hostile}, format="json")
    Query.objects.for_tenant(ours.tenant).update(answer=hostile, sources=[{"text": hostile}])
    feedback = Feedback.objects.for_tenant(ours.tenant)[0]
    pages = ["query/", f"query/{answer['id']}/change/", "feedback/", f"feedback/{feedback.pk}/change/"]
    for page in pages:
        with django_assert_max_num_queries(14):
            shown = admin_client.get(f"/admin/queries/{page}", follow=True)
        assert shown.status_code == 200
        assert hostile not in shown.content.decode()
        assert "&lt;script&gt;" in shown.content.decode()
