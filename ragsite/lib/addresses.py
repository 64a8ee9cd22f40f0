"""Where a request comes from, as far as it can be believed."""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request


def client_address(request: HttpRequest | Request) -> str:
    """The nearest address that is not one of TRUSTED_PROXIES.

    Each proxy appends to X-Forwarded-For whom it heard from, so the list is believed from its right end, one
    trusted hop at a time; what a client wrote into it itself lies further left and is never reached.
    """
    address = request.META.get("REMOTE_ADDR") or "127.0.0.1"  # a Unix socket has no address
    hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
    while hops and within(address, settings.TRUSTED_PROXIES):
        candidate = hops.pop()
        if not _is_address(candidate):
            break
        address = candidate
    return address


def within(address: str, networks: Iterable[str]) -> bool:
    """Whether an address lies in one of the networks, given as CIDR."""
    here = ip_address(address)
    return any(here in ip_network(network, strict=False) for network in networks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def ratelimit_key(group: str, request: HttpRequest) -> str:
    """What django-ratelimit counts by."""
    return client_address(request)
