"""The process that becomes Tesseract, started by `ocr`. It first gives up all that reading one image does not need.

Tesseract then reads a PGM from standard input and writes TSV to standard output. It can start nothing but itself, open
no socket, write no file, and read nothing but libraries and its models. Arguments: the parent's process id, seconds,
bytes of memory, the program, the folder of its models (empty: its own), the languages joined by "+".
"""

import glob
import os
import sys
from typing import Final

from documents.confined import sandbox, system_calls
from documents.structure import Limits

LIBRARIES: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
MODELS: Final = ("/usr/share", "/usr/local/share")
DPI: Final = "300"
LOADERS: Final = "/lib*/ld-*.so*"  # what the kernel starts a dynamic program with


def main(arguments: list[str]) -> None:
    parent_pid, seconds, memory_bytes, program, models, languages = arguments
    sandbox.die_with(int(parent_pid))
    sandbox.limit_resources(Limits(float(seconds), int(memory_bytes)))
    folders = (*LIBRARIES, *MODELS, *filter(None, [models]))
    sandbox.confine(folders, sys.stdin.fileno(), programs=(program, *glob.glob(LOADERS)))  # noqa: PTH207
    system_calls.refuse(but_execve=True)
    environment = {"OMP_THREAD_LIMIT": "1", "LC_ALL": "C"}
    if models:
        environment["TESSDATA_PREFIX"] = models
    settings = ["-l", languages, "--dpi", DPI, "--psm", "3", "-c", "tessedit_create_tsv=1"]
    # No shell: it could start others.
    os.execve(program, [program, "stdin", "stdout", *settings], environment)  # noqa: S606
