"""Where a request comes from, as far as it can be believed."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request

Address = IPv4Address | IPv6Address
# What one customer of an internet provider is given: whoever holds it can come from any address in it.
_IPV6_SUBSCRIBER = 64
_IPV4_MAPPED = 96  # ::ffff:0:0/96 holds the IPv4 addresses


def client_address(request: HttpRequest | Request) -> str:
    """The nearest address that is not one of TRUSTED_PROXIES.

    Each proxy appends to X-Forwarded-For whom it heard from, so the list is believed from its right end, one
    trusted hop at a time; what a client wrote into it itself lies further left and is never reached.
    """
    address = request.META.get("REMOTE_ADDR") or "127.0.0.1"  # a Unix socket has no address
    hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
    while hops and within(address, settings.TRUSTED_PROXIES):
        candidate = hops.pop()
        if not is_address(candidate):
            break
        address = candidate
    return str(_parsed(address))


def within(address: str, networks: Iterable[str]) -> bool:
    """Whether an address lies in one of the networks, given as CIDR."""
    here = bits(address)
    return any(here.startswith(network_bits(network)) for network in networks)


@lru_cache(maxsize=4096)
def bits(address: str) -> str:
    """An address as its version and its bits; it lies in a network if it begins with the `network_bits` of that."""
    parsed = _parsed(address)
    return f"{parsed.version}:{int(parsed):0{parsed.max_prefixlen}b}"


def network_bits(network: str) -> str:
    """What the `bits` of every address in a network begin with. Raises ValueError for what is no CIDR."""
    parsed = ip_network(network, strict=False)
    address, length = parsed.network_address, parsed.prefixlen
    if isinstance(address, IPv6Address) and address.ipv4_mapped and length >= _IPV4_MAPPED:
        address, length = address.ipv4_mapped, length - _IPV4_MAPPED  # as `_parsed` has an address of it
    whole = f"{int(address):0{address.max_prefixlen}b}"
    return f"{address.version}:{whole[:length]}"


def ratelimit_key(group: str, request: HttpRequest) -> str:
    """What django-ratelimit counts by: the address, and of an IPv6 address the network."""
    address = client_address(request)
    if ":" in address:
        return str(ip_network((int(_parsed(address)), _IPV6_SUBSCRIBER), strict=False))
    return address


@lru_cache(maxsize=4096)
def _parsed(address: str) -> Address:
    """A server that listens on IPv6 for both names an IPv4 client ::ffff:192.0.2.1: that is 192.0.2.1."""
    parsed = ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


def is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
