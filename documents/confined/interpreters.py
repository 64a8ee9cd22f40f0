"""How to start a Python that reads a stranger's file: without Django, settings or secrets."""

import os
import sys
from pathlib import Path
from typing import Final

# -I keeps the environment and the working directory out of the import path, which then is given explicitly.
START: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from documents.confined.{module} import main; main(sys.argv[2:])"
)
_ROOT: Final = str(Path(__file__).resolve().parents[2])


def command(module: str, *arguments: str) -> list[str]:
    """Runs `main` of `documents.confined.{module}` with this process's id and the `arguments`."""
    start = START.format(module=module)
    return [sys.executable, "-I", "-X", "utf8", "-c", start, _ROOT, str(os.getpid()), *arguments]


def environment() -> dict[str, str]:
    """Nothing but what some interpreters need to find their own libraries: no secret, no address of a database."""
    return {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
