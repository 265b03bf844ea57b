"""Patients as a tenant knows them: one identity a local file, its status, its INS, and what may be done with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Row, select

from conformance.identity.check import disagrees
from conformance.identity.comparison import compare
from gateway.ids import new_id
from gateway.store import sql
from gateway.store.engine import Again
from gateway.store.tables import identities, oppositions
from gateway.traits import strict_traits
from gateway.vault import Vault
from mappings.document.people import IdentityStatus, Ins, Patient, Sex

__all__ = [
    "NOBODY",
    "Identity",
    "forget",
    "ins_lookup",
    "load",
    "lookup_key",
    "object_to",
    "opposed",
    "remember",
    "save",
    "with_ins",
]

#: How sure each status is: a later document never lowers what is known.
_RANK = {
    IdentityStatus.PROVISIONAL: 0,
    IdentityStatus.RETRIEVED: 1,
    IdentityStatus.VALIDATED: 1,
    IdentityStatus.QUALIFIED: 2,
}


_OTHER_PERSON: Final = ("REVIEW", "NO_MATCH")

#: What stands in the place of a patient forgotten: nobody's traits, never qualified.
NOBODY: Final = Patient(
    birth_name="EFFACE", sex=Sex.UNDETERMINED, birth_date="1900-01-01", status=IdentityStatus.PROVISIONAL
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A patient's identity as the gateway holds it for one tenant."""

    id: str
    tenant: str
    patient: Patient
    former: tuple[dict[str, Any], ...]  #: matricules no longer in force, with the reason
    checked_at: datetime | None
    version: int
    #: What people decided on INSi's answers: when, why, and the local traits that were settled by it.
    decisions: tuple[dict[str, Any], ...] = ()

    @property
    def qualified(self) -> bool:
        """True when the INS may leave."""
        return self.patient.qualified


def lookup_key(patient: Patient) -> str:
    """The text whose keyed hash finds a patient again: the first local identifier, else INS, else traits."""
    if patient.identifiers:
        first = patient.identifiers[0]
        return f"local|{first.root}|{first.extension or ''}"
    if patient.ins:
        return f"ins|{patient.ins.authority}|{patient.ins.value}"
    traits = (patient.birth_name, patient.first_given_name, patient.sex, patient.birth_date, patient.birth_place)
    return "traits|" + "|".join(str(t or "").casefold() for t in traits)


def _read(vault: Vault, row: Row[Any]) -> Identity:
    content = orjson.loads(vault.open(row.tenant_id, row.sealed, row.id))
    return Identity(
        id=row.id,
        tenant=row.tenant_id,
        patient=Patient.model_validate(content["patient"]),
        former=tuple(content["former"]),
        checked_at=row.checked_at,
        version=row.version,
        decisions=tuple(content.get("decisions", ())),
    )


def load(connection: Connection, vault: Vault, identity_id: str) -> Identity:
    """The identity of an id; :class:`KeyError` when unknown."""
    row = sql.find(connection, identities, id=identity_id)
    if row is None:
        raise KeyError(identity_id)
    return _read(vault, row)


def _columns(vault: Vault, identity: Identity, now: datetime) -> dict[str, Any]:
    content = {"patient": identity.patient.model_dump(mode="json", exclude_none=True), "former": identity.former}
    if identity.decisions:
        content["decisions"] = identity.decisions
    return {
        "status": str(identity.patient.status),
        "attributes": list(identity.patient.attributes),
        "sealed": vault.seal(identity.tenant, orjson.dumps(content), identity.id),
        "has_ins": identity.patient.ins is not None,
        "ins_lookup": ins_lookup(vault, identity.tenant, identity.patient.ins) if identity.patient.ins else None,
        "checked_at": identity.checked_at,
        "version": identity.version,
        "updated_at": now,
        "forgotten_at": None,
    }


def ins_lookup(vault: Vault, tenant: str, ins: Ins) -> str:
    """The keyed hash that finds the local files of an INS."""
    return vault.lookup(tenant, f"ins|{ins.authority}|{ins.value.upper()}")


def with_ins(connection: Connection, vault: Vault, tenant: str, ins: Ins) -> list[Identity]:
    """The identities of a tenant that hold this INS: none, one, or several files for one number."""
    rows = connection.execute(
        select(identities)
        .where(identities.c.tenant_id == tenant, identities.c.ins_lookup == ins_lookup(vault, tenant, ins))
        .order_by(identities.c.id)
    )
    return [_read(vault, row) for row in rows]


def _unsure(connection: Connection, vault: Vault, tenant: str, patient: Patient, own: str | None) -> bool:
    """True when the number may be another person's: a twin's, a mother's, a child's, a namesake's.

    It says another sex or birth than the traits beside it, or another local file holds it with other traits.
    """
    if patient.ins is None:
        return False
    traits = strict_traits(patient)
    if disagrees(patient.ins.value, traits):
        return True
    others = (one for one in with_ins(connection, vault, tenant, patient.ins) if one.id != own)
    return any(compare(traits, strict_traits(one.patient)).verdict in _OTHER_PERSON for one in others)


def remember(
    connection: Connection, vault: Vault, tenant: str, patient: Patient, checked_at: datetime | None, now: datetime
) -> Identity:
    """Find the identity of a patient just received, or make it.

    What the sender states replaces what is held when it is at least as sure; a sender less sure than the gateway
    (a document written before the INS was found) leaves the identity as it is. When the number may be another
    person's, whatever date the sender gives its check is not believed: INSi is asked before anything leaves.
    """
    lookup = vault.lookup(tenant, lookup_key(patient))
    row = sql.find(connection, identities, tenant_id=tenant, lookup=lookup)
    if row is None:
        if _unsure(connection, vault, tenant, patient, None):
            checked_at = None
        identity = Identity(
            id=new_id("idt", now), tenant=tenant, patient=patient, former=(), checked_at=checked_at, version=1
        )
        values = _columns(vault, identity, now)
        made = {"id": identity.id, "tenant_id": tenant, "lookup": lookup, "created_at": now, **values}
        sql.add(connection, identities, made)
        return identity
    held = _read(vault, row)
    same_person = _traits(held.patient) == _traits(patient)
    less_sure = _RANK[patient.status] < _RANK[held.patient.status]
    if less_sure and (same_person or _settled(held, patient)):
        return held
    if same_person and patient == held.patient:
        return held
    same_number = patient.ins is not None and patient.ins == held.patient.ins
    known = same_person and same_number and held.checked_at is not None
    if not known and _unsure(connection, vault, tenant, patient, held.id):
        checked = None
    elif same_number and not same_person:
        # Traits changed under the same number: only INSi says whether they are still this person's.
        checked = None
    else:
        checked = checked_at or (held.checked_at if same_person else None)
    return save(
        connection,
        vault,
        Identity(
            id=held.id,
            tenant=tenant,
            patient=patient,
            former=held.former if same_person else (*held.former, *_dropped(held, "traits_changed", now)),
            checked_at=checked,
            version=held.version,
            decisions=held.decisions if same_person else (),
        ),
        now,
    )


def _traits(patient: Patient) -> tuple[str | None, ...]:
    return (patient.birth_name, patient.first_given_name, str(patient.sex), patient.birth_date, patient.birth_place)


def _settled(held: Identity, patient: Patient) -> bool:
    """True when a person accepted INSi's answer for these very local traits, and it stands."""
    if not held.qualified:
        return False
    local = strict_traits(patient).as_dict()
    return any(decision["local"] == local for decision in held.decisions)


def _dropped(held: Identity, reason: str, now: datetime) -> tuple[dict[str, Any], ...]:
    if held.patient.ins is None:
        return ()
    return ({"ins": held.patient.ins.model_dump(mode="json"), "reason": reason, "at": now.isoformat()},)


def save(connection: Connection, vault: Vault, identity: Identity, now: datetime) -> Identity:
    """Keep a changed identity; raises :class:`Again` when another change came between."""
    changed = Identity(
        id=identity.id,
        tenant=identity.tenant,
        patient=identity.patient,
        former=identity.former,
        checked_at=identity.checked_at,
        version=identity.version + 1,
        decisions=identity.decisions,
    )
    where = {"id": identity.id, "version": identity.version}
    if sql.change(connection, identities, where, _columns(vault, changed, now)) != 1:
        raise Again
    return changed


def opposed(connection: Connection, identity_id: str, scope: str) -> bool:
    """True when the patient objected to this kind of sending.

    Scopes: ``dmp``, ``mss`` (mail to professionals, va1.22), ``mss_citizen`` (mail to themselves, va1.20).
    """
    return sql.value(connection, oppositions, "at", identity_id=identity_id, scope=scope) is not None


def object_to(connection: Connection, identity_id: str, scope: str, by: str, now: datetime) -> None:
    """Note that a patient objects to a kind of sending."""
    if not opposed(connection, identity_id, scope):
        connection.execute(oppositions.insert().values(identity_id=identity_id, scope=scope, at=now, by=by))


def forget(connection: Connection, vault: Vault, identity_id: str, *, before: datetime, now: datetime) -> bool:
    """Forget the traits of a patient untouched since ``before``; False when there was nothing to forget.

    The keyed hash that finds the local file stays, so that one who comes back is the same person to the count, and an
    opposition still holds.
    """
    row = sql.find(connection, identities, lock=True, id=identity_id)
    if row is None or row.updated_at >= before or row.forgotten_at is not None:
        return False
    nobody = Identity(
        id=row.id, tenant=row.tenant_id, patient=NOBODY, former=(), checked_at=None, version=row.version + 1
    )
    values = _columns(vault, nobody, now) | {"forgotten_at": now}
    return sql.change(connection, identities, {"id": row.id}, values) == 1
