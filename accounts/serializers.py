"""Signing in for a token."""

from typing import Any

from rest_framework_simplejwt.serializers import TokenObtainPairSerializer
from rest_framework_simplejwt.tokens import Token


class TokenIn(TokenObtainPairSerializer):
    """The claims `tenant` and `role` are there for clients to read; the server asks the user's row."""

    @classmethod
    def get_token(cls, user: Any) -> Token:
        token = super().get_token(user)
        token["tenant"] = str(user.tenant_id) if user.tenant_id else None
        token["role"] = "operator" if user.is_operator else user.role
        return token
