"""One lane: the deliveries of one destination, claimed a little ahead and carried side by side.

A lane that cannot serve fills itself only. What it holds is under lease: it is kept alive while the lane lives, given
back when it stops, and taken over by another node when it dies.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from functools import partial
from typing import Any, Protocol

import structlog
from sqlalchemy import Connection, Row

from gateway.journey.breaker import Breaker, RateLimit
from gateway.journey.claims import claim, extend, let_go
from gateway.journey.clock import Clock
from gateway.journey.incidents import destination_down, destination_up
from gateway.journey.record import LostLease
from gateway.journey.states import IllegalMove
from gateway.store.engine import NORMAL, Store, StoreUnavailable

__all__ = ["Courier", "Lane"]

log = structlog.get_logger("passerelle.worker")


class Courier(Protocol):
    """Takes deliveries of one destination to their end."""

    destination: str
    concurrency: int
    breaker: Breaker
    rate: RateLimit
    #: Deliveries sent to see whether a destination held to be down is back: they spend no attempt.
    trials: set[str]

    async def carry(self, delivery: Row[Any]) -> None:
        """Bring one claimed delivery as far as it goes now, writing each change under the delivery's fence."""

    async def stumbled(self, delivery: Row[Any]) -> None:
        """Plan another attempt after a fault of the gateway itself; it counts, so that none is tried for ever."""


class Lane:
    """Claims and carries the deliveries of one destination until stopped."""

    def __init__(self, courier: Courier, store: Store, *, owner: str, lease: Any, poll: float, clock: Clock) -> None:
        self.courier = courier
        self.store = store
        self.owner = owner
        self.lease = lease
        self.poll = poll
        self.clock = clock
        self.wake = asyncio.Event()
        self._stopping = False
        self._waiting: deque[Row[Any]] = deque()
        self._flying: set[asyncio.Task[None]] = set()
        self._held: dict[str, int] = {}

    @property
    def name(self) -> str:
        """The destination's name."""
        return self.courier.destination

    async def run(self) -> None:
        """Carry what is due until :meth:`stop`; returns once nothing is under way."""
        while not self._stopping:
            if self._waiting and not self._may_leave():
                await self._give_back_waiting()
            full = await self._fill()
            self._launch()
            await self._report()
            if full:
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.wake.wait(), self.poll)
            self.wake.clear()
        await self._give_back_waiting()
        if self._flying:
            await asyncio.wait(self._flying)

    def stop(self) -> None:
        """Claim nothing more."""
        self._stopping = True
        self.wake.set()

    async def abandon(self) -> None:
        """Cut short what is still under way and end its leases, so that another node looks at it at once."""
        flying = list(self._flying)
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)

    async def heartbeat(self) -> None:
        """Lengthen the leases of what the lane holds."""
        held = list(self._held.items())
        if held:
            until = self.clock() + self.lease
            await self.store.write(lambda c: extend(c, held, until=until), NORMAL)

    async def _fill(self) -> bool:
        """Claim when fewer wait here than half of what may fly; true when there may be more to claim at once."""
        courier = self.courier
        ahead = courier.concurrency if not courier.breaker.open else 0
        room = courier.concurrency + ahead - len(self._flying) - len(self._waiting)
        if len(self._waiting) * 2 > ahead or room <= 0:
            return False
        now = self.clock()
        wanted = courier.breaker.allowance(now, room, len(self._flying) + len(self._waiting))
        wanted = courier.rate.allowance(now, wanted)
        if wanted <= 0:
            return False
        try:
            rows = await self.store.write(partial(self._claim, wanted), NORMAL)
        except Exception as exc:  # the database may come back: this lane must not die
            log.warning("lane.claim_failed", lane=self.name, error=type(exc).__name__)
            await asyncio.sleep(min(1.0, self.poll * 2))
            return False
        courier.rate.spend(len(rows))
        for row in rows:
            self._held[row.id] = row.fence
            if courier.breaker.open:
                courier.trials.add(row.id)
        self._waiting.extend(rows)
        return len(rows) == wanted and wanted > 1

    def _claim(self, limit: int, connection: Connection) -> list[Row[Any]]:
        return claim(connection, self.name, owner=self.owner, now=self.clock(), lease=self.lease, limit=min(limit, 32))

    def _may_leave(self) -> bool:
        """False when what was claimed ahead must not leave after all: the destination went down meanwhile."""
        breaker = self.courier.breaker
        if breaker.open:
            return all(row.id in self.courier.trials for row in self._waiting)
        return breaker.allowance(self.clock(), 1, 0) > 0

    def _launch(self) -> None:
        while self._waiting and len(self._flying) < self.courier.concurrency:
            task = asyncio.create_task(self._carry(self._waiting.popleft()))
            self._flying.add(task)
            task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._flying.discard(task)
        self.wake.set()

    async def _carry(self, row: Row[Any]) -> None:
        try:
            await self.courier.carry(row)
        except LostLease:
            log.warning("delivery.lease_lost", delivery=row.id, lane=self.name)
        except IllegalMove:
            # Withdrawn or refused meanwhile, as it may be until it leaves.
            log.info("delivery.changed_meanwhile", delivery=row.id, lane=self.name)
        except asyncio.CancelledError:
            await self._let_go([row])
            raise
        except StoreUnavailable as exc:  # the lease ends by itself and the delivery is looked at again
            log.warning("delivery.not_written", delivery=row.id, lane=self.name, error=str(exc))
        except Exception as exc:  # a fault of ours
            log.error("delivery.failed", delivery=row.id, lane=self.name, error=type(exc).__name__)
            log.debug("delivery.trace", delivery=row.id, exc_info=exc)
            with contextlib.suppress(Exception):  # then too the lease ends by itself
                await self.courier.stumbled(row)
        finally:
            self._held.pop(row.id, None)
            self.courier.trials.discard(row.id)

    async def _give_back_waiting(self) -> None:
        rows, self._waiting = list(self._waiting), deque()
        await self._let_go(rows)
        for row in rows:
            self._held.pop(row.id, None)

    async def _let_go(self, rows: list[Row[Any]]) -> None:
        if rows:
            with contextlib.suppress(Exception):  # the leases end by themselves all the same
                await self.store.write(lambda c: let_go(c, [(row.id, row.fence) for row in rows]), NORMAL)

    async def _report(self) -> None:
        breaker = self.courier.breaker
        down = breaker.news()
        if down is None:
            return
        now = self.clock()
        since = breaker.since
        if down:
            log.error("destination.down", destination=self.name, since=since.isoformat() if since else None)
            work = partial(destination_down, self.name, now)
        else:
            log.warning("destination.up", destination=self.name)
            work = partial(destination_up, self.name, now)
        try:
            await self.store.write(work, NORMAL)
        except Exception as exc:  # an alert that cannot be written stays a line of log
            log.warning("incident.not_kept", destination=self.name, error=type(exc).__name__)
