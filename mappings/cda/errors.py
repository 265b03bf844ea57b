"""What the CDA writer and reader raise.

The tree::

    CdaError             a CDA cannot be written or read
    ├── Unwritable       the document lacks, or holds, something that a CDA cannot do without or cannot say
    │   └── MissingPart  a part is missing, named by its JSON pointer
    └── NotCda           the bytes are XML, but not a CDA of the CI-SIS
"""

from __future__ import annotations

from conformance.verdict import Text

__all__ = ["CdaError", "MissingPart", "NotCda", "Unwritable"]


class CdaError(Exception):
    """A CDA cannot be written or read.

    ``code`` is stable, ``place`` is a JSON pointer (writing) or an XPath (reading), ``text`` says it to people; none of
    them repeats a value of the document.
    """

    def __init__(self, code: str, place: str, text: Text) -> None:
        self.code = code
        self.place = place
        self.text = text
        super().__init__(f"{code} at {place or '/'}: {text.fr}")


class Unwritable(CdaError, ValueError):
    """The document holds something that a CDA cannot say."""


class MissingPart(Unwritable):
    """The document lacks a part that a CDA cannot do without."""

    def __init__(self, place: str, text: Text, code: str = "CDA-WRITE-001") -> None:
        super().__init__(code, place, text)


class NotCda(CdaError):
    """The bytes are XML, but not a CDA of the CI-SIS."""
