"""POST requests to addresses that customers choose: kept from private networks, and bounded in every way.

A name is resolved once, what it resolves to is checked, and the connection goes to the very address that was checked:
a name that leads elsewhere a moment later (DNS rebinding) leads nowhere. The certificate is checked against the name.
"""

import asyncio
import math
import socket
import ssl
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import httpx2

from ragsite.lib import addresses
from ragsite.lib.concurrency import event_loops
from ragsite.lib.concurrency.per_process import PerProcess
from ragsite.lib.public_addresses import is_public

MAX_URL = 2_000
_HTTPS, _HTTP = "https", "http"
_PORTS = {_HTTPS: 443, _HTTP: 80}
_FREE_PORTS = range(1_024, 65_536)  # those below belong to services that a POST could confuse, such as mail
_TRIED_ADDRESSES = 4
_CONNECT_SECONDS = 5.0
# A resolver that does not answer holds its thread for longer than the call which asked it.
_RESOLVERS = 64


class Failed(Exception):
    """No answer was had; `code` says why: `address`, `unresolved`, `connection`, `tls`, `timed_out` or `protocol`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Reply:
    """All that is read of an answer: nothing of its body, and of its headers how many seconds it asks to wait."""

    status: int
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`seconds` bounds the whole call. `networks`, as CIDR, may be called though they are not public, and over HTTP."""

    seconds: float
    networks: Sequence[str] = ()


def check(url: str, *, networks: Sequence[str]) -> None:
    """Raises ValueError with a sentence for people where nothing would ever be sent to the URL."""
    target = _parsed(url)
    if target.scheme not in ({_HTTPS, _HTTP} if networks else {_HTTPS}):
        raise ValueError("The address must begin with https://.")
    if not target.host or target.fragment or "#" in url:
        raise ValueError("The address needs a host, and has no fragment.")
    if target.userinfo:
        raise ValueError("The address must hold no user name or password.")
    port = _port(target)
    if port != _PORTS[target.scheme] and port not in _FREE_PORTS:
        raise ValueError("Of the ports below 1024 only the protocol's own is called, and none above 65535.")
    if addresses.is_address(target.host) and not _may_be_called(target, target.host, networks):
        raise ValueError("The address lies in no public network.")


def post(url: str, *, body: bytes, headers: Mapping[str, str], limits: Limits) -> "Future[Reply]":
    """Sends it in the background; the result is a Reply, or raises Failed within the limits' seconds."""
    sending = _bounded(url, body=body, headers=headers, limits=limits)
    return asyncio.run_coroutine_threadsafe(sending, event_loops.named("outbound"))


async def _bounded(url: str, *, body: bytes, headers: Mapping[str, str], limits: Limits) -> Reply:
    try:
        async with asyncio.timeout(limits.seconds):
            return await _post(url, body=body, headers=headers, limits=limits)
    except (TimeoutError, httpx2.TimeoutException) as error:
        raise Failed("timed_out") from error
    except httpx2.ConnectError as error:
        raise Failed("tls" if _is_tls(error) else "connection") from error
    except httpx2.NetworkError as error:
        raise Failed("connection") from error
    except httpx2.HTTPError as error:
        raise Failed("protocol") from error


async def _post(url: str, *, body: bytes, headers: Mapping[str, str], limits: Limits) -> Reply:
    try:
        check(url, networks=limits.networks)  # settings may have changed since it was stored
    except ValueError as error:
        raise Failed("address") from error
    target = httpx2.URL(url)
    found = await _resolved(target)
    if not all(_may_be_called(target, address, limits.networks) for address in found):
        raise Failed("address")
    timeout = httpx2.Timeout(limits.seconds, connect=_CONNECT_SECONDS)
    # No proxy, certificate or password out of the environment. A client a call: none shares another's connection.
    async with httpx2.AsyncClient(
        verify=_certificates.get("public"), trust_env=False, follow_redirects=False, timeout=timeout
    ) as client:
        return await _first_reply(client, target, found, body=body, headers=headers)


async def _first_reply(
    client: httpx2.AsyncClient,
    target: httpx2.URL,
    found: Sequence[str],
    *,
    body: bytes,
    headers: Mapping[str, str],
) -> Reply:
    """From the first address that can be connected to; a name may have one that this machine has no way to."""
    *others, last = found
    for address in others:
        try:
            return await _send(client, target, address, body=body, headers=headers)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            continue
    return await _send(client, target, last, body=body, headers=headers)


async def _send(
    client: httpx2.AsyncClient, target: httpx2.URL, address: str, *, body: bytes, headers: Mapping[str, str]
) -> Reply:
    own = {
        "Host": target.netloc.decode("ascii"),
        "Accept-Encoding": "identity",
        "User-Agent": "ragsite",
        "Connection": "close",
    }
    request = client.build_request(
        "POST",
        target.copy_with(host=address),
        content=body,
        headers={**headers, **own},
        extensions={"sni_hostname": target.raw_host.decode("ascii")},  # the certificate's too
    )
    response = await client.send(request, stream=True)
    try:
        return Reply(response.status_code, _seconds(response.headers.get("retry-after", "")))
    finally:
        await response.aclose()  # unread: a body may have no end


async def _resolved(target: httpx2.URL) -> list[str]:
    """The addresses of the host, as the system's resolver gives them: 127.1 and 0x7f000001 are 127.0.0.1 to it too."""
    ask = partial(socket.getaddrinfo, target.raw_host.decode("ascii"), _port(target), type=socket.SOCK_STREAM)
    try:
        found = await asyncio.get_running_loop().run_in_executor(_resolvers.get("outbound"), ask)
    except (OSError, UnicodeError) as error:
        raise Failed("unresolved") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))[:_TRIED_ADDRESSES]


def _may_be_called(target: httpx2.URL, address: str, networks: Sequence[str]) -> bool:
    listed = addresses.within(address, networks)
    return listed or (target.scheme == _HTTPS and is_public(address))


def _parsed(url: str) -> httpx2.URL:
    """Raises ValueError."""
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("The address is too long, or holds characters that have to be escaped.")
    try:
        return httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ValueError("This is no address.") from error


def _port(target: httpx2.URL) -> int:
    return _PORTS[target.scheme] if target.port is None else target.port


def _is_tls(error: BaseException | None) -> bool:
    """Whether a connection failed over its certificate or its encryption; the clients wrap what Python's ssl said."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _seconds(retry_after: str) -> float:
    """A number of seconds; the header's other form, a date, is left to the schedule of retries."""
    try:
        seconds = float(retry_after)
    except ValueError:
        return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def _make_resolvers(name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_RESOLVERS, thread_name_prefix=name)


def _make_context(_: str) -> ssl.SSLContext:
    return ssl.create_default_context()


_resolvers = PerProcess(_make_resolvers)
_certificates = PerProcess(_make_context)
