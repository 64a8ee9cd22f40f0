"""Where the embedded servers keep their data and sockets, and the URLs that follow from it."""

import hashlib
import os
import shutil
import stat
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

OWNER = DATABASE = "ragsite"
ROLE = "ragsite_app"  # what the site connects as: it owns nothing
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
    return f"unix://{quote(str(redis_socket(data_dir)), safe='/')}?db=0"


def redis_socket(data_dir: Path) -> Path:
    return socket_directory(data_dir) / "redis.sock"


def make_directories(data_dir: Path, *, owner: str | None) -> None:
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


def package(name: str) -> Path:
    """Return the folder of an installed package without importing it: both wheels act at import."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            f"{name} is not installed: run `make up`, or configure DATABASE_URL and REDIS_URL"
        )
    return Path(spec.submodule_search_locations[0])
