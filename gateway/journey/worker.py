"""The worker: claims deliveries lane by lane, hands each to its courier, keeps leases alive, seals the ledger.

Lanes are independent: a destination that is down fills its own lane only. Everything a worker does can be done again
by another after a crash; what must not be done twice is asked of the destination first (see the couriers).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol

import structlog
from sqlalchemy import Connection, Row, select

from gateway.feeds.ledger import Sealed, seal, tenants_to_seal
from gateway.journey.claims import claim, extend
from gateway.journey.record import LostLease, cause_of, move
from gateway.journey.states import CauseCode, Delivery
from gateway.store.engine import BACKGROUND, NORMAL, Store
from gateway.store.tables import deliveries
from gateway.vault import Vault

__all__ = ["Clock", "Courier", "Worker", "utc_now"]

log = structlog.get_logger("passerelle.worker")

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The present instant, in UTC."""
    return datetime.now(UTC)


def _seal_batch(tenant: str, connection: Connection) -> Sealed:
    return seal(connection, tenant)


class Courier(Protocol):
    """Takes deliveries of one destination to their end."""

    destination: str
    concurrency: int

    async def carry(self, delivery: Row[Any]) -> None:
        """Bring one claimed delivery as far as it goes now, writing each change under the delivery's fence."""


class Worker:
    """Runs the lanes, the sealer and the expiry of held deliveries until stopped."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        couriers: list[Courier],
        *,
        lease: timedelta,
        poll: float = 0.5,
        seal_every: float = 0.5,
        clock: Clock = utc_now,
        chores: list[Callable[[], Awaitable[None]]] | None = None,
    ) -> None:
        self.store = store
        self.vault = vault
        self.couriers = couriers
        self.lease = lease
        self.poll = poll
        self.seal_every = seal_every
        self.clock = clock
        self.chores = chores or []
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._wake = {courier.destination: asyncio.Event() for courier in couriers}
        self._running: dict[str, int] = {}
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def wake(self) -> None:
        """Look for due deliveries now rather than at the next poll."""
        for event in self._wake.values():
            event.set()

    async def start(self) -> None:
        """Start the lanes and the chores as tasks of the running loop."""
        for courier in self.couriers:
            self._tasks.append(asyncio.create_task(self._lane(courier), name=f"lane-{courier.destination}"))
        self._tasks.append(asyncio.create_task(self._every(self.lease.total_seconds() / 3, self._heartbeat)))
        self._tasks.append(asyncio.create_task(self._every(self.seal_every, self._seal)))
        self._tasks.append(asyncio.create_task(self._every(max(self.poll, 1.0), self._expire)))
        for chore in self.chores:
            self._tasks.append(asyncio.create_task(self._every(self.poll, chore)))

    async def stop(self, grace: float = 10.0) -> None:
        """Take nothing new, let what is in flight end within ``grace`` seconds, then let go."""
        self._stop.set()
        self.wake()
        _, late = await asyncio.wait(self._tasks, timeout=grace) if self._tasks else (set(), set())
        for task in late:
            task.cancel()
        for task in late:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._seal()

    async def _lane(self, courier: Courier) -> None:
        wake = self._wake[courier.destination]
        flying: set[asyncio.Task[None]] = set()
        while not self._stop.is_set():
            free = courier.concurrency - len(flying)
            rows: list[Row[Any]] = []
            if free > 0:
                try:
                    rows = await self.store.write(partial(self._claim, courier.destination, free), NORMAL)
                except Exception as exc:  # the database may come back: this lane must not die
                    log.warning("lane.claim_failed", lane=courier.destination, error=type(exc).__name__)
                    await self._pause(1.0)
            for row in rows:
                self._running[row.id] = row.fence
                task = asyncio.create_task(self._carry(courier, row))
                flying.add(task)
                task.add_done_callback(flying.discard)
                task.add_done_callback(lambda _: wake.set())
            if len(rows) == free and free > 0:
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), self.poll)
            wake.clear()
        if flying:
            await asyncio.wait(flying)

    def _claim(self, destination: str, limit: int, connection: Connection) -> list[Row[Any]]:
        return claim(
            connection, destination, owner=self.owner, now=self.clock(), lease=self.lease, limit=min(limit, 16)
        )

    async def _carry(self, courier: Courier, row: Row[Any]) -> None:
        try:
            await courier.carry(row)
        except LostLease:
            log.warning("delivery.lease_lost", delivery=row.id, lane=courier.destination)
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # a fault of ours: the lease ends by itself and the delivery is tried again
            log.error("delivery.failed", delivery=row.id, lane=courier.destination, error=type(exc).__name__)
            log.debug("delivery.trace", delivery=row.id, exc_info=exc)
        finally:
            self._running.pop(row.id, None)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    async def _every(self, seconds: float, chore: Callable[[], Awaitable[None]]) -> None:
        while not self._stop.is_set():
            try:
                await chore()
            except Exception as exc:  # a chore that fails now is due again soon
                log.warning("chore.failed", chore=getattr(chore, "__name__", "chore"), error=type(exc).__name__)
            await self._pause(seconds)

    async def _heartbeat(self) -> None:
        running = list(self._running.items())
        if running:
            until = self.clock() + self.lease
            await self.store.write(lambda c: extend(c, running, until=until), NORMAL)

    async def _seal(self) -> None:
        for tenant in await self.store.read(tenants_to_seal):
            more = True
            while more:
                more = (await self.store.write(partial(_seal_batch, tenant), BACKGROUND)).more

    async def _expire(self) -> None:
        now = self.clock()

        def overdue(connection: Connection) -> int:
            rows = connection.execute(
                select(deliveries)
                .where(deliveries.c.state == str(Delivery.HELD), deliveries.c.expires_at <= now)
                .limit(100)
            ).all()
            for row in rows:
                move(
                    connection,
                    self.vault,
                    row,
                    Delivery.EXPIRED,
                    at=now,
                    by="gateway",
                    cause=cause_of(CauseCode.HELD_TOO_LONG),
                )
            return len(rows)

        found = await self.store.read(
            lambda c: c.execute(
                select(deliveries.c.id)
                .where(deliveries.c.state == str(Delivery.HELD), deliveries.c.expires_at <= now)
                .limit(1)
            ).first()
        )
        if found is not None:
            await self.store.write(overdue, BACKGROUND)
