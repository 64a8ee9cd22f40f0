"""Finds the person behind a session, a token or a password. Until then nobody's tenant is known."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.db.models import prefetch_related_objects
from django.http import HttpRequest
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.tokens import Token

from accounts.models import User
from ragsite.lib import row_security


class PasswordAndSession(ModelBackend):
    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> Any:  # type: ignore[override]
        with row_security.across():
            return super().authenticate(request, **credentials)

    def get_user(self, user_id: Any) -> User | None:
        with row_security.across():
            user = User.objects.select_related("tenant").filter(pk=user_id).first()
        return user if user is not None and self.user_can_authenticate(user) else None


class BearerToken(JWTAuthentication):
    def get_user(self, validated_token: Token) -> Any:
        with row_security.across():
            user: Any = super().get_user(validated_token)
            prefetch_related_objects([user], "tenant")
        return user
