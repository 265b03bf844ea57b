"""What happens to a patient's identity: events from people and from INSi, and the deliveries they let go."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select, update

from conformance.identity.status import Attribute, Event, IdentityState, Status, StatusError, transition
from conformance.verdict import Text
from gateway import identities
from gateway.identities import Identity
from gateway.journey.record import Cause, cause_of, move
from gateway.journey.states import CauseCode, Delivery
from gateway.store.mail_tables import mail_recipients, messages
from gateway.store.tables import deliveries, documents
from gateway.vault import Vault
from mappings.document.people import IdentityStatus, Ins, Patient, Sex

if TYPE_CHECKING:
    from adapters.insi.messages import Individual

__all__ = ["StatusError", "apply", "collides", "found_of", "missing", "release", "state_of", "waiting"]

_HUB = {
    Status.PROV: IdentityStatus.PROVISIONAL,
    Status.RECUP: IdentityStatus.RETRIEVED,
    Status.VALI: IdentityStatus.VALIDATED,
    Status.QUAL: IdentityStatus.QUALIFIED,
}


def state_of(patient: Patient) -> IdentityState:
    """The state of the machine that a patient's status, attributes and INS make."""
    return IdentityState(
        status=Status.of(str(patient.status)),
        attributes=frozenset(Attribute(a) for a in patient.attributes),
        ins=patient.ins is not None,
    )


def missing(patient: Patient) -> list[str]:
    """What is missing for a qualified identity: ``ins``, ``proof``, ``doubt`` when an attribute locks it."""
    out = []
    if {"douteux", "fictif"} & set(patient.attributes):
        out.append("doubt")
    if patient.ins is None or patient.status in (IdentityStatus.PROVISIONAL, IdentityStatus.VALIDATED):
        out.append("ins")
    if patient.status in (IdentityStatus.PROVISIONAL, IdentityStatus.RETRIEVED):
        out.append("proof")
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An INSi answer accepted for a patient: the INS and the strict traits to the letter (EXI REC 08)."""

    ins: Ins
    birth_name: str
    given_names: str
    first_given_name: str
    sex: str
    birth_date: str
    birth_place: str | None


def found_of(person: Individual) -> Found:
    """What INSi says of a person, as it is kept; the first given name is taken from the list when it is left out."""
    traits = person.traits
    return Found(
        ins=Ins(value=person.active.value, authority=person.active.oid),
        birth_name=traits.birth_name,
        given_names=traits.given_names,
        first_given_name=traits.first_given_name or traits.given_names.split(" ")[0],
        sex=traits.sex,
        birth_date=traits.birth_date,
        birth_place=traits.birth_place or None,
    )


def collides(patient: Patient, found: Found, person: Individual) -> bool:
    """True when INSi names another active number, and does not know the one held as a former one (collision)."""
    held = patient.ins
    if held is None or held == found.ins:
        return False
    return (held.value, held.authority) not in {(former.value, former.oid) for former in person.history}


def apply(
    connection: Connection,
    vault: Vault,
    identity: Identity,
    event: Event,
    *,
    now: datetime,
    proof: str | None = None,
    found: Found | None = None,
) -> Identity:
    """Apply an event to an identity and keep it; raises :class:`StatusError` when the table refuses the event."""
    patient = identity.patient
    before = state_of(patient)
    if event in (Event.INSI_FOUND_ACCEPTED, Event.APCV_READ_ACCEPTED) and found is None:
        raise ValueError("an accepted answer comes with its INS")
    after = transition(before, event)
    changes: dict[str, Any] = {"status": _HUB[after.status], "attributes": tuple(sorted(map(str, after.attributes)))}
    former = identity.former
    checked = identity.checked_at
    if found is not None and event in (Event.INSI_FOUND_ACCEPTED, Event.APCV_READ_ACCEPTED):
        if patient.ins is not None and patient.ins != found.ins:
            former = (*former, _former(patient.ins, "replaced", now))
        changes |= {
            "ins": found.ins,
            "birth_name": found.birth_name,
            "given_names": found.given_names,
            "first_given_name": found.first_given_name,
            "sex": Sex(found.sex),
            "birth_date": found.birth_date,
            "birth_place": found.birth_place or patient.birth_place,
            "ins_checked_on": now.date().isoformat(),
        }
        checked = now
        if event is Event.APCV_READ_ACCEPTED:
            # No INSi call was made: the app's enrolment is the proof (RNIV 1 v2.0, 4.3.4).
            changes["proof"] = "AV"
    elif event is Event.INSI_VERIFY_OK:
        changes["ins_checked_on"] = now.date().isoformat()
        checked = now
    elif patient.ins is not None and not after.ins:
        former = (*former, _former(patient.ins, str(event), now))
        changes |= {"ins": None, "ins_checked_on": None}
        checked = None
    if proof is not None and event is Event.PROOF_HIGH_CHECKED:
        changes["proof"] = proof
    # A copy is not validated: go through the model so that no identity is kept that could not be read again.
    changed = Patient.model_validate(patient.model_copy(update=changes).model_dump())
    return identities.save(
        connection, vault, replace(identity, patient=changed, former=former, checked_at=checked), now
    )


def _former(ins: Ins, reason: str, now: datetime) -> dict[str, Any]:
    return {"ins": ins.model_dump(mode="json"), "reason": reason, "at": now.isoformat()}


def release(connection: Connection, vault: Vault, identity: Identity, *, now: datetime, by: str) -> int:
    """Let go the deliveries that waited for this identity to be qualified; how many were."""
    if not identity.qualified:
        return 0
    rows = connection.execute(
        select(deliveries).where(_about(identity), deliveries.c.state == str(Delivery.HELD)).order_by(deliveries.c.rank)
    ).all()
    for row in rows:
        move(
            connection,
            vault,
            row,
            Delivery.QUEUED,
            at=now,
            by=by,
            cause=cause_of(CauseCode.QUALIFIED),
            values={"next_attempt_at": now, "expires_at": None},
        )
    return len(rows)


def look_again(connection: Connection, identity: Identity, now: datetime) -> None:
    """Have held deliveries of an identity looked at now (an INSi search may succeed after what just changed)."""
    connection.execute(
        update(deliveries).where(deliveries.c.state == str(Delivery.HELD), _about(identity)).values(next_attempt_at=now)
    )


def _about(identity: Identity) -> ColumnElement[bool]:
    """What selects the deliveries of a patient: of their documents, and of the messages about them."""
    return or_(
        deliveries.c.document_id.in_(select(documents.c.id).where(documents.c.identity_id == identity.id)),
        deliveries.c.message_id.in_(select(messages.c.id).where(messages.c.identity_id == identity.id)),
    )


def refuse_for_opposition(
    connection: Connection, vault: Vault, identity: Identity, scope: str, *, now: datetime, by: str
) -> int:
    """End the deliveries that an opposition forbids and that have not left yet; how many were.

    ``scope`` is ``dmp``, ``mss`` (mail to professionals) or ``mss_citizen`` (mail to the patient).
    """
    query = select(deliveries).where(
        _about(identity),
        deliveries.c.destination == scope.removesuffix("_citizen"),
        deliveries.c.state.in_([str(Delivery.HELD), str(Delivery.QUEUED)]),
    )
    if scope != "dmp":
        to_patient = exists().where(
            mail_recipients.c.delivery_id == deliveries.c.id, mail_recipients.c["class"] == "citizen"
        )
        query = query.where(to_patient if scope == "mss_citizen" else ~to_patient)
    rows = connection.execute(query).all()
    cause: Cause = cause_of(CauseCode.PATIENT_OPPOSED)
    for row in rows:
        move(connection, vault, row, Delivery.REFUSED, at=now, by=by, cause=cause)
    return len(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An identity whose documents wait."""

    identity: Identity
    documents: int
    oldest: datetime
    cause: Text | None
    fix: Text | None


def waiting(connection: Connection, vault: Vault, tenant_ids: list[str], *, limit: int) -> list[Waiting]:
    """The identities that hold documents or messages back, the longest waiting first."""
    identity = func.coalesce(documents.c.identity_id, messages.c.identity_id)
    oldest = func.min(func.coalesce(documents.c.received_at, messages.c.created_at))
    rows = connection.execute(
        select(
            identity,
            func.count(func.coalesce(documents.c.id, messages.c.id).distinct()),
            oldest,
            func.max(deliveries.c.cause_fr),
            func.max(deliveries.c.cause_en),
            func.max(deliveries.c.fix_fr),
            func.max(deliveries.c.fix_en),
        )
        .select_from(deliveries)
        .outerjoin(documents, documents.c.id == deliveries.c.document_id)
        .outerjoin(messages, messages.c.id == deliveries.c.message_id)
        .where(deliveries.c.tenant_id.in_(tenant_ids), deliveries.c.state == str(Delivery.HELD), identity.is_not(None))
        .group_by(identity)
        .order_by(oldest)
        .limit(limit)
    ).all()
    return [
        Waiting(
            identity=identities.load(connection, vault, row[0]),
            documents=row[1],
            oldest=row[2],
            cause=Text(row[3], row[4]) if row[3] else None,
            fix=Text(row[5], row[6]) if row[5] else None,
        )
        for row in rows
    ]
