"""A CDA that came by mail, read into the gateway's words and written as a FHIR Bundle: pure CPU work, for the pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from conformance.verdict import Finding
from gateway.problems import rule
from gateway.services.faults import findings_of
from security.errors import UnsafeInput

__all__ = ["UNREAD", "Unfolded", "unfold"]

UNREAD = rule(
    "MAIL-READ-001",
    "Le document reçu n'a pas pu être lu en entier : il reste consultable tel quel.",
    "The document received could not be read whole: it stays to be seen as it is.",
    "Ouvrez le CDA ou sa vue ; prévenez l'expéditeur si le document est faux.",
    "Open the CDA or its view; tell the sender if the document is wrong.",
    "mss.md 7",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfolded:
    """What could be read of a document; nothing of it is refused for what could not."""

    kind: str | None = None
    title: str = ""
    fhir: bytes | None = None
    loss: dict[str, Any] | None = None
    findings: tuple[Finding, ...] = ()


def unfold(data: bytes) -> Unfolded:
    """Read a CDA as far as possible. Raises nothing for what a stranger may have written."""
    from mappings import cda, fhir

    try:
        read = cda.read(data)
    except cda.CdaError as exc:
        return Unfolded(findings=exc.findings)
    except ValidationError as exc:
        return Unfolded(findings=tuple(findings_of(exc)))
    except UnsafeInput as exc:
        return Unfolded(findings=(UNREAD.finding("", found=exc.code),))
    document, loss, findings = read.document, read.loss, list(read.findings)
    bundle: bytes | None = None
    try:
        written = fhir.write(document)
    except fhir.FhirError as exc:
        findings += exc.findings
    else:
        bundle, loss = orjson.dumps(written.bundle), loss + written.loss
    return Unfolded(
        kind=document.kind, title=document.title, fhir=bundle, loss=loss.as_json(), findings=tuple(findings)
    )
