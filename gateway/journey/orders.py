"""Telling the national service what happened to orders: kept first, told in order, settled with the count.

A relay is sent again under the same operation until the service answers: what was done once is not done twice.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from functools import cache
from random import Random
from typing import Any

import orjson
import structlog
from sqlalchemy import Connection, Integer, Row, Select, and_, bindparam, exists, or_, select, update

from adapters.ordonnance.client import OrderService
from adapters.ordonnance.outcomes import Kind, OrderServiceError, Outcome
from gateway.context import Gateway
from gateway.journey import order_tally
from gateway.journey.retry import RetryPolicy
from gateway.journey.telling import tell
from gateway.orders.life import EventKind
from gateway.services import order_store
from gateway.services.order_store import SHARED
from gateway.services.orders import service_of
from gateway.store import sql
from gateway.store.engine import NORMAL
from gateway.store.order_tables import dispensations, order_relays, orders
from gateway.store.plan import run
from gateway.store.types import Instant

__all__ = ["OrderRelays"]

log = structlog.get_logger("passerelle.orders")

_ACCEPTED = {"register": EventKind.REGISTERED, "execute": EventKind.RELAY_ACCEPTED}
_REFUSED = {"register": EventKind.REGISTRATION_REFUSED, "execute": EventKind.RELAY_REFUSED}


@cache
def _some_due() -> Select[Any]:
    """One relay that may be due, whoever works on it."""
    due = order_relays.c
    return select(due.id).where(due.ended_at.is_(None), due.next_attempt_at <= bindparam("now", type_=Instant)).limit(1)


@cache
def _due(lock: bool) -> Select[Any]:
    """The relays that may be claimed, the longest due first."""
    now = bindparam("now", type_=Instant)
    due, earlier = order_relays.alias("due"), order_relays.alias("earlier")
    chosen = (
        select(due.c.id)
        .where(
            due.c.ended_at.is_(None),
            due.c.next_attempt_at <= now,
            or_(due.c.lease_until.is_(None), due.c.lease_until < now),
            # What happened to one order is told in its order.
            ~exists().where(
                and_(
                    or_(
                        earlier.c.order_id == due.c.order_id,
                        # A prescription that replaces another comes after everything said of that one.
                        earlier.c.order_id
                        == select(orders.c.replaces).where(orders.c.id == due.c.order_id).scalar_subquery(),
                    ),
                    earlier.c.ended_at.is_(None),
                    earlier.c.id < due.c.id,
                )
            ),
        )
        .order_by(due.c.next_attempt_at)
        .limit(bindparam("most", type_=Integer))
    )
    return chosen.with_for_update(skip_locked=True, of=due) if lock else chosen


class OrderRelays:
    """Sends the relays that are due; a chore of the worker."""

    def __init__(self, gateway: Gateway, *, policy: RetryPolicy, batch: int = 16) -> None:
        self._gateway = gateway
        self._policy = policy
        self._batch = batch
        self._random = Random()  # noqa: S311 - jitter, not a secret

    async def run(self) -> None:
        """Send everything that is due now."""
        service = service_of(self._gateway)
        while service is not None and await self._gateway.store.look(self._anything):
            rows = await self._gateway.store.write(self._claim, NORMAL)
            if not rows:
                return
            await asyncio.gather(*(self._send(service, row) for row in rows))

    def _anything(self, connection: Connection) -> bool:
        # Asked several times a second, mostly for nothing: a read costs a fraction of a write.
        return sql.anything(connection, _some_due(), {"now": self._gateway.now()})

    def _claim(self, connection: Connection) -> list[Row[Any]]:
        now = self._gateway.now()
        at = {"now": now, "most": self._batch}
        ids = [row.id for row in run(connection, _due(connection.dialect.name == "postgresql"), at).rows]
        if not ids:
            return []
        lease = now + timedelta(seconds=self._gateway.settings.ordonnance.timeout_seconds * 3)
        connection.execute(
            update(order_relays)
            .where(order_relays.c.id.in_(ids))
            .values(lease_until=lease, attempts=order_relays.c.attempts + 1)
        )
        return list(connection.execute(select(order_relays).where(order_relays.c.id.in_(ids))))

    async def _send(self, service: OrderService, row: Row[Any]) -> None:
        body = orjson.loads(self._gateway.vault.open(SHARED, row.sealed, row.id))
        try:
            if row.action == "register":
                await service.register(row.id, body)
            elif row.action == "cancel":
                await service.cancel(row.id, body)
            elif row.action == "cancel_execution":
                await service.cancel_execution(row.id, body)
            else:
                body = await self._gateway.store.read(lambda c: _without_unknown(c, body))
                await service.execute(row.id, body)
        except OrderServiceError as exc:
            outcome = exc.outcome
            later = outcome.kind is Kind.UNAVAILABLE and not self._spent(row)
            work = self._later if later else self._settle
            await self._gateway.store.write(lambda c: work(c, row, outcome))
        else:
            await self._gateway.store.write(lambda c: self._settle(c, row, None))

    def _spent(self, row: Row[Any]) -> bool:
        """An outage of the service is waited out for days: attempts alone never give a relay up."""
        days = timedelta(days=self._gateway.settings.ordonnance.relay_days)
        return row.first_failed_at is not None and self._gateway.now() - row.first_failed_at >= days

    def _later(self, connection: Connection, row: Row[Any], outcome: Outcome) -> None:
        now = self._gateway.now()
        wait = self._policy.delay(min(row.attempts, 12), self._random, outcome.retry_after)
        connection.execute(
            update(order_relays)
            .where(order_relays.c.id == row.id, order_relays.c.attempts == row.attempts)
            .values(
                lease_until=None,
                next_attempt_at=now + wait,
                first_failed_at=row.first_failed_at or now,
                updated_at=now,
                **_words(outcome),
            )
        )

    def _settle(self, connection: Connection, row: Row[Any], outcome: Outcome | None) -> None:
        """Write what the service said, its event and its ledger entry, in one transaction."""
        now = self._gateway.now()
        order = order_store.lock(connection, row.order_id)
        state = "accepted"
        if outcome is not None:
            state = "refused" if outcome.kind is Kind.REFUSED else "abandoned"
        changed = connection.execute(
            update(order_relays)
            .where(order_relays.c.id == row.id, order_relays.c.ended_at.is_(None))
            .values(
                state=state,
                ended_at=now,
                lease_until=None,
                next_attempt_at=None,
                updated_at=now,
                **(_words(outcome) if outcome else dict.fromkeys(_WORDS)),
            )
        )
        if changed.rowcount != 1:
            return  # another node settled it meanwhile
        kind = (_ACCEPTED if outcome is None else _REFUSED).get(row.action)
        if kind is not None:
            order_store.append(
                connection,
                self._gateway.vault,
                row.order_id,
                kind,
                at=now,
                by="service:ordonnance",
                tenant=row.tenant_id,
                dispensation=row.dispensation_id,
                reason=outcome.code if outcome else None,
            )
        if row.action == "execute":
            connection.execute(
                update(dispensations)
                .where(dispensations.c.id == row.dispensation_id)
                .values(relay=state, updated_at=now)
            )
        order_tally.settle(connection, self._gateway.vault, order, row, state, outcome, now)
        self._announce(connection, row, state, outcome, now)

    def _announce(
        self, connection: Connection, row: Row[Any], state: str, outcome: Outcome | None, now: datetime
    ) -> None:
        table = orders if row.dispensation_id is None else dispensations
        number = row.dispensation_id or row.order_id
        client = connection.execute(select(table.c.client_id).where(table.c.id == number)).scalar()
        if client is None:
            return
        tell(
            connection,
            row.tenant_id,
            f"prescription.{row.action}.{state}",
            now,
            client=client,
            order=row.order_id,
            dispensation=row.dispensation_id,
            outcome={"code": outcome.code, "originalCode": outcome.original_code} if outcome else None,
        )


_WORDS = ("code", "original_code", "cause_fr", "cause_en", "fix_fr", "fix_en")


def _words(outcome: Outcome) -> dict[str, Any]:
    return {
        "code": outcome.code,
        "original_code": outcome.original_code or None,
        "cause_fr": outcome.cause.fr,
        "cause_en": outcome.cause.en,
        "fix_fr": outcome.fix.fr,
        "fix_en": outcome.fix.en,
    }


def _without_unknown(connection: Connection, body: dict[str, Any]) -> dict[str, Any]:
    """A correction replaces an execution that the service took; of one it refused, there is nothing to replace."""
    former = body.get("replaces")
    if former is None:
        return body
    relay = connection.execute(select(dispensations.c.relay).where(dispensations.c.id == former)).scalar()
    return body if relay == "accepted" else {k: v for k, v in body.items() if k != "replaces"}
