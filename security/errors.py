"""What the hardened readers raise.

The tree::

    UnsafeInput          the bytes are refused before anything reads them
    └── Unreadable       the bytes are not what they claim to be (malformed XML, JSON, ZIP)

Refusals of other kinds stand beside what they refuse: ``TokenRefused`` (tokens), ``KeyUnavailable`` (keyring),
``SealBroken`` (sealing), ``SignatureRefused`` (webhooks), ``AddressRefused`` (addresses). All have a stable ``code``.
"""

from __future__ import annotations

__all__ = ["Unreadable", "UnsafeInput"]


class UnsafeInput(Exception):
    """The bytes break a safety limit and were refused before anything read them.

    ``code`` is stable, ``found`` and ``expected`` are short and never repeat the content itself.
    """

    def __init__(self, code: str, found: str = "", expected: str = "", *, line: int | None = None) -> None:
        self.code = code
        self.found = found
        self.expected = expected
        self.line = line
        super().__init__(f"{code}: {found}; expected {expected}" if expected else f"{code}: {found}")


class Unreadable(UnsafeInput):
    """The bytes are not what they claim to be."""
