"""Around every request: whose rows its statements may touch."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from ragsite.lib import row_security


def crossing(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A page or call where people sign in: whose tenant they are of is not known before."""

    @wraps(view)
    def crosses(*args: Any, **kwargs: Any) -> HttpResponseBase:
        with row_security.across():
            return view(*args, **kwargs)

    return crosses


class RowSecurity:
    """Nobody's rows until the caller is known (`apikeys.callers.attach`), and nobody's again after the request.

    The admin is the operators': its pages cross tenants, and let nobody else in.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with row_security.nobody():
            return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: Any) -> None:
        if request.resolver_match is not None and request.resolver_match.app_name == "admin":
            row_security.enter_across()
