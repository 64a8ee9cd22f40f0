"""Every address of the site, as the resolver knows them."""

from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver


def routes() -> dict[str, Any]:
    """Each route of the API, and its view: not the admin, the static files or the pages to sign in on."""
    return {
        route: view
        for route, view in everything().items()
        if route != "/" and not route.startswith(("/admin/", "/static/", "/api/session/"))
    }


def everything() -> dict[str, Any]:
    """Each route of the site, and its view."""
    return dict(_walk(get_resolver(), "/"))


def _walk(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, Any]]:
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield route, pattern.callback
        else:
            yield from _walk(pattern, route)
