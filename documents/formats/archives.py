"""Zip files of strangers, opened and unpacked within limits. What the directory says of sizes is not believed."""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Final

from documents.structure import Failure, UnreadableError

OLE_MAGIC: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # around the zip where it is encrypted
MAX_MEMBERS: Final = 20_000  # a presentation of 500 slides has some 3,000
# Of a zip's directory, which zipfile reads whole and keeps as objects ten times its size.
DIRECTORY_BYTES: Final = 4 * 2**20
# Other methods take as much memory as the archive asks for.
_METHODS: Final = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_READ_BYTES: Final = 1 << 16
_FLAG_ENCRYPTED: Final = 0x1
_DAMAGE: Final = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, UnicodeError, ValueError, struct.error,
)  # fmt: skip
# The end of a directory and its 64-bit twin: signature and size of the directory. APPNOTE.TXT 4.3.14 to 4.3.16.
_END: Final = struct.Struct("<4s8xI")
_END_64: Final = struct.Struct("<4s36xQ")
_LOCATOR_64_BYTES: Final = 20
_TAIL_BYTES: Final = 2**16 + 22 + _LOCATOR_64_BYTES + 56


class Archive:
    """An opened zip, which unpacks at most `budget` bytes in all; every method raises `UnreadableError`."""

    def __init__(self, content: IO[bytes], *, budget: int) -> None:
        self._left = budget
        try:
            _check_directory(content)
            members = zipfile.ZipFile(content)
        except _DAMAGE as error:
            raise UnreadableError(Failure.CORRUPT) from error
        if len(members.filelist) > MAX_MEMBERS:
            raise UnreadableError(Failure.TOO_LARGE_UNPACKED)
        self._zip = members
        # Office looks parts up without regard to case, and some writers rely on that.
        self._members = {info.filename.lower().lstrip("/"): info for info in members.filelist}

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._members

    def read(self, name: str) -> bytes:
        """The member of this name, unpacked."""
        info = self._members.get(name.lower())
        if info is None:
            raise UnreadableError(Failure.CORRUPT)
        if info.flag_bits & _FLAG_ENCRYPTED:
            raise UnreadableError(Failure.ENCRYPTED)
        if info.compress_type not in _METHODS:
            raise UnreadableError(Failure.CORRUPT)
        try:
            return b"".join(self._unpacked(info))
        except _DAMAGE as error:
            raise UnreadableError(Failure.CORRUPT) from error

    def _unpacked(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        with self._zip.open(info) as member:
            while piece := member.read(_READ_BYTES):
                self._left -= len(piece)
                if self._left < 0:
                    raise UnreadableError(Failure.TOO_LARGE_UNPACKED)
                yield piece


def _check_directory(content: IO[bytes]) -> None:
    """Refuse a directory of a million members before it is read. Looks where zipfile will look."""
    end = content.seek(0, 2)
    content.seek(max(0, end - _TAIL_BYTES))
    tail = content.read(_TAIL_BYTES)
    content.seek(0)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or at + _END.size > len(tail):
        raise UnreadableError(Failure.CORRUPT)
    sizes = [_END.unpack_from(tail, at)[1]]
    twin = at - _LOCATOR_64_BYTES - 56
    if twin >= 0 and tail[twin:].startswith(b"PK\6\6"):
        sizes.append(_END_64.unpack_from(tail, twin)[1])
    elif tail[max(0, at - _LOCATOR_64_BYTES) : at].startswith(b"PK\6\7"):
        raise UnreadableError(Failure.CORRUPT)
    if any(DIRECTORY_BYTES < size < 0xFFFFFFFF for size in sizes):
        raise UnreadableError(Failure.TOO_LARGE_UNPACKED)
