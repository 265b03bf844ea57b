"""Orders as they are kept: sealed content, events in their order, and the figures folded from them.

Whoever changes an order locks its row first, so that one change follows another on every node; what may still be given
is judged again under that lock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import Connection, Row, func, select, update

from gateway.ids import new_id
from gateway.orders.life import Event, EventKind, Given, Order, OrderView, Refused, fold, order_of
from gateway.store.order_tables import order_events, order_relays, orders
from gateway.store.tables import documents
from gateway.vault import Vault
from mappings import document as hub
from mappings.document.people import Ins
from mappings.document.prescription import Prescription

__all__ = [
    "SHARED",
    "StoredOrder",
    "append",
    "by_number",
    "create",
    "ins_key",
    "load",
    "lock",
    "next_version",
    "number_key",
    "queue_relay",
]

#: Under which name orders are sealed: they belong to no structure alone.
SHARED = "orders"

#: Events that change what may still be given: the version a caller sees is that of the last of them.
_STOCK = frozenset(
    {
        EventKind.CREATED,
        EventKind.DISPENSED,
        EventKind.DISPENSATION_CANCELLED,
        EventKind.DISPENSATION_CORRECTED,
        EventKind.CANCELLED,
        EventKind.REPLACED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOrder:
    """One order, opened, with its events and where they leave it."""

    row: Row[Any]
    number: str
    ins: Ins
    prescription: Prescription
    order: Order
    serial: str
    events: tuple[Event, ...]
    structures: Mapping[int, str | None]  #: seq of an event -> tenant that acted
    view: OrderView


def number_key(vault: Vault, number: str) -> str:
    """The keyed hash that finds an order by its number."""
    return vault.lookup(SHARED, f"number|{number.strip()}")


def ins_key(vault: Vault, ins: Ins) -> str:
    """The keyed hash of a patient's INS among orders."""
    return vault.lookup(SHARED, f"ins|{ins.authority}|{ins.value.upper()}")


def create(
    connection: Connection,
    vault: Vault,
    prescription: Prescription,
    *,
    number: str,
    serial: str,
    now: datetime,
    by: str,
    tenant: str | None = None,
    client: str | None = None,
    document: str | None = None,
    replaces: str | None = None,
) -> str:
    """Keep a new order and its first event; gives its id."""
    if prescription.patient.ins is None:
        raise ValueError("an order needs the INS")
    order = order_of(prescription)
    order_id = new_id("ord", now)
    light = prescription.model_copy(update={"pdf": None, "code_image": None})
    content = {
        "number": number,
        "ins": prescription.patient.ins.model_dump(mode="json"),
        "prescription": light.model_dump(mode="json", exclude_none=True),
        "serial": serial,
    }
    connection.execute(
        orders.insert().values(
            id=order_id,
            tenant_id=tenant,
            client_id=client,
            document_id=document,
            number_lookup=number_key(vault, number),
            ins_lookup=ins_key(vault, prescription.patient.ins),
            sealed=vault.seal(SHARED, orjson.dumps(content), order_id),
            state="prescribed",
            version=0,
            valid_until=order.valid_until,
            replaces=replaces,
            created_at=now,
            updated_at=now,
        )
    )
    append(connection, vault, order_id, EventKind.CREATED, at=now, by=by, tenant=tenant)
    return order_id


def by_number(connection: Connection, vault: Vault, number: str) -> str | None:
    """The id of the order that has a number."""
    return connection.execute(
        select(orders.c.id).where(orders.c.number_lookup == number_key(vault, number))
    ).scalar_one_or_none()


def lock(connection: Connection, order_id: str) -> Row[Any]:
    """Lock an order until the end of the transaction; its row as it stands."""
    return connection.execute(select(orders).where(orders.c.id == order_id).with_for_update()).one()


def load(connection: Connection, vault: Vault, order_id: str, now: datetime) -> StoredOrder:
    """An order with its events and figures; :class:`KeyError` when unknown."""
    row = connection.execute(select(orders).where(orders.c.id == order_id)).first()
    if row is None:
        raise KeyError(order_id)
    content = orjson.loads(vault.open(SHARED, row.sealed, row.id))
    prescription = hub.load(content["prescription"])
    if not isinstance(prescription, Prescription):
        raise TypeError("an order holds a prescription")
    rows = connection.execute(
        select(order_events).where(order_events.c.order_id == order_id).order_by(order_events.c.seq)
    ).all()
    events = tuple(_event(vault, one) for one in rows)
    order = order_of(prescription)
    view = fold(order, events, now)
    view.version = row.version
    return StoredOrder(
        row=row,
        number=content["number"],
        ins=Ins.model_validate(content["ins"]),
        prescription=prescription,
        order=order,
        serial=content["serial"],
        events=events,
        structures={one.seq: one.tenant_id for one in rows},
        view=view,
    )


def _event(vault: Vault, row: Row[Any]) -> Event:
    said = orjson.loads(vault.open(SHARED, row.sealed, f"{row.order_id}#{row.seq}"))
    return Event(
        seq=row.seq,
        kind=EventKind(row.kind),
        at=row.at,
        by=row.by,
        dispensation=row.dispensation_id,
        acted_at=row.acted_at,
        given=tuple(
            Given(
                line=one["line"],
                quantity=Decimal(one["quantity"]),
                closes=one["closes"],
                excess=Decimal(one["excess"]),
                excess_reason=one["excessReason"],
                code=one["code"],
            )
            for one in said.get("given", ())
        ),
        refused=tuple(Refused(line=one["line"], reason=one["reason"]) for one in said.get("refused", ())),
        reason=said.get("reason"),
    )


def append(
    connection: Connection,
    vault: Vault,
    order_id: str,
    kind: EventKind,
    *,
    at: datetime,
    by: str,
    tenant: str | None = None,
    dispensation: str | None = None,
    acted_at: datetime | None = None,
    given: tuple[Given, ...] = (),
    refused: tuple[Refused, ...] = (),
    reason: str | None = None,
) -> int:
    """Add an event to an order whose row the caller has locked, and give the order the state it makes."""
    last = connection.execute(
        select(func.max(order_events.c.seq)).where(order_events.c.order_id == order_id)
    ).scalar_one()
    seq = (last or 0) + 1
    said: dict[str, Any] = {}
    if given:
        said["given"] = [
            {
                "line": one.line,
                "quantity": str(one.quantity),
                "closes": one.closes,
                "excess": str(one.excess),
                "excessReason": one.excess_reason,
                "code": one.code,
            }
            for one in given
        ]
    if refused:
        said["refused"] = [{"line": one.line, "reason": one.reason} for one in refused]
    if reason:
        said["reason"] = reason
    connection.execute(
        order_events.insert().values(
            order_id=order_id,
            seq=seq,
            kind=str(kind),
            at=at,
            acted_at=acted_at,
            by=by,
            tenant_id=tenant,
            dispensation_id=dispensation,
            sealed=vault.seal(SHARED, orjson.dumps(said), f"{order_id}#{seq}"),
        )
    )
    changes: dict[str, Any] = {"updated_at": at, "state": str(load(connection, vault, order_id, at).view.state)}
    if kind in _STOCK:
        changes["version"] = seq
    connection.execute(update(orders).where(orders.c.id == order_id).values(**changes))
    return seq


def queue_relay(
    connection: Connection,
    vault: Vault,
    order_id: str,
    action: str,
    body: dict[str, Any],
    *,
    tenant: str,
    now: datetime,
    dispensation: str | None = None,
) -> str:
    """Keep what is to be told to the national service; the worker tells it, in the order of the order's relays."""
    relay_id = new_id("rly", now)
    connection.execute(
        order_relays.insert().values(
            id=relay_id,
            tenant_id=tenant,
            order_id=order_id,
            dispensation_id=dispensation,
            action=action,
            state="queued",
            sealed=vault.seal(SHARED, orjson.dumps(body), relay_id),
            next_attempt_at=now,
            created_at=now,
            updated_at=now,
        )
    )
    return relay_id


def next_version(connection: Connection, document_id: str) -> dict[str, Any]:
    """Where a new version of a kept document stands: same set, next number, what it replaces; as the hub's JSON."""
    row = connection.execute(select(documents).where(documents.c.id == document_id)).one()
    root, _, extension = row.set_id.partition("^")
    return {
        "setId": {"root": root, **({"extension": extension} if extension else {})},
        "versionNumber": row.version_number + 1,
        "replaces": {"id": {"root": row.unique_id}, "versionNumber": row.version_number},
    }
