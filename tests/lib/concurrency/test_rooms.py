"""Room for requests that wait for models."""

from contextlib import ExitStack
from typing import Any
from uuid import UUID

import pytest

from ragsite.lib.concurrency import rooms
from ragsite.lib.errors import Unavailable

OURS, THEIRS = UUID(int=1), UUID(int=2)


def test_one_tenant_leaves_some_to_others(settings: Any) -> None:
    settings.LONG_REQUESTS = 16
    with ExitStack() as taken:
        for _ in range(14):
            taken.enter_context(rooms.room(OURS))
        with pytest.raises(Unavailable) as refused, rooms.room(OURS):
            pass
        assert (refused.value.error_code, refused.value.headers) == ("too_many_waiting", {"Retry-After": "2"})
        for _ in range(2):
            taken.enter_context(rooms.room(THEIRS))
        with pytest.raises(Unavailable), rooms.room(THEIRS):
            pass
    with rooms.room(OURS):
        assert rooms._limit._held == {OURS: 1}
    assert not rooms._limit._held


def test_there_is_always_one(settings: Any) -> None:
    settings.LONG_REQUESTS = 1
    with rooms.room(OURS), pytest.raises(Unavailable), rooms.room(THEIRS):
        pass
