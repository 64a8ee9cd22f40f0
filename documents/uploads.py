"""Holds an upload to its size while it arrives."""

from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.http import HttpRequest

from ragsite.lib.errors import TooLarge

OVERSIZE = "ragsite.oversize"  # in request.META
# Beyond this much more than the limit the rest is not read any more: the client finds its connection closed.
_PATIENCE = 4


class SizeLimit(FileUploadHandler):
    """Stops keeping a file once it is too large; what still arrives is read and thrown away, so that the
    client, which sends first and reads then, hears why."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self.received = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:
        self.received += len(raw_data)
        if self.received <= settings.MAX_UPLOAD_BYTES:
            return raw_data
        if self.request is not None:
            self.request.META[OVERSIZE] = True
        if self.received > settings.MAX_UPLOAD_BYTES * _PATIENCE:
            raise StopUpload(connection_reset=True)
        return None

    def file_complete(self, file_size: int) -> None:
        return None


def limit(request: HttpRequest) -> None:
    """To be called before the body is parsed."""
    request.upload_handlers.insert(0, SizeLimit(request))


def check(request: HttpRequest) -> None:
    """Raises TooLarge when a file of the request was cut."""
    if request.META.get(OVERSIZE):
        raise TooLarge(f"A file may have {settings.MAX_UPLOAD_BYTES} bytes.", code="file_too_large")
