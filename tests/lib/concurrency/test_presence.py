"""Whether a client is still there."""

import socket

import pytest

from ragsite.lib.concurrency import presence
from ragsite.lib.errors import ClientLeft
from tests.lib.clients import asking


def test_a_client_that_is_there_has_not_left_whatever_it_sends() -> None:
    with asking() as told:
        presence.check()
        told.client.sendall(b"POST / HTTP/1.1\r\n")  # its next request, ahead of time
        presence.check()


@pytest.mark.parametrize("how", ["close", "shutdown"])
def test_a_client_that_closed_its_side_has_left(how: str) -> None:
    with asking() as told:
        told.client.sendall(b"more")
        if how == "close":
            told.client.close()
        else:
            told.client.shutdown(socket.SHUT_WR)
        with pytest.raises(ClientLeft):
            presence.look()
        assert told.written == []


@pytest.mark.parametrize(
    ("content_type", "started", "comments"),
    [
        ("text/event-stream", True, 1),
        ("text/event-stream; charset=utf-8", True, 1),
        ("text/event-stream", False, 0),
        ("application/json", True, 0),
    ],
)
def test_comments_are_for_streams_of_events_that_have_begun(
    content_type: str, *, started: bool, comments: int
) -> None:
    with asking(content_type, started=started) as told:
        presence.look()
        assert told.written == [b": still at it\n\n"] * comments


def test_a_client_that_cannot_be_written_to_has_left() -> None:
    def fails(_: bytes) -> None:
        raise BrokenPipeError

    with asking():
        client = presence._client.get()
        assert client is not None
        client._write = fails
        with pytest.raises(ClientLeft):
            presence.look()


def test_nobody_is_watched_outside_a_server() -> None:
    presence.look()
    assert not presence.has_left()
    presence.watched(lambda *_: [])({}, lambda *_: lambda _: None)
    presence.look()
