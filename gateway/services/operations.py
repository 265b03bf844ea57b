"""What an operator does with deliveries: look for them, and send dead letters again, one by one or by cause."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Text, or_, select, type_coerce

from gateway.journey.record import cause_of, move
from gateway.journey.states import CauseCode, Delivery
from gateway.store.tables import deliveries, incidents
from gateway.vault import Vault

__all__ = ["Filters", "Replayed", "list_deliveries", "list_incidents", "replay_by_cause", "replay_one"]

#: Most deliveries sent again in one transaction.
BATCH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which deliveries are looked for; an empty one is any."""

    state: str | None = None
    destination: str | None = None
    cause: str | None = None  #: our code, or the code behind ``too_many_attempts``

    def clauses(self) -> list[ColumnElement[bool]]:
        """The conditions of a query on deliveries."""
        out: list[ColumnElement[bool]] = []
        if self.state:
            out.append(deliveries.c.state == self.state)
        if self.destination:
            out.append(deliveries.c.destination == self.destination)
        if self.cause:
            behind = type_coerce(deliveries.c.outcome, Text).contains(f'"behind":"{self.cause}"', autoescape=True)
            out.append(or_(deliveries.c.reason == self.cause, behind))
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How many were sent again, and whether more are left."""

    count: int
    more: bool


def list_deliveries(
    connection: Connection, tenant_ids: list[str], filters: Filters, *, limit: int, before: str | None = None
) -> list[Row[Any]]:
    """The deliveries of some structures, newest first, from before an id."""
    query = select(deliveries).where(deliveries.c.tenant_id.in_(tenant_ids), *filters.clauses())
    if before:
        query = query.where(deliveries.c.id < before)
    return list(connection.execute(query.order_by(deliveries.c.id.desc()).limit(limit)))


def replay_one(
    connection: Connection, vault: Vault, tenant_ids: list[str], delivery_id: str, *, now: datetime, by: str
) -> Row[Any] | None:
    """Send a dead letter again; None when there is no such delivery.

    Raises :class:`gateway.journey.states.IllegalMove` when it is not a dead letter, or no longer.
    """
    mine = select(deliveries).where(deliveries.c.id == delivery_id, deliveries.c.tenant_id.in_(tenant_ids))
    row = connection.execute(mine.with_for_update()).first()
    if row is None:
        return None
    _again(connection, vault, row, now, by)
    return connection.execute(mine).one()


def replay_by_cause(
    connection: Connection, vault: Vault, tenant_ids: list[str], filters: Filters, *, now: datetime, by: str
) -> Replayed:
    """Send again the dead letters that match, the oldest first, a batch at a time."""
    rows = connection.execute(
        select(deliveries)
        .where(
            deliveries.c.tenant_id.in_(tenant_ids),
            deliveries.c.state == str(Delivery.DEAD_LETTER),
            *filters.clauses(),
        )
        .order_by(deliveries.c.rank, deliveries.c.id)
        .limit(BATCH + 1)
        .with_for_update(skip_locked=True)
    ).all()
    for row in rows[:BATCH]:
        _again(connection, vault, row, now, by)
    return Replayed(count=min(len(rows), BATCH), more=len(rows) > BATCH)


def _again(connection: Connection, vault: Vault, row: Row[Any], now: datetime, by: str) -> None:
    move(
        connection,
        vault,
        row,
        Delivery.QUEUED,
        at=now,
        by=by,
        cause=cause_of(CauseCode.SENT_AGAIN),
        values={"next_attempt_at": now},
    )


def list_incidents(connection: Connection, *, only_open: bool, limit: int) -> list[Row[Any]]:
    """The incidents, the latest first."""
    query = select(incidents)
    if only_open:
        query = query.where(incidents.c.open_key.is_not(None))
    return list(connection.execute(query.order_by(incidents.c.opened_at.desc(), incidents.c.id.desc()).limit(limit)))
