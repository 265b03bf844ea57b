"""Who works on a delivery, and until when: claims by lease, with a fence, in order per lineage.

A delivery is claimed with one statement; nothing is held open while the network is used. A worker that dies leaves a
lease that ends by itself, and whoever claims next holds a higher fence, so that the dead one's late words are not
written.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Row, Select, and_, bindparam, exists, or_, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from gateway.journey.states import Delivery
from gateway.store.plan import run
from gateway.store.tables import deliveries
from gateway.store.types import Instant

__all__ = ["claim", "extend", "let_go", "release", "release_all"]

_OPEN = tuple(str(s) for s in (Delivery.QUEUED, Delivery.RETRYING, Delivery.HELD, Delivery.UNCERTAIN, Delivery.SENDING))


def claim(
    connection: Connection, destination: str, *, owner: str, now: datetime, lease: timedelta, limit: int
) -> list[Row[Any]]:
    """Take up to ``limit`` due deliveries of a destination; the rows as they stand after the claim."""
    postgres = connection.dialect.name == "postgresql"
    at = {"to": destination, "now": now, "most": limit}
    ids = [row.id for row in run(connection, _due(postgres), at).rows]
    if not ids:
        return []
    held = {"now": now, "owner": owner, "until": now + lease}
    if postgres:
        return list(connection.execute(_take(), {"ids": ids, **held}))
    # One statement a delivery, kept ready: quicker there than one whose number of values changes.
    return [row for number in ids for row in run(connection, _take_one(), {"one": number, **held}).rows]


@cache
def _due(lock: bool) -> Select[Any]:
    """The deliveries of a destination that may be claimed, the longest due first."""
    due = deliveries.alias("due")
    earlier = deliveries.alias("earlier")
    now = bindparam("now", type_=Instant)
    chosen = (
        select(due.c.id)
        .where(
            due.c.destination == bindparam("to"),
            # Named first so that both engines walk the index of open deliveries, already in the order of what is due.
            due.c.ended_at.is_(None),
            or_(*(due.c.state == state for state in _OPEN)),
            due.c.next_attempt_at <= now,
            or_(due.c.lease_until.is_(None), due.c.lease_until < now),
            # Versions of one document reach a destination in their order.
            ~exists().where(
                and_(
                    earlier.c.tenant_id == due.c.tenant_id,
                    earlier.c.lineage == due.c.lineage,
                    earlier.c.destination == due.c.destination,
                    earlier.c.rank < due.c.rank,
                    earlier.c.ended_at.is_(None),
                )
            ),
        )
        .order_by(due.c.next_attempt_at)
        .limit(bindparam("most", type_=Integer))
    )
    return chosen.with_for_update(skip_locked=True, of=due) if lock else chosen


@cache
def _take() -> ReturningUpdate[Any]:
    """Put a lease and a higher fence on what was chosen, unless somebody was quicker."""
    return _taking(deliveries.c.id.in_(bindparam("ids", expanding=True)))


@cache
def _take_one() -> ReturningUpdate[Any]:
    return _taking(deliveries.c.id == bindparam("one"))


def _taking(which: ColumnElement[bool]) -> ReturningUpdate[Any]:
    return (
        update(deliveries)
        .where(
            which,
            or_(deliveries.c.lease_until.is_(None), deliveries.c.lease_until < bindparam("now", type_=Instant)),
        )
        .values(
            lease_owner=bindparam("owner"),
            lease_until=bindparam("until", type_=Instant),
            fence=deliveries.c.fence + 1,
        )
        .returning(deliveries)
    )


def extend(connection: Connection, ids: list[tuple[str, int]], *, until: datetime) -> int:
    """Lengthen leases still held under the same fence; how many were."""
    held = 0
    for delivery_id, fence in ids:
        held += connection.execute(
            update(deliveries)
            .where(deliveries.c.id == delivery_id, deliveries.c.fence == fence, deliveries.c.lease_until.is_not(None))
            .values(lease_until=until)
        ).rowcount
    return held


def release(connection: Connection, delivery_id: str, fence: int, *, next_attempt_at: datetime) -> None:
    """Give a delivery back without a change of state, to be looked at again later."""
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id == delivery_id, deliveries.c.fence == fence)
        .values(lease_owner=None, lease_until=None, next_attempt_at=next_attempt_at)
    )


def let_go(connection: Connection, ids: list[tuple[str, int]]) -> None:
    """End leases held under the same fence, at once; states stay, and whoever claims next decides from them."""
    for delivery_id, fence in ids:
        connection.execute(
            update(deliveries)
            .where(deliveries.c.id == delivery_id, deliveries.c.fence == fence)
            .values(lease_owner=None, lease_until=None)
        )


def release_all(connection: Connection) -> None:
    """End every lease at once; only for a process that knows itself alone."""
    connection.execute(
        update(deliveries).where(deliveries.c.lease_until.is_not(None)).values(lease_owner=None, lease_until=None)
    )
