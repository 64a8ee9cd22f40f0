"""Tells the OpenAPI schema how a token is sent."""

from drf_spectacular.contrib.rest_framework_simplejwt import SimpleJWTScheme


class BearerTokenScheme(SimpleJWTScheme):  # type: ignore[no-untyped-call]  # registers itself
    target_class = "accounts.authentication.BearerToken"
