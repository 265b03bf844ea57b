"""Rights of persons: everything held about a patient of a structure, given to them or erased.

The count stands: entries keep a commitment that leads nowhere once its salt is gone, so no figure moves and no link of
the chain breaks (incentives note, 7). What others hold (DMP, mailboxes, the practice's software) is theirs to erase.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

import orjson
from sqlalchemy import Column, Connection, Row, delete, select, update

from gateway import identities
from gateway.feeds.lines import person_lines
from gateway.feeds.subjects import erase as erase_subject
from gateway.feeds.subjects import find as find_subject
from gateway.feeds.tables import entries, subjects
from gateway.identities import NOBODY, Identity
from gateway.journey.purge import drop_contents, empty_deliveries
from gateway.journey.states import Delivery
from gateway.services.evidence import addresses_in
from gateway.store import blobs
from gateway.store.mail_tables import mail_received, mail_received_documents, messages
from gateway.store.order_tables import dispensations, order_events, order_relays, orders
from gateway.store.tables import deliveries, documents, exchanges, oppositions, record_handles
from gateway.store.tables import identities as persons
from gateway.vault import Vault
from mappings.document.people import Ins

__all__ = ["Held", "StillOpen", "erase", "gather", "held", "named"]

_AT_ONCE: Final = 500
T = TypeVar("T")


class StillOpen(Exception):
    """Deliveries about the patient have not ended, or may be sent again: ``deliveries`` are their identifiers."""

    def __init__(self, open_ones: Sequence[str]) -> None:
        self.deliveries = list(open_ones)
        super().__init__(f"{len(self.deliveries)} deliveries have not ended")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Every row of a structure about one patient."""

    tenant: str
    identities: tuple[Identity, ...]
    documents: tuple[Row[Any], ...]
    messages: tuple[Row[Any], ...]
    deliveries: tuple[Row[Any], ...]
    exchanges: tuple[Row[Any], ...]
    received: tuple[Row[Any], ...]
    received_documents: tuple[Row[Any], ...]
    orders: tuple[Row[Any], ...]

    @property
    def references(self) -> list[str]:
        """How the ledger was told of the patient: each INS held or formerly held, each local file."""
        found: list[str] = []
        for one in self.identities:
            numbers = [one.patient.ins] if one.patient.ins else []
            numbers += [Ins.model_validate(former["ins"]) for former in one.former]
            found += [f"{ins.value}|{ins.authority}" for ins in numbers]
            found.append(one.id)
        return list(dict.fromkeys(found))


def named(
    connection: Connection,
    vault: Vault,
    tenant: str,
    *,
    identity: str | None = None,
    ins: Ins | None = None,
    local: tuple[str, str] | None = None,
) -> list[Identity]:
    """The identities of a patient named by an identity's id, an INS, or a local identifier (root and value)."""
    found: list[Identity] = []
    if identity is not None:
        query = select(persons.c.id).where(persons.c.id == identity, persons.c.tenant_id == tenant)
        if connection.execute(query).first() is not None:
            found.append(identities.load(connection, vault, identity))
    if local is not None:
        lookup = vault.lookup(tenant, f"local|{local[0]}|{local[1]}")
        query = select(persons.c.id).where(persons.c.tenant_id == tenant, persons.c.lookup == lookup)
        found += [identities.load(connection, vault, one) for one in connection.execute(query).scalars()]
    numbers = [ins] if ins is not None else [one.patient.ins for one in found if one.patient.ins is not None]
    for number in numbers:
        # One person may have several local files under one INS.
        found += identities.with_ins(connection, vault, tenant, number)
    return list({one.id: one for one in found}.values())


def _among(connection: Connection, column: Column[Any], values: Iterable[str]) -> list[Row[Any]]:
    wanted = sorted(set(values))
    out: list[Row[Any]] = []
    for at in range(0, len(wanted), _AT_ONCE):
        out += connection.execute(select(column.table).where(column.in_(wanted[at : at + _AT_ONCE]))).all()
    return out


def held(connection: Connection, tenant: str, of: Sequence[Identity]) -> Held:
    """Everything kept about the patient of these identities."""
    ids = [one.id for one in of]
    mine = _among(connection, documents.c.identity_id, ids)
    words = _among(connection, messages.c.identity_id, ids)
    sent = _among(connection, deliveries.c.document_id, (one.id for one in mine))
    sent += _among(connection, deliveries.c.message_id, (one.id for one in words))
    received = _among(connection, mail_received.c.identity_id, ids)
    return Held(
        tenant=tenant,
        identities=tuple(of),
        documents=tuple(mine),
        messages=tuple(words),
        deliveries=tuple(sent),
        exchanges=tuple(_among(connection, exchanges.c.delivery_id, (one.id for one in sent))),
        received=tuple(received),
        received_documents=tuple(
            _among(connection, mail_received_documents.c.received_id, (one.id for one in received))
        ),
        orders=tuple(_among(connection, orders.c.document_id, (one.id for one in mine))),
    )


def _contents(connection: Connection, vault: Vault, of: Held) -> list[str | None]:
    """Addresses of everything written about the patient; what others need too is kept by whoever drops them."""
    found: list[str | None] = []
    for row in of.documents:
        found += [row.model, row.cda, row.fhir, row.pdf, *(row.superseded or ())]
    found += [row.content for row in of.messages] + [row.raw for row in of.received]
    for row in of.received_documents:
        found += [row.cda, row.fhir]
    for row in of.exchanges:
        for side in (row.request, row.response):
            found += addresses_in(connection, vault, of.tenant, side)
    return found


def _delete(connection: Connection, column: Column[Any], values: Iterable[str], *more: Any) -> int:
    wanted = sorted(set(values))
    done = 0
    for at in range(0, len(wanted), _AT_ONCE):
        part = wanted[at : at + _AT_ONCE]
        done += connection.execute(delete(column.table).where(column.in_(part), *more)).rowcount
    return done


def erase(connection: Connection, vault: Vault, of: Held, *, now: datetime) -> dict[str, int]:
    """Erase the patient: traits, contents, exchanges, words, and the way from the ledger's commitments to them.

    Rows stay as codes and instants, and the ledger as it is. Raises :class:`StillOpen` while a delivery is under way.
    """
    # A dead letter waits for a person, who would send it again: without its content it could not leave.
    open_ones = [row.id for row in of.deliveries if row.ended_at is None or row.state == str(Delivery.DEAD_LETTER)]
    if open_ones:
        raise StillOpen(open_ones)
    tenant = of.tenant
    contents = _contents(connection, vault, of)
    done = {"orders": _erase_orders(connection, of)}
    for part in _by_some([row.id for row in of.deliveries]):
        contents += [address for _, address in empty_deliveries(connection, vault, deliveries.c.id.in_(part))]
    done["exchanges"] = _delete(connection, exchanges.c.id, (row.id for row in of.exchanges))
    for table, rows in ((documents, of.documents), (messages, of.messages), (mail_received, of.received)):
        emptied = {"superseded": None} if table is documents else {}
        for part in _by_some([row.id for row in rows]):
            connection.execute(update(table).where(table.c.id.in_(part)).values(purged_at=now, **emptied))
    for row in of.received:
        words = dict.fromkeys(orjson.loads(vault.open(tenant, row.sealed, row.id)), "")
        connection.execute(
            update(mail_received)
            .where(mail_received.c.id == row.id)
            .values(sealed=vault.seal(tenant, orjson.dumps(words), row.id), raw=None)
        )
    for row in of.received_documents:
        name = f"{row.received_id}/{row.rank}"
        where = (mail_received_documents.c.received_id == row.received_id, mail_received_documents.c.rank == row.rank)
        connection.execute(
            update(mail_received_documents).where(*where).values(sealed=vault.seal(tenant, b"", name), fhir=None)
        )
    done["contents"] = 0
    for part in _by_some(contents):
        done["contents"] += drop_contents(connection, [(tenant, address) for address in part])
    _delete(connection, oppositions.c.identity_id, (one.id for one in of.identities))
    # Handles of records consulted say nothing of whose they are, and live for hours: all of the structure's go.
    connection.execute(delete(record_handles).where(record_handles.c.tenant_id == tenant))
    done["commitments"] = _erase_subjects(connection, vault, of, now)
    for one in of.identities:
        content = {"patient": NOBODY.model_dump(mode="json", exclude_none=True), "former": []}
        connection.execute(
            update(persons)
            .where(persons.c.id == one.id)
            .values(
                lookup=secrets.token_hex(32),
                status=str(NOBODY.status),
                attributes=[],
                sealed=vault.seal(tenant, orjson.dumps(content), one.id),
                has_ins=False,
                ins_lookup=None,
                checked_at=None,
                version=persons.c.version + 1,
                updated_at=now,
                forgotten_at=now,
            )
        )
    return {"identities": len(of.identities), "documents": len(of.documents), **done}


def _by_some(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Values so many at a time: a statement takes a limited number."""
    return (values[at : at + _AT_ONCE] for at in range(0, len(values), _AT_ONCE))


def _erase_orders(connection: Connection, of: Held) -> int:
    """Delete the patient's e-prescriptions; one that another structure dispensed is that structure's too, and stays."""
    done = 0
    for row in of.orders:
        given = connection.execute(
            select(dispensations.c.tenant_id).where(dispensations.c.order_id == row.id)
        ).scalars()
        if {tenant for tenant in given if tenant != of.tenant}:
            connection.execute(update(orders).where(orders.c.id == row.id).values(document_id=None))
            continue
        for table in (order_relays, order_events, dispensations):
            connection.execute(delete(table).where(table.c.order_id == row.id))
        done += connection.execute(delete(orders).where(orders.c.id == row.id)).rowcount
    own = {row.id for row in of.documents}
    _delete(connection, dispensations.c.document_id, own, dispensations.c.tenant_id == of.tenant)
    return done


def _erase_subjects(connection: Connection, vault: Vault, of: Held, now: datetime) -> int:
    key = vault.key(of.tenant, "subjects")
    done = 0
    for reference in of.references:
        commitment = find_subject(connection, of.tenant, "patient", reference, key=key)
        if commitment is None:
            continue
        stays = select(entries.c.encounter_commit).where(
            entries.c.tenant == of.tenant,
            entries.c.patient_commit == bytes.fromhex(commitment),
            entries.c.encounter_commit.is_not(None),
        )
        connection.execute(
            delete(subjects).where(
                subjects.c.tenant == of.tenant, subjects.c.kind == "encounter", subjects.c.commitment.in_(stays)
            )
        )
        done += erase_subject(connection, of.tenant, "patient", reference, key=key, now=now)
    return done


def gather(connection: Connection, vault: Vault, of: Held) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Everything held about the patient, for themselves: one tree of words and dates, and the files it names."""
    files: dict[str, bytes] = {}

    def file(name: str, address: str | None) -> str | None:
        if address is None:
            return None
        try:
            files[name] = blobs.get(connection, vault, of.tenant, address)
        except KeyError:
            return None
        return name

    def sent(document: str | None, message: str | None = None) -> list[dict[str, Any]]:
        return [
            {
                "id": row.id,
                "to": row.destination,
                "action": row.action,
                "state": row.state,
                "cause": row.cause_fr,
                "at": row.created_at.isoformat(),
                "endedAt": row.ended_at.isoformat() if row.ended_at else None,
            }
            for row in of.deliveries
            if (document is not None and row.document_id == document)
            or (message is not None and row.message_id == message)
        ]

    key = vault.key(of.tenant, "subjects")
    commitments = [find_subject(connection, of.tenant, "patient", one, key=key) for one in of.references]
    tree: dict[str, Any] = {
        "schema": "person-export/1",
        "identities": [
            {
                "id": one.id,
                "patient": one.patient.model_dump(mode="json", exclude_none=True),
                "former": list(one.former),
                "checkedAt": one.checked_at.isoformat() if one.checked_at else None,
            }
            for one in of.identities
        ],
        "oppositions": [
            {"scope": row.scope, "at": row.at.isoformat(), "by": row.by}
            for row in _among(connection, oppositions.c.identity_id, (one.id for one in of.identities))
        ],
        "documents": [
            {
                "id": row.id,
                "uniqueId": row.unique_id,
                "kind": row.kind,
                "type": row.type_code,
                "actedAt": row.acted_at.isoformat(),
                "receivedAt": row.received_at.isoformat(),
                "state": row.state,
                "author": {"id": row.actor_id, "family": row.actor.get("family"), "given": row.actor.get("given")},
                "deliveries": sent(row.id),
                "cda": file(f"documents/{row.id}.cda.xml", row.cda),
                "fhir": file(f"documents/{row.id}.fhir.json", row.fhir),
                "pdf": file(f"documents/{row.id}.pdf", row.pdf),
            }
            for row in of.documents
        ],
        "messages": [
            {
                "id": row.id,
                "at": row.created_at.isoformat(),
                "deliveries": sent(None, row.id),
                "content": file(f"messages/{row.id}.json", row.content),
            }
            for row in of.messages
        ],
        "received": [
            {
                "id": row.id,
                "at": row.received_at.isoformat(),
                "words": orjson.loads(vault.open(of.tenant, row.sealed, row.id)),
                "mail": file(f"received/{row.id}.eml", row.raw),
            }
            for row in of.received
        ],
        "ledger": [
            line
            for commitment in dict.fromkeys(filter(None, commitments))
            for line in person_lines(connection, of.tenant, commitment)
        ],
    }
    return tree, files
