"""The stored files: each once a tenant, under the hash of its bytes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO
from uuid import UUID

import structlog
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import connection, transaction

from documents.models import Document
from ragsite.lib.errors import Unavailable

logger = structlog.get_logger(__name__)


class FileLost(Exception):
    """The storage has no such file: somebody removed it there, or a backup came back without it."""


def path_of(tenant_id: UUID, digest: str) -> str:
    """Where the bytes with this SHA-256 are kept; what the uploader calls them is no part of it."""
    return f"{tenant_id}/{digest[:2]}/{digest}"


@contextmanager
def holding(path: str) -> Iterator[None]:
    """A transaction in which nobody else stores or removes the file at `path`.

    Otherwise two uploads of the same bytes would write one file at once, and deleting their last document would
    take the file from under one that has just come in.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [path])
        yield


def keep(content: IO[bytes], *, path: str, size: int) -> None:
    """Stores the bytes, unless they are there. A file of another size was left by a process that died."""
    if default_storage.exists(path):
        if default_storage.size(path) == size:
            return
        default_storage.delete(path)
    content.seek(0)
    try:
        default_storage.save(path, File(content))
    except OSError:
        with suppress(OSError):  # what is away takes nothing back either
            default_storage.delete(path)
        raise


@contextmanager
def local_copy(path: str) -> Iterator[Path]:
    """A path to the file's bytes: its own where the storage is a folder, a temporary copy where it is not.

    Raises FileLost where the storage has no such file, and Unavailable (`storage_failed`) where it cannot be asked
    for now.
    """
    with ExitStack() as held:
        with failures():
            if not default_storage.exists(path):
                raise FileLost
            try:
                local = Path(default_storage.path(path))
            except NotImplementedError:
                local = held.enter_context(_fetched(path))
        yield local


@contextmanager
def _fetched(path: str) -> Iterator[Path]:
    with NamedTemporaryFile() as copy, default_storage.open(path) as stored:
        for piece in stored.chunks():
            copy.write(piece)
        copy.flush()
        yield Path(copy.name)


def discard(tenant_id: UUID, path: str) -> None:
    """Removes a file that no document of the tenant is made of any more.

    One that cannot be removed now stays, and the log says so: the rows are gone, and their deleter can do nothing.
    """
    with holding(path):
        if Document.objects.for_tenant(tenant_id).filter(file=path).exists():
            return
        try:
            default_storage.delete(path)
        except OSError:
            logger.exception("a file that is no longer needed could not be removed", path=path)


def discard_all(tenant_id: UUID) -> None:
    """Removes whatever is stored for a tenant, also what a process that died has left without a document."""
    _discard_folder(str(tenant_id))


def _discard_folder(path: str) -> None:
    try:  # and not `exists`: a bucket has no folders, only names that begin alike
        folders, names = default_storage.listdir(path)
    except FileNotFoundError:
        return
    for folder in folders:
        _discard_folder(f"{path}/{folder}")
    for name in names:
        default_storage.delete(f"{path}/{name}")
    default_storage.delete(path)


@contextmanager
def failures() -> Iterator[None]:
    """A disk that is full or gone is not the caller's mistake: Unavailable (`storage_failed`)."""
    try:
        yield
    except OSError as error:
        logger.exception("the storage failed")
        raise Unavailable(
            "The storage of files cannot be reached, or is full. Try again later.", code="storage_failed"
        ) from error
