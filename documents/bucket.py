"""Uploaded files in a bucket that speaks S3. Imported, and boto3 with it, only where STORAGE is s3.

What goes wrong on the way to the bucket is an OSError, as with a folder, so that nobody else knows of S3.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files import File
from storages.backends.s3 import S3Storage
from urllib3.exceptions import HTTPError

from ragsite.lib.breaker import Breaker
from ragsite.lib.concurrency.per_process import PerProcess
from ragsite.lib.errors import Unavailable

# A web thread waits for it: a bucket that hangs holds one for the two tries, and after three such calls for none.
CONNECT_SECONDS: Final = 3
READ_SECONDS: Final = 10
TRIES: Final = 2
BREAKER_FAILURES: Final = 3
BREAKER_RESET_SECONDS: Final = 5.0
# A part is in memory while it is sent. With threads it would be ten of them.
PART_BYTES: Final = 8 * 1024 * 1024
_FROM_MEMORY: Final = 1024 * 1024  # what is read is kept in a file beyond this
_CLIENT_ERRORS: Final = (BotoCoreError, ClientError, Boto3Error, HTTPError)


class Bucket(S3Storage):  # type: ignore[misc]  # it comes without types
    """`options`: bucket_name, endpoint_url, region_name, access_key, secret_key, location."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **options,
            client_config=_client_config(own_endpoint=bool(options.get("endpoint_url"))),
            transfer_config=TransferConfig(
                multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, use_threads=False
            ),
            max_memory_size=_FROM_MEMORY,
        )

    def exists(self, name: str) -> bool:
        """A bucket that is not there has lost no file: that is a failure, and not False."""
        with _reaching():
            found: bool = super().exists(name)
            if not found:
                self.connection.meta.client.head_bucket(Bucket=self.bucket_name)
            return found

    def size(self, name: str) -> int:
        with _reaching():
            size: int = super().size(name)
            return size

    def delete(self, name: str) -> None:
        with _reaching():
            super().delete(name)

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        with _reaching():
            found: tuple[list[str], list[str]] = super().listdir(path)
            return found

    def _open(self, name: str, mode: str = "rb") -> "File[bytes]":
        """Fetched whole before anyone reads, so that it fails here or not at all."""
        with _reaching():
            stored: File[bytes] = super()._open(name, mode)
            stored.open()
            return stored

    def _save(self, name: str, content: Any) -> str:
        with _reaching():
            saved: str = super()._save(name, content)
            return saved


def _client_config(*, own_endpoint: bool) -> Config:
    return Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": TRIES, "mode": "standard"},
        signature_version="s3v4",
        s3={"addressing_style": "path" if own_endpoint else "auto"},
        # Trailing checksums, boto3's default, are refused by much that speaks S3 otherwise (boto3's issue 4398).
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


def _breaker(_: str) -> Breaker:
    return Breaker("S3", failures=BREAKER_FAILURES, reset_seconds=BREAKER_RESET_SECONDS, counts=_is_failure)


_breakers: PerProcess[str, Breaker] = PerProcess(_breaker)
forget: Callable[[], None] = _breakers.forget


def _is_failure(error: Exception) -> bool:
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError)


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        with _breakers.get("").guarding(), _as_oserror():
            yield
    except Unavailable as refusal:
        raise OSError(refusal.detail) from refusal


@contextmanager
def _as_oserror() -> Iterator[None]:
    try:
        yield
    except _CLIENT_ERRORS as error:
        raise OSError(f"S3: {error}") from error
