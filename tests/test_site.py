"""The whole site, as `make up` runs it: a stranger's first minutes, what is lost when a process is killed, and limits,
revocation and records under load, in small; `make chaos` has those at their whole size."""

import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import site
from tests.chaos import limits, records, revocation, waiting
from tests.chaos.headers import Limit
from tests.chaos.report import Report
from tests.documents.pdfs import Page, flowing, pdf
from tests.official_clients import ASKED, openai_client, text_of, tools_used, with_mcp
from tests.site import Site

pytestmark = pytest.mark.long

ARABLE = "The harvest of barley in the northern fields was delayed by late frost and heavy rain."

# What a web process does that is killed after it has committed an upload and before it has told the broker.
KILLED_BEFORE_PUBLISHING = """
import os, signal, sys, django
os.environ["DJANGO_SETTINGS_MODULE"] = "ragsite.settings"
django.setup()
from celery.contrib.django.task import DjangoTask
from rest_framework.test import APIClient
DjangoTask.apply_async = lambda *args, **options: os.kill(os.getpid(), signal.SIGKILL)
from django.core.files.uploadedfile import SimpleUploadedFile
client = APIClient(SERVER_NAME="localhost")
client.credentials(HTTP_X_API_KEY=sys.argv[1])
client.post("/api/documents", {"file": SimpleUploadedFile("orphan.txt", b"An orphan finds its way home.")})
"""


@pytest.fixture(scope="module")
def up() -> Iterator[Site]:
    # Not below pytest's own folder, which another run of pytest may close to other accounts: Postgres has one.
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        site.running(Path(folder), None) as running,
    ):
        yield running


def test_the_printed_facts_are_kept_for_their_owner_alone(up: Site) -> None:
    file = up.data_dir / "up.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(up.facts) == {
        *("url", "admin_username", "admin_password", "business_username", "business_password"),
        *("user_username", "user_password", "tenant", "api_key"),
    }


def test_a_first_question_gets_a_cited_answer(up: Site) -> None:
    with up.client() as client:
        response = client.post("/api/query", json={"question": "How do I rotate an API key?"})
    body = response.json()
    assert response.status_code == 200
    assert "[1]" in body["answer"]
    assert body["sources"][0]["collection"] == "samples"


def test_openais_client_gets_a_cited_answer_models_and_vectors(up: Site) -> None:
    with openai_client(up) as client:
        answer: Any = client.chat.completions.create(model="ragsite", messages=ASKED)
        assert "[1]" in answer.choices[0].message.content
        assert answer.sources[0]["collection"] == "samples"
        streamed = client.chat.completions.create(model="ragsite/samples", messages=ASKED, stream=True)
        assert text_of(streamed) == answer.choices[0].message.content
        assert {"ragsite", "ragsite/samples", "all-MiniLM-L6-v2"} <= {
            model.id for model in client.models.list()
        }
        made = client.embeddings.create(model="all-MiniLM-L6-v2", input=["one", "two"])
        assert [len(item.embedding) for item in made.data] == [384, 384]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_mcp_client_searches_and_asks(up: Site, mode: str) -> None:
    tools, found, answer, wrong = with_mcp(up, tools_used, mode=mode)
    assert [tool.name for tool in tools.tools] == ["search", "ask"]
    assert len(found.structured_content["results"]) == 2
    assert "[1]" in answer.structured_content["answer"]
    assert answer.content[0].text.startswith(answer.structured_content["answer"])
    assert wrong.is_error
    assert "no such collection" in wrong.content[0].text


def test_people_sign_in_with_what_was_printed(up: Site) -> None:
    with up.client() as client:
        for who in ("business", "user", "admin"):
            signed = client.post(
                "/api/token",
                json={"username": up.facts[f"{who}_username"], "password": up.facts[f"{who}_password"]},
            )
            assert signed.status_code == 200, signed.text


def test_a_pdf_is_found_on_its_page(up: Site) -> None:
    pages = [Page(flowing(f"Chapter {number} speaks of plain things.")) for number in range(1, 11)]
    pages[6] = Page(flowing(ARABLE))
    with up.client() as client:
        upload = client.post("/api/documents", files={"file": ("farm.pdf", pdf(*pages))})
        assert upload.status_code == 202
        document = site.finished(client, upload.json()["id"])
        assert (document["status"], document["pages"]) == ("ready", 10)
        found = client.post("/api/search", json={"question": "What delayed the barley harvest?"}).json()[
            "results"
        ]
        text = client.get(f"/api/documents/{document['id']}/text").text
    assert (found[0]["document_id"], found[0]["page"]) == (document["id"], 7)
    assert text[found[0]["start"] : found[0]["end"]] == found[0]["text"]


def test_a_document_survives_the_kill_of_its_worker_once(up: Site) -> None:
    text = "\n\n".join(f"Paragraph {number}. {ARABLE} {'word ' * 100}" for number in range(700))
    with up.client() as client:
        document_id = client.post("/api/documents", files={"file": ("long.txt", text.encode())}).json()["id"]

        def is_embedding() -> bool:
            document = client.get(f"/api/documents/{document_id}").json()
            assert document["status"] != "ready", "too quick to be killed in the middle"
            return bool(document["stage"] == "embedding" and document["progress"]["done"] > 0)

        site.wait_for(is_embedding)
        for process in up.children("celery", "worker"):
            process.kill()
        document = site.finished(client, document_id)
    assert document["status"] == "ready"
    assert chunks_of(up, document_id) == f"{document['chunks']} {document['chunks']} {document['chunks']}"


def test_a_document_survives_the_kill_of_its_web_process_between_commit_and_publish(up: Site) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_BEFORE_PUBLISHING, up.facts["api_key"]],
        env=up.environment,
        capture_output=True,
        check=False,
        text=True,
    )
    assert killed.returncode == -9, killed.stderr
    with up.client() as client:
        orphan = next(
            document
            for document in client.get("/api/documents").json()["results"]
            if document["filename"] == "orphan.txt"
        )
        assert site.finished(client, orphan["id"])["status"] == "ready"


def chunks_of(up: Site, document_id: str) -> str:
    """How many chunks it has, how many of different places, and how many vectors."""
    code = (
        "from documents.models import Chunk, ChunkVector;"
        f"chunks = Chunk.objects.across_tenants().filter(document='{document_id}');"
        f"vectors = ChunkVector.objects.across_tenants().filter(chunk__document='{document_id}');"
        "print(chunks.count(), chunks.values('start').distinct().count(), vectors.count())"
    )
    command = [sys.executable, "manage.py", "shell", "-v0", "-c", code]
    return subprocess.run(
        command, env=up.environment, capture_output=True, check=True, text=True
    ).stdout.strip()


# Under load --------------------------------------------------------------------------------------------------


def holds(report: Report) -> None:
    assert report.held, "\n".join(report.faults)


def test_revoked_keys_are_dead_within_a_second(up: Site) -> None:
    holds(revocation.by_business(up, times=2, side_by_side=2))


def test_keys_ended_by_an_operator_are_dead_within_a_second(up: Site) -> None:
    holds(revocation.by_operator(up, times=2))


def test_rotation_with_overlap_fails_no_request(up: Site) -> None:
    holds(revocation.rotation(up, times=2, side_by_side=2))


def test_limits_are_exact_over_two_processes(up: Site) -> None:
    holds(limits.exact(up, seconds=3))


def test_who_waits_as_told_is_let_in_over_http(up: Site) -> None:
    wanted = [Limit(20, 1), Limit(60, 3), Limit(90, 2), Limit(333, 2)]
    holds(waiting.obedient(up, limits=wanted, seconds=4))


def test_kills_of_every_process_lose_and_double_no_record(up: Site) -> None:
    holds(records.complete(up, 160, victims=("web", "record", "postgres", "redis", "worker")))
