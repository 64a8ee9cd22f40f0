"""Zip files of strangers, opened and unpacked within limits. What the directory says of sizes is not believed."""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Final, cast

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


class Archive:
    """An opened zip, which unpacks at most `budget` bytes in all; every method raises `UnreadableError`."""

    def __init__(self, content: IO[bytes], *, budget: int) -> None:
        self._left = budget
        try:
            members = zipfile.ZipFile(cast("IO[bytes]", _Sparing(content)))
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


class _Sparing:
    """A file that is not read in large pieces: zipfile reads a directory in one, and makes ten times its size of it.

    Asked here and not of the directory's own words, since of those there may be several, and zipfile has its own way to
    choose.
    """

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content
        self.seek, self.tell, self.seekable = content.seek, content.tell, content.seekable

    def read(self, size: int = -1) -> bytes:
        if size > DIRECTORY_BYTES:
            raise UnreadableError(Failure.TOO_LARGE_UNPACKED)
        return self._content.read(size)
