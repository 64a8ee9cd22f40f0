"""Tokens over HTTP."""

from typing import Any

from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from accounts import attempts
from accounts.serializers import RefreshIn, TokenIn


class LimitedByAddress:
    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # type: ignore[misc]  # a mixin of APIView
        attempts.count(request._request, group="token")  # noqa: SLF001  DRF has no name for Django's own request


class TokenView(LimitedByAddress, TokenObtainPairView):
    """A username and a password for a pair of tokens."""

    serializer_class = TokenIn
    permission_classes = (AllowAny,)  # type: ignore[assignment]  # the base class is typed as the empty tuple


class TokenRefresh(LimitedByAddress, TokenRefreshView):
    """A refresh token for a new access token."""

    serializer_class = RefreshIn
    permission_classes = (AllowAny,)  # type: ignore[assignment]  # the base class is typed as the empty tuple
