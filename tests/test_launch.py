"""`make up` where its port is taken: it says so, and has touched nothing."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragsite import instance


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def launched(data_dir: Path, port: int) -> "subprocess.CompletedProcess[str]":
    """As for somebody who has configured nothing."""
    environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ}
    environment |= {"DATA_DIR": str(data_dir), "PORT": str(port)}
    program = [sys.executable, "-m", "ragsite.launch"]
    return subprocess.run(program, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("port", [None, 99_999])
def test_a_port_that_cannot_be_had_is_named_with_its_variable_and_nothing_is_left(
    tmp_path: Path, taken: int, port: int | None
) -> None:
    ended = launched(tmp_path / "new", port or taken)
    assert ended.returncode == 1
    assert f"Port {port or taken} of 127.0.0.1 cannot be had" in ended.stderr
    assert "set PORT to another" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_one_that_the_same_site_has_is_told_as_such(tmp_path: Path, taken: int) -> None:
    with instance.hold(tmp_path):
        ended = launched(tmp_path, taken)
    assert f"already runs in {tmp_path} (pid {os.getpid()})" in ended.stderr
    assert "make down" in ended.stderr
