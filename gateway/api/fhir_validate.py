"""``$validate`` of the FHIR face: what is wrong with a resource, before it is sent."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from gateway.api.access import Caller, Language, gateway_of, needs, read_body
from gateway.api.fhir_access import FHIR, fhir_json
from gateway.api.record_access import TenantHeader
from gateway.services.fhir_face.validate import validate as judge
from mappings.fhir.outcome import operation_outcome

__all__ = ["router"]

router = APIRouter(prefix="/fhir", tags=["fhir"])

_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {FHIR: {"schema": {"type": "object"}}}}}
#: FHIR wants one issue at least (OperationOutcome.issue 1..*).
_ALL_WELL = {"fr": "Rien à signaler.", "en": "Nothing to report."}


@router.post(
    "/$validate",
    summary="Check a resource ($validate)",
    responses={200: {"description": "OperationOutcome, whatever the verdict.", "content": {FHIR: {}}}},
    openapi_extra=_BODY,
    response_class=Response,
)
@router.post("/Bundle/$validate", include_in_schema=False)
async def validate(
    request: Request,
    language: Language,
    caller: Annotated[Caller, Depends(needs("documents:write", "documents:read"))],
    passerelle_tenant: TenantHeader = None,
) -> Response:
    """Judge a document Bundle or a submission (PDSm transaction); nothing is kept, nothing is sent.

    The body is the resource, or `Parameters` that hold it as `resource`. The answer is 200 with an OperationOutcome:
    an issue a finding, its place in `expression`; one information when there is nothing to report.
    """
    gateway = gateway_of(request)
    tenant = caller.acting_for(passerelle_tenant)
    body = await read_body(request, gateway.settings.max_body_bytes)
    verdict = await gateway.compute(judge, body, tenant.structure_id, gateway.settings.environment)
    outcome = operation_outcome(verdict.findings, language)
    if not verdict.findings:
        issue = {"severity": "information", "code": "informational", "diagnostics": _ALL_WELL[language]}
        outcome["issue"] = [issue]
    return fhir_json(outcome, headers={"Content-Language": language, "Cache-Control": "no-store"})
