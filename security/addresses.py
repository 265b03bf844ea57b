"""Where we may call: outbound addresses are looked up once, judged, and the one judged is the one to connect to.

An address given by a caller (a webhook) must not make the gateway talk to its own machine or network. Loopback,
private, link-local (cloud metadata), carrier-grade NAT, multicast, documentation and tunnel ranges are refused unless a
setting allows them, and so are addresses written as numbers, in whatever notation.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["AddressRefused", "Destination", "Resolver", "check_url", "is_public", "resolve"]

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
#: Host and port in, addresses as text out; raises OSError.
Resolver = Callable[[str, int], list[str]]

_MAX_URL = 2048
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.I)
# What resolvers take for a number: 127.1, 0x7f.1, 2130706433. No top-level domain begins with a digit.
_NUMBER = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)", re.I)
_LOCAL_NAMES = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "localdomain")
# IANA special-purpose registries, for the ranges that ``is_global`` of older Pythons misses, and tunnels to inside.
_REFUSED: tuple[IpNetwork, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "224.0.0.0/3"),
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
)
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # all that IPv6 routes on the Internet


class AddressRefused(Exception):
    """The address may not be called; ``code`` says why, and the address itself is never repeated."""

    def __init__(self, code: str, expected: str = "") -> None:
        self.code = code
        self.expected = expected
        super().__init__(f"{code}: expected {expected}" if expected else code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """An address that was looked up and may be called."""

    scheme: str
    host: str  #: for the Host header, the TLS name (SNI) and the check of the certificate
    port: int
    path: str  #: with its query
    addresses: tuple[str, ...]  #: all judged; connect to one of these, never look the host up again

    @property
    def pinned_url(self) -> str:
        """The URL with the judged address in place of the name.

        With httpx: ``client.post(d.pinned_url, headers={"Host": d.authority}, extensions={"sni_hostname": d.host})``.
        """
        address = self.addresses[0]
        host = f"[{address}]" if ":" in address else address
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


def resolve(host: str, port: int) -> list[str]:
    """Look a host up in the system's resolver; blocks, so call it off the event loop."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: IpAddress) -> bool:
    """Say whether an address is one of the open Internet."""
    inner = getattr(address, "ipv4_mapped", None)
    if inner is not None:
        return is_public(inner)
    if address.version == 6 and address not in _GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and not any(address in net for net in _REFUSED)


def check_url(
    url: str,
    *,
    allow_private: bool = False,
    allowed_networks: Iterable[str] = (),
    resolver: Resolver = resolve,
) -> Destination:
    """Judge a URL before it is registered, and again before each call; raises :class:`AddressRefused`.

    ``allow_private`` (a setting, for development) also lets ``http``, numbers and local names through;
    ``allowed_networks`` opens the named ranges only. Blocks while the name is looked up.
    """
    scheme, host, port, path = _split(url, allow_private)
    networks = tuple(ipaddress.ip_network(text) for text in allowed_networks)
    literal = _literal(host)
    if literal is None and not allow_private:
        if _NUMBER.fullmatch(host):
            raise AddressRefused("ADDR-LITERAL-001", "a host name")
        if "." not in host or host.rpartition(".")[2] in _LOCAL_NAMES:
            raise AddressRefused("ADDR-NAME-001", "a full name of the open Internet")
    if literal is not None and not allow_private and not any(literal in net for net in networks):
        raise AddressRefused("ADDR-LITERAL-001", "a host name")
    try:
        found = [str(literal)] if literal is not None else resolver(host, port)
        addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in found]
    except (OSError, ValueError, UnicodeError):
        raise AddressRefused("ADDR-DNS-001", "a name that the resolver knows") from None
    if not addresses:
        raise AddressRefused("ADDR-DNS-001", "a name that the resolver knows")
    # One bad address refuses the name: which one a client picks is not ours to hope.
    for address in addresses:
        if not (allow_private or is_public(address) or any(address in net for net in networks)):
            raise AddressRefused("ADDR-RANGE-001", "addresses of the open Internet")
    return Destination(scheme=scheme, host=host, port=port, path=path, addresses=tuple(map(str, addresses)))


def _split(url: str, allow_http: bool) -> tuple[str, str, int, str]:
    if len(url) > _MAX_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise AddressRefused("ADDR-URL-001", "an https URL of plain characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefused("ADDR-URL-001", "an https URL of plain characters") from None
    if parts.scheme != "https" and not (allow_http and parts.scheme == "http"):
        raise AddressRefused("ADDR-SCHEME-001", "https")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise AddressRefused("ADDR-USER-001", "a URL without user or password")
    if parts.fragment:
        raise AddressRefused("ADDR-URL-001", "a URL without fragment")
    host = (parts.hostname or "").removesuffix(".").lower()
    if port == 0 or not (_NAME.fullmatch(host) or _literal(host) is not None):
        raise AddressRefused("ADDR-URL-001", "a host name and a port")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80), path


def _literal(host: str) -> IpAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
