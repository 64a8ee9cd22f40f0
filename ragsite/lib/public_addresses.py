"""Which addresses lie in the public internet, and may be called because a customer named them.

The rest leads to this machine, to its neighbours, or to what a cloud tells its machines about themselves.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

# What IANA has given out; everything global lies in it, but for addresses that stand for IPv4 ones.
_IPV6_GLOBAL = ip_network("2000::/3")
# RFC 6052: a gateway sends it on to the IPv4 address in its last 32 bits.
_NAT64 = IPv6Network("64:ff9b::/96")
# Python 3.11.7 calls some of these global. Teredo and 6to4 carry an IPv4 address, and lead to it where a relay is.
_REFUSED = tuple(
    ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments; Oracle's cloud has its metadata there
        "192.88.99.0/24",  # relays of 6to4
        "168.63.129.16/32",  # a public address at which Azure answers its machines alone
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
)


def is_public(address: str) -> bool:
    """Raises ValueError for what is no address."""
    parsed = _as_routed(ip_address(address))
    if isinstance(parsed, IPv6Address) and parsed not in _IPV6_GLOBAL:
        return False
    if any(parsed in network for network in _REFUSED):
        return False
    return parsed.is_global and not (parsed.is_multicast or parsed.is_reserved)


def _as_routed(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that a packet to an IPv6 one ends up at, where the one is written in the other."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
