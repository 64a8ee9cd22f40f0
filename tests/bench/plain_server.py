"""What ragsite's cached queries are measured against: the same work the obvious way, with FastAPI and SQLite.

A key is looked up by its hash, limited by counting its last minute of usage, answered from a cache in the process's
memory, and one row of usage and one of history are committed before the answer goes out. SQLite is set as its users
set it for a web server: WAL, `synchronous=NORMAL` (a crash of the machine may lose the last commits; none is fsynced),
and one connection a thread that stays open.

`PLAIN_DB=… uvicorn --workers 2 tests.bench.plain_server:app`; the script itself makes the tables and a key: `PLAIN_DB=… python -m
tests.bench.plain_server KEY ANSWER.json`.
"""

import hashlib
import json
import os
import sqlite3
import sys
import threading
import time
import uuid
from collections import OrderedDict
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field

TABLES = """
CREATE TABLE IF NOT EXISTS api_key (id INTEGER PRIMARY KEY, key_hash TEXT UNIQUE NOT NULL, tenant TEXT NOT NULL,
    rate_limit INTEGER NOT NULL, revoked_at REAL, expires_at REAL);
CREATE TABLE IF NOT EXISTS usage (id TEXT PRIMARY KEY, key_id INTEGER NOT NULL, at REAL NOT NULL, endpoint TEXT NOT NULL,
    method TEXT NOT NULL, status INTEGER NOT NULL, milliseconds REAL NOT NULL, from_cache INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS usage_of_key ON usage (key_id, at);
CREATE TABLE IF NOT EXISTS history (id TEXT PRIMARY KEY, key_id INTEGER NOT NULL, at REAL NOT NULL, question TEXT NOT NULL,
    answer TEXT NOT NULL, sources TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS history_of_key ON history (key_id, at);
CREATE TABLE IF NOT EXISTS answer (question TEXT PRIMARY KEY, body TEXT NOT NULL);
"""
WINDOW_SECONDS = 60
CACHED = 1_000

app = FastAPI()
_local = threading.local()


class Question(BaseModel):
    question: str = Field(min_length=1, max_length=4_000)
    top_k: int | None = Field(default=None, ge=1, le=50)
    use_cache: bool = True


class Answers:
    """The most recently used answers, by tenant and normalised question; one for each process."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._answers: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: tuple[str, str]) -> dict[str, Any] | None:
        with self._lock:
            if name not in self._answers:
                return None
            self._answers.move_to_end(name)
            return self._answers[name]

    def put(self, name: tuple[str, str], answer: dict[str, Any]) -> None:
        with self._lock:
            self._answers[name] = answer
            if len(self._answers) > self._size:
                self._answers.popitem(last=False)


answers = Answers(CACHED)


def database() -> sqlite3.Connection:
    """This thread's connection, opened once."""
    if not hasattr(_local, "connection"):
        _local.connection = sqlite3.connect(os.environ["PLAIN_DB"], timeout=30, isolation_level=None)
        _local.connection.execute("PRAGMA journal_mode = WAL")
        _local.connection.execute("PRAGMA synchronous = NORMAL")
    connection: sqlite3.Connection = _local.connection
    return connection


def authenticated(x_api_key: Annotated[str, Header()]) -> tuple[int, str, int]:
    """The key's id, tenant and limit."""
    found: tuple[int, str, int] | None = (
        database()
        .execute(
            "SELECT id, tenant, rate_limit FROM api_key WHERE key_hash = ? AND revoked_at IS NULL"
            " AND (expires_at IS NULL OR expires_at > ?)",
            [hashlib.sha256(x_api_key.encode()).hexdigest(), time.time()],
        )
        .fetchone()
    )
    if found is None:
        raise HTTPException(401, "No valid credentials were given.")
    return found


def within_limit(key: Annotated[tuple[int, str, int], Depends(authenticated)]) -> tuple[int, str, int]:
    since = time.time() - WINDOW_SECONDS
    used = database().execute("SELECT count(*) FROM usage WHERE key_id = ? AND at > ?", [key[0], since])
    if used.fetchone()[0] >= key[2]:
        raise HTTPException(429, "Too many requests.", headers={"Retry-After": str(WINDOW_SECONDS)})
    return key


@app.post("/api/query")
def query(asked: Question, key: Annotated[tuple[int, str, int], Depends(within_limit)]) -> dict[str, Any]:
    started = time.perf_counter()
    name = (key[1], " ".join(asked.question.lower().split()))
    shared = answers.get(name) if asked.use_cache else None
    from_cache = shared is not None
    if shared is None:
        shared = _made(name[1])
        answers.put(name, shared)
    request_id = str(uuid.uuid4())
    milliseconds = (time.perf_counter() - started) * 1000
    _record(request_id, key[0], asked.question, shared, milliseconds=milliseconds, from_cache=from_cache)
    own = {
        "id": request_id,
        "question": asked.question,
        "from_cache": from_cache,
        "response_time_ms": milliseconds,
    }
    return own | shared


def _made(question: str) -> dict[str, Any]:
    """Stands for retrieval and a model: only cached answers are measured."""
    found = database().execute("SELECT body FROM answer WHERE question = ?", [question]).fetchone()
    if found is None:
        raise HTTPException(404, "There is no answer.")
    made: dict[str, Any] = json.loads(found[0])
    return made


def _record(
    request_id: str, key: int, question: str, shared: dict[str, Any], *, milliseconds: float, from_cache: bool
) -> None:
    """Both rows in one transaction, which is half of what two would cost."""
    connection, now = database(), time.time()
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            "INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [request_id, key, now, "/api/query", "POST", 200, milliseconds, from_cache],
        )
        connection.execute(
            "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?)",
            [request_id, key, now, question, shared["answer"], json.dumps(shared["sources"])],
        )
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def prepare(raw_key: str, answer: dict[str, Any]) -> None:
    """The tables, a key whose limit no benchmark reaches, and the answer to one question."""
    connection = database()
    connection.executescript(TABLES)
    digest = hashlib.sha256(raw_key.encode()).hexdigest()
    connection.execute("INSERT INTO api_key VALUES (1, ?, 'demo', 1000000000, NULL, NULL)", [digest])
    plain = " ".join(answer["question"].lower().split())
    shared = {
        name: answer[name]
        for name in ("answer", "route", "sources", "sql", "columns", "rows", "generator", "model")
    }
    connection.execute("INSERT INTO answer VALUES (?, ?)", [plain, json.dumps(shared)])


if __name__ == "__main__":
    prepare(sys.argv[1], json.loads(Path(sys.argv[2]).read_text()))
