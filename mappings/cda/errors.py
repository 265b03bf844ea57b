"""What the CDA writer and reader raise.

The tree::

    CdaError             a CDA cannot be written or read
    ├── Unwritable       the document lacks, or holds, something that a CDA cannot do without or cannot say
    │   └── MissingPart  a part is missing, named by its JSON pointer
    └── NotCda           the bytes are XML, but not a CDA of the CI-SIS
"""

from __future__ import annotations

from typing import TypeVar

from conformance.verdict import Finding, Rule, Text

__all__ = ["CdaError", "MissingPart", "NotCda", "Unwritable", "together"]

_FIX = Text("Complétez ou corrigez cette partie.", "Complete or correct this part.")


class CdaError(Exception):
    """A CDA cannot be written or read.

    ``code`` is stable, ``place`` is a JSON pointer (writing) or an XPath (reading), ``text`` says it to people; none of
    them repeats a value of the document.
    """

    def __init__(self, code: str, place: str, text: Text) -> None:
        self.code = code
        self.place = place
        self.text = text
        #: Faults found beside this one in the same writing or reading.
        self.others: tuple[CdaError, ...] = ()
        super().__init__(f"{code} at {place or '/'}: {text.fr}")

    @property
    def finding(self) -> Finding:
        """The same, as a finding of a verdict."""
        rule = Rule(code=self.code, message=self.text, fix=_FIX, source="CI-SIS, structuration minimale")
        return rule.finding(self.place)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every fault, this one first."""
        return (self.finding, *(other.finding for other in self.others))


class Unwritable(CdaError, ValueError):
    """The document holds something that a CDA cannot say."""


class MissingPart(Unwritable):
    """The document lacks a part that a CDA cannot do without."""

    def __init__(self, place: str, text: Text, code: str = "CDA-WRITE-001") -> None:
        super().__init__(code, place, text)


class NotCda(CdaError):
    """The bytes are XML, but not a CDA of the CI-SIS."""


E = TypeVar("E", bound=CdaError)


def together(faults: list[E]) -> E:
    """The first of some faults, the others beside it: what is raised once everything was looked at."""
    first = faults[0]
    first.others = tuple(faults[1:])
    return first
