"""Who works on a delivery, and until when: claims by lease, with a fence, in order per lineage.

A delivery is claimed with one statement; nothing is held open while the network is used. A worker that dies leaves a
lease that ends by itself, and whoever claims next holds a higher fence, so that the dead one's late words are not
written.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, or_, select, update

from gateway.journey.states import Delivery
from gateway.store.tables import deliveries

__all__ = ["claim", "extend", "let_go", "release", "release_all"]

_OPEN = tuple(str(s) for s in (Delivery.QUEUED, Delivery.RETRYING, Delivery.HELD, Delivery.UNCERTAIN, Delivery.SENDING))


def claim(
    connection: Connection, destination: str, *, owner: str, now: datetime, lease: timedelta, limit: int
) -> list[Row[Any]]:
    """Take up to ``limit`` due deliveries of a destination; the rows as they stand after the claim."""
    due = deliveries.alias("due")
    earlier = deliveries.alias("earlier")
    chosen = (
        select(due.c.id)
        .where(
            due.c.destination == destination,
            # Named first so that both engines walk the index of open deliveries, already in the order of what is due.
            due.c.ended_at.is_(None),
            due.c.state.in_(_OPEN),
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
        .limit(limit)
    )
    if connection.dialect.name == "postgresql":
        chosen = chosen.with_for_update(skip_locked=True, of=due)
    ids = list(connection.execute(chosen).scalars())
    if not ids:
        return []
    claimed = connection.execute(
        update(deliveries)
        .where(
            deliveries.c.id.in_(ids),
            or_(deliveries.c.lease_until.is_(None), deliveries.c.lease_until < now),
        )
        .values(lease_owner=owner, lease_until=now + lease, fence=deliveries.c.fence + 1)
        .returning(deliveries)
    )
    return list(claimed)


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
