"""What became of a mail at each of its recipients: one row a recipient, each change with its history and its count.

``pending`` until our operator has it, then ``submitted, delivered, read, failed, unknown`` (adapters.mss.tracking).
A change is one statement on the state it leaves, so that the same notice twice changes, counts and tells once.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select

from adapters.mss.addresses import mask
from adapters.mss.tracking import EventKind, RecipientState, advance
from gateway.ids import new_id
from gateway.journey import mail_tally
from gateway.journey.cause import Cause
from gateway.journey.telling import tell
from gateway.store import sql
from gateway.store.mail_tables import mail_recipient_history, mail_recipients
from gateway.store.tables import deliveries
from gateway.vault import Vault

__all__ = ["CLASSES", "PENDING", "REACHED", "address_of", "change", "enrol", "heard", "of_delivery", "shown", "silent"]

PENDING = "pending"
#: The message left for this recipient, whatever followed.
REACHED = frozenset(map(str, (RecipientState.SUBMITTED, RecipientState.DELIVERED, RecipientState.READ, "unknown")))

#: Class of a recipient in the ledger, by what the caller says the mailbox is.
CLASSES = {"professional": "ps", "structure": "bal_org", "application": "bal_app", "citizen": "citizen"}


def enrol(
    connection: Connection,
    vault: Vault,
    tenant: str,
    delivery: str,
    recipients: list[dict[str, Any]],
    now: datetime,
) -> None:
    """Write the recipients of a delivery in order: ``address``, ``kind``, and ``confidence`` of one looked up."""
    rows = []
    for rank, one in enumerate(recipients):
        number = new_id("rcp", now)
        address = str(one["address"])
        rows.append(
            {
                "id": number,
                "tenant_id": tenant,
                "delivery_id": delivery,
                "rank": rank,
                "class": CLASSES[str(one.get("kind") or "professional")],
                "lookup": lookup(vault, tenant, address),
                "sealed": vault.seal(tenant, address.encode(), number),
                "confidence": one.get("confidence"),
                "state": PENDING,
                "updated_at": now,
            }
        )
    if rows:
        connection.execute(mail_recipients.insert(), rows)


def lookup(vault: Vault, tenant: str, address: str) -> str:
    """The keyed hash that finds a recipient by address."""
    return vault.lookup(tenant, f"mail|{address.lower()}")


def address_of(vault: Vault, row: Row[Any]) -> str:
    """The address of a recipient, never to be logged."""
    return vault.open(row.tenant_id, row.sealed, row.id).decode()


def shown(vault: Vault, row: Row[Any]) -> str:
    """The address as it may be shown: a citizen's is masked, since it is the matricule."""
    return mask(address_of(vault, row))


def of_delivery(connection: Connection, delivery: str) -> list[Row[Any]]:
    """The recipients of a delivery, in the order of the mail."""
    return sorted(sql.rows(connection, mail_recipients, delivery_id=delivery), key=lambda row: row.rank)


def change(
    connection: Connection,
    vault: Vault,
    row: Row[Any],
    to: str,
    *,
    at: datetime,
    by: str,
    cause: Cause | None = None,
    count: bool = True,
) -> bool:
    """Bring a recipient to a state; False when it is there already, or when another change came first.

    With ``count`` the ledger is told, and the caller's webhooks, when the state is one that a notice gives.
    """
    if row.state == to:
        return False
    values: dict[str, Any] = {
        "state": to,
        "updated_at": at,
        "code": cause.code if cause else None,
        "original_code": cause.original_code if cause else None,
        "original_text": cause.original_text if cause else None,
        "cause_fr": cause.text.fr if cause else None,
        "cause_en": cause.text.en if cause else None,
    }
    if row.submitted_at is None and to in REACHED:
        values["submitted_at"] = at
    if sql.change(connection, mail_recipients, {"id": row.id, "state": row.state}, values) != 1:
        return False
    sql.add(
        connection,
        mail_recipient_history,
        {
            "at": at,
            "delivery_id": row.delivery_id,
            "recipient_id": row.id,
            "from_state": row.state,
            "to_state": to,
            "code": values["code"],
            "cause_fr": values["cause_fr"],
            "cause_en": values["cause_en"],
            "by": by,
        },
    )
    if count and to != str(RecipientState.SUBMITTED):
        delivery = sql.find(connection, deliveries, id=row.delivery_id)
        if delivery is None:
            raise LookupError("the delivery is gone")
        mail_tally.recipient(connection, vault, delivery, row, to, cause.code if cause else None, at)
        tell(
            connection,
            row.tenant_id,
            f"message.{to}",
            at,
            client=mail_tally.client_of(connection, delivery),
            document=delivery.document_id,
            message=delivery.message_id,
            delivery=delivery.id,
            recipient=row.id,
            outcome=cause.outcome() if cause else None,
        )
    return True


def heard(
    connection: Connection,
    vault: Vault,
    row: Row[Any],
    event: EventKind,
    *,
    at: datetime,
    by: str,
    cause: Cause | None = None,
) -> bool:
    """Apply what a notice tells of a recipient; True when it changed something."""
    # A notice that overtakes our own note of the sending proves that the operator has it.
    before = RecipientState.SUBMITTED if row.state == PENDING else RecipientState(row.state)
    after = advance(before, event)
    if after is before and row.state != PENDING:
        return False
    return change(connection, vault, row, str(after), at=at, by=by, cause=cause)


def silent(connection: Connection, vault: Vault, *, now: datetime, after: timedelta, cause: Cause, by: str) -> int:
    """Say ``unknown`` of the recipients nobody has told anything of for too long; how many were."""
    rows = connection.execute(
        select(mail_recipients)
        .where(mail_recipients.c.state == str(RecipientState.SUBMITTED), mail_recipients.c.submitted_at <= now - after)
        .order_by(mail_recipients.c.submitted_at)
        .limit(100)
        .with_for_update(skip_locked=True)
    ).all()
    return sum(change(connection, vault, row, str(RecipientState.UNKNOWN), at=now, by=by, cause=cause) for row in rows)
