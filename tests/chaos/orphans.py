"""Uploads of which each is committed, and whose process is killed before it tells the broker.

    python -m tests.chaos.orphans KEY COUNT SEED

One process starts Django and forks for each, so that each kill hits the same moment and costs no start of its own.
"""

import json
import os
import signal
import sys
from typing import Any, NoReturn

import django
from django.urls import resolve

from tests.chaos.uploading import File, files


def main() -> None:
    raw_key, count, seed = sys.argv[1:]
    django.setup()
    resolve("/api/documents")  # loads what a request needs, once for all of them
    ends = [_end_of_upload(file, raw_key) for file in files(int(count), seed=seed)]
    json.dump(ends, sys.stdout)


def _end_of_upload(file: File, raw_key: str) -> int:
    """The signal that ended the process, or 0."""
    child = os.fork()
    if not child:
        _upload(file, raw_key)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


def _upload(file: File, raw_key: str) -> NoReturn:
    from django.core.files.uploadedfile import SimpleUploadedFile
    from rest_framework.test import APIClient

    from ragsite.lib.hints import Hint

    def die(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    Hint.apply_async = die  # type: ignore[method-assign]
    client = APIClient(SERVER_NAME="localhost")
    client.credentials(HTTP_X_API_KEY=raw_key)
    client.post("/api/documents", {"file": SimpleUploadedFile(file.name, file.content)})
    os._exit(0)


if __name__ == "__main__":
    main()
