"""5,000 hostile credentials: each refused, none worth a query, and all with one and the same answer."""

import base64
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from ragsite.lib import redis_client
from tests import site
from tests.hidden import shown
from tests.makers import Party
from tests.problems import without_request_id
from tests.strangers import access_token

HOW_MANY = 5_000
SEED = 20_261_121
LONGEST = 8_190 - len("Authorization: ")  # gunicorn's limit for a line of the head
KEY = "rag_0123456789abcdef0123456789abcdef"
SCHEMES = ("Bearer ", "bearer ", "BEARER ", "Bearer  ", "Bearer\t", "Bearer:", "Bearer Bearer ", "Bearer Basic ", "Basic ",
           "Token ", "ApiKey ", "Digest username=", "Negotiate ", "", " ", ",", "Bearer,")  # fmt: skip
TEXTS = ("' OR '1'='1", "'; DROP TABLE apikeys_apikey; --", "\\'; SELECT pg_sleep(9)--", "1 UNION SELECT key_hash FROM apikeys_apikey",
         "%s%s%n%x", "{0.__class__.__mro__}", "${jndi:ldap://x/a}", "{{7*7}}", "<script>alert(1)</script>", "../../etc/passwd",
         "%00", "%0d%0aX-Tenant: 1", "null", "undefined", "None", "true", "[]", "{}", "*", "\\u0000", "ключ", "🔑", "ﬀ", "ı",
         "rag_" + "٣" * 32, "rag_" + "ａ" * 32)  # fmt: skip


def hostile(chance: random.Random) -> Iterator[dict[str, Any]]:
    """Headers as a WSGI server hands them on: strings of Latin-1, whatever the bytes were meant to be."""
    kinds = (_lengths, _controls, _noise, _texts, _almost_keys, _tokens)
    while True:
        junk = chance.choice(kinds)(chance).encode(errors="surrogateescape").decode("latin-1")[:LONGEST]
        yield from (
            {"HTTP_X_API_KEY": junk},
            {"HTTP_AUTHORIZATION": f"{chance.choice(SCHEMES)}{junk}"},
            {"HTTP_X_API_KEY": junk, "HTTP_AUTHORIZATION": f"Bearer {KEY}"},
            {"HTTP_X_API_KEY": junk, "HTTP_AUTHORIZATION": f"{chance.choice(SCHEMES)}{junk[::-1]}"},
        )


def _lengths(chance: random.Random) -> str:
    return chance.choice(("x", "0", "rag_", " ", ".", "=", "é")) * chance.choice(
        (0, 1, 2, 31, 33, 255, 4_096, LONGEST)
    )


def _controls(chance: random.Random) -> str:
    at = chance.randrange(len(KEY))
    return f"{KEY[:at]}{chr(chance.choice([*range(1, 32), 0, 127, 0x85, 0xA0, 0x200B, 0x202E, 0xFEFF]))}{KEY[at:]}"


def _noise(chance: random.Random) -> str:
    return chance.randbytes(chance.randrange(1, 200)).decode("utf-8", errors="surrogateescape")


def _texts(chance: random.Random) -> str:
    return chance.choice(("", KEY, "rag_")) + chance.choice(TEXTS) * chance.choice((1, 1, 50))


def _almost_keys(chance: random.Random) -> str:
    """One step from the shape of a key, which is refused before anybody is asked."""
    at = chance.randrange(4, len(KEY))
    wrong = chance.choice("ghijXYZ!-_~ ,;:/\\\"'`@")
    return chance.choice((KEY[:at], f"{KEY[:at]}{wrong}{KEY[at + 1:]}", f"{KEY}{chance.choice('0af')}", KEY.upper(), KEY[4:],
                          f"{KEY},{KEY}", f"{KEY} {KEY}", f'"{KEY}"', f"<{KEY}>", f"rag_{KEY}", f"Bearer {KEY}x", f"key={KEY}",
                          base64.b64encode(KEY.encode()).decode()))  # fmt: skip


def _tokens(chance: random.Random) -> str:
    """Shaped like a JWT: unsigned, signed by nobody, of other algorithms, nested, huge or of noise."""
    head = {"alg": chance.choice(("none", "None", "HS256", "HS512", "RS256", "", 7, None)), "typ": "JWT",
            "kid": chance.choice(TEXTS), "jku": "http://127.0.0.1:1/"}  # fmt: skip
    claims: dict[str, Any] = {"user": chance.choice((NOBODY, "", 1, None, [], {}, TEXTS[0])), "exp": chance.choice((2**31, 2**63, -1, "never")),
              "token_type": "access"}  # fmt: skip
    parts = [_part(head), _part(claims), _part(chance.randbytes(32).hex())]
    deep = base64.urlsafe_b64encode(b"[" * chance.choice((900, 4_000))).decode()
    return ".".join(
        chance.choice(
            (parts, parts[:2], [*parts, *parts], [*parts[:2], ""], [deep, *parts[1:]], ["e30"] * 3, [""] * 3)
        )
    )


NOBODY = "33759125-b8f3-4040-8175-7dff5bc02b4a"


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_hostile_credentials(
    ours: Party, django_assert_num_queries: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = {"HTTP_AUTHORIZATION": f"Bearer {access_token(ours.business)}"}
    headers = hostile(random.Random(SEED))
    monkeypatch.setattr(redis_client, "guarded", _asked_of_redis)
    client = Client()
    answers: dict[str, dict[str, Any]] = {}
    with django_assert_num_queries(0):
        for number in range(HOW_MANY):
            credentials = next(headers)
            if number % 10 == 0 and "HTTP_AUTHORIZATION" not in credentials:
                credentials |= real  # what is wrong is not made good by what is right beside it
            answer = _send(client, credentials, number)
            for name in ("Allow", "Vary"):  # the address, and where the credentials were looked for
                del answer.headers[name]
            answers.setdefault(repr(shown(answer)), credentials)
    assert len(answers) == 1, "\n".join(map(str, answers.items()))
    assert "(401, " in next(iter(answers))


def _asked_of_redis(call: object) -> Any:
    raise AssertionError("Redis was asked for a key that is none")


def _send(client: Client, credentials: dict[str, Any], number: int) -> Any:
    if number % 2:
        return client.get("/api/history", **credentials)
    return client.post("/api/search", {"question": "Why?"}, content_type="application/json", **credentials)


# What no test client sends -----------------------------------------------------------------------------------

HEADERS: dict[str, bytes] = {
    "a NUL": f"X-API-Key: {KEY}\0".encode(),
    "a NUL in a bearer": f"Authorization: Bearer {KEY}\0".encode(),
    "a control character": f"X-API-Key: {KEY}\x01".encode(),
    "bytes of no encoding": b"X-API-Key: \xff\xfe\x80rag_",
    "UTF-8": "X-API-Key: rag_ключ🔑".encode(),
    "twice": f"X-API-Key: {KEY}\r\nX-API-Key: {KEY}".encode(),
    "twice and different": f"X-API-Key: {KEY}\r\nX-API-Key: rag_".encode(),
    "two bearers": f"Authorization: Bearer {KEY}\r\nAuthorization: Bearer {KEY}".encode(),
    "as long as may be": b"X-API-Key: " + b"a" * 8_000,
    "too long": b"X-API-Key: " + b"a" * 100_000,
    "folded": f"X-API-Key: rag_\r\n {KEY[4:]}".encode(),
    "a lone carriage return": f"X-API-Key: {KEY}\rX-Tenant: 1".encode(),
    "a blank before the colon": f"X-API-Key : {KEY}".encode(),
    "underscores": f"X_API_Key: {KEY}".encode(),
    "what a proxy says": b"SCRIPT_NAME: /x",  # believed, it would be a path outside of /x, and a 500
    "no colon": KEY.encode(),
    "no name": f": {KEY}".encode(),
    "a key for a name": f"{KEY} x: y".encode(),
    "many": b"\r\n".join(f"X-API-Key: {number}".encode() for number in range(101)),
}


@contextmanager
def gunicorn(folder: Path) -> Iterator[int]:
    """The site's own web server on a port. It has neither Postgres nor Redis: whoever asked either would not get a 401."""
    port = site.free_port()
    environment = {**os.environ, "DATABASE_URL": "postgresql://x@127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1/0",
                   "PORT": str(port), "WEB_WORKERS": "1", "LOG_LEVEL": "DEBUG"}  # fmt: skip
    configuration = str(settings.BASE_DIR / "docker" / "gunicorn.conf.py")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-c", configuration, "ragsite.wsgi"],
            cwd=settings.BASE_DIR, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            site.wait_for(lambda: _sent(port, b"X-Nothing: x").startswith(b"HTTP/1.1 401"))
            yield port
        finally:
            process.terminate()
            process.wait(30)


def _sent(port: int, header: bytes, *, path: bytes = b"/api/history") -> bytes:
    """All that the server says to one request; empty while it does not listen."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            with suppress(ConnectionError, BrokenPipeError):  # it may hang up before it has heard all
                connection.sendall(
                    b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n\r\n" % (path, header)
                )
            answer = b""
            with suppress(ConnectionError):
                while piece := connection.recv(65_536):
                    answer += piece
            return answer
    except ConnectionRefusedError:
        return b""


def test_hostile_headers_over_a_socket(tmp_path: Path) -> None:
    """gunicorn answers what is no HTTP itself; the rest hears what everybody hears. No key stands in the log."""
    with gunicorn(tmp_path) as port:
        answers = {name: _sent(port, header) for name, header in HEADERS.items()}
        _sent(port, b"X-Nothing: x", path=f"/api/{KEY} x?key={KEY}".encode())
        _sent(port, b"X-Nothing: x", path=f"/api/history/{KEY}?key={KEY}".encode())
    statuses = {name: int(answer.split(b" ", 2)[1]) for name, answer in answers.items()}
    assert set(statuses.values()) <= {400, 401, 431}, statuses
    refused = {_body(answer) for name, answer in answers.items() if statuses[name] == 401}
    assert refused == {_body_of_a_stranger()}
    assert KEY[4:] not in (tmp_path / "log").read_text()


def _body(answer: bytes) -> str:
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    return str(without_request_id(body))


def _body_of_a_stranger() -> str:
    return str(without_request_id(Client().get("/api/history").json()))
