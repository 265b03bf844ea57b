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
from datetime import timedelta
from functools import partial

import structlog
from sqlalchemy import Connection, select

from gateway.feeds.ledger import Sealed, seal, tenants_to_seal
from gateway.journey.clock import Clock, utc_now
from gateway.journey.lane import Courier, Lane
from gateway.journey.record import cause_of, move
from gateway.journey.states import CauseCode, Delivery
from gateway.store.engine import BACKGROUND, Store
from gateway.store.tables import deliveries
from gateway.vault import Vault

__all__ = ["Worker"]

log = structlog.get_logger("passerelle.worker")


def _seal_batch(tenant: str, connection: Connection) -> Sealed:
    return seal(connection, tenant)


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
        chores: list[tuple[float, Callable[[], Awaitable[None]]]] | None = None,
    ) -> None:
        self.store = store
        self.vault = vault
        self.lease = lease
        self.poll = poll
        self.seal_every = seal_every
        self.clock = clock
        #: What else is done now and then: seconds between two times, and what.
        self.chores = chores or []
        self.owner = f"{socket.gethostname()[:40]}:{os.getpid()}:{secrets.token_hex(4)}"
        self.lanes = [
            Lane(courier, store, owner=self.owner, lease=lease, poll=poll, clock=clock) for courier in couriers
        ]
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def wake(self) -> None:
        """Look for due deliveries now rather than at the next poll."""
        for lane in self.lanes:
            lane.wake.set()

    async def start(self) -> None:
        """Start the lanes and the chores as tasks of the running loop."""
        for lane in self.lanes:
            self._tasks.append(asyncio.create_task(lane.run(), name=f"lane-{lane.name}"))
        chores = [
            (self.lease.total_seconds() / 3, self._heartbeat),
            (self.seal_every, self._seal),
            (max(self.poll, 1.0), self._expire),
            *self.chores,
        ]
        self._tasks += [asyncio.create_task(self._every(seconds, chore)) for seconds, chore in chores]

    async def stop(self, grace: float = 5.0) -> None:
        """Take nothing new, let what is in flight end within ``grace`` seconds, then give the rest back."""
        self._stop.set()
        for lane in self.lanes:
            lane.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace)
            for lane in self.lanes:
                await lane.abandon()
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        with contextlib.suppress(Exception):  # whoever starts next seals what is left
            await self._seal()

    async def _every(self, seconds: float, chore: Callable[[], Awaitable[None]]) -> None:
        while not self._stop.is_set():
            try:
                await chore()
            except Exception as exc:  # a chore that fails now is due again soon
                log.warning("chore.failed", chore=getattr(chore, "__name__", "chore"), error=type(exc).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), seconds)

    async def _heartbeat(self) -> None:
        for lane in self.lanes:
            await lane.heartbeat()

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
                .with_for_update(skip_locked=True)
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
