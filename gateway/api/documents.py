"""Documents: taking them in charge, following them, reading them again, withdrawing them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection, select, tuple_

from gateway.api.access import Caller, Language, gateway_of, language_of, needs
from gateway.api.cursors import close_cursor, open_cursor
from gateway.api.examples import DOCUMENT_BODY, RECEIPT_EXAMPLE
from gateway.api.receipts import document_of, receipt
from gateway.api.shapes import DocumentPage, ProblemOut, Receipt
from gateway.api.taking import Coming, announced, read_sent, take
from gateway.context import Gateway
from gateway.journey.accept import Accepted
from gateway.journey.record import withdraw_all
from gateway.problems import Conflict, NotFound, rule
from gateway.store import blobs
from gateway.store.tables import deliveries, documents

__all__ = ["plain", "receive", "router"]

router = APIRouter(prefix="/v1/documents", tags=["documents"])

UNKNOWN = rule(
    "API-DOC-001",
    "Ce document n'existe pas pour vous.",
    "This document does not exist for you.",
    "Vérifiez l'identifiant reçu à l'envoi.",
    "Check the identifier received when sending.",
)
TOO_LATE = rule(
    "API-DOC-002",
    "Rien ne peut plus être retiré : les envois sont terminés ou en cours.",
    "Nothing can be withdrawn any more: deliveries have ended or are under way.",
    "Pour un document déjà dans le DMP, demandez sa suppression.",
    "For a document already in the DMP, ask for its deletion.",
)
PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": ProblemOut, "description": text, "content": {"application/problem+json": {}}}
    for code, text in {
        400: "Unreadable",
        401: "Not authenticated",
        403: "Not allowed",
        409: "In progress, or in conflict",
        413: "Too large",
        415: "Unsupported content type",
        422: "Invalid, with every fault",
        503: "Busy, with Retry-After",
    }.items()
}
READ_PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: PROBLEMS[401],
    403: PROBLEMS[403],
    404: {"model": ProblemOut, "description": "Not found", "content": {"application/problem+json": {}}},
}


def _out(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    said = value.model_dump_json(by_alias=True, exclude_none=True)
    return Response(said, status, headers, media_type="application/json")


_TEST_CASE_LENGTH = 80
_sender = needs("documents:write", "dispensations:write")


@router.post(
    "",
    status_code=202,
    response_model=Receipt,
    summary="Send a document",
    responses={202: {"content": {"application/json": {"example": RECEIPT_EXAMPLE}}}, **PROBLEMS},
    openapi_extra={"requestBody": DOCUMENT_BODY},
)
async def send(
    request: Request,
    language: Language,
    caller: Annotated[Caller, Depends(_sender)],
    idempotency_key: Annotated[str | None, Header(description="One value a document, kept by the sender.")] = None,
    passerelle_tenant: Annotated[str | None, Header(description="Structure acted for, when several.")] = None,
    passerelle_actor: Annotated[str | None, Header(description="PS_IdNat of the actor, when not the author.")] = None,
    passerelle_test_case: Annotated[
        str | None, Header(max_length=_TEST_CASE_LENGTH, description="Homologation test the exchanges are kept under.")
    ] = None,
) -> Response:
    """Take a document in charge: read, converted to CDA and FHIR, checked, kept; then delivered in the background.

    The answer (202) is a promise: each delivery will end in exactly one of acknowledged, refused, dead letter,
    withdrawn or expired. The same `Idempotency-Key`, or the same unique identifier with the same content, gives the
    first receipt again with `Idempotent-Replayed: true`.
    """
    gateway = gateway_of(request)
    tenant = caller.acting_for(passerelle_tenant)
    # Refused before the body is read when too much is under way already.
    with gateway.gate.enter(announced(request)):
        sent, content = await read_sent(request, gateway, closed=True)
        coming = Coming(
            sent=sent,
            content=content,
            key=idempotency_key,
            actor=passerelle_actor,
            test_case=passerelle_test_case,
        )
        done = await take(request, gateway, caller, tenant, coming)
    return await taken(gateway, done, caller, language)


def plain(request: Request) -> bool:
    """True when the parameters of a document sent have the expected form."""
    return len(request.headers.get("passerelle-test-case", "")) <= _TEST_CASE_LENGTH


async def receive(request: Request) -> Response:
    """Answer ``POST /v1/documents`` as :func:`send` does, its parameters taken from the request."""
    headers = request.headers
    return await send(
        request,
        language_of(headers.get("accept-language")),
        await _sender(request),
        headers.get("idempotency-key"),
        headers.get("passerelle-tenant"),
        headers.get("passerelle-actor"),
        headers.get("passerelle-test-case"),
    )


async def taken(gateway: Gateway, done: Accepted, caller: Caller, language: str) -> Response:
    """The receipt of a document taken in charge."""

    def load(connection: Connection) -> Receipt:
        row = document_of(connection, done.document_id, caller.tenant_ids)
        if row is None:
            raise NotFound([UNKNOWN.finding("")])
        return receipt(connection, row, language)

    headers = {"Location": f"/v1/documents/{done.document_id}"}
    if done.replayed:
        headers["Idempotent-Replayed"] = "true"
    return _out(await gateway.store.look(load), 202, headers)


@router.get("", response_model=DocumentPage, summary="List documents", responses=READ_PROBLEMS)
async def listing(
    request: Request,
    language: Language,
    caller: Annotated[Caller, Depends(needs("documents:read", "operations"))],
    state: Annotated[str | None, Query(description="State of the document.")] = None,
    kind: Annotated[str | None, Query(description="Kind of document.")] = None,
    actor: Annotated[str | None, Query(description="PS_IdNat of the professional who acted.")] = None,
    received_from: Annotated[datetime | None, Query(alias="from", description="Received at or after.")] = None,
    received_to: Annotated[datetime | None, Query(alias="to", description="Received before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(description="From the page before.")] = None,
) -> Response:
    """The documents of your structures, newest first."""
    gateway = gateway_of(request)
    query = select(documents).where(documents.c.tenant_id.in_(caller.tenant_ids))
    if state:
        query = query.where(documents.c.state == state)
    if kind:
        query = query.where(documents.c.kind == kind)
    if received_from:
        query = query.where(documents.c.received_at >= _aware(received_from))
    if received_to:
        query = query.where(documents.c.received_at < _aware(received_to))
    if actor:
        query = query.where(documents.c.actor_id == actor)
    if cursor:
        query = query.where(tuple_(documents.c.received_at, documents.c.id) < open_cursor(cursor))
    query = query.order_by(documents.c.received_at.desc(), documents.c.id.desc()).limit(limit + 1)

    def load(connection: Connection) -> DocumentPage:
        rows = connection.execute(query).all()
        last = rows[limit - 1] if len(rows) > limit else None
        items = [receipt(connection, row, language, head=False) for row in rows[:limit]]
        return DocumentPage(items=items, cursor=close_cursor(last.received_at, last.id) if last is not None else None)

    return _out(await gateway.store.read(load))


def _aware(at: datetime) -> datetime:
    from gateway.api.receipts import PARIS

    return at if at.tzinfo else at.replace(tzinfo=PARIS)


async def _load(request: Request, caller: Caller, document_id: str) -> Any:
    gateway = gateway_of(request)
    row = await gateway.store.read(lambda c: document_of(c, document_id, caller.tenant_ids))
    if row is None:
        raise NotFound([UNKNOWN.finding("")])
    return row


@router.get("/{document_id}", response_model=Receipt, summary="Follow a document", responses=READ_PROBLEMS)
async def follow(
    request: Request,
    document_id: str,
    language: Language,
    caller: Annotated[Caller, Depends(needs("documents:read", "documents:write", "operations"))],
) -> Response:
    """State, deliveries with their outcomes, and the whole history of a document."""
    return await _whole(request, caller, document_id, language)


async def _whole(request: Request, caller: Caller, document_id: str, language: str) -> Response:
    gateway = gateway_of(request)

    def load(connection: Connection) -> Receipt:
        # One reading: state, deliveries and history of the same instant.
        row = document_of(connection, document_id, caller.tenant_ids)
        if row is None:
            raise NotFound([UNKNOWN.finding("")])
        return receipt(connection, row, language, whole=True, vault=gateway.vault)

    return _out(await gateway.store.read(load))


async def _content(request: Request, caller: Caller, document_id: str, column: str) -> tuple[Any, bytes]:
    gateway = gateway_of(request)
    row = await _load(request, caller, document_id)
    address = getattr(row, column)
    return row, await gateway.store.read(lambda c: blobs.get(c, gateway.vault, row.tenant_id, address))


@router.get("/{document_id}/cda", summary="Read the CDA", responses=READ_PROBLEMS, response_class=Response)
async def read_cda(
    request: Request,
    document_id: str,
    caller: Annotated[Caller, Depends(needs("documents:read", "documents:write"))],
) -> Response:
    """The CDA R2 as kept: byte for byte what is or will be delivered."""
    _, data = await _content(request, caller, document_id, "cda")
    return Response(data, media_type="application/xml", headers={"Cache-Control": "no-store"})


@router.get("/{document_id}/fhir", summary="Read the FHIR Bundle", responses=READ_PROBLEMS, response_class=Response)
async def read_fhir(
    request: Request,
    document_id: str,
    caller: Annotated[Caller, Depends(needs("documents:read", "documents:write"))],
) -> Response:
    """The FHIR R4 document Bundle of the same document."""
    _, data = await _content(request, caller, document_id, "fhir")
    return Response(data, media_type="application/fhir+json", headers={"Cache-Control": "no-store"})


@router.get("/{document_id}/view", summary="See the document", responses=READ_PROBLEMS, response_class=Response)
async def see(
    request: Request,
    document_id: str,
    caller: Annotated[Caller, Depends(needs("documents:read", "documents:write"))],
) -> Response:
    """The document as a page for people, escaped and without script."""
    from mappings.rendering.html import CONTENT_SECURITY_POLICY, cda_html

    gateway = gateway_of(request)
    _, data = await _content(request, caller, document_id, "cda")
    page = await gateway.compute(cda_html, data)
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": CONTENT_SECURITY_POLICY}
    return Response(page, media_type="text/html; charset=utf-8", headers=headers)


@router.get("/{document_id}/loss", summary="Read the loss report", responses=READ_PROBLEMS)
async def read_loss(
    request: Request,
    document_id: str,
    caller: Annotated[Caller, Depends(needs("documents:read", "documents:write"))],
) -> Response:
    """What was carried, kept as text only or lost, with its place in what you sent."""
    row = await _load(request, caller, document_id)
    return JSONResponse(row.loss)


@router.post("/{document_id}/withdraw", response_model=Receipt, summary="Withdraw a document", responses=READ_PROBLEMS)
async def withdraw(
    request: Request,
    document_id: str,
    language: Language,
    caller: Annotated[Caller, Depends(needs("documents:write", "dispensations:write"))],
) -> Response:
    """Stop the deliveries that have not begun; those under way or ended stay as they are."""
    gateway = gateway_of(request)
    row = await _load(request, caller, document_id)

    def stop(connection: Connection) -> int:
        open_ones = connection.execute(
            select(deliveries).where(deliveries.c.document_id == row.id, deliveries.c.ended_at.is_(None))
        ).all()
        # Of one that is tried again, bytes may have left already: only the destination's word ends it.
        unsent = [one for one in open_ones if one.state != "retrying" or one.prepared is None]
        return withdraw_all(connection, gateway.vault, unsent, at=gateway.now(), by=f"client:{caller.client.id}")

    if not await gateway.store.write(stop):
        raise Conflict([TOO_LATE.finding("")], slug="too-late")
    return await _whole(request, caller, document_id, language)
