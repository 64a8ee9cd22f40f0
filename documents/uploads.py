"""Limits the size of an upload while it arrives."""

from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.http import HttpRequest, QueryDict, UnreadablePostError
from rest_framework.exceptions import ParseError
from rest_framework.parsers import MultiPartParser

from documents import files
from ragsite.lib.errors import Invalid, TooLarge

OVERSIZE = "ragsite.oversize"  # in request.META
# Beyond this much more than the limit the rest is not read any more: the client finds its connection closed.
_PATIENCE = 4


class SizeLimit(FileUploadHandler):
    """Stops keeping files once they are too large, one or all of a request together.

    What still arrives is read and thrown away, so that the client, which sends first and reads then, hears why.
    """

    received = 0

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


class UploadParser(MultiPartParser):
    """A form with a file, spooled to a disk that may be full."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        with files.failures():
            try:
                return super().parse(*args, **kwargs)
            except UnreadablePostError as error:  # an OSError too, but the client's: it went away
                raise ParseError("The body could not be read.") from error
            except UnicodeError as error:
                # The client names the charset, and Python has stranger ones than text's.
                raise ParseError("The form's text is not in the charset that it names.") from error


def refuse_repeated(form: Any) -> None:
    """Raises Invalid for a field that the form has twice: all but one would be lost without a word."""
    for name, values in form.lists() if isinstance(form, QueryDict) else ():
        if len(values) > 1:
            raise Invalid(f"The field {name} stands in the form {len(values)} times.", code="repeated")


def limit(request: HttpRequest) -> None:
    """To be called before the body is parsed."""
    request.upload_handlers.insert(0, SizeLimit(request))


def check(request: HttpRequest) -> None:
    """Raises TooLarge when a file of the request was cut."""
    if request.META.get(OVERSIZE):
        raise TooLarge(f"A file may have {settings.MAX_UPLOAD_BYTES} bytes.", code="file_too_large")
