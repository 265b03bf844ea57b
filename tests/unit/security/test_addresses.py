"""Outbound addresses: nothing inside can be reached by a name, a number or a trick."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.addresses import AddressRefused, Destination, check_url, is_public, resolve

PUBLIC = "185.24.184.10"


def _names(*addresses: str) -> object:
    return lambda _host, _port: list(addresses)


def _check(url: str, *addresses: str, **options: object) -> Destination:
    return check_url(url, resolver=_names(*(addresses or (PUBLIC,))), **options)  # type: ignore[arg-type]


def _code(url: str, *addresses: str, **options: object) -> str:
    with pytest.raises(AddressRefused) as caught:
        _check(url, *addresses, **options)
    assert not url or url not in str(caught.value)
    return caught.value.code


def test_a_public_address_is_pinned() -> None:
    """What was judged is what is called; the name stays for Host and TLS."""
    found = _check("https://Logiciel.Exemple.fr./hook?x=1", PUBLIC, "2a01:cb00::1")
    assert (found.host, found.port, found.path) == ("logiciel.exemple.fr", 443, "/hook?x=1")
    assert found.addresses == (PUBLIC, "2a01:cb00::1")
    assert found.pinned_url == f"https://{PUBLIC}:443/hook?x=1"
    assert found.authority == "logiciel.exemple.fr"
    other = _check("https://logiciel.exemple.fr:8443", "2a01:cb00::1")
    assert (other.pinned_url, other.authority) == ("https://[2a01:cb00::1]:8443/", "logiciel.exemple.fr:8443")


@pytest.mark.parametrize(
    "address",
    """0.0.0.0 0.1.2.3 10.0.0.1 127.0.0.1 127.255.0.1 100.64.0.1 100.127.255.254 169.254.169.254 172.16.0.1
    172.31.255.255 192.168.1.1 192.0.0.1 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.1.1.1 240.0.0.1
    255.255.255.255 192.88.99.1 :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1
    100::1 2001::1 2001:db8::1 2002:7f00:1::1 3fff::1 fc00::1 fd12::1 fe80::1 fe80::1%eth0 fec0::1 ff02::1""".split(),
)
def test_addresses_inside_are_refused(address: str) -> None:
    """As the answer of a resolver, alone or among good ones."""
    assert _code("https://piege.exemple.fr/", address) == "ADDR-RANGE-001"
    assert _code("https://piege.exemple.fr/", PUBLIC, address) == "ADDR-RANGE-001"


@pytest.mark.parametrize(
    "address", ["185.24.184.10", "8.8.8.8", "2a01:cb00::1", "::ffff:8.8.8.8", "100.128.0.1", "172.32.0.1"]
)
def test_addresses_of_the_internet_pass(address: str) -> None:
    """Neighbours of refused ranges too."""
    assert _check("https://a.exemple.fr", address).addresses == (str(ipaddress.ip_address(address)),)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://a.exemple.fr/", "ADDR-SCHEME-001"),
        ("ftp://a.exemple.fr/", "ADDR-SCHEME-001"),
        ("file:///etc/passwd", "ADDR-SCHEME-001"),
        ("gopher://a.exemple.fr/", "ADDR-SCHEME-001"),
        ("//a.exemple.fr/", "ADDR-SCHEME-001"),
        ("", "ADDR-SCHEME-001"),
        ("https://u:p@a.exemple.fr/", "ADDR-USER-001"),
        ("https://a.exemple.fr@127.0.0.1/", "ADDR-USER-001"),
        ("https://@a.exemple.fr/", "ADDR-USER-001"),
        ("https://a.exemple.fr/#x", "ADDR-URL-001"),
        ("https:///x", "ADDR-URL-001"),
        ("https://a.exemple.fr:0/", "ADDR-URL-001"),
        ("https://a.exemple.fr:99999/", "ADDR-URL-001"),
        ("https://a.exemple.fr:x/", "ADDR-URL-001"),
        ("https://a.exemple.fr\\@127.0.0.1/", "ADDR-URL-001"),
        ("https://a.exemple.fr/\r\nHost: x", "ADDR-URL-001"),
        ("https://a b.exemple.fr/", "ADDR-URL-001"),
        ("https://é.exemple.fr/", "ADDR-URL-001"),
        ("https://-a.exemple.fr/", "ADDR-URL-001"),
        ("https://a..fr/", "ADDR-URL-001"),
        ("https://a_b.exemple.fr/", "ADDR-URL-001"),
        ("https://[::1", "ADDR-URL-001"),
        ("https://a%2eexemple.fr/", "ADDR-URL-001"),
        ("https://a.exemple.fr/" + "x" * 2048, "ADDR-URL-001"),
        ("https://127.0.0.1/", "ADDR-LITERAL-001"),
        (f"https://{PUBLIC}/", "ADDR-LITERAL-001"),
        ("https://[::1]/", "ADDR-LITERAL-001"),
        ("https://[::ffff:127.0.0.1]/", "ADDR-LITERAL-001"),
        ("https://127.1/", "ADDR-LITERAL-001"),
        ("https://2130706433/", "ADDR-LITERAL-001"),
        ("https://0x7f000001/", "ADDR-LITERAL-001"),
        ("https://0177.0.0.1/", "ADDR-LITERAL-001"),
        ("https://0x7f.1./", "ADDR-LITERAL-001"),
        ("https://localhost/", "ADDR-NAME-001"),
        ("https://LOCALHOST./", "ADDR-NAME-001"),
        ("https://gateway/", "ADDR-NAME-001"),
        ("https://db.internal/", "ADDR-NAME-001"),
        ("https://x.localhost/", "ADDR-NAME-001"),
    ],
)
def test_urls_that_could_lead_inside_are_refused(url: str, code: str) -> None:
    """Other schemes, users, numbers in every notation, local names, and the tricks of URL readers."""
    assert _code(url) == code


def test_a_setting_opens_what_it_names() -> None:
    """Development allows everything private; a network opens that network only."""
    assert _check("http://127.0.0.1:8800/hook", allow_private=True).pinned_url == "http://127.0.0.1:8800/hook"
    assert _check("http://localhost:8800/", "127.0.0.1", allow_private=True).addresses == ("127.0.0.1",)
    assert _check("https://erp.exemple.fr/", "10.1.2.3", allowed_networks=["10.1.0.0/16"]).addresses == ("10.1.2.3",)
    assert _check("https://10.1.2.3/", allowed_networks=["10.1.0.0/16"]).host == "10.1.2.3"
    assert _code("https://erp.exemple.fr/", "10.2.2.3", allowed_networks=["10.1.0.0/16"]) == "ADDR-RANGE-001"
    assert _code("http://erp.exemple.fr/", "10.1.2.3", allowed_networks=["10.1.0.0/16"]) == "ADDR-SCHEME-001"


def test_a_name_that_does_not_resolve_is_refused() -> None:
    """Unknown, empty, or answered with nonsense."""

    def unknown(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    with pytest.raises(AddressRefused, match="ADDR-DNS-001"):
        check_url("https://inconnu.exemple.fr/", resolver=unknown)
    with pytest.raises(AddressRefused, match="ADDR-DNS-001"):
        check_url("https://vide.exemple.fr/", resolver=lambda _h, _p: [])
    assert _code("https://faux.exemple.fr/", "not an address") == "ADDR-DNS-001"


def test_the_name_is_looked_up_once() -> None:
    """A name that changes its answer between check and call gains nothing."""
    asked: list[tuple[str, int]] = []

    def once(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return [PUBLIC] if len(asked) == 1 else ["127.0.0.1"]

    found = check_url("https://double.exemple.fr/", resolver=once)
    assert asked == [("double.exemple.fr", 443)]
    assert found.addresses == (PUBLIC,)


def test_the_system_resolver_gives_each_address_once() -> None:
    """The loopback name resolves without the network."""
    assert set(resolve("localhost", 80)) <= {"127.0.0.1", "::1"}
    assert resolve("127.0.0.1", 80) == ["127.0.0.1"]


@given(st.ip_addresses())
def test_no_private_address_is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Ours is at least as strict as the standard library."""
    if (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
    ):
        assert not is_public(address) or getattr(address, "ipv4_mapped", None) is not None


@given(st.text(max_size=60))
def test_no_text_breaks_the_check(text: str) -> None:
    """Whatever is given as a URL, a destination or a refusal."""
    for url in (text, "https://" + text, "https://a.exemple.fr/" + text):
        try:
            assert _check(url).addresses == (PUBLIC,)
        except AddressRefused as exc:
            assert exc.code.startswith("ADDR-")  # noqa: PT017
