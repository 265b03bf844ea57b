"""Messages by MSSanté: documents and words to professionals, teams or the patient; following them; conversations."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from sqlalchemy import Connection, Row, select, tuple_

from gateway import tenants
from gateway.api.access import Caller, Language, gateway_of, needs, read_body
from gateway.api.cursors import close_cursor, open_cursor
from gateway.api.documents import PROBLEMS, READ_PROBLEMS, TOO_LATE
from gateway.api.mail_shapes import MESSAGE_BODY, MessageIn, MessageOut, MessagePage, ThreadItem, ThreadOut
from gateway.api.receipts import delivered, local, told
from gateway.api.taking import (
    BAD_KEY,
    IN_PROGRESS,
    NO_ACTOR,
    WRONG_ACTOR,
    Coming,
    announced,
    body_mac,
    submission_of,
)
from gateway.context import Gateway
from gateway.journey.accept import Accepted, replay
from gateway.journey.accept import Request as Submission
from gateway.journey.posting import Posting, post
from gateway.journey.record import withdraw_all
from gateway.problems import Conflict, Forbidden, Invalid, NotFound, Unreadable, rule
from gateway.services.addressing import Answered, addressed, answered
from gateway.services.directory import resolved
from gateway.services.envelope import NOT_JSON_OBJECT, DeliverTo, Envelope, Sent
from gateway.services.faults import findings_of
from gateway.services.intake import UNREADABLE, describe_actor
from gateway.services.messages import content_of, items_of, message_of, thread_of
from gateway.store.engine import ACCEPT
from gateway.store.mail_tables import messages
from gateway.store.tables import deliveries, documents, history
from gateway.tenants import Tenant
from security import json as hard_json
from security.errors import UnsafeInput

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["messages"])

NO_KEY = rule(
    "API-IDEM-006",
    "Il faut une clé d'idempotence.",
    "An idempotency key is needed.",
    "Envoyez l'en-tête Idempotency-Key avec une valeur propre à ce message.",
    "Send the header Idempotency-Key with a value of this message's own.",
)
EMPTY = rule(
    "API-MSG-008",
    "Le message ne porte ni document ni texte.",
    "The message carries neither a document nor words.",
    "Joignez un document, ou donnez body.",
    "Join a document, or give body.",
)
ONE_OF_TWO = rule(
    "API-MSG-009",
    "Un document du message est donné par son identifiant ou en entier, l'un des deux.",
    "A document of the message is given by its id or whole, one of the two.",
    "Donnez id pour un document déjà envoyé, document pour un nouveau.",
    "Give id for a document already sent, document for a new one.",
)
UNKNOWN = rule(
    "API-MSG-010",
    "Ce message n'existe pas pour vous.",
    "This message does not exist for you.",
    "Vérifiez l'identifiant reçu à l'envoi.",
    "Check the id received when sending.",
)
UNKNOWN_THREAD = rule(
    "API-MSG-011",
    "Cette conversation n'existe pas pour vous.",
    "This conversation does not exist for you.",
    "Prenez l'identifiant dans un message ou un courriel reçu.",
    "Take the id from a message or a mail received.",
)


@router.post(
    "/messages",
    status_code=202,
    response_model=MessageOut,
    summary="Send a message",
    responses=PROBLEMS,
    openapi_extra={"requestBody": MESSAGE_BODY},
)
async def send(
    request: Request,
    language: Language,
    caller: Annotated[Caller, Depends(needs("messages:write"))],
    idempotency_key: Annotated[str | None, Header(description="One value a message, kept by the sender.")] = None,
    passerelle_tenant: Annotated[str | None, Header(description="Structure acted for, when several.")] = None,
) -> Response:
    """Take a message in charge: documents about one patient, already kept or new, or words alone.

    Professionals and the patient each get a mail of their own; all documents travel in one mail. The answer (202) is a
    promise: each delivery ends, and what became of it at each recipient is told here and by webhook.
    """
    gateway = gateway_of(request)
    tenant = caller.acting_for(passerelle_tenant)
    if idempotency_key is None:
        raise Invalid([NO_KEY.finding("Idempotency-Key")])
    if not (1 <= len(idempotency_key) <= 200 and idempotency_key.isprintable()):
        raise Invalid([BAD_KEY.finding("Idempotency-Key")])
    with gateway.gate.enter(announced(request)):
        body = await read_body(request, gateway.settings.max_body_bytes)
        under_way = request.app.state.under_way
        ticket = (caller.client.id, idempotency_key)
        if ticket in under_way:
            raise Conflict([IN_PROGRESS.finding("Idempotency-Key")], slug="in-progress", headers={"Retry-After": "1"})
        under_way.add(ticket)
        try:
            done = await _take(gateway, caller, tenant, body, idempotency_key)
        finally:
            under_way.discard(ticket)
    gateway.wake()

    def load(connection: Connection) -> MessageOut:
        row = message_of(connection, done.document_id, caller.tenant_ids)
        if row is None:
            raise NotFound([UNKNOWN.finding("")])
        return _message(connection, gateway, row, language)

    headers = {"Location": f"/v1/messages/{done.document_id}"}
    if done.replayed:
        headers["Idempotent-Replayed"] = "true"
    out = await gateway.store.read(load)
    return JSONResponse(out.model_dump(mode="json", by_alias=True, exclude_none=True), 202, headers)


async def _take(gateway: Gateway, caller: Caller, tenant: Tenant, body: bytes, key: str) -> Accepted:
    mac = body_mac(gateway, tenant, body)
    earlier = await gateway.store.read(lambda c: replay(c, caller.client.id, key, mac))
    if earlier is not None:
        return earlier
    asked = _asked(gateway, body)
    named = await resolved(gateway.directory, asked.recipients)
    carried = [await _carried(gateway, caller, tenant, asked, index, key) for index in range(len(asked.documents))]

    def read(connection: Connection) -> tuple[tuple[dict[str, Any], ...], Answered | None, dict[str, Any] | None]:
        recipients = addressed(connection, gateway.vault, tenant.id, named, asked.teams)
        answering = answered(connection, tenant.id, asked.in_reply_to) if asked.in_reply_to else None
        actor = describe_actor(asked.actor) if asked.actor else _actor_of(connection, tenant, carried)
        if actor is not None and not tenants.may_act(
            connection, caller.client.id, tenant, str(actor["id"]), actor["structure"]
        ):
            raise Forbidden([WRONG_ACTOR.finding("/actor")], slug="actor-not-granted")
        return recipients, answering, actor

    recipients, answering, actor = await gateway.store.read(read)
    if actor is None:
        raise Invalid([NO_ACTOR.finding("/actor")])
    said = {"subject", "body", "reply_to", "no_reply"}
    content = asked.model_dump(mode="json", by_alias=False, include=said, exclude_none=True)
    posting = Posting(
        tenant=tenant.id,
        client=caller.client.id,
        actor=actor,
        documents=tuple(carried),
        recipients=recipients,
        content=content,
        body_mac=mac,
        idempotency_key=key,
        patient=asked.patient,
        answered=answering,
    )
    return await gateway.store.write(
        lambda c: post(
            c,
            gateway.vault,
            posting,
            now=gateway.now(),
            hold_days=gateway.settings.hold_days,
            max_pending=gateway.settings.max_pending,
            mail_unqualified=gateway.settings.mss.send_unqualified,
            pending=gateway.backlog,
        ),
        ACCEPT,
    )


def _asked(gateway: Gateway, body: bytes) -> MessageIn:
    try:
        value = hard_json.loads(body, max_bytes=gateway.settings.max_body_bytes)
    except UnsafeInput as exc:
        raise Unreadable([UNREADABLE.finding("", found=f"{exc.code} {exc.found}", expected=exc.expected)]) from None
    if not isinstance(value, dict):
        raise Invalid([NOT_JSON_OBJECT.finding("")])
    try:
        asked = MessageIn.model_validate(value)
    except ValidationError as exc:
        raise Invalid(list(findings_of(exc))) from None
    faults = [
        ONE_OF_TWO.finding(f"/documents/{index}")
        for index, one in enumerate(asked.documents)
        if (one.id is None) == (one.document is None)
    ]
    if not asked.documents and not asked.body:
        faults.append(EMPTY.finding("/body"))
    if faults:
        raise Invalid(faults)
    return asked


async def _carried(
    gateway: Gateway, caller: Caller, tenant: Tenant, asked: MessageIn, index: int, key: str
) -> str | Submission:
    """A document of the message: its id, or the new one converted and checked."""
    one = asked.documents[index]
    if one.id is not None:
        return one.id
    body = orjson.dumps(one.document, default=str)
    envelope = Envelope(actor=asked.actor, deliver_to=DeliverTo(dmp=one.dmp))
    coming = Coming(
        sent=Sent(body=body, form="json", envelope=envelope),
        content=body,
        key=f"{hashlib.sha256(key.encode()).hexdigest()}#{index}",
    )
    try:
        return await submission_of(gateway, caller, tenant, coming)
    except (Invalid, Unreadable) as exc:
        place = f"/documents/{index}/document"
        raise type(exc)([f.at(place + f.location) if f.location[:1] in ("", "/") else f for f in exc.faults]) from None


def _actor_of(connection: Connection, tenant: Tenant, carried: list[str | Submission]) -> dict[str, Any] | None:
    """The professional of the first document."""
    if not carried:
        return None
    first = carried[0]
    if not isinstance(first, str):
        return first.actor
    found: dict[str, Any] | None = connection.execute(
        select(documents.c.actor).where(documents.c.id == first, documents.c.tenant_id == tenant.id)
    ).scalar_one_or_none()
    return found


def _message(
    connection: Connection, gateway: Gateway, row: Row[Any], language: str, *, whole: bool = False
) -> MessageOut:
    rows = list(
        connection.execute(select(deliveries).where(deliveries.c.message_id == row.id).order_by(deliveries.c.rank))
    )
    out = MessageOut(
        id=row.id,
        state=row.state,
        created_at=local(row.created_at) or row.created_at,
        thread=row.thread_id,
        documents=row.documents,
        subject=content_of(connection, gateway.vault, row).get("subject"),
        deliveries=delivered(connection, rows, language, gateway.vault),
        links={"self": f"/v1/messages/{row.id}", "thread": f"/v1/threads/{row.thread_id}"},
    )
    if whole:
        changes = connection.execute(select(history).where(history.c.message_id == row.id).order_by(history.c.id))
        out.history = told(connection, list(changes), [one.id for one in rows], language)
    return out


@router.get("/messages", response_model=MessagePage, summary="List messages", responses=READ_PROBLEMS)
async def listing(
    request: Request,
    language: Language,
    caller: Annotated[Caller, Depends(needs("messages:read", "messages:write"))],
    state: Annotated[str | None, Query(description="State of the message.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(description="From the page before.")] = None,
) -> Response:
    """The messages of your structures, newest first."""
    gateway = gateway_of(request)
    query = select(messages).where(messages.c.tenant_id.in_(caller.tenant_ids))
    if state:
        query = query.where(messages.c.state == state)
    if cursor:
        query = query.where(tuple_(messages.c.created_at, messages.c.id) < open_cursor(cursor))
    query = query.order_by(messages.c.created_at.desc(), messages.c.id.desc()).limit(limit + 1)

    def load(connection: Connection) -> MessagePage:
        rows = connection.execute(query).all()
        last = rows[limit - 1] if len(rows) > limit else None
        return MessagePage(
            items=[_message(connection, gateway, row, language) for row in rows[:limit]],
            cursor=close_cursor(last.created_at, last.id) if last is not None else None,
        )

    out = await gateway.store.read(load)
    return JSONResponse(out.model_dump(mode="json", by_alias=True, exclude_none=True))


@router.get("/messages/{message_id}", response_model=MessageOut, summary="Follow a message", responses=READ_PROBLEMS)
async def follow(
    request: Request,
    message_id: str,
    language: Language,
    caller: Annotated[Caller, Depends(needs("messages:read", "messages:write", "operations"))],
) -> Response:
    """State, deliveries, what became of it at each recipient, and the whole history."""
    gateway = gateway_of(request)

    def load(connection: Connection) -> MessageOut:
        row = message_of(connection, message_id, caller.tenant_ids)
        if row is None:
            raise NotFound([UNKNOWN.finding("")])
        return _message(connection, gateway, row, language, whole=True)

    out = await gateway.store.read(load)
    return JSONResponse(out.model_dump(mode="json", by_alias=True, exclude_none=True))


@router.post(
    "/messages/{message_id}/withdraw", response_model=MessageOut, summary="Withdraw a message", responses=PROBLEMS
)
async def withdraw(
    request: Request,
    message_id: str,
    language: Language,
    caller: Annotated[Caller, Depends(needs("messages:write"))],
) -> Response:
    """Stop the mails that have not begun to leave; those under way or ended stay as they are."""
    gateway = gateway_of(request)

    def work(connection: Connection) -> MessageOut:
        row = message_of(connection, message_id, caller.tenant_ids)
        if row is None:
            raise NotFound([UNKNOWN.finding("")])
        open_ones = select(deliveries).where(deliveries.c.message_id == row.id, deliveries.c.ended_at.is_(None))
        # Once prepared, bytes may have left already: only the operator's word ends it.
        unsent = [one for one in connection.execute(open_ones.with_for_update()).all() if one.prepared is None]
        if not withdraw_all(connection, gateway.vault, unsent, at=gateway.now(), by=f"client:{caller.client.id}"):
            raise Conflict([TOO_LATE.finding("")], slug="too-late")
        changed = message_of(connection, message_id, caller.tenant_ids)
        return _message(connection, gateway, changed or row, language, whole=True)

    out = await gateway.store.write(work)
    return JSONResponse(out.model_dump(mode="json", by_alias=True, exclude_none=True))


@router.get("/threads/{thread_id}", response_model=ThreadOut, summary="Read a conversation", responses=READ_PROBLEMS)
async def thread(
    request: Request,
    thread_id: str,
    caller: Annotated[Caller, Depends(needs("messages:read", "messages:write"))],
) -> Response:
    """A request and its answers, sent and received, oldest first."""
    gateway = gateway_of(request)

    def load(connection: Connection) -> ThreadOut:
        row = thread_of(connection, thread_id, caller.tenant_ids)
        if row is None:
            raise NotFound([UNKNOWN_THREAD.finding("")])
        return ThreadOut(
            id=row.id,
            audience=row.audience,
            identity=row.identity_id,
            created_at=local(row.created_at) or row.created_at,
            updated_at=local(row.updated_at) or row.updated_at,
            items=[
                ThreadItem(
                    id=item.id,
                    direction=item.direction,
                    at=local(item.at) or item.at,
                    state=item.state,
                    sender=item.sender,
                    recipients=list(item.recipients) or None,
                    subject=item.subject,
                    documents=list(item.documents),
                    types=list(item.types),
                    links={"self": item.link},
                )
                for item in items_of(connection, gateway.vault, row)
            ],
        )

    out = await gateway.store.read(load)
    return JSONResponse(out.model_dump(mode="json", by_alias=True, exclude_none=True))
