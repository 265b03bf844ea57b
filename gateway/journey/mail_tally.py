"""What mail tells the ledger: one entry a message, for its end, and one for each thing learnt of each recipient.

A message to five recipients that arrives everywhere is one ``submitted`` of five recipients and five ``delivered`` of
one; all six bear the same ``unique_id_hash``, so that counting by message or by delivery are both right.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from gateway import __version__, identities
from gateway.feeds.entry import LedgerEntry, entry_id, opaque_hash
from gateway.feeds.ledger import record
from gateway.journey.states import Delivery
from gateway.journey.tally import actor_fields, common, identity_fields, structure_fields
from gateway.store import sql
from gateway.store.mail_tables import mail_recipients, messages
from gateway.store.tables import documents
from gateway.vault import Vault

__all__ = ["client_of", "end", "recipient"]

_KIND = "mss.message"

#: A mail that our operator took is *submitted*: only a notice of its delivery makes it *delivered*.
_STATE = {
    Delivery.ACKNOWLEDGED: "submitted",
    Delivery.REFUSED: "rejected",
    Delivery.DEAD_LETTER: "abandoned",
    Delivery.EXPIRED: "expired",
    Delivery.WITHDRAWN: "withdrawn",
}


def end(
    connection: Connection,
    vault: Vault,
    subject: Row[Any],
    delivery: Row[Any],
    to: Delivery,
    reason: str | None,
    receipt: dict[str, Any] | None,
    now: datetime,
) -> None:
    """Enter the end of a mail, in the transaction of that end; ``subject`` is its document or its message."""
    state = _STATE[to]
    said = _fields(connection, vault, subject, delivery, now)
    told = receipt or {}
    if to is Delivery.ACKNOWLEDGED:
        said["accepted_at"] = now
        said["target_receipt"] = told.get("reference")
        if told.get("selfAddressed"):
            said["details"] = {"self_addressed": True}
    else:
        said["reason"] = reason
    classes = {row._mapping["class"] for row in sql.rows(connection, mail_recipients, delivery_id=delivery.id)}
    said["recipients"] = delivery.recipients
    said["recipient_class"] = classes.pop() if len(classes) == 1 else None
    # A dead letter sent again is another outcome of the same delivery: the fence tells them apart.
    attempt = max(1, delivery.fence)
    number = entry_id("gateway", delivery.id, attempt, state)
    record(
        connection, delivery.tenant_id, LedgerEntry(entry_id=number, attempt=attempt, kind=_KIND, state=state, **said)
    )


def recipient(
    connection: Connection,
    vault: Vault,
    delivery: Row[Any],
    row: Row[Any],
    state: str,
    reason: str | None,
    now: datetime,
) -> None:
    """Enter what became of a mail at one recipient: delivered, read, failed or unknown, each at most once."""
    said = _fields(connection, vault, _subject(connection, delivery), delivery, now)
    said |= {"accepted_at": now, "recipients": 1, "recipient_class": row._mapping["class"]}
    if state in ("failed", "unknown"):
        said["reason"] = reason
    number = entry_id("gateway", row.id, 1, state)
    record(connection, delivery.tenant_id, LedgerEntry(entry_id=number, kind=_KIND, state=state, **said))


def client_of(connection: Connection, delivery: Row[Any]) -> str:
    """The client that asked for a delivery."""
    return str(_subject(connection, delivery).client_id)


def _subject(connection: Connection, delivery: Row[Any]) -> Row[Any]:
    if delivery.document_id is not None:
        subject = sql.find(connection, documents, id=delivery.document_id)
    else:
        subject = sql.find(connection, messages, id=delivery.message_id)
    if subject is None:
        raise LookupError(delivery.id)
    return subject


def _fields(
    connection: Connection, vault: Vault, subject: Row[Any], delivery: Row[Any], now: datetime
) -> dict[str, Any]:
    if delivery.document_id is not None:
        said = common(connection, vault, subject, now)
    else:
        said = _of_message(connection, vault, subject, now)
    # By message, not by lineage: two mails about one document are two messages.
    return said | {
        "lineage_ref": None,
        "version_no": None,
        "unique_id_hash": opaque_hash("message", delivery.id),
    }


def _of_message(connection: Connection, vault: Vault, message: Row[Any], now: datetime) -> dict[str, Any]:
    said: dict[str, Any] = {
        "recorded_at": now,
        "occurred_at": message.created_at,
        "submitted_at": message.created_at,
        "software_id": "passerelle",
        "software_version": __version__,
        **actor_fields(message.actor),
        **structure_fields(connection, message.tenant_id),
    }
    if message.identity_id is not None:
        said |= identity_fields(connection, vault, identities.load(connection, vault, message.identity_id))
    types = list(
        connection.execute(
            select(documents.c.type_code, documents.c.type_system).where(documents.c.id.in_(message.documents))
        ).all()
    )
    if len(set(types)) == 1:
        # Documents of several types have no type in common: the message then counts without one.
        said |= {"doc_type": types[0].type_code, "doc_type_system": types[0].type_system}
    return said
