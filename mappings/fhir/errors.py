"""What the FHIR writer and reader raise.

The tree::

    FhirError            a Bundle cannot be written or read
    ├── Unwritable       the document lacks something that a document Bundle cannot do without
    └── UnreadableBundle the JSON is not a document Bundle, or is not safe or coherent enough to be read
        └── NotFhir      the value is not a FHIR resource at all
"""

from __future__ import annotations

from conformance.verdict import Finding, Rule, Text

__all__ = ["FhirError", "NotFhir", "UnreadableBundle", "Unwritable"]


class FhirError(Exception):
    """A Bundle cannot be written or read.

    ``code`` is stable, ``place`` is a JSON pointer, ``text`` says it to people and ``fix`` what to do; none of them
    repeats a value of the document.
    """

    def __init__(
        self, code: str, place: str, text: Text, fix: Text, *, found: str | None = None, expected: str | None = None
    ) -> None:
        self.code = code
        self.place = place
        self.text = text
        self.fix = fix
        self.found = found
        self.expected = expected
        #: Faults found beside this one in the same reading.
        self.others: tuple[FhirError, ...] = ()
        super().__init__(f"{code} at {place or '/'}: {text.fr}")

    @property
    def finding(self) -> Finding:
        """The same, as a finding of a verdict."""
        rule = Rule(code=self.code, message=self.text, fix=self.fix, source="HL7 FHIR R4 Bundle; FR Document Core")
        return rule.finding(self.place, found=self.found, expected=self.expected)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every fault of the reading, this one first."""
        return (self.finding, *(other.finding for other in self.others))


class Unwritable(FhirError, ValueError):
    """The document lacks something that a document Bundle cannot do without."""


class UnreadableBundle(FhirError, ValueError):
    """The JSON is not a document Bundle, or is not safe or coherent enough to be read."""


class NotFhir(UnreadableBundle):
    """The value is not a FHIR resource at all."""
