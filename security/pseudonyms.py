"""Names that say nothing: pseudonyms for searching, commitments for proving later.

A matricule has so few possible values that a plain hash of it is the matricule: only a keyed hash hides it. The key
stays with the gateway; destroying it makes the pseudonyms anonymous.
"""

from __future__ import annotations

import hashlib
import hmac
import os

__all__ = ["SALT_BYTES", "commit", "new_salt", "opens", "pseudonym"]

SALT_BYTES = 32
_MIN_KEY = 32


def pseudonym(key: bytes, *, tenant: str, purpose: str, value: str) -> str:
    """Give the pseudonym of a value for one tenant and one purpose: 64 hex digits (HMAC-SHA-256).

    The same person has unrelated pseudonyms at two tenants, or for two purposes. ``value`` is taken as it is: bring
    it to one spelling first. Raises ValueError for a key under 32 bytes or an empty value.
    """
    if len(key) < _MIN_KEY:
        raise ValueError("a pseudonym key has at least 32 bytes")
    if not value:
        raise ValueError("nothing to name")
    return hmac.digest(key, _framed(b"pseudonym", tenant.encode(), purpose.encode(), value.encode()), "sha256").hex()


def new_salt() -> bytes:
    """Draw the salt of a commitment."""
    return os.urandom(SALT_BYTES)


def commit(value: bytes, salt: bytes) -> str:
    """Commit to a value without showing it: SHA-256 of salt and value, in hex; raises ValueError for a short salt.

    Erasing the salt erases the link for good, while the commitment keeps its place in the ledger.
    """
    if len(salt) < SALT_BYTES:
        raise ValueError("a salt has at least 32 bytes")
    return hashlib.sha256(_framed(b"commitment", salt, value)).hexdigest()


def opens(commitment: str, value: bytes, salt: bytes) -> bool:
    """Say whether this value and salt are those committed to, in constant time."""
    return hmac.compare_digest(commit(value, salt).encode(), commitment.encode())


def _framed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
