"""Incidents: a destination that is down, dead letters of one cause. Each is told once, however many nodes see it.

An incident is told by a line of log, a row that ``GET /v1/incidents`` shows, a figure in ``/metrics``, and a webhook to
the clients that hold the scope *operations*.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlalchemy import Connection, func, select, update

from gateway.ids import new_id
from gateway.store import blobs, sql
from gateway.store.tables import clients, deliveries, incidents, webhook_calls, webhooks

__all__ = [
    "dead_letters_seen",
    "dead_letters_settled",
    "destination_down",
    "destination_up",
    "ledger_altered",
    "ledger_whole",
]

log = structlog.get_logger("passerelle.incidents")

DOWN = "destination_down"
DEAD = "dead_letters"
ALTERED = "ledger_altered"


def destination_down(destination: str, now: datetime, connection: Connection) -> bool:
    """Open the incident of a destination that does not answer; true when it was not open yet."""
    return _open(connection, DOWN, destination, DOWN, now)


def destination_up(destination: str, now: datetime, connection: Connection) -> bool:
    """Close it; true when it was open."""
    return _close(connection, DOWN, destination, DOWN, now)


def dead_letters_seen(connection: Connection, destination: str, code: str, now: datetime) -> bool:
    """Open the incident of dead letters of one cause; true when it was not open yet."""
    return _open(connection, DEAD, destination, code[:60], now)


def dead_letters_settled(connection: Connection, destination: str, code: str, now: datetime) -> bool:
    """Close it when none is left; true when it was open."""
    code = code[:60]
    left = connection.execute(
        select(func.count())
        .select_from(deliveries)
        .where(
            deliveries.c.state == "dead_letter", deliveries.c.destination == destination, deliveries.c.reason == code
        )
    ).scalar_one()
    return not left and _close(connection, DEAD, destination, code, now)


def ledger_altered(connection: Connection, now: datetime) -> bool:
    """Open the incident of a ledger found altered; true when it was not open yet."""
    return _open(connection, ALTERED, "feeds", ALTERED, now)


def ledger_whole(connection: Connection, now: datetime) -> bool:
    """Close it, once every ledger was found whole again; true when it was open."""
    return _close(connection, ALTERED, "feeds", ALTERED, now)


def _key(kind: str, destination: str, code: str) -> str:
    return f"{kind}:{destination}:{code}"


def _open(connection: Connection, kind: str, destination: str, code: str, now: datetime) -> bool:
    values = {
        "id": new_id("inc", now),
        "kind": kind,
        "destination": destination,
        "code": code,
        "open_key": _key(kind, destination, code),
        "opened_at": now,
    }
    if not blobs.insert_ignore(connection, incidents, values):
        return False
    log.error("incident.opened", incident=values["id"], kind=kind, destination=destination, code=code)
    _tell(connection, "incident.opened", str(values["id"]), kind, destination, code, now)
    return True


def _close(connection: Connection, kind: str, destination: str, code: str, now: datetime) -> bool:
    row = connection.execute(
        update(incidents)
        .where(incidents.c.open_key == _key(kind, destination, code))
        .values(open_key=None, closed_at=now)
        .returning(incidents.c.id)
    ).first()
    if row is None:
        return False
    log.warning("incident.closed", incident=row.id, kind=kind, destination=destination, code=code)
    _tell(connection, "incident.closed", row.id, kind, destination, code, now)
    return True


def _tell(
    connection: Connection, what: str, incident: str, kind: str, destination: str, code: str, now: datetime
) -> None:
    listeners = connection.execute(
        select(webhooks.c.id, webhooks.c.client_id, clients.c.scopes)
        .join(clients, clients.c.id == webhooks.c.client_id)
        .where(webhooks.c.disabled_at.is_(None), clients.c.disabled_at.is_(None))
        .order_by(webhooks.c.id)
    ).all()
    told: set[str] = set()
    for listener in listeners:
        # A client with several structures hears of an incident once.
        if "operations" not in listener.scopes or listener.client_id in told:
            continue
        told.add(listener.client_id)
        call = new_id("whk", now)
        body = {
            "id": call,
            "type": what,
            "at": now.isoformat(),
            "incident": {"id": incident, "kind": kind, "destination": destination, "code": code},
        }
        sql.add(
            connection,
            webhook_calls,
            id=call,
            webhook_id=listener.id,
            body=body,
            state="queued",
            next_attempt_at=now,
            created_at=now,
        )
