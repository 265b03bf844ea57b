"""What the journey tells the ledger: one entry for each delivery taken in charge and one for its end.

Entries carry codes, keyed hashes and instants only: never a trait, an address or a content.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from gateway import __version__, identities
from gateway.feeds.entry import LedgerEntry, entry_id, lineage_ref, opaque_hash
from gateway.feeds.ledger import record
from gateway.feeds.subjects import commitment
from gateway.identities import Identity
from gateway.journey.states import Delivery
from gateway.services.feed_facts import rpps
from gateway.store import sql
from gateway.store.tables import clients, deliveries, documents, tenants
from gateway.vault import Vault

__all__ = [
    "actor_fields",
    "common",
    "identity_fields",
    "kept_facts",
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


def common(
    connection: Connection, vault: Vault, document: Row[Any], now: datetime, identity: Identity | None = None
) -> dict[str, Any]:
    """What every entry about a document says: act, actor, structure, patient, content.

    ``identity`` is the patient's, when the caller has just read or written it.
    """
    if identity is None:
        identity = identities.load(connection, vault, document.identity_id)
    return {
        "recorded_at": now,
        "occurred_at": document.acted_at,
        "submitted_at": document.received_at,
        "software_id": document.client_id,
        **actor_fields(document.actor),
        **structure_fields(connection, document.tenant_id),
        **identity_fields(connection, vault, identity),
        "lineage_ref": lineage_ref(set_id=document.set_id, unique_id=document.unique_id),
        "version_no": document.version_number,
        "unique_id_hash": opaque_hash("unique-id", document.unique_id),
        "doc_type": document.type_code,
        "doc_type_system": document.type_system,
        **_told(document.tally or {}),
    }


def kept_facts(
    connection: Connection,
    vault: Vault,
    tenant: str,
    *,
    client: str,
    actor: dict[str, Any],
    facts: dict[str, Any],
    counting: dict[str, Any],
) -> dict[str, Any]:
    """What every entry about a document will say beside its codes, fixed once when it is taken in charge.

    ``facts`` come from the document (:mod:`gateway.services.feed_facts`), ``counting`` from the calling software.
    Nothing plain is kept: the digest is keyed, the visit is a commitment.
    """
    if not facts:
        return {}
    out: dict[str, Any] = {
        "content_digest": hmac.new(vault.key(tenant, "content"), facts["digest"].encode(), hashlib.sha256).hexdigest(),
        "care_mode": counting.get("care_mode") or facts["care_mode"],
        "care_place": facts["care_place"],
        "doc_format": facts["doc_format"],
        "ald_listed": counting.get("ald_listed"),
        "software_version": counting.get("software_version"),
    }
    told = counting.get("encounter")
    reference = f"{told['root']}|{told.get('extension') or ''}" if told else facts["encounter"]
    if reference:
        key = vault.key(tenant, "subjects")
        out["encounter_commit"] = commitment(connection, tenant, "encounter", reference, key=key)
    own = rpps(str(actor.get("id") or ""))
    substituted = rpps(counting.get("substituted"))
    if substituted and substituted != own:
        out |= {"actor_role": "substitute", "on_behalf_of_rpps": substituted}
    elif facts["legal_author"] and facts["legal_author"] != own:
        # One document of several authors is its legal author's; whoever sends it acts for them (incentives, 5.2).
        out |= {"actor_role": "delegate", "on_behalf_of_rpps": facts["legal_author"]}
    credited = {own, out.get("on_behalf_of_rpps")}
    out["co_authors_rpps"] = [one for one in facts["authors"] if one not in credited]
    terms = sql.value(connection, clients, "terms", id=client) or {}
    out["segur_ref"] = terms.get("segurRef")
    return {name: value for name, value in out.items() if value not in (None, [])}


def _told(kept: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()}


def actor_fields(actor: dict[str, Any]) -> dict[str, Any]:
    """Who is credited: the RPPS and the profession of an actor (:func:`gateway.services.intake.describe_actor`)."""
    specialty = (actor.get("specialty") or {}).get("code", "")
    return {
        "actor_rpps": rpps(str(actor.get("id") or "")),
        "actor_profession": specialty.removeprefix("G15_").split("/")[0] or None,
        "actor_role": "professional",
    }


def structure_fields(connection: Connection, tenant: str) -> dict[str, Any]:
    """The FINESS or the SIRET of a tenant's structure, and the legal FINESS it states (``legalFiness``)."""
    row = sql.find(connection, tenants, id=tenant)
    structure = row.structure_id if row else None
    return {
        "legal_finess": (row.references or {}).get("legalFiness") if row else None,
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
            **structure_fields(connection, identity.tenant),
            software_id="passerelle",
            software_version=__version__,
            patient_commit=patient_commitment(connection, vault, identity),
            test=bool(patient.ins and patient.ins.authority in _TEST_AUTHORITIES),
            ins_status=str(patient.status),
            reason=reason,
        ),
    )


def tally_submission(
    connection: Connection,
    vault: Vault,
    document: Row[Any],
    delivery: Row[Any],
    now: datetime,
    identity: Identity | None = None,
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
            **common(connection, vault, document, now, identity),
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
