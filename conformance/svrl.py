"""A verdict as SVRL (Schematron Validation Report Language, ISO/IEC 19757-3, annex D), for tools that read it."""

from __future__ import annotations

from typing import Final

from lxml import etree

from conformance.verdict import Severity, Verdict
from security.xml import serialize

__all__ = ["svrl"]

_SVRL: Final = "http://purl.oclc.org/dsdl/svrl"
_ROLES: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFORMATION: "info"}


def svrl(verdict: Verdict, language: str = "fr", *, title: str = "Passerelle") -> bytes:
    """One ``failed-assert`` a finding: its code in ``id``, its place in ``location``, its words in ``text``."""
    root = etree.Element(f"{{{_SVRL}}}schematron-output", {"title": title}, nsmap={"svrl": _SVRL})
    etree.SubElement(root, f"{{{_SVRL}}}active-pattern", {"id": "passerelle"})
    for finding in verdict.findings:
        etree.SubElement(root, f"{{{_SVRL}}}fired-rule", {"id": finding.code, "context": finding.location or "/"})
        failed = etree.SubElement(
            root,
            f"{{{_SVRL}}}failed-assert",
            {
                "id": finding.code,
                "location": finding.location or "/",
                "role": _ROLES[finding.severity],
                "test": "false()",
            },
        )
        words = [finding.rule.message.in_language(language), finding.rule.fix.in_language(language)]
        if finding.found:
            words.append(f"[{finding.found}]")
        if finding.expected:
            words.append(f"({'expected' if language == 'en' else 'attendu'} : {finding.expected})")
        etree.SubElement(failed, f"{{{_SVRL}}}text").text = " ".join(words)
    return serialize(root)
