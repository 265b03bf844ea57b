"""What e-prescriptions are in the ledger: created, cancelled, dispensed, once the national service said so.

The goes of one delivery at one pharmacy share a lineage, so that partial executions count once (incentives note, 5);
each renewal is another delivery. A dispensation taken back whole enters as cancelled.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from adapters.ordonnance.outcomes import Outcome
from gateway.feeds.entry import LedgerEntry, entry_id, opaque_hash
from gateway.feeds.ledger import record
from gateway.journey.tally import common
from gateway.store.order_tables import dispensations
from gateway.store.tables import documents
from gateway.vault import Vault

__all__ = ["settle"]

_STATES = {
    ("register", "accepted"): "created",
    ("register", "refused"): "rejected",
    ("register", "abandoned"): "abandoned",
    ("cancel", "accepted"): "cancelled",
    ("execute", "accepted"): "dispensed",
    ("execute", "refused"): "rejected",
    ("execute", "abandoned"): "abandoned",
    ("cancel_execution", "accepted"): "cancelled",
}


def settle(
    connection: Connection,
    vault: Vault,
    order: Row[Any],
    relay: Row[Any],
    state: str,
    outcome: Outcome | None,
    now: datetime,
) -> None:
    """Enter the end of a relay, in the transaction of that end; the order's row is locked by the caller."""
    entered = _STATES.get((relay.action, state))
    if entered is None:
        return
    subject, lineage = order.document_id, opaque_hash("eprescription", order.number_lookup)
    if relay.dispensation_id is not None:
        mine = connection.execute(select(dispensations).where(dispensations.c.id == relay.dispensation_id)).one()
        subject = mine.document_id
        if relay.action == "cancel_execution":
            if mine.lineage is None or _others(connection, mine):
                return  # another go of the same delivery still counts
            lineage = mine.lineage
        else:
            lineage = _lineage(connection, mine) if state == "accepted" else opaque_hash("execution", mine.id)
            connection.execute(update(dispensations).where(dispensations.c.id == mine.id).values(lineage=lineage))
    if subject is None:
        return  # a line refused is not a dispensation
    document = connection.execute(select(documents).where(documents.c.id == subject)).one()
    said = common(connection, vault, document, now) | {"lineage_ref": lineage}
    if outcome is None:
        said["accepted_at"] = now
    else:
        said["reason"] = outcome.code
    # Given up, sent again and given up again are two facts; anything else ends a relay once.
    turn = relay.attempts if state == "abandoned" else 1
    record(
        connection,
        relay.tenant_id,
        LedgerEntry(entry_id=entry_id("gateway", relay.id, turn, entered), kind="eprescription", state=entered, **said),
    )


def _alike(mine: Row[Any]) -> list[Any]:
    return [
        dispensations.c.tenant_id == mine.tenant_id,
        dispensations.c.order_id == mine.order_id,
        dispensations.c.id != mine.id,
        dispensations.c.relay == "accepted",
        dispensations.c.document_id.is_not(None),
    ]


def _lineage(connection: Connection, mine: Row[Any]) -> str:
    """The lineage of the goes of one delivery: that of a go that counts, of the one corrected, else a new one."""
    row = connection.execute(
        select(dispensations.c.lineage).where(
            *_alike(mine),
            dispensations.c.round == mine.round,
            dispensations.c.lineage.is_not(None),
            dispensations.c.state == "kept",
        )
    ).first()
    if row is None and mine.corrects is not None:
        row = connection.execute(
            select(dispensations.c.lineage).where(
                dispensations.c.id == mine.corrects, dispensations.c.relay == "accepted"
            )
        ).first()
    return row.lineage if row is not None and row.lineage else opaque_hash("execution", mine.id)


def _others(connection: Connection, mine: Row[Any]) -> bool:
    return (
        connection.execute(
            select(dispensations.c.id).where(
                *_alike(mine), dispensations.c.lineage == mine.lineage, dispensations.c.state == "kept"
            )
        ).first()
        is not None
    )
