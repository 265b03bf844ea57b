"""The one verdict type: what a check says of a document, with a place and a way to mend each finding."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

__all__ = ["Finding", "Rule", "Severity", "Text", "Verdict"]


class Severity(StrEnum):
    """How grave a finding is; only errors refuse a document."""

    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"


class Text(NamedTuple):
    """A sentence for people, in French and in English."""

    fr: str
    en: str

    def in_language(self, language: str) -> str:
        """The sentence in ``fr`` or ``en``; French for anything else."""
        return self.en if language == "en" else self.fr


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule, one code: what it says when broken, how to mend it, and where it comes from."""

    code: str  #: stable, as ``CDA-HDR-012``
    message: Text  #: what is wrong, without any value of the document
    fix: Text  #: what to do about it
    source: str  #: the document and clause that ask for it
    severity: Severity = Severity.ERROR

    def finding(
        self, location: str = "", *, found: str | None = None, expected: str | None = None, line: int | None = None
    ) -> Finding:
        """Make the finding of this rule at a place. ``found`` never repeats a patient's trait or a whole identifier."""
        return Finding(rule=self, location=location, found=found, expected=expected, line=line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule broken at a place."""

    rule: Rule
    location: str  #: XPath or JSON pointer, empty for the whole document
    found: str | None = None
    expected: str | None = None
    line: int | None = None

    @property
    def code(self) -> str:
        return self.rule.code

    @property
    def severity(self) -> Severity:
        return self.rule.severity

    def at(self, prefix: str) -> Finding:
        """The same finding seen from a parent whose place is ``prefix``."""
        return replace(self, location=prefix + self.location)

    def as_json(self, language: str = "fr") -> dict[str, object]:
        """The finding as the HTTP interface and the command line show it."""
        out: dict[str, object] = {
            "severity": str(self.severity),
            "code": self.code,
            "location": self.location,
            "message": self.rule.message.in_language(language),
            "fix": self.rule.fix.in_language(language),
            "help": f"/docs/reference/rules#{self.code}",
        }
        if self.found is not None:
            out["found"] = self.found
        if self.expected is not None:
            out["expected"] = self.expected
        if self.line is not None:
            out["line"] = self.line
        return out


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings of one check, gravest first, in document order within a severity."""

    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Verdict:
        order = list(Severity)
        return cls(tuple(sorted(findings, key=lambda f: order.index(f.severity))))

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.severity is Severity.WARNING)

    @property
    def ok(self) -> bool:
        """True when nothing refuses the document."""
        return not self.errors

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict.of((*self.findings, *other.findings))
