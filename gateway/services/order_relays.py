"""Sending again what the national service was not told: relays given up after days of outage."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from gateway.orders.life import EventKind
from gateway.services import order_store
from gateway.store.order_tables import dispensations, order_relays
from gateway.vault import Vault

__all__ = ["send_again"]


def send_again(
    connection: Connection,
    vault: Vault,
    order_id: str,
    *,
    dispensation: str | None,
    by: str,
    tenant: str,
    now: datetime,
) -> int:
    """Queue again the abandoned relays of an order's prescriber, or of one dispensation; how many there were.

    They leave under their own operations, in the order of what happened: what the service did take meanwhile is not
    done twice. A relay the service refused is not sent again as it was: a person corrects or cancels it.
    """
    order_store.lock(connection, order_id)
    given_up = (
        order_relays.c.order_id == order_id,
        order_relays.c.tenant_id == tenant,
        order_relays.c.state == "abandoned",
        order_relays.c.dispensation_id == dispensation if dispensation else order_relays.c.dispensation_id.is_(None),
    )
    waiting: list[Any] = list(connection.execute(select(order_relays.c.id, order_relays.c.action).where(*given_up)))
    if not waiting:
        return 0
    connection.execute(
        update(order_relays)
        .where(order_relays.c.id.in_([row.id for row in waiting]))
        .values(
            state="queued", ended_at=None, next_attempt_at=now, lease_until=None, first_failed_at=None, updated_at=now
        )
    )
    if dispensation is not None and any(row.action == "execute" for row in waiting):
        connection.execute(
            update(dispensations).where(dispensations.c.id == dispensation).values(relay="queued", updated_at=now)
        )
    order_store.append(
        connection, vault, order_id, EventKind.RELAY_RESENT, at=now, by=by, tenant=tenant, dispensation=dispensation
    )
    return len(waiting)
