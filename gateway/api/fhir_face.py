"""The FHIR face (PDSm): submission, search, reading. What it takes goes by the journey, what it reads by the DMP.

Searches are POST: a patient in a URL is refused. Ids are those of documents sent here (``doc-...``) or handles bound
to the program and the professional who searched.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response

from gateway import __version__
from gateway.api.access import Caller, gateway_of, needs, read_body
from gateway.api.fhir_access import (
    FHIR,
    PATIENT_IN_URL,
    base_of,
    check_url,
    fhir_json,
    held,
    needs_scope,
    own_document,
    own_fiche,
    reader,
)
from gateway.api.fhir_submission import take_all
from gateway.api.record_access import ActorSession, PscToken, TenantHeader, TestCase, records_of
from gateway.api.taking import announced
from gateway.problems import Invalid, Problem, Unreadable
from gateway.services.evidence import about
from gateway.services.fhir_face import own
from gateway.services.fhir_face.answers import capability, fiche, listed, searchset, transaction_response
from gateway.services.fhir_face.search import Asked, BadSearch, read_search
from gateway.services.fhir_face.submission import Submitted, read_published, read_transaction
from gateway.services.records import Found
from gateway.store import blobs
from mappings.xds import vocabulary as v

__all__ = ["router"]

router = APIRouter(prefix="/fhir", tags=["fhir"])

_FORM = {"application/x-www-form-urlencoded": {"schema": {"type": "object"}}}
_SEARCH: dict[str, Any] = {"requestBody": {"required": True, "content": _FORM}}
_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {FHIR: {"schema": {"type": "object"}}}}}
_OUTCOMES: dict[int | str, dict[str, Any]] = {
    code: {"description": text, "content": {FHIR: {}}}
    for code, text in {
        400: "OperationOutcome: unreadable, or a patient in the URL",
        403: "OperationOutcome: not allowed, or the DMP's own refusal",
        404: "OperationOutcome: unknown",
        409: "OperationOutcome: duplicate, or in conflict",
        422: "OperationOutcome: every rule broken",
        503: "OperationOutcome: busy",
    }.items()
}
SubmitCaller = Annotated[Caller, Depends(needs("documents:write", "dispensations:write"))]
ReadCaller = Annotated[Caller, Depends(needs("records:read", "documents:read", "documents:write"))]


@router.get("/metadata", summary="CapabilityStatement", response_class=Response)
async def metadata(request: Request) -> Response:
    """What the face can do."""
    gateway = gateway_of(request)
    return fhir_json(capability(base_of(gateway), __version__, "2026-11-24"))


# --- submission ------------------------------------------------------------------------------------------------------


@router.post(
    "",
    summary="Submit documents (ITI-65)",
    responses={200: {"content": {FHIR: {}}}, **_OUTCOMES},
    openapi_extra=_BODY,
    response_class=Response,
)
async def transaction(
    request: Request,
    caller: SubmitCaller,
    actor_session: ActorSession = None,
    psc_token: PscToken = None,
    test_case: TestCase = None,
    passerelle_tenant: TenantHeader = None,
) -> Response:
    """Take the documents of a transaction in charge, all of them or none; each then goes to the DMP by itself.

    The answer promises what a 202 of `POST /v1/documents` promises: follow each document at
    `/v1/documents/doc_...`. The submission set sent to the DMP, its identifiers and its signature are the gateway's.
    """
    gateway = gateway_of(request)
    tenant = caller.acting_for(passerelle_tenant)
    with gateway.gate.enter(announced(request)):
        body = await read_body(request, gateway.settings.max_body_bytes)
        read = await gateway.compute(read_transaction, body, tenant.structure_id)
        _refuse(read)
        visit = await reader(request, caller, tenant, actor_session, psc_token) if actor_session or psc_token else None
        done = await take_all(request, caller, tenant, read, test_case, visit)
    ids = [own.fhir_id(one.document_id) for one in done]
    answer = transaction_response(read.order, ids, [f.replaces for f in read.fiches])
    return fhir_json(answer)


@router.post(
    "/DocumentReference",
    status_code=201,
    summary="Publish a document (ITI-105)",
    responses={201: {"content": {FHIR: {}}}, **_OUTCOMES},
    openapi_extra=_BODY,
    response_class=Response,
)
async def publish(
    request: Request,
    caller: SubmitCaller,
    actor_session: ActorSession = None,
    psc_token: PscToken = None,
    test_case: TestCase = None,
    passerelle_tenant: TenantHeader = None,
) -> Response:
    """Take one document in charge, its bytes in `attachment.data`."""
    gateway = gateway_of(request)
    tenant = caller.acting_for(passerelle_tenant)
    with gateway.gate.enter(announced(request)):
        body = await read_body(request, gateway.settings.max_body_bytes)
        read = await gateway.compute(read_published, body, tenant.structure_id)
        _refuse(read)
        visit = await reader(request, caller, tenant, actor_session, psc_token) if actor_session or psc_token else None
        done = await take_all(request, caller, tenant, read, test_case, visit)
    name = own.fhir_id(done[0].document_id)
    document = await own_document(gateway, tenant, name)
    if document is None:
        raise AssertionError("a document that was just kept")
    resource = await own_fiche(gateway, tenant, document)
    headers = {"Location": f"{base_of(gateway)}/DocumentReference/{name}/_history/1", "ETag": 'W/"1"'}
    return fhir_json(resource, 201, headers)


def _refuse(read: Submitted) -> None:
    if read.refused:
        raise (Unreadable if read.unreadable else Invalid)(list(read.findings), slug="invalid-submission")


# --- search ----------------------------------------------------------------------------------------------------------


@router.get("/DocumentReference", include_in_schema=False)
@router.get("/List", include_in_schema=False)
async def no_search_by_get(request: Request, caller: ReadCaller) -> Response:
    """A search always names a patient, and a patient never stands in a URL."""
    check_url(request)
    raise Problem([PATIENT_IN_URL.finding("", expected="POST _search")], slug="patient-in-url", status=400)


async def _asked(request: Request, *, lists: bool = False) -> Asked:
    check_url(request)
    body = await read_body(request, 64 * 1024)
    try:
        return read_search(body, request.url.query, lists=lists)
    except BadSearch as exc:
        raise Problem(exc.findings, slug="invalid-search", status=400) from None


@router.post(
    "/DocumentReference/_search",
    summary="Search documents (ITI-67)",
    responses={200: {"content": {FHIR: {}}}, **_OUTCOMES},
    openapi_extra=_SEARCH,
    response_class=Response,
)
async def find_documents(
    request: Request,
    caller: Annotated[Caller, Depends(needs("records:read"))],
    actor_session: ActorSession = None,
    psc_token: PscToken = None,
    test_case: TestCase = None,
    passerelle_tenant: TenantHeader = None,
) -> Response:
    """Search a record by the parameters of PDSm; deleted documents are never among the results."""
    gateway = gateway_of(request)
    asked = await _asked(request)
    tenant = caller.acting_for(passerelle_tenant)
    visit = await reader(request, caller, tenant, actor_session, psc_token)
    records = records_of(request)
    found: list[Found] = []
    with about(test_case=test_case):
        if asked.unique_ids:
            found = await records.by_unique_ids(visit, asked.patient, asked.unique_ids)
        elif asked.filters.statuses:
            found = await records.search(visit, asked.patient, asked.filters)
    kept = {id(e) for e in asked.documents(f.entry for f in found)}
    base = base_of(gateway)
    resources = [
        fiche(f.entry, handle=f.handle, base=base) for f in found if id(f.entry) in kept and f.entry.status != v.DELETED
    ]
    return fhir_json(searchset("find-documents", base, resources, summary=asked.summary))


@router.post(
    "/List/_search",
    summary="Search submission sets (ITI-66)",
    responses={200: {"content": {FHIR: {}}}, **_OUTCOMES},
    openapi_extra=_SEARCH,
    response_class=Response,
)
async def find_lists(
    request: Request,
    caller: Annotated[Caller, Depends(needs("records:read"))],
    actor_session: ActorSession = None,
    psc_token: PscToken = None,
    test_case: TestCase = None,
    passerelle_tenant: TenantHeader = None,
) -> Response:
    """Search the submission sets of a record (`code=submissionset`)."""
    gateway = gateway_of(request)
    asked = await _asked(request, lists=True)
    tenant = caller.acting_for(passerelle_tenant)
    visit = await reader(request, caller, tenant, actor_session, psc_token)
    with about(test_case=test_case):
        found = await records_of(request).submission_sets(visit, asked.patient, asked.filters)
    kept = {id(s) for s in asked.sets(f.sent for f in found)}
    resources = [listed(f.sent, handle=f.handle, documents=f.documents) for f in found if id(f.sent) in kept]
    return fhir_json(searchset("find-lists", base_of(gateway), resources, summary=asked.summary))


# --- reading ---------------------------------------------------------------------------------------------------------


@router.get(
    "/DocumentReference/{name}",
    summary="Read a DocumentReference",
    responses={200: {"content": {FHIR: {}}}, **_OUTCOMES},
    response_class=Response,
)
async def read(
    request: Request,
    name: str,
    caller: ReadCaller,
    actor_session: ActorSession = None,
    psc_token: PscToken = None,
    test_case: TestCase = None,
    passerelle_tenant: TenantHeader = None,
) -> Response:
    """A document of the record as it is now, or one that was sent here as the DMP acknowledged it."""
    check_url(request)
    gateway = gateway_of(request)
    tenant = caller.acting_for(passerelle_tenant)
    document = await own_document(gateway, tenant, name)
    if document is not None:
        needs_scope(caller, "documents:read", "documents:write")
        resource = await own_fiche(gateway, tenant, document)
    else:
        visit = await reader(request, caller, tenant, actor_session, psc_token)
        target, _ = await held(request, visit, name)
        with about(test_case=test_case):
            found = await records_of(request).entry(visit, target)
        resource = fiche(found.entry, handle=found.handle, base=base_of(gateway))
    version = resource.get("meta", {}).get("versionId", "1")
    return fhir_json(resource, headers={"ETag": f'W/"{version}"'})


@router.get(
    "/Binary/{name}",
    summary="Read a document (ITI-68)",
    responses={200: {"content": {"text/xml": {}, FHIR: {}}}, **_OUTCOMES},
    response_class=Response,
)
async def binary(
    request: Request,
    name: str,
    caller: ReadCaller,
    actor_session: ActorSession = None,
    psc_token: PscToken = None,
    test_case: TestCase = None,
    passerelle_tenant: TenantHeader = None,
    accept: Annotated[str, Header(description="application/fhir+json for a Binary; else the bytes.")] = "*/*",
) -> Response:
    """The bytes of a document as they are in the DMP."""
    import base64

    check_url(request)
    gateway = gateway_of(request)
    tenant = caller.acting_for(passerelle_tenant)
    document = await own_document(gateway, tenant, name)
    if document is not None:
        needs_scope(caller, "documents:read", "documents:write")
        data = await gateway.store.read(lambda c: blobs.get(c, gateway.vault, document.tenant_id, document.cda))
        kind = "text/xml"
    else:
        visit = await reader(request, caller, tenant, actor_session, psc_token)
        target, _ = await held(request, visit, name)
        with about(test_case=test_case):
            content = await records_of(request).retrieve(visit, target)
        data, kind = content.data, content.mime_type
    if FHIR in accept:
        encoded = base64.b64encode(data).decode("ascii")
        return fhir_json({"resourceType": "Binary", "id": name, "contentType": kind, "data": encoded})
    return Response(data, media_type=kind)
