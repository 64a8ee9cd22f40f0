"""manage.py check_models: what it finds out about each model, and what it never prints."""

import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from documents.embedding import spaces
from tests import model_answers
from tests.model_server import Behaviour, ModelServer
from tests.site import free_port

pytestmark = pytest.mark.django_db


def checked(capsys: pytest.CaptureFixture[str], *, fails: bool) -> list[dict[str, Any]]:
    if fails:
        with pytest.raises(CommandError):
            call_command("check_models", json=True)
    else:
        call_command("check_models", json=True)
    told = capsys.readouterr().out
    assert "sk-" not in told
    found: list[dict[str, Any]] = json.loads(told)
    return found


def test_what_is_well(model: ModelServer, capsys: pytest.CaptureFixture[str]) -> None:
    answers, embeddings = checked(capsys, fails=False)
    assert (answers["serves"], answers["model"], answers["endpoint"]) == (
        "answers",
        "scripted-1",
        model.url.split("/")[2],
    )
    known = ("reachable", "authenticated", "model_known", "answers", "streams", "reports_usage", "well")
    assert {name: answers[name] for name in known} == dict.fromkeys(known, True)
    assert answers["milliseconds"] > 0
    assert answers["first_token_ms"] > 0
    assert [request.body.get("stream", False) for request in model.requests] == [False, True]
    assert (embeddings["serves"], embeddings["endpoint"], embeddings["well"]) == (
        "embeddings",
        "this machine",
        True,
    )


@pytest.mark.parametrize(
    ("behaviour", "found"),
    [
        (Behaviour(status=401), {"reachable": True, "authenticated": False, "answers": False}),
        (Behaviour(status=404), {"authenticated": True, "model_known": False, "answers": False}),
        (Behaviour(status=500), {"reachable": True, "authenticated": None, "answers": False}),
        (Behaviour(fault="empty"), {"model_known": True, "answers": False}),
        (Behaviour(fault="invalid_json"), {"reachable": True, "answers": False}),
    ],
    ids=str,
)
def test_what_is_not(
    model: ModelServer, capsys: pytest.CaptureFixture[str], behaviour: Behaviour, found: dict[str, Any]
) -> None:
    model.reset(behaviour)
    answers, _ = checked(capsys, fails=True)
    assert {name: answers[name] for name in found} == found
    assert answers["well"] is False
    assert answers["problem"]


def test_every_fallback_is_tried(
    model: ModelServer, capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    gone = f"127.0.0.1:{free_port()}"
    settings.ANSWER_FALLBACK_MODELS = ["scripted-2", f"llama at http://{gone}/v1"]
    *answers, _ = checked(capsys, fails=True)
    assert [(one["serves"], one["model"], one["reachable"], one["well"]) for one in answers] == [
        ("answers", "scripted-1", True, True),
        ("answers, fallback 1", "scripted-2", True, True),
        ("answers, fallback 2", "llama", False, False),
    ]
    assert answers[2]["endpoint"] == gone


def test_a_model_that_streams_or_counts_nothing(
    model: ModelServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model.script(Behaviour(), Behaviour(status=400))
    answers, _ = checked(capsys, fails=True)
    assert (answers["answers"], answers["streams"]) == (True, False)
    monkeypatch.setattr(model_answers, "usage", lambda *_: {})
    answers, _ = checked(capsys, fails=False)  # it serves; what it costs is not known
    assert (answers["reports_usage"], answers["well"]) == (False, True)


def test_an_embedding_endpoint_is_asked_for_the_spaces_dimensions(
    model: ModelServer, capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    settings.ANSWER_PROVIDER, settings.EMBEDDING_PROVIDER = "extractive", "openai"
    settings.EMBEDDING_MODEL, settings.EMBEDDING_BASE_URL = "bag", model.url
    settings.EMBEDDING_API_KEY = "sk-embedding"
    spaces.active()
    _, found = checked(capsys, fails=False)
    assert (found["model"], found["answers"], found["reports_usage"]) == ("bag", True, True)
    model.reset(Behaviour(status=401))
    assert checked(capsys, fails=True)[1]["authenticated"] is False


def test_a_reranker_is_tried(
    model: ModelServer, capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    settings.RERANK_PROVIDER, settings.RERANK_URL = "jina", f"{model.url}/rerank"
    settings.RERANK_MODEL, settings.RERANK_API_KEY = "rerank-1", "sk-rerank"
    *_, found = checked(capsys, fails=False)
    assert (found["serves"], found["model"], found["circuit"]) == ("reranking", "rerank-1", "closed")
    assert (found["answers"], found["reports_usage"]) == (True, True)
    model.reset(Behaviour(status=401))
    *_, found = checked(capsys, fails=True)
    assert (found["authenticated"], found["answers"]) == (False, False)


def test_where_answers_are_quoted_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("check_models")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "answers: quoted from the documents, no model"
    assert said[1].startswith("embeddings: all-MiniLM-L6-v2 at this machine")


def test_people_read_it_in_words(model: ModelServer, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("check_models")
    said = capsys.readouterr().out
    assert "scripted-1 at 127.0.0.1" in said
    assert "reachable, key accepted, model known, answers, streams, reports its tokens, answered in" in said
