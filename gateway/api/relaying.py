"""Keeping a dispensation: judged against the order as it stands, written, and taken account of, all or nothing.

The document says which go this is (first or later, complete or partial), so it is written before the order is locked;
if another dispensation came between, everything is done again on what is left then. In one process the goes of one
order are written one after the other, so that a crowd at one order costs one conversion each.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import Connection, Row, select, update

from conformance.verdict import Text
from gateway import tenants
from gateway.api.access import Caller
from gateway.api.taking import WRONG_ACTOR, Coming, submission_of
from gateway.context import Gateway
from gateway.ids import new_id, new_oid
from gateway.journey.accept import KEY_REUSED, accept
from gateway.journey.accept import Request as Submission
from gateway.journey.changes import NotFed, ask_change
from gateway.journey.posting import Posting, post
from gateway.orders.life import Event, EventKind, OrderView, fold
from gateway.orders.rules import CHANGED, Asked, Plan, RefusedDispensation, judge
from gateway.problems import Busy, Conflict, Forbidden, Invalid, rule
from gateway.services import dispensing, order_store
from gateway.services.dispensing import DispensationIn
from gateway.services.envelope import DeliverTo, Envelope, Mail, MailRecipient, Sent
from gateway.services.intake import describe_actor
from gateway.services.order_store import StoredOrder
from gateway.services.orders import rules_of
from gateway.services.record_changes import Change
from gateway.store.engine import ACCEPT
from gateway.store.order_tables import dispensations
from gateway.store.tables import documents
from gateway.tenants import Tenant

__all__ = ["Relayed", "earlier", "keep", "take_back"]

ALREADY = rule(
    "ORD-043",
    "Cette dispensation est déjà annulée ou corrigée.",
    "This dispensation is cancelled or corrected already.",
    "Voyez la dispensation qui la remplace.",
    "See the dispensation that replaces it.",
)
CROWD = rule(
    "ORD-031",
    "Trop de pharmacies relaient cette ordonnance en même temps.",
    "Too many pharmacies relay this prescription at once.",
    "Recommencez avec la même clé.",
    "Try again with the same key.",
)
NO_ADDRESS = rule(
    "ORD-070",
    "L'adresse MSSanté du prescripteur n'est pas connue.",
    "The prescriber's MSSanté address is not known.",
    "Donnez-la dans tellPrescriber.address.",
    "Give it in tellPrescriber.address.",
)
NO_PATIENT = rule(
    "ORD-071",
    "Sans e-prescription, la dispensation doit dire pour quel patient.",
    "Without an e-prescription, the dispensation must say for which patient.",
    "Ajoutez patient.",
    "Add patient.",
)

#: Refusals that come from what others did to the order, rather than from what was sent.
_STATE_CODES = frozenset({"ORD-004", "ORD-005", "ORD-006", "ORD-007", "ORD-016", "ORD-023", "ORD-025", "ORD-030"})
_TRIES = 24
_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


class Moved(Exception):
    """The order changed between the writing of the document and its keeping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relayed:
    """The dispensation kept, or the one kept earlier under the same key."""

    id: str
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Go:
    """One dispensation on its way in."""

    said: DispensationIn
    caller: Caller
    tenant: Tenant
    key: str
    mac: str
    corrects: Row[Any] | None


def earlier(connection: Connection, client: str, key: str, mac: str) -> Relayed | None:
    """What the same key gave before; raises :class:`Conflict` when it served another content."""
    row = connection.execute(
        select(dispensations.c.id, dispensations.c.body_mac).where(
            dispensations.c.client_id == client, dispensations.c.key == key
        )
    ).first()
    if row is None:
        return None
    if row.body_mac != mac:
        raise Conflict([KEY_REUSED.finding("Idempotency-Key")], slug="idempotency-key-reused", status=422)
    return Relayed(id=row.id, replayed=True)


async def keep(
    gateway: Gateway,
    said: DispensationIn,
    order_id: str | None,
    *,
    caller: Caller,
    tenant: Tenant,
    key: str,
    mac: str,
    corrects: Row[Any] | None = None,
) -> Relayed:
    """Keep a dispensation, of an order or of a paper prescription; raises :class:`gateway.problems.Problem`."""
    go = _Go(said=said, caller=caller, tenant=tenant, key=key, mac=mac, corrects=corrects)
    if order_id is None:
        return await _once(gateway, go, None)
    lock = _locks.get(order_id)
    if lock is None:
        lock = _locks[order_id] = asyncio.Lock()
    async with lock:
        for _ in range(_TRIES):
            known = await gateway.store.read(lambda c: earlier(c, caller.client.id, key, mac))
            if known is not None:
                return known
            stored = await gateway.store.read(lambda c: order_store.load(c, gateway.vault, order_id, gateway.now()))
            try:
                return await _once(gateway, go, stored)
            except Moved:
                continue
    raise Busy([CROWD.finding("")], retry_after=1)


async def _once(gateway: Gateway, go: _Go, stored: StoredOrder | None) -> Relayed:
    now = gateway.now()
    actor = describe_actor(go.said.pharmacist)
    allowed = await gateway.store.read(
        lambda c: tenants.may_act(c, go.caller.client.id, go.tenant, str(actor["id"]), actor["structure"])
    )
    if not allowed:
        raise Forbidden([WRONG_ACTOR.finding("/pharmacist")], slug="actor-not-granted")
    asked = dispensing.asked_of(go.said, now)
    plan = _judge(gateway, go, stored, asked, now)
    dispensation_id = new_id("dsp", now)
    corrected = go.corrects.document_id if go.corrects is not None else None
    lineage = {}
    if corrected is not None:
        lineage = await gateway.store.read(lambda c: order_store.next_version(c, corrected))
    body = _document(gateway, go, stored, plan, asked.at, now, lineage)
    submission: Submission | None = None
    if body is not None:
        sent = Sent(body=body, form="json", envelope=_envelope(go, stored, plan))
        submission = await submission_of(gateway, go.caller, go.tenant, Coming(sent=sent, content=body))
    letter: Posting | None = None
    if body is None and go.said.tell_prescriber is not None:
        letter = _letter(go, stored, plan, actor, dispensation_id)

    def work(connection: Connection) -> Relayed:
        known = earlier(connection, go.caller.client.id, go.key, go.mac)
        if known is not None:
            return known
        return _commit(connection, gateway, go, stored, plan, submission, letter, dispensation_id, asked, now)

    done = await gateway.store.write(work, ACCEPT)
    gateway.wake()
    return done


def _judge(gateway: Gateway, go: _Go, stored: StoredOrder | None, asked: Asked, now: datetime) -> Plan:
    rules = rules_of(gateway)
    view = _paper(asked) if stored is None else _view(stored, go, now)
    try:
        if stored is not None and go.said.order_version not in (None, stored.row.version):
            raise RefusedDispensation([CHANGED.finding("/orderVersion", expected=str(stored.row.version))])
        return judge(view, asked, now=now, rules=rules)
    except RefusedDispensation as exc:
        if {f.code for f in exc.findings if f.severity == "error"} <= _STATE_CODES:
            raise Conflict(exc.findings, slug="order-state", detail=_left(view) if stored else None) from None
        raise Invalid(exc.findings, slug="invalid-dispensation", detail=_left(view) if stored else None) from None


def _paper(asked: Asked) -> OrderView:
    """A prescription on paper orders nothing that is known: products alone are looked at."""
    from gateway.orders.life import LineView, Order, PrescribedLine

    line = PrescribedLine(id="", label="")
    order = Order(issued_at=asked.at, valid_until=None, lines=())
    return OrderView(order=order, lines={"": LineView(line=line)})


def _view(stored: StoredOrder, go: _Go, now: datetime) -> OrderView:
    """The order as it stands; a correction is judged as if the dispensation corrected had not been."""
    if go.corrects is None:
        return stored.view
    mine = next((e.seq for e in stored.events if e.dispensation == go.corrects.id), 0)
    # What was given in time may be told right later, whatever the prescriber did since.
    closing = (EventKind.CANCELLED, EventKind.REPLACED)
    events = [e for e in stored.events if not (e.kind in closing and e.seq > mine)]
    undone = Event(
        seq=len(stored.events) + 1, kind=EventKind.DISPENSATION_CORRECTED, at=now, by="", dispensation=go.corrects.id
    )
    until = stored.order.valid_until
    return fold(stored.order, (*events, undone), min(now, until) if until else now)


def _left(view: OrderView) -> Text:
    """What is left, by the rank of lines: no product is named outside the order itself."""
    parts_fr, parts_en = [], []
    for rank, line in enumerate(view.lines.values(), 1):
        left = "?" if line.left is None else format(line.left.normalize(), "f")
        more = f", {line.renewals_left} renouvellement(s)" if line.renewals_left else ""
        parts_fr.append(f"ligne {rank} : {left}{more}")
        parts_en.append(f"line {rank}: {left}" + (f", {line.renewals_left} renewal(s)" if line.renewals_left else ""))
    return Text(f"Reste à délivrer : {' ; '.join(parts_fr)}.", f"Left to give: {'; '.join(parts_en)}.")


def _document(
    gateway: Gateway,
    go: _Go,
    stored: StoredOrder | None,
    plan: Plan,
    at: datetime,
    now: datetime,
    lineage: dict[str, Any],
) -> bytes | None:
    patient = go.said.patient
    if patient is None:
        if stored is None:
            raise Invalid([NO_PATIENT.finding("/patient")])
        # The prescriber's local file numbers are not the pharmacy's.
        patient = stored.prescription.patient.model_copy(update={"identifiers": ()})
    return dispensing.document_of(
        go.said, plan, stored, patient=patient, identifier=new_oid(), at=at, now=now, lineage=lineage
    )


def _address(said: DispensationIn, stored: StoredOrder | None) -> str:
    tell = said.tell_prescriber
    if tell is not None and tell.address:
        return tell.address
    prescriber = stored.prescription.first_professional if stored else said.paper.prescriber if said.paper else None
    for telecom in prescriber.telecoms if prescriber else ():
        if telecom.value.startswith("mailto:") and "mssante" in telecom.value:
            return telecom.value.removeprefix("mailto:")
    raise Invalid([NO_ADDRESS.finding("/tellPrescriber/address")])


def _letter(go: _Go, stored: StoredOrder | None, plan: Plan, actor: dict[str, Any], dispensation_id: str) -> Posting:
    """Words alone for the prescriber, when there is no document to carry them; the number says which prescription."""
    heading = ""
    if stored is not None:
        heading = f"Ordonnance n° {stored.number} du {dispensing.written(stored.order.issued_at)[:10]}\n"
    return Posting(
        tenant=go.tenant.id,
        client=go.caller.client.id,
        actor=actor,
        documents=(),
        recipients=({"address": _address(go.said, stored), "kind": "professional"},),
        content={"subject": "Message de la pharmacie", "body": heading + dispensing.letter(go.said, plan, stored)},
        body_mac=go.mac,
        idempotency_key=f"letter-{dispensation_id}",
    )


def _envelope(go: _Go, stored: StoredOrder | None, plan: Plan) -> Envelope:
    mail = None
    if go.said.tell_prescriber is not None:
        recipient = MailRecipient(address=_address(go.said, stored), kind="professional")
        mail = Mail(recipients=(recipient,), body=dispensing.letter(go.said, plan, stored))
    return Envelope(actor=go.said.pharmacist, deliver_to=DeliverTo(dmp=go.said.to_dmp, mss=mail))


def _commit(
    connection: Connection,
    gateway: Gateway,
    go: _Go,
    stored: StoredOrder | None,
    plan: Plan,
    submission: Submission | None,
    letter: Posting | None,
    dispensation_id: str,
    asked: Asked,
    now: datetime,
) -> Relayed:
    """Document, order and relay in one transaction, on the order as it was judged; raises :class:`Moved`."""
    vault, by = gateway.vault, f"client:{go.caller.client.id}"
    if stored is not None:
        row = order_store.lock(connection, stored.row.id)
        if row.version != stored.row.version:
            raise Moved
    document_id = None
    if submission is not None:
        document_id = accept(
            connection,
            vault,
            submission,
            now=now,
            hold_days=gateway.settings.hold_days,
            max_pending=gateway.settings.max_pending,
            mail_unqualified=gateway.settings.mss.send_unqualified,
            pending=gateway.backlog,
        ).document_id
    if letter is not None:
        post(
            connection,
            vault,
            letter,
            now=now,
            hold_days=gateway.settings.hold_days,
            max_pending=gateway.settings.max_pending,
            pending=gateway.backlog,
        )
    order_id = stored.row.id if stored is not None else None
    relayed = stored is not None and bool(gateway.settings.ordonnance.base_url)
    connection.execute(
        dispensations.insert().values(
            id=dispensation_id,
            tenant_id=go.tenant.id,
            client_id=go.caller.client.id,
            key=go.key,
            body_mac=go.mac,
            order_id=order_id,
            document_id=document_id,
            corrects=go.corrects.id if go.corrects is not None else None,
            state="kept",
            relay="queued" if relayed else "none",
            actor_id=str(go.said.pharmacist.id.extension or ""),
            actor={},
            round=plan.round,
            warnings=[{"fr": f.as_json("fr"), "en": f.as_json("en")} for f in plan.warnings],
            sealed=vault.seal(go.tenant.id, dispensing.as_kept(go.said), dispensation_id),
            acted_at=asked.at,
            created_at=now,
            updated_at=now,
        )
    )
    if go.corrects is not None:
        _mark(connection, go.corrects, "corrected", now)
    if stored is None or order_id is None:
        return Relayed(id=dispensation_id, replayed=False)
    if go.corrects is not None:
        order_store.append(
            connection,
            vault,
            order_id,
            EventKind.DISPENSATION_CORRECTED,
            at=now,
            by=by,
            tenant=go.tenant.id,
            dispensation=go.corrects.id,
        )
    order_store.append(
        connection,
        vault,
        order_id,
        EventKind.DISPENSED,
        at=now,
        by=by,
        tenant=go.tenant.id,
        dispensation=dispensation_id,
        acted_at=asked.at,
        given=plan.given,
        refused=plan.refused,
    )
    if relayed:
        body = dispensing.relay_of(go.said, plan, stored, dispensation_id, asked.at)
        if go.corrects is not None:
            body["replaces"] = go.corrects.id
        order_store.queue_relay(
            connection, vault, order_id, "execute", body, tenant=go.tenant.id, now=now, dispensation=dispensation_id
        )
    return Relayed(id=dispensation_id, replayed=False)


def _mark(connection: Connection, row: Row[Any], state: str, now: datetime) -> None:
    done = connection.execute(
        update(dispensations)
        .where(dispensations.c.id == row.id, dispensations.c.state == "kept")
        .values(state=state, updated_at=now)
    )
    if done.rowcount != 1:
        raise Conflict([ALREADY.finding("")], slug="dispensation-closed")


def take_back(
    connection: Connection, gateway: Gateway, row: Row[Any], *, by: str, reason: str | None, now: datetime
) -> None:
    """Cancel a dispensation whole: its quantities, its execution, its document in the DMP."""
    vault = gateway.vault
    if row.order_id is not None:
        order_store.lock(connection, row.order_id)
    _mark(connection, row, "cancelled", now)
    if row.order_id is not None:
        order_store.append(
            connection,
            vault,
            row.order_id,
            EventKind.DISPENSATION_CANCELLED,
            at=now,
            by=by,
            tenant=row.tenant_id,
            dispensation=row.id,
            reason=reason,
        )
        # Of an execution that the service refused there is nothing to take back there.
        if row.relay in ("queued", "accepted"):
            stored = order_store.load(connection, vault, row.order_id, now)
            body: dict[str, Any] = {
                "number": stored.number,
                "ins": stored.ins.model_dump(mode="json"),
                "execution": row.id,
            }
            if reason:
                body["reason"] = reason
            order_store.queue_relay(
                connection,
                vault,
                row.order_id,
                "cancel_execution",
                body,
                tenant=row.tenant_id,
                now=now,
                dispensation=row.id,
            )
    if row.document_id is not None:
        document = connection.execute(select(documents).where(documents.c.id == row.document_id)).one()
        try:
            ask_change(connection, vault, document, Change.DELETE, session=None, by=by, now=now)
        except NotFed:
            return
