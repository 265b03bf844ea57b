"""Signed calls: whoever receives one can tell that it comes from here, unchanged, and is not an old one played back.

The header is ``Passerelle-Signature: t=<seconds>,v1=<hex>`` where ``v1`` is HMAC-SHA-256 under the shared secret of
``<seconds>.<body>``. During a change of secret the header carries one ``v1`` a secret.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

__all__ = ["HEADER", "SignatureRefused", "sign", "verify"]

HEADER = "Passerelle-Signature"

_MIN_SECRET = 16
_FORM = re.compile(r"t=(\d{1,12})((?:,v\d{1,3}=[0-9a-f]{1,256}){1,8})")


class SignatureRefused(Exception):
    """The signature of a call is missing, wrong or too old; ``code`` says which."""

    def __init__(self, code: str, expected: str) -> None:
        self.code = code
        self.expected = expected
        super().__init__(f"{code}: expected {expected}")


def sign(secret: str | bytes | Iterable[str | bytes], body: bytes, at: datetime) -> str:
    """Write the signature header of a body sent at an instant; raises ValueError for a secret under 16 bytes."""
    seconds = int(at.timestamp())
    marks = ",".join(f"v1={_mac(one, seconds, body)}" for one in _secrets(secret))
    return f"t={seconds},{marks}"


def verify(
    header: str,
    secret: str | bytes | Iterable[str | bytes],
    body: bytes,
    now: datetime,
    *,
    tolerance: timedelta = timedelta(minutes=5),
) -> datetime:
    """Check the signature header of a body and give the instant it was signed; raises :class:`SignatureRefused`.

    Receivers may use it as it stands. Several secrets may be given while one is being changed.
    """
    form = _FORM.fullmatch(header.strip())
    if form is None:
        raise SignatureRefused("HOOK-FORM-001", "t=<seconds>,v1=<hex>")
    seconds = int(form[1])
    given = [mark.removeprefix("v1=") for mark in form[2].split(",") if mark.startswith("v1=")]
    wanted = [_mac(one, seconds, body) for one in _secrets(secret)]
    # Every pair is compared, each in constant time: how long it takes says nothing.
    matches = [hmac.compare_digest(mine, theirs) for mine in wanted for theirs in given]
    if not any(matches):
        raise SignatureRefused("HOOK-SIG-001", "a signature by the shared secret over t and the body")
    if abs(now.timestamp() - seconds) > tolerance.total_seconds():
        raise SignatureRefused("HOOK-TIME-001", f"a time within {int(tolerance.total_seconds())} seconds of now")
    return datetime.fromtimestamp(seconds, UTC)


def _secrets(secret: str | bytes | Iterable[str | bytes]) -> list[bytes]:
    several = [secret] if isinstance(secret, str | bytes) else list(secret)
    secrets = [one.encode() if isinstance(one, str) else one for one in several]
    if not secrets or any(len(one) < _MIN_SECRET for one in secrets):
        raise ValueError("a webhook secret has at least 16 bytes")
    return secrets


def _mac(secret: bytes, seconds: int, body: bytes) -> str:
    return hmac.digest(secret, b"%d." % seconds + body, "sha256").hex()
