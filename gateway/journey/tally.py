"""What the journey tells the ledger: one entry for each delivery taken in charge and one for its end.

Entries carry codes, keyed hashes and instants only: never a trait, an address or a content.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from gateway import __version__, identities
from gateway.feeds.entry import LedgerEntry, entry_id, lineage_ref, opaque_hash
from gateway.feeds.ledger import record
from gateway.feeds.subjects import commitment
from gateway.identities import Identity
from gateway.journey.states import Delivery
from gateway.store.tables import deliveries, documents, tenants
from gateway.vault import Vault

__all__ = [
    "actor_fields",
    "common",
    "identity_fields",
    "patient_commitment",
    "structure_fields",
    "tally",
    "tally_identity",
    "tally_submission",
]

_KIND = {"dmp": "dmp.document"}

#: What an end of a delivery is called in the ledger (incentives note, 6.1); mail has its own table in ``mail_tally``.
_STATE = {
    ("dmp", Delivery.ACKNOWLEDGED): "accepted",
    ("dmp", Delivery.REFUSED): "rejected",
    ("dmp", Delivery.DEAD_LETTER): "abandoned",
    ("dmp", Delivery.EXPIRED): "expired",
    ("dmp", Delivery.WITHDRAWN): "withdrawn",
}

#: Authorities of test and demonstration identities (ins-identity.md 1.3): counted apart.
_TEST_AUTHORITIES = frozenset({"1.2.250.1.213.1.4.10", "1.2.250.1.213.1.4.11"})


def common(connection: Connection, vault: Vault, document: Row[Any], now: datetime) -> dict[str, Any]:
    """What every entry about a document says: act, actor, structure, patient, content."""
    return {
        "recorded_at": now,
        "occurred_at": document.acted_at,
        "submitted_at": document.received_at,
        "software_id": "passerelle",
        "software_version": __version__,
        **actor_fields(document.actor),
        **structure_fields(connection, document.tenant_id),
        **identity_fields(connection, vault, identities.load(connection, vault, document.identity_id)),
        "lineage_ref": lineage_ref(set_id=document.set_id, unique_id=document.unique_id),
        "version_no": document.version_number,
        "unique_id_hash": opaque_hash("unique-id", document.unique_id),
        "content_digest": document.model,
        "doc_type": document.type_code,
        "doc_type_system": document.type_system,
        "doc_format": "structured" if document.kind != "report" else "pdf",
    }


def actor_fields(actor: dict[str, Any]) -> dict[str, Any]:
    """Who is credited: the RPPS and the profession of an actor (:func:`gateway.services.intake.describe_actor`)."""
    person = str(actor.get("id") or "")
    specialty = (actor.get("specialty") or {}).get("code", "")
    return {
        # PS_IdNat of a person known nationally is 8 and the RPPS.
        "actor_rpps": person[1:] if len(person) == 12 and person.startswith("8") else person or None,
        "actor_profession": specialty.removeprefix("G15_").split("/")[0] or None,
        "actor_role": "professional",
    }


def structure_fields(connection: Connection, tenant: str) -> dict[str, Any]:
    """The FINESS or the SIRET of a tenant's structure."""
    structure = connection.execute(select(tenants.c.structure_id).where(tenants.c.id == tenant)).scalar_one_or_none()
    return {
        "structure_finess": structure[1:] if structure and structure.startswith("1") and len(structure) == 10 else None,
        "siret": structure[1:] if structure and structure.startswith("3") and len(structure) == 15 else None,
    }


def identity_fields(connection: Connection, vault: Vault, identity: Identity) -> dict[str, Any]:
    """What an entry says of a patient: the commitment that stands for them, and how sure the identity is."""
    patient = identity.patient
    return {
        "patient_commit": patient_commitment(connection, vault, identity),
        "test": bool(patient.ins and patient.ins.authority in _TEST_AUTHORITIES),
        "ins_status": str(patient.status),
    }


def patient_commitment(connection: Connection, vault: Vault, identity: Identity) -> str:
    """What stands for a patient in the tenant's ledger: by the INS when there is one, else by the local file."""
    ins = identity.patient.ins
    reference = f"{ins.value}|{ins.authority}" if ins else identity.id
    return commitment(connection, identity.tenant, "patient", reference, key=vault.key(identity.tenant, "subjects"))


def tally_identity(
    connection: Connection,
    vault: Vault,
    identity: Identity,
    *,
    kind: str,
    state: str,
    operation: str,
    now: datetime,
    actor_rpps: str | None = None,
    reason: str | None = None,
) -> None:
    """Enter a use of an identity service: an INSi answer (``ins.check``) or an app reading (``apcv.use``)."""
    patient = identity.patient
    structure = connection.execute(
        select(tenants.c.structure_id).where(tenants.c.id == identity.tenant)
    ).scalar_one_or_none()
    record(
        connection,
        identity.tenant,
        LedgerEntry(
            entry_id=entry_id("gateway", operation, 1, state),
            kind=kind,
            state=state,
            recorded_at=now,
            occurred_at=now,
            accepted_at=now,
            actor_rpps=actor_rpps,
            structure_finess=structure[1:]
            if structure and structure.startswith("1") and len(structure) == 10
            else None,
            siret=structure[1:] if structure and structure.startswith("3") and len(structure) == 15 else None,
            software_id="passerelle",
            software_version=__version__,
            patient_commit=patient_commitment(connection, vault, identity),
            test=bool(patient.ins and patient.ins.authority in _TEST_AUTHORITIES),
            ins_status=str(patient.status),
            reason=reason,
        ),
    )


def tally_submission(
    connection: Connection, vault: Vault, document: Row[Any], delivery: Row[Any], now: datetime
) -> None:
    """Enter that a document was taken in charge for the DMP."""
    if delivery.destination != "dmp":
        return
    record(
        connection,
        document.tenant_id,
        LedgerEntry(
            entry_id=entry_id("gateway", delivery.id, 1, "submitted"),
            kind=_KIND[delivery.destination],
            state="submitted",
            **common(connection, vault, document, now),
        ),
    )


def _other_versions(connection: Connection, document: Row[Any]) -> bool:
    """True when another version of a document is in the DMP: fed, and not deleted since."""
    versions = connection.execute(
        select(deliveries.c.document_id, deliveries.c.action)
        .join(documents, documents.c.id == deliveries.c.document_id)
        .where(
            documents.c.tenant_id == document.tenant_id,
            documents.c.set_id == document.set_id,
            documents.c.id != document.id,
            deliveries.c.destination == "dmp",
            deliveries.c.action.in_(("feed", "delete")),
            deliveries.c.state == str(Delivery.ACKNOWLEDGED),
        )
    ).all()
    deleted = {row.document_id for row in versions if row.action == "delete"}
    return any(row.document_id not in deleted for row in versions if row.action == "feed")


def tally(
    connection: Connection,
    vault: Vault,
    document: Row[Any],
    delivery: Row[Any],
    to: Delivery,
    reason: str | None,
    receipt: dict[str, Any] | None,
    now: datetime,
) -> None:
    """Enter the end of a delivery, in the transaction of that end."""
    state = _STATE[(delivery.destination, to)]
    if delivery.action != "feed":
        if to is not Delivery.ACKNOWLEDGED or (receipt or {}).get("unchanged"):
            # What did not change is no event: an entry here would count as a refused feed.
            return
        # A deletion by its author takes the document out of the count, once; a masking, or the deletion of one
        # version among others, changes nothing of it (incentives note, 5.1 and 5.2).
        gone = delivery.action == "delete" and not _other_versions(connection, document)
        state, reason = ("deleted", "by_author") if gone else ("metadata_changed", delivery.action)
    said = common(connection, vault, document, now)
    if delivery.action != "feed":
        said["reason"] = reason
    if to is Delivery.ACKNOWLEDGED:
        said["accepted_at"] = now
        said["target_receipt"] = (receipt or {}).get("reference")
    else:
        said["reason"] = reason
    record(
        connection,
        document.tenant_id,
        LedgerEntry(
            # A dead letter sent again is another outcome of the same delivery: the fence tells them apart.
            entry_id=entry_id("gateway", delivery.id, max(1, delivery.fence), state),
            attempt=max(1, delivery.fence),
            kind=_KIND[delivery.destination],
            state=state,
            **said,
        ),
    )
