"""What is sent to addresses of customers' choosing, and where to it never goes."""

import datetime as dt
import socket
import ssl
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ragsite.lib import outbound
from ragsite.lib.outbound import Failed, Limits, Reply
from ragsite.lib.public_addresses import is_public
from tests.webhooks.receiver import Receiver, receiving

HERE = ["127.0.0.0/8"]

HOSTILE = """
127.0.0.1 127.255.255.254 0.0.0.0 0.1.2.3 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1
169.254.169.254 169.254.170.2 100.64.0.1 100.100.100.200 192.0.0.192 192.0.2.1 198.18.0.1 198.51.100.1
203.0.113.1 192.88.99.1 168.63.129.16 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
::1 :: ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1 ::127.0.0.1 64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe
64:ff9b:1::7f00:1 2002:7f00:1:: 2002:a9fe:a9fe::1 2001:0:7f00:1::1 2001::1 2001:10::1 2001:db8::1 3fff::1
fe80::1 fe80::1%eth0 fec0::1 fc00::1 fd00:ec2::254 ff02::1 100::1 5f00::1 2001:2::1
"""
PUBLIC = (
    "1.1.1.1 8.8.8.8 93.184.216.34 2606:4700:4700::1111 2001:4860:4860::8888 64:ff9b::8.8.8.8 ::ffff:8.8.8.8"
)


@pytest.mark.parametrize("address", HOSTILE.split())
def test_addresses_that_lead_inside(address: str) -> None:
    assert not is_public(address)
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(ValueError, match=r"public network|no address|host"):
        outbound.check(f"https://{host}/", networks=[])


@pytest.mark.parametrize("address", PUBLIC.split())
def test_addresses_of_the_internet(address: str) -> None:
    assert is_public(address)
    host = f"[{address}]" if ":" in address else address
    outbound.check(f"https://{host}/hook", networks=[])


def test_networks_that_are_not_public_are_not_by_any_name_of_theirs() -> None:
    """Every IPv4 address that is refused is refused in each of the forms that IPv6 has for it."""
    for text in HOSTILE.split():
        address = ip_address(text)
        if address.version == 4:
            for prefix in ("::ffff:", "64:ff9b::", "::", "64:ff9b:1::"):
                assert not is_public(f"{prefix}{address}"), (prefix, text)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com:70/_x",
        "https://user:secret@example.com/",
        "https://user@example.com/",
        "https://example.com/#part",
        "https://example.com/#",
        "https://example.com:22/",
        "https://example.com:25/",
        "https://example.com:80/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://",
        "https:///path",
        "//example.com/",
        "example.com",
        "",
        "https://exa mple.com/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com/\r\nX-Injected: 1",
        "https://example.com/\0",
        "https://ex\u00e4mple.com/",
        "https://[::1/",
        "https://" + "x" * 3_000,
    ],
)
def test_urls_that_nothing_is_sent_to(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(The address|This is|Of the ports)"):
        outbound.check(url, networks=[])


def test_urls_that_something_may_be_sent_to() -> None:
    for url in ("https://example.com/hook?a=b", "https://example.com:8443/", "https://xn--exmple-cua.com/"):
        outbound.check(url, networks=[])
    outbound.check("http://127.0.0.1:8000/", networks=HERE)
    with pytest.raises(ValueError, match="public network"):
        outbound.check("http://1.1.1.1/", networks=HERE)  # in the clear over the internet


# Calls ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def send(url: str, *, networks: list[str], seconds: float = 5) -> Reply:
    limits = Limits(seconds=seconds, networks=networks)
    return outbound.post(url, body=b"{}", headers={"webhook-id": "x"}, limits=limits).result(20)


def failure(url: str, *, networks: list[str], seconds: float = 5) -> str:
    with pytest.raises(Failed) as failed:
        send(url, networks=networks, seconds=seconds)
    return failed.value.code


def resolves_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """A resolver that changes its mind: each question is given the next answer, and the last ones the last."""
    left, asked = list(answers), []

    def getaddrinfo(host: str, port: int, **_: Any) -> Any:
        asked.append(host)
        addresses = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_call(receiver: Receiver) -> None:
    assert send(receiver.url, networks=HERE) == Reply(204)
    (message,) = receiver.received
    assert (message.path, message.body) == ("/hook", b"{}")
    assert message.headers["Host"] == receiver.url.split("/")[2]
    assert message.headers["User-Agent"] == "ragsite"


def test_a_name_that_leads_inside_is_not_called(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    port = receiver.url.rsplit(":", 1)[1]
    for inside in ("127.0.0.1", "::ffff:127.0.0.1", "169.254.169.254", "10.0.0.1"):
        for found in ([inside], ["93.184.216.34", inside], [inside, "93.184.216.34"]):
            resolves_to(monkeypatch, found)
            assert failure(f"https://hook.example:{port}", networks=[]) == "address"
    assert receiver.received == []


def test_the_resolver_is_asked_once_and_its_answer_is_the_one_that_is_called(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the first answer passes the check, and any later one would lead elsewhere."""
    rest = receiver.url.partition("127.0.0.1")[2]
    asked = resolves_to(monkeypatch, ["127.0.0.1"], ["127.66.66.66"])
    assert send(f"http://hook.example{rest}", networks=["127.0.0.1/32"]) == Reply(204)
    assert asked == ["hook.example"]
    assert receiver.received[0].headers["Host"] == f"hook.example{rest.removesuffix('/hook')}"
    assert failure(f"http://hook.example{rest}", networks=["127.0.0.1/32"]) == "address"


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "0177.0.0.1", "localhost", "0"])
def test_spellings_of_this_machine(receiver: Receiver, host: str) -> None:
    """Resolved by the system, as the connection would be; a name that only one of the two understood would be a hole."""
    port = receiver.url.split("/")[2].split(":")[1]
    assert failure(f"https://{host}:{port}/", networks=[]) in {"address", "unresolved"}
    assert receiver.received == []


def test_an_address_that_is_not_there_is_passed_over(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest = receiver.url.partition("127.0.0.1")[2]
    resolves_to(monkeypatch, ["127.0.0.77", "127.0.0.1"])
    assert send(f"http://hook.example{rest}", networks=HERE) == Reply(204)


def test_a_resolver_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> Any:
        time.sleep(2)

    monkeypatch.setattr(socket, "getaddrinfo", never)
    assert failure("https://hook.example/", networks=[], seconds=0.2) == "timed_out"


def test_a_name_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert failure("https://hook.example/", networks=[]) == "unresolved"
    assert failure(f"https://{'x' * 64}.example/", networks=[]) == "unresolved"


def test_no_proxy_of_the_environment_is_asked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert send(receiver.url, networks=HERE) == Reply(204)


# TLS -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's context with a certificate of hook.example, whose issuer the caller trusts for this test."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hook.example")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hook.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    trusting = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(outbound._certificates, "get", lambda _: trusting)
    return context


def test_the_certificate_is_checked_against_the_name_and_not_the_address(
    trusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    trusted.sni_callback = lambda _socket, name, _context: names.append(name or "")
    with receiving(trusted) as receiver:
        rest = receiver.url.partition("127.0.0.1")[2]
        resolves_to(monkeypatch, ["127.0.0.1"])
        assert send(f"https://hook.example{rest}", networks=HERE) == Reply(204)
        assert failure(f"https://other.example{rest}", networks=HERE) == "tls"
        assert failure(receiver.url, networks=HERE) == "tls"
    assert names[:2] == ["hook.example", "other.example"]
    assert len(receiver.received) == 1


def test_a_certificate_that_nobody_vouches_for(
    trusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound._certificates, "get", lambda _: ssl.create_default_context())
    resolves_to(monkeypatch, ["127.0.0.1"])
    with receiving(trusted) as receiver:
        url = f"https://hook.example{receiver.url.partition('127.0.0.1')[2]}"
        assert failure(url, networks=HERE) == "tls"
    assert receiver.received == []
