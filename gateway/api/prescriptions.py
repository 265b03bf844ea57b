"""E-prescriptions for prescribers: written with a number, read, replaced, cancelled."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from dataclasses import dataclass, replace
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field
from sqlalchemy import Connection, select

from gateway.api.access import Caller, Language, gateway_of, needs
from gateway.api.documents import PROBLEMS, READ_PROBLEMS
from gateway.api.order_shapes import OrderOut, order_out
from gateway.api.shapes import Fault, Shape
from gateway.api.taking import Coming, announced, body_mac, read_sent, submission_of
from gateway.context import Gateway
from gateway.ids import new_oid
from gateway.journey.accept import Accepted, accept, replay
from gateway.journey.accept import Request as Submission
from gateway.journey.changes import NotFed, ask_change
from gateway.orders.life import EventKind
from gateway.orders.states import OrderState
from gateway.problems import Busy, Conflict, Invalid, NotFound, Unreadable, rule
from gateway.services import order_store, prescribing
from gateway.services.envelope import Sent
from gateway.services.intake import Intake, IntakeOptions, IntakeRefused
from gateway.services.order_relays import send_again
from gateway.services.order_store import StoredOrder
from gateway.services.orders import NoNumber, take_number
from gateway.services.record_changes import Change
from gateway.store import blobs
from gateway.store.engine import ACCEPT
from gateway.store.order_tables import orders
from gateway.store.tables import documents
from gateway.tenants import Tenant
from mappings import document as hub
from mappings.document.prescription import Prescription

__all__ = ["NOTHING_TO_SEND", "router"]

router = APIRouter(prefix="/v1/prescriptions", tags=["prescriptions"])

NOT_FOUND = rule(
    "ORD-062",
    "Cette prescription n'existe pas pour vous.",
    "This prescription does not exist for you.",
    "Vérifiez l'identifiant reçu à l'envoi.",
    "Check the identifier received when sending.",
)
NO_NUMBER = rule(
    "ORD-063",
    "La base nationale ne donne pas de numéro pour l'instant.",
    "The national base gives no number for now.",
    "Recommencez avec la même clé ; sinon envoyez la prescription à /v1/documents, sans numéro.",
    "Try again with the same key; else send the prescription to /v1/documents, without a number.",
)
STARTED = rule(
    "ORD-064",
    "L'ordonnance a commencé d'être exécutée : elle ne peut plus être remplacée.",
    "The prescription is partly dispensed: it can no longer be replaced.",
    "Annulez ce qui reste, puis écrivez une nouvelle ordonnance.",
    "Cancel what is left, then write a new prescription.",
)
CLOSED = rule(
    "ORD-065",
    "L'ordonnance est déjà close : exécutée, annulée, remplacée ou expirée.",
    "The prescription is closed already: dispensed, cancelled, replaced or expired.",
    "Écrivez une nouvelle ordonnance.",
    "Write a new prescription.",
)
NUMBER_TAKEN = rule(
    "ORD-066",
    "Une autre ordonnance porte déjà ce numéro.",
    "Another prescription has this number already.",
    "Laissez la passerelle demander un numéro.",
    "Let the gateway ask for a number.",
)
OTHER_PATIENT = rule(
    "ORD-067",
    "La nouvelle ordonnance n'est pas pour le même patient.",
    "The new prescription is not for the same patient.",
    "Vérifiez le patient ; pour un autre, écrivez une nouvelle ordonnance.",
    "Check the patient; for another, write a new prescription.",
)

NOTHING_TO_SEND = rule(
    "ORD-068",
    "Rien n'a été abandonné : il n'y a rien à renvoyer à la base nationale.",
    "Nothing was given up: there is nothing to send again to the national base.",
    "Un envoi en attente repart seul ; un envoi refusé se corrige ou s'annule.",
    "What waits leaves by itself; what was refused is corrected or cancelled.",
)

#: Orders of which nothing may change any more.
_ENDED = frozenset({OrderState.DISPENSED, OrderState.CANCELLED, OrderState.REPLACED, OrderState.EXPIRED})


class Cancelling(Shape):
    """Why a prescription is cancelled."""

    reason: str | None = Field(None, max_length=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    order: str
    document: Accepted


@router.post("", status_code=201, response_model=OrderOut, summary="Write an e-prescription", responses=PROBLEMS)
async def write(
    request: Request,
    language: Language,
    caller: Annotated[Caller, Depends(needs("documents:write"))],
    idempotency_key: Annotated[str | None, Header(description="One value a prescription.")] = None,
    passerelle_tenant: Annotated[str | None, Header(description="Structure acted for, when several.")] = None,
    passerelle_actor: Annotated[str | None, Header(description="PS_IdNat of the actor, when not the author.")] = None,
) -> Response:
    """Write a prescription from our JSON, a FHIR Bundle or a CDA: numbered, printed with its 2D code, fed, registered.

    The number comes from the national service before the document is written. The same `Idempotency-Key` gives the
    same prescription again.
    """
    return await _write(request, language, caller, idempotency_key, passerelle_tenant, passerelle_actor, None)


@router.post(
    "/{order_id}/replace",
    status_code=201,
    response_model=OrderOut,
    summary="Replace an e-prescription",
    responses=PROBLEMS,
)
async def replace_it(
    request: Request,
    order_id: str,
    language: Language,
    caller: Annotated[Caller, Depends(needs("documents:write"))],
    idempotency_key: Annotated[str | None, Header()] = None,
    passerelle_actor: Annotated[str | None, Header()] = None,
) -> Response:
    """Replace a prescription of which nothing was given: a new number, a new version of the document (RPLC)."""
    gateway = gateway_of(request)
    stored = await _own(gateway, caller, order_id)
    return await _write(request, language, caller, idempotency_key, stored.row.tenant_id, passerelle_actor, stored)


async def _write(
    request: Request,
    language: str,
    caller: Caller,
    key: str | None,
    wanted: str | None,
    actor: str | None,
    former: StoredOrder | None,
) -> Response:
    gateway = gateway_of(request)
    tenant = caller.acting_for(wanted)
    with gateway.gate.enter(announced(request)):
        sent, content = await read_sent(request, gateway)
        coming = Coming(sent=sent, content=content, key=key, actor=actor)
        written = await _take(gateway, caller, tenant, coming, former)
    gateway.wake()
    stored = await gateway.store.read(lambda c: order_store.load(c, gateway.vault, written.order, gateway.now()))
    out = order_out(stored, own=True)
    out.warnings = await gateway.store.read(lambda c: _warnings(c, stored, language))
    headers = {"Location": f"/v1/prescriptions/{written.order}", "ETag": f'"{stored.row.version}"'}
    if written.document.replayed:
        headers["Idempotent-Replayed"] = "true"
    return _json(out, 201, headers)


def _warnings(connection: Connection, stored: StoredOrder, language: str) -> list[Fault]:
    row = connection.execute(select(documents.c.warnings).where(documents.c.id == stored.row.document_id)).first()
    side = "en" if language == "en" else "fr"
    return [Fault.model_validate(pair[side]) for pair in (row.warnings if row else ())]


def _json(out: Shape, status: int = 200, headers: dict[str, str] | None = None) -> JSONResponse:
    content = out.model_dump(mode="json", by_alias=True, exclude_none=True)
    return JSONResponse(content, status, {"Cache-Control": "no-store", **(headers or {})})


async def _take(
    gateway: Gateway, caller: Caller, tenant: Tenant, coming: Coming, former: StoredOrder | None
) -> _Written:
    if coming.key is not None:
        key, mac = coming.key, body_mac(gateway, tenant, coming.content)
        earlier = await gateway.store.read(lambda c: _earlier(c, caller, key, mac))
        if earlier is not None:
            return earlier
    draft = await _draft(gateway, coming.sent)
    number = draft.number or await _number(gateway, caller, tenant, coming, draft)
    serial = secrets.token_hex(8)
    sent = coming.sent
    if former is not None or not (draft.whole and sent.form == "cda"):
        model = await _numbered(gateway, draft, number, serial, former)
        sent = Sent(body=model, form="json", envelope=sent.envelope, actor_id=sent.actor_id)

    def as_sent(intake: Intake) -> Intake:
        return replace(intake, form=coming.sent.form, loss=_both(draft.loss, intake.loss))

    amend = as_sent if sent is not coming.sent else None
    submission = await submission_of(gateway, caller, tenant, replace(coming, sent=sent, amend=amend))
    return await gateway.store.write(
        lambda c: _keep(c, gateway, submission, number=number, serial=serial, former=former), ACCEPT
    )


def _both(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Two losses in a row as one."""
    return {
        **{name: first.get(name, 0) + second.get(name, 0) for name in ("carried", "textOnly", "lost")},
        "items": [*first.get("items", ()), *second.get("items", ())],
    }


def _earlier(connection: Connection, caller: Caller, key: str, mac: str) -> _Written | None:
    done = replay(connection, caller.client.id, key, mac)
    if done is None:
        return None
    order = connection.execute(select(orders.c.id).where(orders.c.document_id == done.document_id)).scalar()
    return _Written(order=order, document=done) if order else None


async def _draft(gateway: Gateway, sent: Sent) -> prescribing.Draft:
    options = IntakeOptions(
        environment=gateway.settings.environment, max_document_bytes=gateway.settings.dmp.max_document_bytes
    )
    try:
        return await gateway.compute(prescribing.read_prescription, sent.body, sent.form, options, new_oid())
    except IntakeRefused as exc:
        raise (Unreadable if exc.unreadable else Invalid)(exc.findings) from None


async def _number(gateway: Gateway, caller: Caller, tenant: Tenant, coming: Coming, draft: prescribing.Draft) -> str:
    """A number of the national service; the same for the same request, however often it is sent."""
    what = coming.key or hashlib.sha256(coming.content).hexdigest()
    operation = hashlib.sha256(f"{tenant.id}|{caller.client.id}|{what}".encode()).hexdigest()[:40]
    try:
        return await take_number(gateway, operation, tenant.structure_id)
    except NoNumber as exc:
        raise Busy([NO_NUMBER.finding("/number", found=exc.code)], slug="no-number") from None


async def _numbered(
    gateway: Gateway, draft: prescribing.Draft, number: str, serial: str, former: StoredOrder | None
) -> bytes:
    document = hub.load(orjson.loads(draft.model))
    if not isinstance(document, Prescription):
        raise TypeError("a draft is a prescription")
    version: dict[str, Any] = {}
    if former is not None:
        if document.patient.ins != former.ins:
            raise Invalid([OTHER_PATIENT.finding("/patient/ins")])
        version = await gateway.store.read(lambda c: order_store.next_version(c, former.row.document_id))
    code = None
    if gateway.settings.ordonnance.code == "signed":
        code = prescribing.code_text(gateway.vault, document, number, serial)
    return await gateway.compute(prescribing.number_it, draft.model, number, code, version)


def _keep(
    connection: Connection,
    gateway: Gateway,
    submission: Submission,
    *,
    number: str,
    serial: str,
    former: StoredOrder | None,
) -> _Written:
    """Keep document, order and what is to be told, in one transaction."""
    vault, now = gateway.vault, gateway.now()
    by = f"client:{submission.client}"
    if former is not None:
        _close_former(connection, gateway, former, by)
    done = accept(
        connection,
        vault,
        submission,
        now=now,
        hold_days=gateway.settings.hold_days,
        max_pending=gateway.settings.max_pending,
        mail_unqualified=gateway.settings.mss.send_unqualified,
        pending=gateway.backlog,
    )
    known = connection.execute(select(orders.c.id).where(orders.c.document_id == done.document_id)).scalar()
    if known is not None:
        return _Written(order=known, document=done)
    if order_store.by_number(connection, vault, number) is not None:
        raise Conflict([NUMBER_TAKEN.finding("/number")], slug="number-taken")
    prescription = hub.load(orjson.loads(submission.intake.model))
    if not isinstance(prescription, Prescription):
        raise TypeError("an order is a prescription")
    order_id = order_store.create(
        connection,
        vault,
        prescription,
        number=number,
        serial=serial,
        now=now,
        by=by,
        tenant=submission.tenant,
        client=submission.client,
        document=done.document_id,
        replaces=former.row.id if former else None,
    )
    body = prescribing.registration(prescription, number, former.number if former else None)
    order_store.queue_relay(connection, vault, order_id, "register", body, tenant=submission.tenant, now=now)
    return _Written(order=order_id, document=done)


def _close_former(connection: Connection, gateway: Gateway, former: StoredOrder, by: str) -> None:
    order_store.lock(connection, former.row.id)
    stored = order_store.load(connection, gateway.vault, former.row.id, gateway.now())
    if stored.view.state in _ENDED:
        raise Conflict([CLOSED.finding("", found=str(stored.view.state))], slug="order-closed")
    if stored.view.live:
        raise Conflict([STARTED.finding("")], slug="order-started")
    order_store.append(
        connection,
        gateway.vault,
        former.row.id,
        EventKind.REPLACED,
        at=gateway.now(),
        by=by,
        tenant=former.row.tenant_id,
    )


async def _own(gateway: Gateway, caller: Caller, order_id: str) -> StoredOrder:
    """An order of one of the caller's structures; raises :class:`NotFound`."""

    def load(connection: Connection) -> StoredOrder:
        row = connection.execute(
            select(orders.c.id).where(orders.c.id == order_id, orders.c.tenant_id.in_(caller.tenant_ids))
        ).first()
        if row is None:
            raise NotFound([NOT_FOUND.finding("")])
        return order_store.load(connection, gateway.vault, order_id, gateway.now())

    return await gateway.store.read(load)


@router.get("/{order_id}", response_model=OrderOut, summary="Read an e-prescription", responses=READ_PROBLEMS)
async def read(
    request: Request,
    order_id: str,
    language: Language,
    caller: Annotated[Caller, Depends(needs("documents:read", "documents:write"))],
) -> Response:
    """An e-prescription, what was given of each line, what is left, and everything that happened."""
    gateway = gateway_of(request)
    stored = await _own(gateway, caller, order_id)
    return _json(order_out(stored, own=True), headers={"ETag": f'"{stored.row.version}"'})


@router.get("/{order_id}/pdf", summary="Print an e-prescription", responses=READ_PROBLEMS, response_class=Response)
async def printed(
    request: Request,
    order_id: str,
    caller: Annotated[Caller, Depends(needs("documents:read", "documents:write"))],
) -> Response:
    """The printed form as PDF/A, one or two zones, with the number in clear and the 2D code."""
    gateway = gateway_of(request)
    stored = await _own(gateway, caller, order_id)

    def load(connection: Connection) -> bytes:
        row = connection.execute(select(documents).where(documents.c.id == stored.row.document_id)).one()
        if row.pdf is None:
            raise NotFound([NOT_FOUND.finding("")])
        return blobs.get(connection, gateway.vault, row.tenant_id, row.pdf)

    data = await gateway.store.read(load)
    return Response(data, media_type="application/pdf", headers={"Cache-Control": "no-store"})


@router.post("/{order_id}/cancel", response_model=OrderOut, summary="Cancel an e-prescription", responses=PROBLEMS)
async def cancel(
    request: Request,
    order_id: str,
    said: Cancelling,
    language: Language,
    caller: Annotated[Caller, Depends(needs("documents:write"))],
) -> Response:
    """Cancel what is left of a prescription, here, in the national base, and in the DMP when nothing was given yet.

    Asked again, it answers the same.
    """
    gateway = gateway_of(request)
    owned = await _own(gateway, caller, order_id)
    by = f"client:{caller.client.id}"
    now = gateway.now()

    def work(connection: Connection) -> None:
        order_store.lock(connection, order_id)
        stored = order_store.load(connection, gateway.vault, order_id, now)
        if stored.view.cancelled:
            return
        if stored.view.state in _ENDED:
            raise Conflict([CLOSED.finding("", found=str(stored.view.state))], slug="order-closed")
        tenant = stored.row.tenant_id
        order_store.append(
            connection, gateway.vault, order_id, EventKind.CANCELLED, at=now, by=by, tenant=tenant, reason=said.reason
        )
        body: dict[str, Any] = {"number": stored.number, "ins": stored.ins.model_dump(mode="json")}
        if said.reason:
            body["reason"] = said.reason
        order_store.queue_relay(connection, gateway.vault, order_id, "cancel", body, tenant=tenant, now=now)
        if not stored.view.live and stored.row.document_id:
            document = connection.execute(select(documents).where(documents.c.id == stored.row.document_id)).one()
            with contextlib.suppress(NotFed):
                ask_change(connection, gateway.vault, document, Change.DELETE, session=None, by=by, now=now)

    await gateway.store.write(work)
    gateway.wake()
    stored = await _own(gateway, caller, owned.row.id)
    return _json(order_out(stored, own=True), headers={"ETag": f'"{stored.row.version}"'})


@router.post(
    "/{order_id}/resend",
    status_code=202,
    response_model=OrderOut,
    summary="Tell the national base again",
    responses=PROBLEMS,
)
async def resend(
    request: Request,
    order_id: str,
    language: Language,
    caller: Annotated[Caller, Depends(needs("documents:write"))],
) -> Response:
    """Send again what was given up after days of outage: the registration, the cancellation, in their order."""
    gateway = gateway_of(request)
    owned = await _own(gateway, caller, order_id)
    by, now, tenant = f"client:{caller.client.id}", gateway.now(), owned.row.tenant_id
    sent = await gateway.store.write(
        lambda c: send_again(c, gateway.vault, order_id, dispensation=None, by=by, tenant=tenant, now=now)
    )
    if not sent:
        raise Conflict([NOTHING_TO_SEND.finding("")], slug="nothing-to-send")
    gateway.wake()
    stored = await _own(gateway, caller, order_id)
    return _json(order_out(stored, own=True), 202, {"ETag": f'"{stored.row.version}"'})
