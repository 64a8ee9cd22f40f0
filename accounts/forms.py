"""Signing in on a page."""

from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from accounts import attempts
from ragsite.lib.errors import RateLimited


class CountsAttempts:
    """A mixin of sign-in forms."""

    request: Any

    def clean(self) -> dict[str, Any]:
        try:
            attempts.count(self.request, group="page")
        except RateLimited as error:
            raise ValidationError(error.detail, code=error.error_code) from error
        cleaned: dict[str, Any] = super().clean()  # type: ignore[misc]  # a mixin
        return cleaned


class SignIn(CountsAttempts, AuthenticationForm):
    """For the people of a tenant, on their way to the browsable API."""
