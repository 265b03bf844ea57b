"""The inbox: mails that came for the structures, what they carry, and what their senders are told."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection, Row, func, select, tuple_

from gateway.api.access import Caller, Language, gateway_of, needs
from gateway.api.cursors import close_cursor, open_cursor
from gateway.api.documents import PROBLEMS, READ_PROBLEMS
from gateway.api.mail_shapes import AnswerOut, InboxPage, ReceivedDocumentOut, ReceivedOut, RejectIn, SettleIn
from gateway.api.receipts import local
from gateway.api.shapes import Fault
from gateway.context import Gateway
from gateway.journey.incoming import PROCESSED
from gateway.problems import NotFound, rule
from gateway.services.inbox import documents_of, received_of, settle
from gateway.services.messages import words_of
from gateway.store import blobs
from gateway.store.mail_tables import mail_received, mail_received_documents

__all__ = ["router"]

router = APIRouter(prefix="/v1/inbox", tags=["inbox"])

NO_DOCUMENT = rule(
    "API-INBOX-004",
    "Ce courriel n'a pas ce document.",
    "This mail has no such document.",
    "Suivez les liens que donne le courriel.",
    "Follow the links that the mail gives.",
)
NO_BUNDLE = rule(
    "API-INBOX-005",
    "Ce document n'a pas pu être écrit en FHIR.",
    "This document could not be written as FHIR.",
    "Lisez son CDA ou sa vue ; ses remarques disent pourquoi.",
    "Read its CDA or its view; its findings say why.",
)

Reader = Annotated[Caller, Depends(needs("messages:read", "messages:write"))]
_ACTIONS = {"C": "replaces", "D": "deletes"}


def _out(value: Any) -> JSONResponse:
    return JSONResponse(
        value.model_dump(mode="json", by_alias=True, exclude_none=True), headers={"Cache-Control": "no-store"}
    )


@router.get("", response_model=InboxPage, summary="List mails received", responses=READ_PROBLEMS)
async def listing(
    request: Request,
    language: Language,
    caller: Reader,
    state: Annotated[str | None, Query(description="new, acknowledged, rejected or refused.")] = None,
    match: Annotated[str | None, Query(description="exact, doubtful, unknown or none.")] = None,
    kind: Annotated[str | None, Query(description="document, message or citizen.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(description="From the page before.")] = None,
) -> Response:
    """The mails of your structures, newest first, without their words: read one to see them."""
    gateway = gateway_of(request)
    query = select(mail_received).where(mail_received.c.tenant_id.in_(caller.tenant_ids))
    for column, wanted in (("state", state), ("match", match), ("kind", kind)):
        if wanted:
            query = query.where(mail_received.c[column] == wanted)
    if cursor:
        query = query.where(tuple_(mail_received.c.received_at, mail_received.c.id) < open_cursor(cursor))
    query = query.order_by(mail_received.c.received_at.desc(), mail_received.c.id.desc()).limit(limit + 1)

    def load(connection: Connection) -> InboxPage:
        rows = connection.execute(query).all()
        last = rows[limit - 1] if len(rows) > limit else None
        return InboxPage(
            items=[_received(connection, gateway, row, language) for row in rows[:limit]],
            cursor=close_cursor(last.received_at, last.id) if last is not None else None,
        )

    return _out(await gateway.store.read(load))


def _received(
    connection: Connection, gateway: Gateway, row: Row[Any], language: str, *, whole: bool = False
) -> ReceivedOut:
    words = words_of(gateway.vault, row)
    number = select(func.count()).select_from(mail_received_documents)
    count = connection.execute(number.where(mail_received_documents.c.received_id == row.id)).scalar_one()
    out = ReceivedOut(
        id=row.id,
        kind=row.kind,
        state=row.state,
        received_at=local(row.received_at) or row.received_at,
        mailbox=row.mailbox,
        sender=words["sender"],
        trusted=row.trusted,
        match=row.match,
        identity=row.identity_id,
        thread=row.thread_id,
        document_count=count,
        answer=AnswerOut(wanted=row.answer_wanted, state=row.answer_state, code=row.answer, at=local(row.answered_at)),
        reasons=_faults(row.reasons, language),
        links={"self": f"/v1/inbox/{row.id}"} | ({"thread": f"/v1/threads/{row.thread_id}"} if row.thread_id else {}),
    )
    if whole:
        out.subject, out.text = words["subject"], words["text"] or None
        out.documents = [_document(gateway, row, one, language) for one in documents_of(connection, row.id)]
    return out


def _faults(pairs: list[dict[str, Any]], language: str) -> list[Fault]:
    return [Fault.model_validate(pair["en" if language == "en" else "fr"]) for pair in pairs]


def _document(gateway: Gateway, row: Row[Any], one: Row[Any], language: str) -> ReceivedDocumentOut:
    base = f"/v1/inbox/{row.id}/documents/{one.rank}"
    links = {"cda": f"{base}/cda", "view": f"{base}/view"}
    if one.fhir:
        links["fhir"] = f"{base}/fhir"
    return ReceivedDocumentOut(
        rank=one.rank,
        unique_id=one.unique_id,
        type_code=one.type_code,
        title=gateway.vault.open(row.tenant_id, one.sealed, f"{row.id}/{one.rank}").decode(),
        kind=one.kind,
        action=_ACTIONS.get(one.action),
        replaces=one.replaces,
        size=one.size,
        sha1=one.sha1,
        findings=_faults(one.findings, language),
        links=links,
    )


@router.get("/{received_id}", response_model=ReceivedOut, summary="Read a mail received", responses=READ_PROBLEMS)
async def read(request: Request, received_id: str, language: Language, caller: Reader) -> Response:
    """Words, documents, how its patient was matched, its conversation, and what its sender was told."""
    gateway = gateway_of(request)

    def load(connection: Connection) -> ReceivedOut:
        row = received_of(connection, received_id, caller.tenant_ids)
        return _received(connection, gateway, row, language, whole=True)

    return _out(await gateway.store.read(load))


async def _content(request: Request, caller: Caller, received_id: str, rank: int, column: str) -> bytes:
    gateway = gateway_of(request)

    def load(connection: Connection) -> bytes:
        row = received_of(connection, received_id, caller.tenant_ids)
        found = next((one for one in documents_of(connection, row.id) if one.rank == rank), None)
        if found is None:
            raise NotFound([NO_DOCUMENT.finding("")])
        address = getattr(found, column)
        if address is None and row.purged_at is not None:
            raise blobs.Purged(row.id)
        if address is None:
            raise NotFound([NO_BUNDLE.finding("")], slug="no-bundle")
        return blobs.get(connection, gateway.vault, row.tenant_id, address)

    return await gateway.store.read(load)


@router.get(
    "/{received_id}/documents/{rank}/cda",
    summary="Read the CDA of a mail",
    responses=READ_PROBLEMS,
    response_class=Response,
)
async def read_cda(request: Request, received_id: str, rank: int, caller: Reader) -> Response:
    """The CDA byte for byte as it came: its hash is that of the archive."""
    data = await _content(request, caller, received_id, rank, "cda")
    return Response(data, media_type="application/xml", headers={"Cache-Control": "no-store"})


@router.get(
    "/{received_id}/documents/{rank}/fhir",
    summary="Read a document of a mail as FHIR",
    responses=READ_PROBLEMS,
    response_class=Response,
)
async def read_fhir(request: Request, received_id: str, rank: int, caller: Reader) -> Response:
    """The FHIR R4 document Bundle made from the CDA."""
    data = await _content(request, caller, received_id, rank, "fhir")
    return Response(data, media_type="application/fhir+json", headers={"Cache-Control": "no-store"})


@router.get(
    "/{received_id}/documents/{rank}/view",
    summary="See a document of a mail",
    responses=READ_PROBLEMS,
    response_class=Response,
)
async def see(request: Request, received_id: str, rank: int, caller: Reader) -> Response:
    """The document as a page for people, escaped and without script."""
    from mappings.rendering.html import CONTENT_SECURITY_POLICY, cda_html

    data = await _content(request, caller, received_id, rank, "cda")
    page = await gateway_of(request).compute(cda_html, data)
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": CONTENT_SECURITY_POLICY}
    return Response(page, media_type="text/html; charset=utf-8", headers=headers)


@router.post(
    "/{received_id}/acknowledge", response_model=ReceivedOut, summary="Say a mail was handled", responses=PROBLEMS
)
async def acknowledge(
    request: Request,
    received_id: str,
    language: Language,
    caller: Annotated[Caller, Depends(needs("messages:write"))],
    said: SettleIn | None = None,
) -> Response:
    """The mail is in the patient's record: its sender is told *processed*, when they asked to be.

    `identity` names the patient a person recognised, where the gateway could not be sure.
    """
    identity = said.identity if said is not None else None
    return await _settle(request, received_id, language, caller, answer=PROCESSED, identity=identity)


@router.post(
    "/{received_id}/reject", response_model=ReceivedOut, summary="Say a mail could not be handled", responses=PROBLEMS
)
async def reject(
    request: Request,
    received_id: str,
    said: RejectIn,
    language: Language,
    caller: Annotated[Caller, Depends(needs("messages:write"))],
) -> Response:
    """The mail could not be filed: its sender is told the error, with its code and words."""
    return await _settle(request, received_id, language, caller, answer=said.code, label=said.label)


async def _settle(
    request: Request, received_id: str, language: str, caller: Caller, *, answer: str, **more: str | None
) -> Response:
    gateway = gateway_of(request)
    now = gateway.now()

    def work(connection: Connection) -> ReceivedOut:
        row = settle(
            connection,
            received_id,
            caller.tenant_ids,
            answer=answer,
            now=now,
            by=f"client:{caller.client.id}",
            **more,
        )
        return _received(connection, gateway, row, language, whole=True)

    return _out(await gateway.store.write(work))
