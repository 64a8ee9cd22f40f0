"""One process that sends one request again and again over one connection. Run as a script: it imports next to nothing.

Python's http.client spends more on a request than a good server does, and threads share one interpreter lock: the
load would be what is measured. Here a request is prebuilt bytes and an answer is read by its Content-Length alone.
Standard input: host, port and seconds in a line, then the request. Standard output: requests, CPU seconds.
"""

import re
import socket
import sys
import time

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_OK = b"HTTP/1.1 200"


def ask(connection: socket.socket, request: bytes) -> None:
    """Send `request` and read its answer whole; raises RuntimeError for any but 200."""
    connection.sendall(request)
    answer = connection.recv(65536)
    while (end := answer.find(b"\r\n\r\n")) < 0:
        answer += _more(connection)
    if not answer.startswith(_OK):
        raise RuntimeError(answer[:400].decode(errors="replace"))
    length = _LENGTH.search(answer, 0, end)
    if length is None:
        raise RuntimeError("An answer without a length.")
    missing = end + 4 + int(length[1]) - len(answer)
    while missing > 0:
        missing -= len(_more(connection))


def _more(connection: socket.socket) -> bytes:
    part = connection.recv(65536)
    if not part:
        raise RuntimeError("The server closed the connection.")
    return part


def main() -> None:
    host, port, seconds = sys.stdin.buffer.readline().split()
    request = sys.stdin.buffer.read()
    count = 0
    with socket.create_connection((host.decode(), int(port)), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ask(connection, request)  # its connection's setup is not measured
        cpu, until = time.process_time(), time.perf_counter() + float(seconds)
        while time.perf_counter() < until:
            ask(connection, request)
            count += 1
    sys.stdout.write(f"{count} {time.process_time() - cpu}\n")


if __name__ == "__main__":
    main()
