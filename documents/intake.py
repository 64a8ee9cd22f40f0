"""Takes an upload in: measured, hashed, told by its content, stored once, and queued."""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import PurePosixPath
from tempfile import TemporaryFile
from typing import IO, Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from accounts.models import Tenant, User
from documents import files, indexing, sniffing, states, versions
from documents.models import Collection, Document
from ragsite.lib.errors import Conflict, Invalid, NotFound, TooLarge, UnsupportedType

DEFAULT_COLLECTION = "default"
MAX_METADATA_BYTES = 16 * 1024


def store(
    *,
    tenant: Tenant,
    chunks: Iterable[bytes],
    filename: str,
    collection: Collection,
    metadata: Mapping[str, Any] | None = None,
    uploaded_by: User | None = None,
    replace: bool = False,
) -> tuple[Document, bool]:
    """The document of these bytes, and whether it is new or has to be processed again.

    The same bytes in the same collection are the same document. With `replace` it takes the place of the collection's
    earlier documents of this name, once it is ready (see `documents.versions`). Raises Invalid (`empty_file`),
    TooLarge, UnsupportedType, and Unavailable (`storage_failed`) where the disk is full: nothing is left then.
    """
    name = display_name(filename)
    with files.failures(), TemporaryFile() as spool:
        digest, size, head = _spool(chunks, spool)
        media_type = sniffing.detect(head, name, file=spool)
        if media_type is None:
            raise UnsupportedType(sniffing.why_not(head))
        path = files.path_of(tenant.pk, digest)
        with files.holding(path):
            files.keep(spool, path=path, size=size)
            document, created = _row(
                tenant=tenant,
                collection=collection,
                sha256=digest,
                defaults={
                    **_described(name, media_type=media_type, size=size),
                    "file": path,
                    "metadata": dict(metadata or {}),
                    "uploaded_by": uploaded_by,
                    "replaces_before": Now() if replace else None,
                },
                replace=replace,
            )
    return document, created or _revived(document)


def _described(name: str, *, media_type: str, size: int) -> dict[str, Any]:
    """What a file says of its document."""
    title = PurePosixPath(name).stem[:300] or name
    return {"title": title, "filename": name, "media_type": media_type, "bytes": size, "queue": lane(size)}


def lane(size: int) -> Document.Queue:
    """Who is to process a file of so many bytes."""
    return Document.Queue.LOW if size > settings.QUICK_BYTES else Document.Queue.DEFAULT


def display_name(filename: str) -> str:
    """A name to show, never a path: what stands behind the last separator, without control characters."""
    last = filename.replace("\\", "/").rpartition("/")[2]
    return "".join(character for character in last if character.isprintable())[-255:].strip() or "unnamed"


def collection_named(tenant: Tenant, name: str) -> Collection:
    """The collection by its name, made when it is new, or by its id."""
    identifier = _as_uuid(name)
    if identifier is not None:
        return Collection.objects.for_tenant(tenant).one(identifier)
    return Collection.objects.for_tenant(tenant).get_or_create(tenant=tenant, name=name)[0]


def existing_collection(tenant_id: UUID, name: str) -> Collection:
    """The collection by its name or id; NotFound otherwise."""
    if "\0" in name:  # Postgres would refuse to be asked for it
        raise NotFound("There is no such collection.")
    collections = Collection.objects.for_tenant(tenant_id)
    identifier = _as_uuid(name)
    found = collections.filter(pk=identifier).first() if identifier else collections.filter(name=name).first()
    if found is None:
        raise NotFound("There is no such collection.")
    return found


def check_metadata(metadata: Any) -> dict[str, Any]:
    """An object of modest size that Postgres can store; raises Invalid."""
    if not isinstance(metadata, dict):
        raise Invalid("The metadata must be a JSON object.", code="metadata")
    try:
        text = json.dumps(metadata, ensure_ascii=False, allow_nan=False)
    except ValueError as error:  # NaN and infinity, which Python reads though JSON has no such numbers
        raise Invalid("The metadata has numbers that JSON does not have.", code="metadata") from error
    if len(text.encode(errors="replace")) > MAX_METADATA_BYTES:
        raise Invalid(f"The metadata may have {MAX_METADATA_BYTES} bytes.", code="metadata")
    # jsonb has no NUL, and UTF-8 has no lone surrogate; json.dumps shows the one escaped and the other raw.
    has_nul = "\\u0000" in text.replace("\\\\", "")
    if has_nul or any("\ud800" <= character <= "\udfff" for character in text):
        raise Invalid("The metadata has characters that cannot be stored.", code="metadata")
    return metadata


def _spool(chunks: Iterable[bytes], spool: IO[bytes]) -> tuple[str, int, bytes]:
    """Copies the bytes to a temporary file; returns their SHA-256, how many, and the first of them."""
    digest, size, head = sha256(), 0, b""
    for piece in chunks:
        size += len(piece)
        if size > settings.MAX_UPLOAD_BYTES:
            raise TooLarge(f"A file may have {settings.MAX_UPLOAD_BYTES} bytes.", code="file_too_large")
        digest.update(piece)
        head += piece[: max(0, sniffing.HEAD_BYTES - len(head))]
        spool.write(piece)
    if not size:
        raise Invalid("The file is empty.", code="empty_file")
    return digest.hexdigest(), size, head


def _revived(document: Document) -> bool:
    """Whether a document that had failed is queued again by being uploaded again."""
    if document.status != Document.Status.FAILED:
        return False
    try:
        states.queue_again(document)
    except Conflict:  # somebody else has just done so
        document.refresh_from_db()
        return False
    except NotFound:  # somebody removed it: after this upload, as it were
        return False
    return True


def _row(
    *, tenant: Tenant, collection: Collection, sha256: str, defaults: Mapping[str, Any], replace: bool
) -> tuple[Document, bool]:
    documents = Document.objects.for_tenant(tenant).select_related("collection")
    while True:
        document, created = documents.get_or_create(
            tenant=tenant, collection=collection, sha256=sha256, defaults=defaults
        )
        if created and replace:
            document.refresh_from_db(fields=["replaces_before"])
        if created or not replace or _takes_over(document, defaults["filename"]):
            return document, created
        # It was an older version, which a newer one has just replaced: these bytes are a new document now.


@transaction.atomic
def _takes_over(document: Document, name: str) -> bool:
    """Makes a document the latest of its name; False where it was removed meanwhile."""
    if not versions.take_over(document, name):
        return False
    try:
        document.refresh_from_db(fields=["filename", "replaces_before", "status"])
    except Document.DoesNotExist:
        return False
    for version in versions.overtaken([document]):
        indexing.remove(version)
    return True


def _as_uuid(name: str) -> UUID | None:
    """Only the form that ids are given out in: 32 hexadecimal digits in a row are a name like any other."""
    try:
        identifier = UUID(name)
    except ValueError:
        return None
    return identifier if str(identifier) == name.lower() else None
