"""Checks: a document judged without being kept or sent, by the same rules as one that is fed."""

from __future__ import annotations

import functools
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from gateway.api.access import Caller, Language, gateway_of, needs, read_body
from gateway.api.documents import PROBLEMS
from gateway.api.shapes import Fault, Shape
from gateway.problems import Unsupported, rule
from gateway.services.checks import judge
from gateway.services.intake import Form

__all__ = ["router"]

router = APIRouter(prefix="/v1/checks", tags=["checks"])

UNKNOWN_TYPE = rule(
    "API-CHECK-001",
    "Ce type de contenu n'est pas de ceux que l'on vérifie.",
    "This content type is not one of those that are checked.",
    "Envoyez application/xml (CDA), application/fhir+json (Bundle) ou application/json (document de la passerelle).",
    "Send application/xml (CDA), application/fhir+json (Bundle) or application/json (document of the gateway).",
)
_FORMS: dict[str, Form] = {
    "application/xml": "cda",
    "text/xml": "cda",
    "application/cda+xml": "cda",
    "application/fhir+json": "fhir",
    "application/json": "json",
}


class CheckOut(Shape):
    """What is thought of a document."""

    form: str = Field(description="cda, fhir or json.")
    verdict: str = Field(description="valid (perhaps with warnings), invalid, or unreadable.")
    findings: list[Fault] = Field(description="Gravest first, in document order within a severity.")


_EXAMPLE = {
    "form": "cda",
    "verdict": "invalid",
    "findings": [
        {
            "severity": "error",
            "code": "CDA-HDR-023",
            "location": "/ClinicalDocument/recordTarget/patientRole/patient/name/family[2]",
            "message": "Le qualifieur du nom du patient n'est pas permis.",
            "fix": "BR pour le nom de naissance, CL pour le nom utilisé (SP est l'ancienne forme de CL).",
            "found": "SP",
            "expected": "BR | CL",
            "line": 86,
            "help": "/docs/reference/rules#CDA-HDR-023",
        }
    ],
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/xml": {"schema": {"type": "string", "description": "A CDA R2."}},
            "application/fhir+json": {"schema": {"type": "object", "description": "A FHIR R4 document Bundle."}},
            "application/json": {"schema": {"type": "object", "description": "A document in the gateway's form."}},
        },
    }
}


@router.post(
    "",
    response_model=CheckOut,
    summary="Check a document",
    responses={200: {"content": {"application/json": {"example": _EXAMPLE}}}, **PROBLEMS},
    openapi_extra=_BODY,
)
async def check(
    request: Request,
    language: Language,
    caller: Annotated[Caller, Depends(needs("documents:write", "documents:read"))],
) -> Response:
    """Judge a document by the rules that a fed document must follow; nothing is kept, nothing is sent.

    The answer is 200 whatever the verdict: `valid`, `invalid` or `unreadable`, with every finding, its place and how to
    mend it. A caller who accepts only `application/fhir+json` gets an OperationOutcome.
    """
    gateway = gateway_of(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _FORMS:
        raise Unsupported([UNKNOWN_TYPE.finding("Content-Type", expected=", ".join(sorted(_FORMS)))])
    body = await read_body(request, gateway.settings.max_body_bytes)
    work = functools.partial(judge, body, environment=gateway.settings.environment, form=_FORMS[kind])
    judgement = await gateway.compute(work)
    headers = {"Content-Language": language, "Cache-Control": "no-store"}
    if "fhir+json" in request.headers.get("accept", ""):
        from mappings.fhir.outcome import operation_outcome

        outcome = operation_outcome(judgement.verdict.findings, language)
        return JSONResponse(outcome, 200, headers, media_type="application/fhir+json")
    return JSONResponse(judgement.as_json(language), 200, headers)
