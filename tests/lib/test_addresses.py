from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from django.test import RequestFactory
from hypothesis import assume, given, strategies
from pytest_django import Settings

from ragsite.lib.addresses import bits, client_address, network_bits, ratelimit_key, within


def address(remote: str, forwarded: str = "") -> str:
    headers: Any = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}
    return client_address(RequestFactory().get("/", REMOTE_ADDR=remote, **headers))


def test_header_of_a_stranger_is_not_believed(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = []
    assert address("203.0.113.9", "10.0.0.1") == "203.0.113.9"
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    assert address("203.0.113.9", "10.0.0.1") == "203.0.113.9"


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("192.0.2.66, 198.51.100.7", "198.51.100.7"),  # what a client forged lies further left
        ("192.0.2.66, 198.51.100.7, 10.1.1.1", "198.51.100.7"),  # two proxies of ours
        ("nonsense", "10.0.0.1"),
        ("198.51.100.7, nonsense", "10.0.0.1"),
        ("10.9.9.9", "10.9.9.9"),
        (",,, ,", "10.0.0.1"),
        ("2001:db8::5", "2001:db8::5"),
    ],
)
def test_behind_a_proxy_the_nearest_untrusted_hop_counts(
    settings: Settings, forwarded: str, expected: str
) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    assert address("10.0.0.1", forwarded) == expected


def test_unix_socket_and_mapped_addresses(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    assert address("", "198.51.100.7") == "198.51.100.7"
    assert address("::ffff:127.0.0.1", "198.51.100.7") == "198.51.100.7"
    assert address("::ffff:203.0.113.9") == "203.0.113.9"


@given(strategies.ip_addresses(), strategies.ip_addresses(), strategies.integers(0, 128))
def test_bits_agree_with_the_standard_library(one: object, other: object, length: int) -> None:
    here, there = ip_address(str(one)), ip_address(str(other))
    network = ip_network(f"{there}/{min(length, there.max_prefixlen)}", strict=False)
    mapped = getattr(here, "ipv4_mapped", None)
    assume(getattr(network.network_address, "ipv4_mapped", None) is None)  # see below
    assert within(str(here), [str(network)]) == ((mapped or here) in network)


def test_a_network_of_mapped_addresses_is_one_of_ipv4() -> None:
    """Or a key for ::ffff:192.0.2.0/120 could be used from nowhere, and a proxy that is named so is not trusted."""
    assert within("192.0.2.7", ["::ffff:192.0.2.0/120"])
    assert within("::ffff:192.0.2.7", ["::ffff:192.0.2.0/120"])
    assert not within("192.0.3.7", ["::ffff:192.0.2.0/120"])
    assert within("192.0.2.7", ["::ffff:0:0/96"])
    assert not within("192.0.2.7", ["::ffff:0:0/95"])


def test_versions_do_not_mix() -> None:
    assert not within("::1", ["0.0.0.0/0"])
    assert not within("0.0.0.1", ["::/0"])
    assert bits("10.0.0.1").startswith(network_bits("10.0.0.0/8"))


def test_ipv6_subscribers_are_counted_by_network() -> None:
    request = RequestFactory()
    keys = {ratelimit_key("x", request.get("/", REMOTE_ADDR=f"2001:db8::{n}")) for n in range(1, 9)}
    assert keys == {"2001:db8::/64"}
    assert ratelimit_key("x", request.get("/", REMOTE_ADDR="192.0.2.1")) == "192.0.2.1"
