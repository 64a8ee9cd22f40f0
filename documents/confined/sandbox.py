"""What a process gives up before it looks at a stranger's file. Linux; elsewhere only the resource limits hold.

Landlock (Linux 5.13 and later) needs no privilege. Afterwards the process can read nothing but the interpreter and its
input, write nothing, signal nobody (Linux 6.12), and read neither memory nor environment of the process that started
it. `system_calls` takes sockets away, new processes and programs, and other processes of the same account.
Where the kernel or a container forbids one of them the rest holds. Constants from linux/prctl.h and linux/landlock.h.
"""

import ctypes
import math
import os
import resource
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from documents.confined import system_calls
from documents.structure import Limits

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
_CREATE_RULESET_VERSION: Final = 1
_RULE_PATH_BENEATH: Final = 1
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
# How many file rights each ABI version knows (execute, read, write, make ..., then refer, truncate, ioctl).
_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15}
_LATEST_FILE_RIGHTS: Final = 16
_TCP_BIND_AND_CONNECT: Final = 0b11
_SCOPE_SOCKETS_AND_SIGNALS: Final = 0b11  # abstract Unix sockets and signals stay inside
_RULESET_BYTES: Final = {1: 8, 2: 8, 3: 8, 4: 16, 5: 16}
# What an interpreter, its libraries and the system's shared objects are read from, and this code.
_PYTHON_FOLDERS: Final = (
    sys.prefix, sys.base_prefix, str(Path(__file__).parents[1]), "/usr", "/lib", "/lib64",
)  # fmt: skip


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def die_with(parent_pid: int) -> None:
    """Die when the parent dies, even by kill -9; at once when it already has."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit("the parent is gone")


def go_first() -> None:
    """Have the kernel, when memory runs out, end this process and its children before any other."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def limit_resources(limits: Limits) -> None:
    """Cap memory and CPU time by `limits`; allow no file to grow, no new process, no core dump, few open files.

    What is mapped already is the libraries', shared with the process that forked this one, and is not counted.
    """
    # The parent's clock ends the child first, unless the parent hangs.
    cpu_seconds = math.ceil(limits.seconds) + 1
    for what, most in (
        (resource.RLIMIT_AS, _mapped_bytes() + limits.memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        hard = resource.getrlimit(what)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        # macOS refuses some of these; it is a place to develop on, not to serve from.
        with suppress(ValueError, OSError):
            resource.setrlimit(what, (least, least))


def _mapped_bytes() -> int:
    """This process's address space; 0 where the system does not tell."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[0]
    except OSError:
        return 0
    return int(pages) * resource.getpagesize()


def landlock_version() -> int:
    """The kernel's Landlock ABI: 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)))


def is_available() -> bool:
    """Whether this kernel lets a process give up the file system; in some containers it does not."""
    return landlock_version() > 0


def leave_only(input_fd: int) -> None:
    """Take away all that a Python process does not need to read `input_fd` and answer; as far as the kernel agrees."""
    confine(_PYTHON_FOLDERS, input_fd)
    system_calls.refuse()


def confine(readable: Iterable[str], input_fd: int, *, programs: Iterable[str] = ()) -> bool:
    """Take away the file system but for reading below `readable` and from `input_fd`, and for the `programs` that may
    be started; whether the kernel agreed.
    """
    version = landlock_version()
    if version == 0:
        return False
    libc = ctypes.CDLL(None)
    files = (1 << _FILE_RIGHTS.get(version, _LATEST_FILE_RIGHTS)) - 1
    rules = _Ruleset(files, _TCP_BIND_AND_CONNECT, _SCOPE_SOCKETS_AND_SIGNALS)
    # An older kernel takes a shorter structure and knows nothing of the fields that are cut off.
    size = ctypes.c_size_t(_RULESET_BYTES.get(version, ctypes.sizeof(rules)))
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(rules), size, 0)
    if ruleset < 0:
        return False
    _allow(libc, ruleset, input_fd, _READ_FILE)
    for path in readable:
        with suppress(OSError):
            folder = os.open(path, os.O_PATH | os.O_DIRECTORY)
            _allow(libc, ruleset, folder, _READ_FILE | _READ_DIR)
            os.close(folder)
    for path in programs:
        with suppress(OSError):
            program = os.open(path, os.O_PATH)
            _allow(libc, ruleset, program, _EXECUTE | _READ_FILE)
            os.close(program)
    confined = bool(libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    os.close(ruleset)
    return confined


def _allow(libc: ctypes.CDLL, ruleset: int, parent: int, rights: int) -> None:
    rule = _PathBeneath(rights, parent)
    libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
