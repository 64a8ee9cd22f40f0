"""Tokens over HTTP."""

from typing import Any

from django.conf import settings
from django_ratelimit.core import is_ratelimited
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from ragsite.lib.addresses import ratelimit_key
from ragsite.lib.errors import RateLimited

_MINUTE = "60"


class LimitedByAddress:
    """Guessing passwords from one address is slow, whichever names are tried."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # type: ignore[misc]  # a mixin of APIView
        limited = is_ratelimited(
            request._request,  # noqa: SLF001  DRF has no name for Django's own request
            group="token",
            key=ratelimit_key,
            rate=settings.TOKEN_RATE,
            increment=True,
        )
        if limited:
            raise RateLimited("Too many tries from this address.", headers={"Retry-After": _MINUTE})


class TokenView(LimitedByAddress, TokenObtainPairView):
    """A username and a password for a pair of tokens."""

    permission_classes = (AllowAny,)  # type: ignore[assignment]  # the base class is typed as the empty tuple


class TokenRefresh(LimitedByAddress, TokenRefreshView):
    """A refresh token for a new access token."""

    permission_classes = (AllowAny,)  # type: ignore[assignment]  # the base class is typed as the empty tuple
