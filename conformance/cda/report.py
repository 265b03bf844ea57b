"""What the parts of the check share: the findings gathered, and what of a document may be shown in one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from conformance.cda.places import Places, place
from conformance.cda.rules_types import TOO_MUCH
from conformance.verdict import Finding, Rule, Verdict

__all__ = ["Report", "showable", "shown"]

#: More than people read; a hostile document must not cost more.
MAX_FINDINGS: Final = 500
#: Findings after which brothers are counted once a parent, not once a finding.
_FEW: Final = 12
_SHOWABLE: Final = re.compile(r"[A-Za-z0-9_.:/\[\]{}+*%-]{1,64}", re.ASCII)
#: Attributes whose values belong to the standard, never to a person.
_OPEN: Final = frozenset(
    "classCode moodCode typeCode determinerCode nullFlavor operator mediaType representation contextControlCode "
    "contextConductionInd inversionInd negationInd independentInd code codeSystem use qualifier unit root listType "
    "integrityCheckAlgorithm compression partType inclusive institutionSpecified".split()
)


def shown(element: etree._Element, attribute: str, *, personal: bool = False) -> str | None:
    """The value of an attribute when it can be shown: a word of the standard, outside what is about a person."""
    value = element.get(attribute)
    local = attribute.rpartition("}")[2]
    if value is None or personal or not (local in _OPEN or attribute.startswith("{http://www.w3.org/2001/XMLSchema-")):
        return None
    if local in ("code", "root") and _about_a_person(element):
        return None
    return showable(value)


def showable(word: str) -> str | None:
    """A word of the standard as it is, None for anything that does not look like one."""
    return word if _SHOWABLE.fullmatch(word) else None


def _about_a_person(element: etree._Element) -> bool:
    node: etree._Element | None = element
    while node is not None:
        if str(node.tag).endswith("}recordTarget") or str(node.tag).endswith("}relatedEntity"):
            return True
        node = node.getparent()
    return False


@dataclass(slots=True)
class Report:
    """The findings of one document, in the order they were made."""

    findings: list[Finding] = field(default_factory=list)
    full: bool = False
    #: While one part of the document is checked: the elements of it that are null or hold one that is. None: not known.
    nulled: frozenset[etree._Element] | None = None
    _places: Places = field(default_factory=Places)

    def add(
        self,
        rule: Rule,
        element: etree._Element,
        attribute: str | None = None,
        *,
        found: str | None = None,
        expected: str | None = None,
    ) -> None:
        """Note a broken rule at an element or at one of its attributes."""
        if self.full:
            return
        if len(self.findings) >= MAX_FINDINGS:
            self.full = True
            self.findings.append(TOO_MUCH.finding(self._place(element), line=element.sourceline))
            return
        # A place names an attribute only when it is there: a place always resolves.
        held = attribute if attribute is not None and attribute in element.attrib else None
        self.findings.append(
            rule.finding(self._place(element, held), found=found, expected=expected, line=element.sourceline)
        )

    def _place(self, element: etree._Element, attribute: str | None = None) -> str:
        return (place if len(self.findings) < _FEW else self._places)(element, attribute)

    def note(self, finding: Finding) -> None:
        """Keep a finding made elsewhere."""
        if not self.full:
            self.findings.append(finding)

    def verdict(self) -> Verdict:
        """The findings, gravest first."""
        return Verdict.of(self.findings)
