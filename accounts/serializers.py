"""Signing in for a token."""

from typing import Any

from rest_framework import serializers
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer, TokenRefreshSerializer
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import RefreshToken, Token
from rest_framework_simplejwt.utils import get_md5_hash_password

from accounts.models import User
from ragsite.lib.errors import Unauthenticated
from ragsite.lib.fields import StrictSerializer, StrictText

REFUSED = "No valid credentials were given."


class TokenIn(StrictSerializer, TokenObtainPairSerializer):
    """The claims `tenant` and `role` are there for clients to read; the server asks the user's row."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"] = StrictText(max_length=150, write_only=True)
        # A blank is part of a password. Beyond this length it is no password, and hashing it would cost us.
        self.fields["password"] = StrictText(max_length=1_000, trim_whitespace=False, write_only=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        tokens: dict[str, str] = super().validate(attrs)
        _require_open(self.user)
        return tokens

    @classmethod
    def get_token(cls, user: Any) -> Token:
        token = super().get_token(user)
        token["tenant"] = str(user.tenant_id) if user.tenant_id else None
        token["role"] = "operator" if user.is_operator else user.role
        return token


class RefreshIn(StrictSerializer, TokenRefreshSerializer):
    """Refused as soon as an access token would be: after a changed password, and with the user or tenant gone."""

    refresh = StrictText()
    access = serializers.CharField(read_only=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        token = RefreshToken(attrs["refresh"])
        user = User.objects.filter(
            pk=str(token.payload.get(api_settings.USER_ID_CLAIM)), is_active=True
        ).first()
        if user is None or token.get(api_settings.REVOKE_TOKEN_CLAIM) != get_md5_hash_password(user.password):
            raise Unauthenticated(REFUSED)
        _require_open(user)
        return {"access": str(RefreshIn._access(token, user))}

    @staticmethod
    def _access(token: Any, user: User) -> Token:
        """With today's claims: a role may have changed since the sign-in."""
        access: Token = token.access_token
        fresh = TokenIn.get_token(user)
        for claim in ("tenant", "role"):
            access[claim] = fresh[claim]
        return access


def _require_open(user: Any) -> None:
    if user.tenant is not None and not user.tenant.active:
        raise Unauthenticated(REFUSED)
