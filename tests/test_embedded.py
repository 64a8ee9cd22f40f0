"""The embedded servers, for real, in directories of their own."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from redis import Redis

from ragsite import embedded, processes

Start = Callable[[embedded.Server], "subprocess.Popen[bytes]"]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Not below pytest's own folder, which another run of pytest may close to other accounts: Postgres has one."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a server, and stops it after the test."""
    running: list[tuple[embedded.Server, subprocess.Popen[bytes]]] = []

    def one(server: embedded.Server) -> "subprocess.Popen[bytes]":
        running.append((server, embedded.start(server, log=tmp_path / f"{server.name}.log")))
        return running[-1][1]

    yield one
    for server, process in reversed(running):
        embedded.stop(server, process)


def family(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    return [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]


def listens_on_tcp(process: "subprocess.Popen[bytes]") -> bool:
    found = False
    for member in family(process):
        with suppress(psutil.NoSuchProcess):  # Postgres has children that come and go
            found |= bool(member.net_connections("inet"))
    return found


def test_postgres_gives_plain_roles_a_database_with_vectors_and_unicode(tmp_path: Path, start: Start) -> None:
    process = start(embedded.Postgres(tmp_path, durable=False))
    owner = embedded.database_url(tmp_path, role=embedded.OWNER)
    with psycopg.connect(owner, autocommit=True) as connection:
        assert connection.execute("SELECT '[1,2]'::halfvec <=> '[1,2]'").fetchone() == (0.0,)
        assert connection.execute("SELECT lower('ÄÖ'), current_setting('data_checksums')").fetchone() == (
            "äö",
            "on",
        )
        roles = connection.execute(
            "SELECT rolname, rolsuper OR rolbypassrls OR rolcreaterole, rolcreatedb FROM pg_roles"
            " WHERE rolname LIKE 'ragsite%' ORDER BY 1"
        )
        assert roles.fetchall() == [("ragsite", False, True), ("ragsite_app", False, False)]
        connection.execute("CREATE DATABASE test_ragsite")
    with psycopg.connect(embedded.database_url(tmp_path, database="test_ragsite")) as connection:
        assert connection.execute("SELECT '[1,2]'::vector").fetchone()
    assert not listens_on_tcp(process)


def test_only_our_accounts_can_reach_the_sockets(tmp_path: Path, start: Start) -> None:
    start(embedded.Postgres(tmp_path, durable=False))
    start(embedded.Redis(tmp_path, durable=False))
    sockets = embedded.socket_directory(tmp_path)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (sockets / "postgres", sockets / "redis.sock")]
    assert modes == [0o700, 0o700]


def test_redis_keeps_what_it_was_told_through_a_kill(tmp_path: Path, start: Start) -> None:
    first = start(embedded.Redis(tmp_path))
    with Redis.from_url(embedded.redis_url(tmp_path)) as client:
        client.set("a", "1")
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        time.sleep(1.5)  # it writes every second
    assert not listens_on_tcp(first)
    first.kill()
    first.wait()
    start(embedded.Redis(tmp_path))
    with Redis.from_url(embedded.redis_url(tmp_path)) as client:
        assert client.get("a") == b"1"


def test_postgres_keeps_what_it_committed_through_a_kill(tmp_path: Path, start: Start) -> None:
    first = start(embedded.Postgres(tmp_path))
    with psycopg.connect(embedded.database_url(tmp_path, role=embedded.OWNER)) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS a")
    first.kill()
    first.wait()
    start(embedded.Postgres(tmp_path))
    with psycopg.connect(embedded.database_url(tmp_path)) as connection:
        assert connection.execute("SELECT a FROM kept").fetchone() == (1,)


def test_a_lock_whose_pid_is_another_process_now_does_not_hinder(tmp_path: Path, start: Start) -> None:
    server = embedded.Postgres(tmp_path, durable=False)
    first = start(server)
    first.kill()
    first.wait()
    stranger = processes.spawn(["sleep", "60"], output=subprocess.DEVNULL, user=server.user)
    try:
        for lock in (server.directory / "postmaster.pid", tmp_path / "run/postgres/.s.PGSQL.5432.lock"):
            _, *rest = lock.read_text().splitlines(keepends=True)
            lock.write_text("".join([f"{stranger.pid}\n", *rest]))
        start(server)
        assert stranger.poll() is None
    finally:
        processes.stop(stranger, stop_signal=signal.SIGTERM, grace=1)


def test_a_start_that_was_broken_off_is_made_good(tmp_path: Path, start: Start) -> None:
    partial = tmp_path / "postgres.partial"
    partial.mkdir()
    (partial / "PG_VERSION").write_text("18\n")
    start(embedded.Postgres(tmp_path, durable=False))
    assert not partial.exists()


def test_a_second_postgres_in_the_same_directory_is_refused(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = embedded.Postgres(tmp_path, durable=False)
    start(server)
    monkeypatch.setattr(embedded.Postgres, "grace", 0.2)
    with pytest.raises(embedded.EmbeddedError, match="already runs"):
        server.prepare()


def test_stopping_leaves_no_process(tmp_path: Path, start: Start) -> None:
    servers: list[embedded.Server] = [embedded.Postgres(tmp_path, durable=False), embedded.Redis(tmp_path)]
    for server in servers:
        process = start(server)
        members = family(process)
        embedded.stop(server, process)
        assert psutil.wait_procs(members, timeout=5)[1] == []


@pytest.fixture
def long_data_dir(tmp_path: Path) -> Iterator[Path]:
    data_dir = tmp_path / ("long-" * 20) / "ein Ordner"
    yield data_dir
    shutil.rmtree(embedded.socket_directory(data_dir))


def test_a_long_path_puts_the_sockets_elsewhere_and_keeps_them_private(
    long_data_dir: Path, start: Start
) -> None:
    data_dir = long_data_dir
    start(embedded.Postgres(data_dir, durable=False))
    start(embedded.Redis(data_dir, durable=False))
    with (
        psycopg.connect(embedded.database_url(data_dir)),
        Redis.from_url(embedded.redis_url(data_dir)) as client,
    ):
        assert client.ping()
    sockets = embedded.socket_directory(data_dir)
    assert data_dir not in sockets.parents
    assert sockets == embedded.socket_directory(data_dir)
    assert sockets.stat().st_mode & 0o066 == 0


def test_a_socket_directory_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(embedded.EmbeddedError, match="not a directory of this account's"):
        embedded.Redis(tmp_path).prepare()


KILLED = """
import os, signal, sys
from pathlib import Path
from ragsite import embedded
folder = Path(sys.argv[1])
for server in (embedded.Postgres(folder, durable=False), embedded.Redis(folder)):
    print(embedded.start(server, log=folder / "log").pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_servers_die_with_the_process_that_started_them(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    pids = [int(line) for line in done.stdout.split()]
    assert len(pids) == 2

    def gone(pid: int) -> bool:
        try:
            return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return True

    assert processes.wait_until(lambda: all(map(gone, pids)), seconds=10)


def test_secrets_are_made_once_and_are_private(tmp_path: Path) -> None:
    first = embedded.secrets(tmp_path / "new")
    assert embedded.secrets(tmp_path / "new") == first
    assert len(set(first.values())) == len(first)
    assert stat.S_IMODE((tmp_path / "new" / "secrets.json").stat().st_mode) == 0o600
    assert os.listdir(tmp_path / "new") == ["secrets.json"]  # noqa: PTH208  no draft is left
