"""Changes by the FHIR face: JSON Patch on a DocumentReference, and its deletion (PDSm flows 03 and 04, PDSM4DMP)."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from sqlalchemy import Row, select

from conformance.verdict import Rule, Text
from gateway.api.access import Caller, gateway_of, needs, read_body
from gateway.api.fhir_access import FHIR, base_of, check_url, fhir_json, held, own_document, own_fiche, reader
from gateway.api.record_access import ActorSession, PscToken, TenantHeader, TestCase, records_of
from gateway.api.record_changes import queue_change
from gateway.context import Gateway
from gateway.problems import NotFound, Problem, Unreadable, Unsupported, rule
from gateway.services.evidence import about
from gateway.services.fhir_face.answers import fiche
from gateway.services.fhir_face.patching import NOT_A_PATCH, BadPatch, changes_of
from gateway.services.record_changes import Change
from gateway.services.records import SYSTEM, UNKNOWN_HANDLE, Found, Visit, issue_of
from gateway.store.tables import deliveries, documents
from gateway.tenants import Tenant
from security import json
from security.errors import UnsafeInput

__all__ = ["router"]

router = APIRouter(prefix="/fhir", tags=["fhir"])

_PATCH = "application/json-patch+json"
_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {_PATCH: {"schema": {"type": "array", "items": {"type": "object"}}}}}
}
OTHER_VERSION = rule(
    "PDSM-PATCH-004",
    "La fiche a changé depuis que vous l'avez lue.",
    "The DocumentReference changed since you read it.",
    "Relisez-la, puis recommencez.",
    "Read it again, then start over.",
    "FHIR R4 http, If-Match",
)
UNDER_WAY = Text(
    "La demande est prise en charge ; elle partira dans l'ordre du document.",
    "The request is taken in charge; it will leave in the order of the document.",
)

WriteCaller = Annotated[Caller, Depends(needs("documents:write"))]


@router.patch(
    "/DocumentReference/{name}",
    summary="Mask, show, archive or delete a document",
    responses={200: {"content": {FHIR: {}}}, 202: {"description": "Queued", "content": {FHIR: {}}}},
    openapi_extra=_BODY,
    response_class=Response,
)
async def patch(
    request: Request,
    name: str,
    caller: WriteCaller,
    actor_session: ActorSession = None,
    psc_token: PscToken = None,
    test_case: TestCase = None,
    passerelle_tenant: TenantHeader = None,
    if_match: Annotated[str | None, Header(description='Version read, W/"1".')] = None,
) -> Response:
    """Change the visibility or the status of a document by JSON Patch.

    What was sent here is changed in the order of what was sent for it: the answer waits for its end, or is a 202.
    """
    check_url(request)
    gateway = gateway_of(request)
    tenant = caller.acting_for(passerelle_tenant)
    operations = await _operations(request)
    document = await own_document(gateway, tenant, name)
    visit = await _visit(request, caller, tenant, actor_session, psc_token, optional=document is not None)
    return await _apply(request, gateway, caller, tenant, name, document, visit, operations, if_match, test_case)


@router.patch("/DocumentReference", include_in_schema=False, response_class=Response)
async def patch_by_identifier(
    request: Request,
    caller: WriteCaller,
    identifier: Annotated[str, Query(max_length=200, description="urn:ietf:rfc:3986|urn:oid:...")],
    actor_session: ActorSession = None,
    psc_token: PscToken = None,
    test_case: TestCase = None,
    passerelle_tenant: TenantHeader = None,
    if_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The same by the document's own identifier, for what was sent here: which patient it is about is known."""
    check_url(request)
    gateway = gateway_of(request)
    tenant = caller.acting_for(passerelle_tenant)
    operations = await _operations(request)
    unique_id = identifier.rpartition("|")[2].removeprefix("urn:oid:")
    document = await gateway.store.read(
        lambda c: c.execute(
            select(documents).where(documents.c.tenant_id == tenant.id, documents.c.unique_id == unique_id)
        ).first()
    )
    if document is None:
        raise NotFound([UNKNOWN_HANDLE.finding("identifier")])
    visit = await _visit(request, caller, tenant, actor_session, psc_token, optional=True)
    return await _apply(request, gateway, caller, tenant, document.id, document, visit, operations, if_match, test_case)


@router.delete(
    "/DocumentReference/{name}",
    summary="Delete a document",
    responses={204: {"description": "Deleted"}, 202: {"description": "Queued", "content": {FHIR: {}}}},
    response_class=Response,
)
async def delete(
    request: Request,
    name: str,
    caller: WriteCaller,
    actor_session: ActorSession = None,
    psc_token: PscToken = None,
    test_case: TestCase = None,
    passerelle_tenant: TenantHeader = None,
) -> Response:
    """Delete a document from the record, as a PATCH of its status to entered-in-error does."""
    check_url(request)
    gateway = gateway_of(request)
    tenant = caller.acting_for(passerelle_tenant)
    document = await own_document(gateway, tenant, name)
    visit = await _visit(request, caller, tenant, actor_session, psc_token, optional=document is not None)
    return await _do(request, gateway, caller, tenant, name, document, visit, [Change.DELETE], test_case)


async def _operations(request: Request) -> Any:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _PATCH:
        raise Unsupported([NOT_A_PATCH.finding("Content-Type", found=kind[:60] or "absent", expected=_PATCH)])
    try:
        return json.loads(await read_body(request, 64 * 1024))
    except UnsafeInput as exc:
        raise Unreadable([NOT_A_PATCH.finding("", found=exc.code)]) from None


async def _visit(
    request: Request,
    caller: Caller,
    tenant: Tenant,
    actor_session: str | None,
    psc_token: str | None,
    *,
    optional: bool,
) -> Visit | None:
    """The professional; what was sent here may be deleted in the structure's own name, without one."""
    if optional and not actor_session and not psc_token:
        return None
    return await reader(request, caller, tenant, actor_session, psc_token)


async def _apply(
    request: Request,
    gateway: Gateway,
    caller: Caller,
    tenant: Tenant,
    name: str,
    document: Row[Any] | None,
    visit: Visit | None,
    operations: Any,
    if_match: str | None,
    test_case: str | None,
) -> Response:
    found: Found | None = None
    if document is None:
        if visit is None:
            raise NotFound([UNKNOWN_HANDLE.finding("")])
        target, document = await held(request, visit, name)
        with about(test_case=test_case):
            found = await records_of(request).entry(visit, target)
        resource = fiche(found.entry, handle=found.handle, base=base_of(gateway))
    else:
        resource = await own_fiche(gateway, tenant, document)
    version = resource.get("meta", {}).get("versionId", "1")
    if if_match is not None and if_match.strip() != f'W/"{version}"':
        raise Problem([OTHER_VERSION.finding("If-Match")], slug="other-version", status=412)
    try:
        changes = changes_of(resource, operations)
    except BadPatch as exc:
        raise Problem([exc.finding], slug="invalid-patch", status=exc.status) from None
    return await _do(request, gateway, caller, tenant, name, document, visit, changes, test_case)


async def _do(
    request: Request,
    gateway: Gateway,
    caller: Caller,
    tenant: Tenant,
    name: str,
    document: Row[Any] | None,
    visit: Visit | None,
    changes: list[Change],
    test_case: str | None,
) -> Response:
    if document is None and visit is not None:
        target, document = await held(request, visit, name)
        if document is None:
            changed: Found | None = None
            with about(test_case=test_case):
                for change in changes:
                    changed = await records_of(request).change(visit, target, change)
            if changed is None or changes == [Change.DELETE]:
                return Response(status_code=204)
            return fhir_json(fiche(changed.entry, handle=changed.handle, base=base_of(gateway)))
    if document is None:
        raise NotFound([UNKNOWN_HANDLE.finding("")])
    session = visit.session if visit is not None else None
    asked = [await queue_change(gateway, caller, document, change, session, test_case) for change in changes]
    for one in asked:
        if not one.withdrawn and not await _ended(gateway, one.delivery):
            return fhir_json(_outcome(UNDER_WAY), 202)
    if changes == [Change.DELETE]:
        return Response(status_code=204)
    return fhir_json(await own_fiche(gateway, tenant, document))


async def _ended(gateway: Gateway, delivery: str) -> bool:
    """Wait a while for the end of a delivery; False when it has not come. A refusal is raised in the DMP's words."""
    until = time.monotonic() + min(10.0, gateway.settings.dmp.timeout_seconds)
    while True:
        row = await gateway.store.read(
            lambda c: c.execute(
                select(deliveries.c.state, deliveries.c.ended_at, deliveries.c.outcome).where(
                    deliveries.c.id == delivery
                )
            ).one()
        )
        if row.ended_at is not None:
            if row.state != "acknowledged":
                raise _Refused(row.outcome or {})
            return True
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.05)


class _Refused(Problem):
    """The DMP refused a change that was queued."""

    slug = "dmp-refused"

    def __init__(self, said: dict[str, Any]) -> None:
        self.original = str(said.get("originalCode") or "")
        self.words = str(said.get("originalText") or "")
        cause, fix = said.get("cause") or {}, said.get("fix") or {}
        shown = Rule(
            code=str(said.get("code") or "DMP"),
            message=Text(cause.get("fr", ""), cause.get("en", "")),
            fix=Text(fix.get("fr", ""), fix.get("en", "")),
            source="DMP",
        )
        status = issue_of(self.original)[0] if self.original else 409
        super().__init__([shown.finding("")], status=403 if status == 401 else status)

    def as_outcome(self, language: str) -> dict[str, Any]:
        """In FHIR: our code, and the DMP's own."""
        from mappings.fhir.outcome import operation_outcome

        out = operation_outcome(self.faults, language)
        for issue in out["issue"]:
            if self.original:
                issue["code"] = issue_of(self.original)[1]
                issue["details"]["coding"].append({"system": SYSTEM, "code": self.original})
            issue["diagnostics"] = " ".join(filter(None, (issue.get("diagnostics", ""), self.words)))
        return out


def _outcome(words: Text) -> dict[str, Any]:
    issue = {"severity": "information", "code": "informational", "details": {"text": words.fr}}
    return {"resourceType": "OperationOutcome", "issue": [issue]}
