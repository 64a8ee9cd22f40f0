"""How a whole site tells of its documents: by webhooks, also when a worker is killed, and by streams of events."""

import json
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from standardwebhooks.webhooks import Webhook

from tests import site
from tests.site import Site
from tests.webhooks.receiver import Receiver, receiving, silent

pytestmark = pytest.mark.long

STREAMS = 2
SETTINGS = {
    "WEB_WORKERS": "1",
    "WEB_THREADS": str(STREAMS + 2),
    "EVENT_STREAMS": str(STREAMS + 1),  # one is kept for another tenant
    "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
    "WEBHOOK_TIMEOUT_SECONDS": "3",
}


@pytest.fixture(scope="module")
def up() -> Iterator[Site]:
    # Not below pytest's own folder: see tests/test_site.py.
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        site.running(Path(folder), **SETTINGS) as running,
    ):
        yield running


@pytest.fixture
def hook(up: Site) -> Iterator[tuple[Receiver, str]]:
    """A receiver that is told of everything for a test, and its secret."""
    with receiving() as receiver, business(up) as client:
        made = client.post("/api/webhooks", json={"url": receiver.url}).json()
        yield receiver, made["secret"]
        client.delete(f"/api/webhooks/{made['id']}")


@contextmanager
def business(up: Site) -> Iterator[httpx2.Client]:
    names = {"username": up.facts["business_username"], "password": up.facts["business_password"]}
    with httpx2.Client(base_url=up.facts["url"], timeout=60) as client:
        token = client.post("/api/token", json=names).json()["access"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def upload(client: httpx2.Client, text: str) -> str:
    answer = client.post("/api/documents", files={"file": ("note.txt", text.encode())})
    assert answer.status_code == 202
    return str(answer.json()["id"])


@contextmanager
def workers_asleep(up: Site) -> Iterator[None]:
    """Nothing is processed meanwhile."""
    workers = up.children("celery", "worker")
    for worker in workers:
        worker.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGCONT)


def test_an_upload_is_told_within_moments(up: Site, hook: tuple[Receiver, str]) -> None:
    receiver, secret = hook
    with up.client() as client:
        document_id = upload(client, "The kettle is blue.")
        site.wait_for(lambda: receiver.received)
        # Who was told finds it so: the message left after the commit.
        assert client.get(f"/api/documents/{document_id}").json()["status"] == "ready"
    told = Webhook(secret).verify(receiver.received[0].body, receiver.received[0].headers)
    assert (told["type"], told["data"]) == ("document.ready", {"document_id": document_id})


def test_a_worker_that_is_killed_while_it_sends_has_its_message_sent_again(
    up: Site, hook: tuple[Receiver, str]
) -> None:
    receiver, _ = hook
    receiver.script = [silent]
    with up.client() as client:
        upload(client, "The kettle is red.")
        site.wait_for(lambda: receiver.received)
        for process in up.children("celery", "worker"):
            process.kill()
        site.wait_for(lambda: len(receiver.received) > 1, seconds=120)
    first, second = receiver.received[:2]
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


def test_streams_at_their_bound_leave_the_site_answering(up: Site) -> None:
    with up.client() as client, ExitStack() as open_streams:
        with workers_asleep(up):
            document_id = upload(client, "The kettle is green.")
            held = [open_streams.enter_context(stream(client, document_id)) for _ in range(STREAMS)]
            events = [follower.iter_lines() for follower in held]
            assert [follower.status_code for follower in held] == [200] * STREAMS
            with stream(client, document_id) as refused:
                assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
                assert json.loads(refused.read())["code"] == "too_many_streams"
            begun = time.monotonic()
            for _ in range(20):
                assert client.get("/health").status_code == 200
                assert client.get(f"/api/documents/{document_id}").json()["status"] == "queued"
            assert time.monotonic() - begun < 10
        for lines in events:
            assert states_in(lines)[-1] == "ready"


def test_a_client_that_leaves_frees_its_thread(up: Site) -> None:
    with up.client() as client, workers_asleep(up):
        document_id = upload(client, "The kettle is white.")

        def follows() -> bool:
            with stream(client, document_id) as follower:
                return bool(follower.status_code == 200)

        assert all(follows() for _ in range(STREAMS))
        site.wait_for(follows, seconds=30)


def stream(client: httpx2.Client, document_id: str) -> Any:
    return client.stream(
        "GET", f"/api/documents/{document_id}/events", headers={"Accept": "text/event-stream"}
    )


def states_in(lines: Iterator[str]) -> list[str]:
    return [json.loads(line[6:])["status"] for line in lines if line.startswith("data: ")]
