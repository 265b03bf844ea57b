"""Findings as a FHIR OperationOutcome, for callers who speak FHIR."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from conformance.verdict import Finding, Severity

__all__ = ["expression", "operation_outcome"]

Json = dict[str, Any]

#: Beginnings of codes and the IssueType (R4, required) they are; the longest that fits wins.
_ISSUES: Final = {
    "": "invalid",
    "JSON-": "structure",
    "XML-": "structure",
    "FHIR-BASE-": "structure",
    "FHIR-READ-001": "structure",
    "FHIR-READ-006": "not-found",
    "FHIR-READ-008": "too-long",
    "FHIR-READ-009": "too-long",
    "FHIR-READ-012": "structure",
    "FHIR-READ-015": "not-supported",
    "FHIR-READ-020": "value",
    "FHIR-READ-03": "required",
    "FHIR-WRITE-": "required",
    "FHIR-BDL-012": "not-found",
    "FHIR-": "business-rule",
    "FHIR-VAL-001": "not-supported",
    "INS-": "business-rule",
    "CDA-": "business-rule",
    "LOSS-": "business-rule",
    "PDSM-": "business-rule",
    "PDSM-ATT-007": "not-supported",
    "PDSM-BDL-004": "not-supported",
    "PDSM-DOC-001": "required",
    "PDSM-DOC-006": "code-invalid",
    "PDSM-DUP-": "duplicate",
    "PDSM-FIND-001": "required",
    "PDSM-FIND-002": "not-supported",
    "PDSM-FIND-003": "value",
    "PDSM-JSON-": "structure",
    "PDSM-LST-001": "required",
    "PDSM-PATCH-002": "not-supported",
    "PDSM-PATCH-004": "conflict",
    "PDSM-RPL-003": "conflict",
    "API-IDEM-": "duplicate",
    "API-RECORD-001": "not-found",
    "API-RECORD-004": "conflict",
    "API-RECORD-013": "conflict",
    "API-CONSULT-": "forbidden",
    "API-ACTOR-": "forbidden",
    "API-AUTH-003": "forbidden",
    "API-TENANT-": "forbidden",
    "API-TYPE-": "not-supported",
    "document_too_large": "too-long",
    "API-SIZE-": "too-long",
    "API-AUTH-": "login",
    "API-ACCESS-": "forbidden",
    "API-STORE-": "transient",
}
_MEMBER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def _issue_code(code: str) -> str:
    best = max((prefix for prefix in _ISSUES if code.startswith(prefix)), key=len)
    return _ISSUES[best]


def expression(pointer: str, root: str = "Bundle") -> str | None:
    """A JSON pointer as a FHIRPath (``/entry/0/resource`` is ``Bundle.entry[0].resource``); None for another place."""
    if not pointer.startswith("/"):
        return None
    path = root
    for step in pointer[1:].split("/"):
        if step.isdecimal():
            path += f"[{step}]"
        elif _MEMBER.match(step):
            path += f".{step}"
        else:
            return None
    return path


def operation_outcome(findings: Iterable[Finding], language: str = "fr", *, fallback: str = "") -> Json:
    """An OperationOutcome with an issue for each finding; ``fallback`` says it all when there is none."""
    issues = [_issue(finding, language) for finding in findings]
    if not issues:
        text = fallback or ("Aucune anomalie." if language != "en" else "All is well.")
        severity = "error" if fallback else "information"
        issues = [
            {"severity": severity, "code": "processing" if fallback else "informational", "details": {"text": text}}
        ]
    return {"resourceType": "OperationOutcome", "issue": issues}


def _issue(finding: Finding, language: str) -> Json:
    words = finding.rule.fix.in_language(language)
    if finding.found:
        words += f" [{finding.found}]"
    if finding.expected:
        words += f" ({'expected' if language == 'en' else 'attendu'} : {finding.expected})"
    issue: Json = {
        "severity": str(finding.severity),
        "code": "informational" if finding.severity is Severity.INFORMATION else _issue_code(finding.code),
        "details": {"coding": [{"code": finding.code}], "text": finding.rule.message.in_language(language)},
        "diagnostics": words,
    }
    path = expression(finding.location) if finding.location.startswith(("/entry", "/identifier", "/type")) else None
    if path is not None:
        issue["expression"] = [path]
    elif finding.location:
        issue["location"] = [finding.location]
    return issue
