"""Opaque, time-ordered identifiers (``doc_01JD8Z...``) and OIDs for documents that bring none."""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime

__all__ = ["new_id", "new_oid"]

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O, U


def new_id(prefix: str, now: datetime) -> str:
    """Make an identifier of 26 characters that sorts by time, as ULID does, after a prefix telling what it names."""
    value = (int(now.timestamp() * 1000) << 80) | secrets.randbits(80)
    digits = []
    for _ in range(26):
        value, rest = divmod(value, 32)
        digits.append(_ALPHABET[rest])
    return f"{prefix}_{''.join(reversed(digits))}"


def new_oid() -> str:
    """Make an OID nobody else has, from a random UUID (ITU-T X.667: arc 2.25)."""
    return f"2.25.{uuid.uuid4().int}"
