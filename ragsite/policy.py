"""The Content-Security-Policy of pages whose markup is not ours, relaxed by what each needs and no further."""

from collections.abc import Callable, Mapping, Sequence

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.http import HttpRequest, HttpResponse

# The admin's theme runs on Alpine.js, which evaluates the expressions in its attributes. None of its scripts stands
# in a page, so that text which slipped into one as markup still could not run.
_ADMIN = {"script-src": [SELF, UNSAFE_EVAL], "style-src": [SELF, UNSAFE_INLINE]}
# The browsable API's and Swagger UI's pages have style elements and attributes.
_API = {"style-src": [SELF, UNSAFE_INLINE]}
_PAGES: Mapping[str, Mapping[str, Sequence[str]]] = {"/admin/": _ADMIN, "/api/": _API, "/status": _API}


class PagePolicy:
    """Stands inside django-csp's middleware, which reads what this leaves on the response."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        for prefix, relaxed in _PAGES.items():
            if request.path.startswith(prefix):
                response._csp_update = relaxed  # type: ignore[attr-defined]  # noqa: SLF001  as its decorators do
        return response
