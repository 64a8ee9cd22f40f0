"""A whole site whose model takes its time: who leaves is noticed, and nobody else waits; `make chaos` has it in full."""

import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests import site
from tests.chaos import calls, streams
from tests.chaos.people import Business
from tests.patient_model import Call, PatientModel
from tests.site import Site

pytestmark = pytest.mark.long


class Stage(NamedTuple):
    up: Site
    model: PatientModel
    raw: str

    def connected(self) -> socket.socket:
        address = urlsplit(self.up.facts["url"])
        return socket.create_connection((str(address.hostname), address.port or 80), timeout=30)

    def call(self, mark: str) -> Call | None:
        return next((call for call in self.model.calls() if call.mark == mark), None)

    def ended(self, mark: str) -> Call | None:
        call = self.call(mark)
        return call if call and call.ended else None

    def kept(self, mark: str) -> Any:
        """Its row of the history."""
        with self.up.client() as client:
            rows = client.get("/api/history", headers={"X-API-Key": self.raw}).json()["results"]
        return next((row for row in rows if mark in row["question"]), None)


@pytest.fixture(scope="module")
def on() -> Iterator[Stage]:
    with streams.stage() as (up, model):
        yield Stage(up, model, calls.new_key(Business(up)).raw)


def test_streams_dropped_at_random_moments_leave_nothing_behind(on: Stage) -> None:
    report = streams.dropped(on.up, on.model, streams=50, waves=2, within=30)
    assert report.held, "\n".join(report.faults)
    assert report.seen["left"] > 50


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_while_the_model_thinks_ends_the_call(on: Stage, *, stream: bool) -> None:
    mark = f"mark-thinking{stream}"
    with closing(on.connected()) as client:
        client.sendall(streams.request(on.up, on.raw, mark, stream=stream))
        site.wait_for(lambda: on.call(mark))
    call = site.wait_for(lambda: on.ended(mark))
    assert not call.whole
    row = site.wait_for(lambda: on.kept(mark))
    assert (row["status"], row["error_code"]) == ("failed", "client_left")
    assert row["usage"]["cost_usd"] > 0


def test_a_client_that_waits_is_told_that_it_is_not_forgotten(on: Stage) -> None:
    body = {"question": "Which files can be uploaded?", "stream": True}
    headers = {"X-API-Key": on.raw, "Idempotency-Key": "patience"}
    with on.up.client() as client:
        with client.stream("POST", "/api/query", json=body, headers=headers) as answer:
            lines = [line for line in answer.iter_lines() if line]
        comments = [number for number, line in enumerate(lines) if line.startswith(":")]
        tokens = [number for number, line in enumerate(lines) if line == "event: token"]
        assert comments
        assert comments[0] < tokens[0]
        assert lines[-2] == "event: done"
        again = client.post("/api/query", json=body, headers=headers)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert [line for line in again.text.splitlines() if line] == [line for line in lines if line[0] != ":"]


def test_so_is_a_client_of_openais(on: Stage) -> None:
    body = {
        "model": "ragsite",
        "messages": [{"role": "user", "content": "Which files are refused?"}],
        "stream": True,
    }
    with (
        on.up.client() as client,
        client.stream("POST", "/v1/chat/completions", json=body, headers={"X-API-Key": on.raw}) as answer,
    ):
        lines = [line for line in answer.iter_lines() if line]
    assert '"role":"assistant"' in lines[0]  # before anything is waited for
    assert lines[1].startswith(":")
    assert lines[-1] == "data: [DONE]"
