"""The system calls that the process which reads a stranger's file has to do without, as a seccomp filter. Linux.

Landlock says nothing of most of them, or only since Linux 6.12: processes of one account may end each other, set each
other's limits (Postgres ends by a limit of no seconds), and leave memory behind that outlives them.
Constants from linux/filter.h, linux/seccomp.h, linux/audit.h, fcntl.h and the architectures' system call tables.
"""

import ctypes
import errno
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
_LOAD, _EQUAL, _AT_LEAST, _ANSWER = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_AT_NUMBER, _AT_ARCHITECTURE, _AT_FIRST, _AT_SECOND = 0, 4, 16, 24  # in struct seccomp_data; low halves
_X32: Final = 0x40000000  # from here on x86-64 has its calls a second time
_FILE_OWNERS: Final = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: have any signal sent to anybody
# x86-64's number, then aarch64's, which has not all of them. RLIMIT_NPROC does not hold root.
_REFUSED: Final[Mapping[str, tuple[int, int | None]]] = {
    # Programs and processes.
    "execve": (59, 221), "execveat": (322, 281), "clone": (56, 220), "clone3": (435, 435), "fork": (57, None),
    "vfork": (58, None), "unshare": (272, 97), "setns": (308, 268),
    # Sockets, which io_uring opens too.
    "socket": (41, 198), "socketpair": (53, 199), "io_uring_setup": (425, 425),
    # Other processes of this account: their memory, descriptors, signals, and how they are scheduled.
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119), "sched_setattr": (314, 274), "sched_setaffinity": (203, 122),
    # What outlives the process and counts against none of its limits.
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "semop": (65, 193),
    "semtimedop": (220, 192), "semctl": (66, 191), "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188),
    "msgctl": (71, 187), "mq_open": (240, 180), "mq_unlink": (241, 181), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219),
    # Where holes in the kernel are found, and no parser looks.
    "userfaultfd": (323, 282), "bpf": (321, 280), "perf_event_open": (298, 241),
}  # fmt: skip
# A process may do these to itself: their first argument is whom they are meant for.
_OWN: Final = {"kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "prlimit64": (302, 261)}
_FCNTL: Final = (72, 25)
# Audit number, and which column of the tables.
_MACHINES: Final = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}


class _Line(NamedTuple):
    """An instruction; `then` is the name of the place to jump to where it holds."""

    code: int
    value: int
    then: str = ""


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("yes", ctypes.c_uint8),
        ("no", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def refuse(*, but_execve: bool = False) -> bool:
    """Answer EPERM to all of them; whether the kernel agreed.

    `but_execve` is for a process that is about to become another program, which then is held as this one is.
    """
    machine = os.uname().machine
    if sys.platform != "linux" or machine not in _MACHINES:
        return False
    architecture, column = _MACHINES[machine]
    refused = {name: numbers[column] for name, numbers in _REFUSED.items()}
    if but_execve:
        del refused["execve"]
    lines = [
        _Line(_LOAD, _AT_ARCHITECTURE),  # 32-bit calls have other numbers, and are all refused
        _Line(_EQUAL, architecture, "known"),
        _Line(_ANSWER, _REFUSE),
        "known",
        *_judged([number for number in refused.values() if number is not None], column),
    ]
    instructions = _assembled(lines)
    filled = _Program(len(instructions), (_Instruction * len(instructions))(*instructions))
    libc = ctypes.CDLL(None)
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(filled), 0, 0) == 0)


def _judged(refused: list[int], column: int) -> Iterator[_Line | str]:
    yield _Line(_LOAD, _AT_NUMBER)
    yield _Line(_AT_LEAST, _X32, "refuse")
    yield from (_Line(_EQUAL, number, "refuse") for number in refused)
    yield from (_Line(_EQUAL, numbers[column], "own") for numbers in _OWN.values())
    yield _Line(_EQUAL, _FCNTL[column], "fcntl")
    yield _Line(_ANSWER, _ALLOW)
    yield "own"
    yield _Line(_LOAD, _AT_FIRST)
    yield from (_Line(_EQUAL, pid, "allow") for pid in (0, os.getpid()))
    yield from ("refuse", _Line(_ANSWER, _REFUSE))
    yield "fcntl"
    yield _Line(_LOAD, _AT_SECOND)
    yield from (_Line(_EQUAL, command, "refuse again") for command in _FILE_OWNERS)
    yield from ("allow", _Line(_ANSWER, _ALLOW))
    yield from ("refuse again", _Line(_ANSWER, _REFUSE))  # jumps go forward alone


def _assembled(lines: list[_Line | str]) -> list[_Instruction]:
    """The lines with the distances of their jumps; a word among them names the place that it stands at."""
    places: dict[str, int] = {}
    kept: list[_Line] = []
    for line in lines:
        if isinstance(line, str):
            places[line] = len(kept)
        else:
            kept.append(line)
    return [
        _Instruction(line.code, places[line.then] - at - 1 if line.then else 0, 0, line.value)
        for at, line in enumerate(kept)
    ]
