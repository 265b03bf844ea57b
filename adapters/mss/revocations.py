"""Lists of revoked certificates: fetched where the authority publishes them, believed only when it signed them.

The host that publishes them limits how often it is asked, and may answer a page in place of a list: what came is read
before it is kept (mss.md 2.1).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from adapters.bounded import read_at_most

__all__ = ["CrlRefused", "fetch_crl", "read_crl"]

_MAX_BYTES = 16 * 1024 * 1024


class CrlRefused(Exception):
    """What came is no list to believe; ``code`` says why."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


async def fetch_crl(url: str, *, timeout: float = 30.0) -> bytes:
    """Download a list, bounded, without following redirections. Raises :class:`CrlRefused`.

    The address may be plain http, as authorities publish it: the list is signed.
    """
    try:
        async with (
            httpx.AsyncClient(trust_env=False, timeout=timeout, follow_redirects=False) as client,
            client.stream("GET", url) as answer,
        ):
            if answer.status_code != 200:
                raise CrlRefused(f"http_{answer.status_code}")
            content = await read_at_most(answer, _MAX_BYTES)
    except httpx.HTTPError as exc:
        raise CrlRefused(type(exc).__name__) from exc
    return content


def read_crl(data: bytes, issuers: Iterable[x509.Certificate], *, now: datetime) -> x509.CertificateRevocationList:
    """Read a list in DER or PEM; raises :class:`CrlRefused` unless one of the issuers signed it and it is in force."""
    try:
        pem = data.lstrip().startswith(b"-----BEGIN")
        found = x509.load_pem_x509_crl(data) if pem else x509.load_der_x509_crl(data)
    except ValueError:
        raise CrlRefused("not_a_list") from None
    if found.next_update_utc is None or found.next_update_utc <= now or found.last_update_utc > now:
        raise CrlRefused("not_in_force")
    if not any(_signed(found, issuer) for issuer in issuers if issuer.subject == found.issuer):
        raise CrlRefused("unknown_issuer")
    return found


def _signed(found: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    key = issuer.public_key()
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return False
    try:
        return found.is_signature_valid(key)
    except InvalidSignature:
        return False
