"""What ``$validate`` says of a resource: a document Bundle or a submission, judged as if it were sent, and not kept."""

from __future__ import annotations

from typing import Any

import orjson

from conformance.fhir.base import validate as base
from conformance.verdict import Finding, Severity, Verdict
from gateway.problems import rule
from gateway.services.checks import Environment, judge
from gateway.services.fhir_face.rules import dicts, kind_of
from gateway.services.fhir_face.submission import read_transaction
from gateway.services.intake import UNREADABLE
from security import json
from security.errors import UnsafeInput

__all__ = ["validate"]

NOT_JUDGED = rule(
    "FHIR-VAL-001",
    "Cette ressource n'est pas de celles que l'on vérifie.",
    "This resource is not one of those that are checked.",
    "Envoyez un Bundle de type document, ou une transaction PDSm, seul ou dans Parameters (resource).",
    "Send a Bundle of type document, or a PDSm transaction, alone or in Parameters (resource).",
    "FHIR R4 Resource-validate",
)


def validate(body: bytes, structure: str, environment: Environment) -> Verdict:
    """Judge the resource sent, or the one that ``Parameters`` hold; never raises on what was sent.

    ``structure`` is that of the caller (Struct_IdNat), for whom a submission is judged.
    """
    try:
        sent = json.loads(body, max_bytes=len(body) + 1)
    except UnsafeInput as exc:
        found = UNREADABLE.finding("", found=f"{exc.code} {exc.found}", expected=exc.expected or None, line=exc.line)
        return Verdict.of([found])
    resource = _resource(sent)
    data = body if resource is sent else orjson.dumps(resource)
    kind = (resource.get("resourceType"), resource.get("type")) if isinstance(resource, dict) else (None, None)
    if kind == ("Bundle", "document"):
        return _together(base(resource), judge(data, environment=environment, form="fhir").verdict)
    if kind == ("Bundle", "transaction"):
        return _together(base(resource), Verdict.of(read_transaction(data, structure).findings))
    return Verdict.of([NOT_JUDGED.finding("/resourceType", expected="Bundle")])


def _resource(sent: Any) -> Any:
    if isinstance(sent, dict) and kind_of(sent) == "Parameters":
        found = [each.get("resource") for each in dicts(sent.get("parameter")) if each.get("name") == "resource"]
        return found[0] if found else None
    return sent


def _together(first: Verdict, second: Verdict) -> Verdict:
    """Both, a place that the base specification refuses told once."""
    told = {finding.location for finding in second.findings if finding.severity is Severity.ERROR}
    kept: list[Finding] = [finding for finding in first.findings if finding.location not in told]
    return Verdict.of([*kept, *second.findings])
