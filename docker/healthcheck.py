# ruff: noqa: INP001  the image runs it as a file; it is no module of a package
"""Asks the web process of this container whether it is alive; the exit code answers.

Django refuses a Host header that ALLOWED_HOSTS does not list, so that a probe has to send one that it lists.
"""

import http.client
import os
import sys


def main() -> int:
    host = os.environ.get("ALLOWED_HOSTS", "").split(",")[0].strip().lstrip(".")
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT", "8000")), timeout=4)
    try:
        connection.request("GET", "/health", headers={"Host": "localhost" if host in {"", "*"} else host})
        return int(connection.getresponse().status != http.HTTPStatus.OK)
    except (OSError, http.client.HTTPException):
        return 1


if __name__ == "__main__":
    sys.exit(main())
