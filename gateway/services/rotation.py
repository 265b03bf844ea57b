"""A new master key: what is sealed is put under it row by row, while the gateway serves; contents are not touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import Column, Connection, Row, Table, and_, select, tuple_, update

from gateway.console.sessions import OWNER
from gateway.services.order_store import SHARED
from gateway.store.console_tables import console_sessions
from gateway.store.engine import BACKGROUND, Store
from gateway.store.mail_tables import mail_received, mail_received_documents, mail_recipients, teams
from gateway.store.order_tables import dispensations, order_events, order_relays, orders
from gateway.store.tables import blobs, identities, psc_logins, record_handles, webhooks
from gateway.vault import Vault

__all__ = ["left_behind", "rewrap"]

_BATCH: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sealed:
    """Where sealed bytes are, and what they are bound to."""

    column: Column[Any]
    tenant: Callable[[Row[Any]], str] = lambda row: str(row.tenant_id)
    name: Callable[[Row[Any]], str] = lambda row: str(row.id)

    @property
    def table(self) -> Table:
        return self.column.table


def _shared(_: Row[Any]) -> str:
    return SHARED


_PLACES: Final = (
    _Sealed(column=blobs.c.sealed, name=lambda row: str(row.address)),
    _Sealed(column=identities.c.sealed),
    _Sealed(column=mail_recipients.c.sealed),
    _Sealed(column=teams.c.sealed),
    _Sealed(column=mail_received.c.sealed),
    _Sealed(
        column=mail_received_documents.c.sealed,
        tenant=lambda row: str(row.owner),
        name=lambda row: f"{row.received_id}/{row.rank}",
    ),
    _Sealed(column=orders.c.sealed, tenant=_shared),
    _Sealed(column=order_events.c.sealed, tenant=_shared, name=lambda row: f"{row.order_id}#{row.seq}"),
    _Sealed(column=order_relays.c.sealed, tenant=_shared),
    _Sealed(column=dispensations.c.sealed),
    _Sealed(column=webhooks.c.sealed_secret),
    _Sealed(column=psc_logins.c.sealed),
    _Sealed(column=console_sessions.c.sealed, tenant=lambda _: OWNER),
)
#: Bound to a name that is not kept: they end by themselves within a day.
_SHORT_LIVED: Final = (record_handles.c.sealed,)


def rewrap(store: Store, vault: Vault) -> Counter[str]:
    """Put everything under the current master key, a batch at a time; says how many rows of each table were."""
    done: Counter[str] = Counter()
    for place in _PLACES:
        after: tuple[Any, ...] | None = ()
        while after is not None:
            count, after = store.write_now(partial(_batch, place, vault, after), BACKGROUND)
            done[place.table.name] += count
    return +done


def _batch(
    place: _Sealed, vault: Vault, after: tuple[Any, ...], connection: Connection
) -> tuple[int, tuple[Any, ...] | None]:
    table = place.table
    keys = list(table.primary_key.columns)
    query = select(table)
    if table is mail_received_documents:
        query = select(table, mail_received.c.tenant_id.label("owner")).join(
            mail_received, mail_received.c.id == table.c.received_id
        )
    if after:
        query = query.where(tuple_(*keys) > tuple_(*after))
    rows = connection.execute(query.order_by(*keys).limit(_BATCH)).all()
    count = 0
    for row in rows:
        held = bytes(row._mapping[place.column.name])
        if not held or vault.is_current(held):
            continue
        where = and_(*(key == row._mapping[key.name] for key in keys), place.column == held)
        fresh = vault.rewrap(place.tenant(row), held, place.name(row))
        # One that was written anew meanwhile is under the current key already.
        count += connection.execute(update(table).where(where).values({place.column.name: fresh})).rowcount
    last = tuple(rows[-1]._mapping[key.name] for key in keys) if len(rows) == _BATCH else None
    return count, last


def left_behind(connection: Connection, vault: Vault) -> Counter[str]:
    """How many rows of each table are still under another master key."""
    found: Counter[str] = Counter()
    for column in (*(place.column for place in _PLACES), *_SHORT_LIVED):
        rows = connection.execution_options(yield_per=1000).execute(select(column)).scalars()
        found[column.table.name] += sum(bool(one) and not vault.is_current(bytes(one)) for one in rows)
    return +found
