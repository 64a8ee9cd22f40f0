"""On a site's PYTHONPATH: faults in its workers.

A file with the mark kills the worker that opens it, as a fault in a native library would. A function that PLANTED names,
as `package.module.function`, does nothing.
"""

import importlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

MARK = b"This file kills whoever reads it."
_reading: list[bool] = []  # not empty while the hook itself opens a file


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or _reading or arguments[1] not in {"r", "rb"} or "/files/" not in str(arguments[0]):
        return
    _reading.append(True)
    try:
        with Path(arguments[0]).open("rb") as file:
            is_marked = MARK in file.read(200)
    finally:
        _reading.pop()
    if is_marked:
        os.kill(os.getpid(), signal.SIGKILL)


def _forget(**_: Any) -> None:
    module, name = os.environ["PLANTED"].rsplit(".", 1)
    setattr(importlib.import_module(module), name, lambda *_, **__: None)


if "celery" in sys.orig_argv:
    sys.addaudithook(_watch)
    if "PLANTED" in os.environ:
        from celery.signals import worker_init

        worker_init.connect(_forget, weak=False)
