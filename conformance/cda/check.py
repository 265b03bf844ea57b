"""The check of a CDA: one walk, then the rules about what the walk saw."""

from __future__ import annotations

from typing import Literal

from lxml import etree

from conformance.cda import body, document, files, header, rules_document, rules_types
from conformance.cda.model import HL7
from conformance.cda.report import Report
from conformance.cda.structure import look
from conformance.verdict import Rule, Verdict
from security.errors import UnsafeInput
from security.xml import CDA_LIMITS, XmlLimits, parse

__all__ = ["RULES", "check"]

#: Every rule of this package, by code.
RULES: dict[str, Rule] = {
    code: rule
    for part in (rules_types.RULES, header.RULES, document.RULES, rules_document.RULES, body.RULES)
    for code, rule in sorted(part.items())
}


def check(
    data: bytes | None = None,
    root: etree._Element | None = None,
    *,
    environment: Literal["production", "test"] = "production",
    limits: XmlLimits = CDA_LIMITS,
) -> Verdict:
    """Judge a CDA against the French rules: bytes, or a tree already parsed by ``security.xml``.

    Never raises on a document: bytes that cannot be read give one finding, ``CDA-STR-000``. In ``production`` an INS of
    a test authority is an error. Every finding has a place that resolves (``conformance.cda.places``). Source: CI-SIS
    "Structuration minimale", VSM 2023.01, IPS-FR 2024.01, eP-MED-DM 2024.01, eDISP-MED 2024.01; HL7 CDA R2.
    """
    if root is None:
        if data is None:
            raise TypeError("check() wants bytes or a tree")
        try:
            root = parse(data, limits)
        except UnsafeInput as exc:
            found = rules_document.UNREADABLE.finding(
                "", found=f"{exc.code} {exc.found}", expected=exc.expected or None, line=exc.line
            )
            return Verdict.of([found])
    report = Report()
    if root.tag != HL7 + "ClinicalDocument":
        report.add(rules_types.NOT_CDA, root, expected="{urn:hl7-org:v3}ClinicalDocument")
        return report.verdict()
    # lxml makes a Python object for an element each time it is asked for, unless one still lives: they live here.
    held = list(root.iter())
    seen = look(root, report)
    if report.full:
        return report.verdict()
    header.check_header(root, report)
    document.check_document(root, report, environment=environment)
    document.check_intervals(seen.all("low"), report)
    body.check_body(root, seen, report)
    files.check_files(root, seen.all("observationMedia"), report)
    del held
    return report.verdict()
