"""From errors to HTTP answers: problem documents (RFC 9457), or the form of another protocol (`error_forms`).

`STATUS` alone says which HTTP status each kind of error has.
"""

from collections.abc import Mapping
from typing import Any

import structlog
from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.shortcuts import render
from rest_framework import exceptions
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from ragsite.lib import error_forms, errors
from ragsite.lib.middleware import note_status, request_id
from ragsite.lib.redaction import redacted

logger = structlog.get_logger(__name__)

STATUS: Mapping[type[errors.AppError], tuple[int, str]] = {
    errors.Invalid: (400, "Bad request"),
    errors.Unauthenticated: (401, "Not signed in"),
    errors.BudgetSpent: (402, "Budget spent"),
    errors.Forbidden: (403, "Not allowed"),
    errors.NotFound: (404, "Not found"),
    errors.Conflict: (409, "Conflict"),
    errors.TooLarge: (413, "Too large"),
    errors.UnsupportedType: (415, "Unsupported type"),
    errors.RateLimited: (429, "Too many requests"),
    errors.ClientLeft: (499, "The client left"),  # nginx's number; the record of use alone ever shows it
    errors.ModelFailed: (502, "The model failed"),
    errors.ModelRefused: (502, "The model failed"),
    errors.Unavailable: (503, "Not available"),
    errors.ModelTimeout: (504, "The model took too long"),
}
TITLES = dict(STATUS.values()) | {
    405: "Method not allowed",
    406: "Not acceptable",
    500: "Internal error",
}
CODES = {401: "unauthenticated", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 406: "not_acceptable",
         415: "unsupported_type", 429: "rate_limited"}  # fmt: skip
_MAX_FIELDS = 100  # errors that one problem document lists
_MAX_TEXT = 500  # characters of one of its texts
CHALLENGE = 'Bearer realm="ragsite"'


def problem(
    request: HttpRequest | Request,
    *,
    status: int,
    code: str,
    detail: str,
    fields: tuple[errors.FieldError, ...] = (),
) -> dict[str, Any]:
    """A problem document; `errors` is there only where single fields are wrong."""
    document: dict[str, Any] = {
        "type": f"urn:ragsite:problem:{code}",
        "title": TITLES[status],
        "status": status,
        "detail": readable(detail),
        "code": code,
        "request_id": str(request_id(request)),
    }
    if fields:
        document["errors"] = [
            {name: readable(value) for name, value in field._asdict().items()}
            for field in fields[:_MAX_FIELDS]
        ]
    return document


def readable(text: str) -> str:
    """Text that is safe to show. Errors quote what clients send: a megabyte, half a character, an API key."""
    text = redacted(text)
    shown = text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
    return shown.encode(errors="replace").decode()


class Refused(exceptions.APIException):
    """One of our errors from a permission. The browsable page asks permissions which forms to show, and takes only
    DRF's own errors for a no."""

    def __init__(self, error: errors.AppError) -> None:
        super().__init__(error.detail)
        self.error = error


def answer_error(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's exception handler. What it does not know becomes a 500 through `server_error`."""
    request: Request = context["request"]
    known = as_app_error(error)
    if known is not None:
        status, _ = STATUS[type(known)]
        headers = dict(known.headers)
        body = problem(
            request, status=status, code=known.error_code, detail=known.detail, fields=known.fields
        )
    elif isinstance(error, exceptions.APIException):
        status, headers = error.status_code, {}
        body = problem(request, status=status, code=CODES.get(status, "invalid"), detail=str(error.detail))
    else:
        return None
    if status == 401:  # RFC 9110: a 401 names at least one way to sign in
        headers.setdefault("WWW-Authenticate", CHALLENGE)
    if isinstance(error, exceptions.MethodNotAllowed):
        headers["Allow"] = ", ".join(context["view"].allowed_methods)
    return _in_form(request, body, headers)


def _in_form(request: Request, document: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    note_status(request, document["status"])
    told = error_forms.told(request.path, document)
    return Response(
        told.body,
        status=told.status,
        headers={**told.headers, **headers},
        content_type=_content_type(request, told.content_type),
    )


def as_app_error(error: Exception) -> errors.AppError | None:
    """Django's and DRF's errors as ours, where ours has a word for them."""
    match error:
        case errors.AppError():
            return error
        case Refused():
            return error.error
        case Http404() | exceptions.NotFound():
            return errors.NotFound("There is nothing here by that name.")
        case PermissionDenied() | exceptions.PermissionDenied():
            return errors.Forbidden("These credentials do not allow this.")
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return errors.Unauthenticated("No valid credentials were given.")
        case exceptions.ValidationError():
            return errors.Invalid("Some fields are wrong.", fields=tuple(_fields(error.detail, "")))
        case OperationalError() | InterfaceError():
            logger.error("Postgres could not be asked", exc_info=error)
            return errors.Unavailable(
                "The database cannot be reached.", code="database", headers={"Retry-After": "5"}
            )
    return _unreadable(error)


def _unreadable(error: Exception) -> errors.AppError | None:
    """What is wrong with a request that could not even be read."""
    match error:
        case exceptions.ParseError():
            return errors.Invalid(str(error.detail), code="malformed")
        case RequestDataTooBig():
            return errors.TooLarge("The request's body is too large.")
        case TooManyFieldsSent() | TooManyFilesSent() | MultiPartParserError():
            return errors.Invalid("The form could not be read.", code="malformed")
        case RecursionError():
            # What nests too deeply for Python was sent so. It is logged all the same: the fault may be ours.
            logger.error("a request exhausted the stack", exc_info=error)
            return errors.Invalid("The request is nested too deeply.", code="malformed")
    return None


def _fields(detail: Any, path: str) -> list[errors.FieldError]:
    """DRF's nested errors, flattened: `{"filters": {"tag": [..]}}` has the field `filters.tag`."""
    if isinstance(detail, Mapping):
        items = ((f"{path}.{name}" if path else str(name), inner) for name, inner in detail.items())
        return [field for name, inner in items for field in _fields(inner, name)]
    if isinstance(detail, list):
        return [field for inner in detail for field in _fields(inner, path)]
    return [errors.FieldError(path.removesuffix(".non_field_errors"), detail.code, str(detail))]


def _content_type(request: Request, wanted: str) -> str | None:
    """The browsable page keeps its own type; whatever else was asked for, a problem is JSON."""
    renderer: BaseRenderer | None = getattr(request, "accepted_renderer", None)
    if isinstance(renderer, BrowsableAPIRenderer):
        return None
    request.accepted_renderer, request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
    return wanted


# Errors outside DRF's views ----------------------------------------------------------------------------------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    too_big = isinstance(exception, RequestDataTooBig)
    if too_big:
        return _page(request, 413, "too_large", "The request's body is too large.")
    return _page(request, 400, "malformed", "The request could not be read.")


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(request, 403, "forbidden", "These credentials do not allow this.")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return _page(request, 403, "csrf", "The form's token is missing or stale. Reload the page and try again.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 404, "not_found", "There is nothing here by that name.")


def server_error(request: HttpRequest) -> HttpResponse:
    """Tells the request's id and nothing else: what went wrong stands in the log under that id."""
    return _page(request, 500, "internal", "Something went wrong here. The request's id finds it in the log.")


def unrecorded(request: HttpRequest, error: Exception) -> HttpResponse:
    """Neither Redis nor Postgres would take the record of a request: it counts as not answered."""
    logger.error("a request could not be recorded", exc_info=error)
    answer = _page(request, 503, "database", "The database cannot be reached.")
    answer["Retry-After"] = "5"
    return answer


def _page(request: HttpRequest, status: int, code: str, detail: str) -> HttpResponse:
    document = problem(request, status=status, code=code, detail=detail)
    if error_forms.is_for_programs(request.path):
        told = error_forms.told(request.path, document)
        return JsonResponse(told.body, status=told.status, content_type=told.content_type)
    return render(request, "problem.html", document, status=status)
