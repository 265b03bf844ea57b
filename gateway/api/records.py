"""Records at the DMP: status, search, reading, and changes to documents; patient data stand in bodies only.

Reading speaks in the name of a professional authenticated by Pro Santé Connect: a session, or their token at each call.
Rights are the DMP's to judge; its refusal is passed on with its own code and words.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse

from gateway.api.access import Caller, gateway_of, needs
from gateway.api.cursors import BAD_CURSOR, packed, unpacked
from gateway.api.documents import PROBLEMS, READ_PROBLEMS
from gateway.api.record_access import (
    ActorSession,
    PscToken,
    TenantHeader,
    TestCase,
    ask,
    check_grant,
    local_session,
    named,
    patient_of,
    records_of,
    visit_of,
)
from gateway.api.record_answers import found_json, search_filters
from gateway.api.record_shapes import (
    AuthorizationIn,
    RecordPage,
    SearchIn,
    SessionIn,
    SessionOut,
    StatusIn,
    StatusOut,
    schema_of,
)
from gateway.api.shapes import Shape
from gateway.problems import Invalid, Problem, Unauthenticated, rule
from gateway.services import renditions
from gateway.services.consulting import PSC_REFUSED, Session, declared, proven, seal_session
from gateway.services.evidence import about
from gateway.services.intake import describe_actor
from gateway.services.renditions import FORMS, NotRendered

__all__ = ["router"]

router = APIRouter(prefix="/v1/records", tags=["records"])

NOT_ACCEPTABLE = rule(
    "API-RECORD-011",
    "Le document ne peut pas être donné sous cette forme.",
    "The document cannot be given in this form.",
    "Demandez une des formes possibles dans Accept ; tout document peut être lu tel quel.",
    "Ask for one of the possible forms in Accept; any document can be read as it is.",
)


def out_of(value: Shape, status: int = 200, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(value.model_dump(mode="json", by_alias=True, exclude_none=True), status, headers)


@router.post(
    "/sessions",
    status_code=201,
    response_model=SessionOut,
    summary="Open a session of a professional",
    responses=PROBLEMS,
    openapi_extra=schema_of(SessionIn),
)
async def open_actor_session(
    request: Request,
    caller: Annotated[Caller, Depends(needs("records:read"))],
    psc_token: PscToken = None,
    passerelle_tenant: TenantHeader = None,
) -> Response:
    """Turn a Pro Santé Connect token into a session of a few hours; in tests, where allowed, declare a professional.

    The session serves this program and this structure only; nothing of it is stored.
    """
    gateway = gateway_of(request)
    tenant = caller.acting_for(passerelle_tenant)
    asked = await ask(request, SessionIn)
    now = gateway.now()
    session: Session
    if psc_token:
        verifier: Any = getattr(request.app.state, "psc_verifier", None)
        session = await proven(
            verifier,
            psc_token,
            tenant,
            profession=asked.profession,
            settings=gateway.settings,
            now=now,
        )
    elif asked.actor is not None:
        session = declared(
            describe_actor(asked.actor),
            tenant,
            method=asked.method,
            authenticated_at=_aware(asked.authenticated_at, now),
            settings=gateway.settings,
            now=now,
        )
    else:
        raise Unauthenticated([PSC_REFUSED.finding("Passerelle-Psc-Token", found="absent")], slug="psc")
    await check_grant(gateway, caller, tenant, session)
    text = seal_session(gateway.vault, tenant, caller.client.id, session)
    out = SessionOut(
        session=text,
        actor=session.actor.id,
        method=session.method,
        expires_at=session.expires_at.astimezone().replace(microsecond=0),
    )
    return out_of(out, 201)


def _aware(at: datetime | None, now: datetime) -> datetime:
    from gateway.api.receipts import PARIS

    if at is None:
        return now
    return at if at.tzinfo else at.replace(tzinfo=PARIS)


@router.post(
    "/status",
    response_model=StatusOut,
    summary="Ask whether a patient has a record",
    responses=PROBLEMS,
    openapi_extra=schema_of(StatusIn),
)
async def status(
    request: Request,
    caller: Annotated[Caller, Depends(needs("records:read"))],
    actor_session: ActorSession = None,
    psc_token: PscToken = None,
    test_case: TestCase = None,
    passerelle_tenant: TenantHeader = None,
) -> Response:
    """Ask the DMP whether the record is open, and what the professional may do there (TD0.2).

    With a session, the answer is about that professional; without one, about the `actor` of the body.
    """
    gateway = gateway_of(request)
    tenant = caller.acting_for(passerelle_tenant)
    asked = await ask(request, StatusIn)
    patient = patient_of(asked.patient, gateway)
    fallback = local_session(asked.actor, tenant, gateway) if asked.actor is not None else None
    visit = await visit_of(request, caller, tenant, actor_session, psc_token, fallback=fallback)
    with about(test_case=test_case):
        said = await records_of(request).status(visit, patient)
    out = StatusOut(
        dmp=said.dmp,
        may_feed=said.may_feed,
        may_consult=said.may_consult and visit.session.strong,
        authorization=said.authorization or None,
        treating_doctor=said.treating_doctor,
        mon_espace_sante=said.mon_espace_sante,
        web_account=said.web_account,
        closing_reason=said.closing_reason or None,
    )
    return out_of(out)


@router.post(
    "/authorization",
    status_code=204,
    summary="Declare or remove an authorisation",
    responses=PROBLEMS,
    openapi_extra=schema_of(AuthorizationIn),
    response_class=Response,
)
async def authorization(
    request: Request,
    caller: Annotated[Caller, Depends(needs("records:read"))],
    actor_session: ActorSession = None,
    psc_token: PscToken = None,
    test_case: TestCase = None,
    passerelle_tenant: TenantHeader = None,
) -> Response:
    """Declare that the patient authorised the professional, or remove it (TD0.3), at their explicit request."""
    gateway = gateway_of(request)
    tenant = caller.acting_for(passerelle_tenant)
    asked = await ask(request, AuthorizationIn)
    patient = patient_of(asked.patient, gateway)
    visit = await visit_of(request, caller, tenant, actor_session, psc_token)
    with about(test_case=test_case):
        await records_of(request).authorize(
            visit, patient, add=asked.action == "add", treating_doctor=asked.treating_doctor
        )
    return Response(status_code=204)


@router.post(
    "/search",
    response_model=RecordPage,
    summary="Search a record",
    responses=PROBLEMS,
    openapi_extra=schema_of(SearchIn),
)
async def search(
    request: Request,
    caller: Annotated[Caller, Depends(needs("records:read"))],
    actor_session: ActorSession = None,
    psc_token: PscToken = None,
    test_case: TestCase = None,
    passerelle_tenant: TenantHeader = None,
) -> Response:
    """Search the documents of a record (TD3.1), at the professional's request.

    Results carry handles that serve this program and this professional only, for a day by default.
    """
    gateway = gateway_of(request)
    tenant = caller.acting_for(passerelle_tenant)
    asked = await ask(request, SearchIn)
    patient = patient_of(asked.patient, gateway)
    start = _open_cursor(asked.cursor)
    visit = await visit_of(request, caller, tenant, actor_session, psc_token, purpose=asked.purpose)
    records = records_of(request)
    with about(test_case=test_case):
        if asked.unique_ids:
            found = await records.by_unique_ids(visit, patient, asked.unique_ids)
        else:
            found = await records.search(visit, patient, search_filters(asked))
    found.sort(key=lambda f: (f.entry.service_start_time or f.entry.creation_time, f.handle), reverse=True)
    page = found[start : start + asked.limit]
    more = start + asked.limit < len(found)
    out = RecordPage(
        items=[found_json(one) for one in page],
        total=len(found),
        cursor=_close_cursor(start + asked.limit) if more else None,
    )
    return out_of(out)


def _close_cursor(start: int) -> str:
    return packed(f"from:{start}".encode())


def _open_cursor(text: str | None) -> int:
    if text is None:
        return 0
    try:
        name, _, start = unpacked(text).decode().partition(":")
        if name != "from" or not start.isdigit():
            raise ValueError
    except ValueError:
        raise Invalid([BAD_CURSOR.finding("/cursor")], slug="invalid-request") from None
    return int(start)


@router.get(
    "/documents/{handle}",
    summary="Read a document of a record",
    responses={200: {"content": {form: {} for form in FORMS}}, **READ_PROBLEMS},
    response_class=Response,
)
async def read(
    request: Request,
    handle: str,
    caller: Annotated[Caller, Depends(needs("records:read"))],
    actor_session: ActorSession = None,
    psc_token: PscToken = None,
    test_case: TestCase = None,
    passerelle_tenant: TenantHeader = None,
    accept: Annotated[str | None, Header(description="CDA, page, PDF or FHIR document.")] = None,
) -> Response:
    """Retrieve a document (TD3.2): the CDA as it is in the DMP, or a page, a PDF or a FHIR document made of it.

    A FHIR document made of a CDA says in `Passerelle-Loss` what it could not carry.
    """
    gateway = gateway_of(request)
    tenant = caller.acting_for(passerelle_tenant)
    visit = await visit_of(request, caller, tenant, actor_session, psc_token)
    form = renditions.choose(accept)
    if form is None:
        raise _not_acceptable(accept)
    records = records_of(request)
    target, _ = await named(request, gateway, visit, handle)
    with about(test_case=test_case):
        content = await records.retrieve(visit, target)
    if content.mime_type not in ("text/xml", "application/xml"):
        # A DICOM object, for instance: given as it is, never turned into something else.
        if form != FORMS[0]:
            raise _not_acceptable(accept)
        return Response(content.data, media_type=content.mime_type)
    try:
        made = await gateway.compute(renditions.render, content.data, form)
    except NotRendered as exc:
        raise _not_acceptable(exc.code) from None
    headers = {"Vary": "Accept", "Cache-Control": "no-store"}
    if made.loss is not None:
        headers["Passerelle-Loss"] = orjson.dumps(made.loss).decode()
    if form == "text/html":
        from mappings.rendering.html import CONTENT_SECURITY_POLICY

        headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    kind = f"{form}; charset=utf-8" if form == "text/html" else form
    return Response(made.data, headers=headers, media_type=kind)


def _not_acceptable(found: str | None) -> Problem:
    fault = NOT_ACCEPTABLE.finding("Accept", found=(found or "")[:80] or None, expected=", ".join(FORMS))
    return Problem([fault], slug="not-acceptable", status=406)
