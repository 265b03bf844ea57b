"""A lane: what is due is carried side by side, kept alive, given back when it stops, taken over when it dies."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Row, select, update

from gateway.journey.breaker import Breaker, RateLimit
from gateway.journey.lane import Lane
from gateway.journey.record import LostLease, move
from gateway.journey.states import Delivery
from gateway.store.engine import Store, StoreUnavailable
from gateway.store.tables import deliveries
from gateway.vault import Vault
from tests.unit.gateway.conftest import HandClock, Intakes

LEASE = timedelta(seconds=30)


class Porter:
    """A courier whose deliveries go as the test says."""

    destination = "dmp"

    def __init__(self, carry: Callable[[Row[Any]], Awaitable[None]], concurrency: int = 2) -> None:
        self.concurrency = concurrency
        self.breaker = Breaker(failures=1, pause=10)
        self.rate = RateLimit()
        self.trials: set[str] = set()
        self.seen: list[str] = []
        self.stumbles: list[str] = []
        self._carry = carry

    async def carry(self, delivery: Row[Any]) -> None:
        """Note it, then do as told."""
        self.seen.append(delivery.id)
        await self._carry(delivery)

    async def stumbled(self, delivery: Row[Any]) -> None:
        """Note it."""
        self.stumbles.append(delivery.id)


def lane(store: Store, clock: HandClock, porter: Porter, owner: str = "one") -> Lane:
    """A lane that looks often."""
    return Lane(porter, store, owner=owner, lease=LEASE, poll=0.01, clock=clock)


def in_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test in an event loop of its own."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        async def whole() -> None:
            await test(**fixtures)

        asyncio.run(whole())

    return run


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, generously."""
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.005)


def rows(store: Store) -> list[Row[Any]]:
    """Every delivery, oldest first."""
    return store.read_now(lambda c: list(c.execute(select(deliveries).order_by(deliveries.c.rank))))


def ends(store: Store, vault: Vault, clock: HandClock) -> Callable[[Row[Any]], Awaitable[None]]:
    """Bring a delivery to its end under the lease it is held by."""

    async def carry(row: Row[Any]) -> None:
        def work(connection: Connection) -> None:
            for to in (Delivery.SENDING, Delivery.ACKNOWLEDGED):
                held = connection.execute(select(deliveries).where(deliveries.c.id == row.id)).one()
                if held.fence != row.fence:
                    raise LostLease(row.id)
                move(connection, vault, held, to, at=clock(), by="test", fence=row.fence)

        await store.write(work)

    return carry


@in_a_loop
async def test_everything_due_is_carried_once(store: Store, vault: Vault, intakes: Intakes, clock: HandClock) -> None:
    """More than fit at once, each once."""
    for _ in range(7):
        intakes.take(intakes.request())
    porter = Porter(ends(store, vault, clock))
    one = lane(store, clock, porter)
    running = asyncio.create_task(one.run())
    await until(lambda: {row.state for row in rows(store)} == {"acknowledged"})
    one.stop()
    await running
    assert sorted(porter.seen) == sorted(row.id for row in rows(store))


@in_a_loop
async def test_a_dead_worker_s_work_is_taken_over_once_its_lease_has_ended(
    store: Store, vault: Vault, intakes: Intakes, clock: HandClock
) -> None:
    """Not a moment before; then at the next look: well within two leases."""
    intakes.take(intakes.request())
    stuck = asyncio.Event()

    async def never(_: Row[Any]) -> None:
        await stuck.wait()

    dead = lane(store, clock, Porter(never), owner="dead")
    dying = asyncio.create_task(dead.run())
    await until(lambda: rows(store)[0].lease_owner == "dead")
    died = clock()
    # It beats no more: nobody calls its heartbeat.
    porter = Porter(ends(store, vault, clock))
    other = lane(store, clock, porter, owner="other")
    living = asyncio.create_task(other.run())
    clock.forward(seconds=LEASE.total_seconds())
    for _ in range(20):
        other.wake.set()
        await asyncio.sleep(0)
    assert porter.seen == []
    clock.forward(seconds=1)
    await until(lambda: rows(store)[0].state == "acknowledged")
    assert clock() - died < 2 * LEASE
    assert rows(store)[0].fence == 2
    other.stop()
    await living
    dead.stop()
    stuck.set()
    await dying


@in_a_loop
async def test_a_heartbeat_keeps_what_is_held(store: Store, intakes: Intakes, clock: HandClock) -> None:
    """Leases are lengthened from the present."""
    intakes.take(intakes.request())
    stuck = asyncio.Event()

    async def slow(_: Row[Any]) -> None:
        await stuck.wait()

    porter = Porter(slow)
    one = lane(store, clock, porter)
    running = asyncio.create_task(one.run())
    await until(lambda: bool(porter.seen))
    clock.forward(seconds=20)
    await one.heartbeat()
    assert rows(store)[0].lease_until == clock() + LEASE
    one.stop()
    stuck.set()
    await running


@in_a_loop
async def test_stopping_gives_back_what_was_claimed_ahead(store: Store, intakes: Intakes, clock: HandClock) -> None:
    """What is under way ends or is cut short, and every lease ends at once: another node need not wait."""
    for _ in range(4):
        intakes.take(intakes.request())
    stuck = asyncio.Event()

    async def slow(_: Row[Any]) -> None:
        await stuck.wait()

    porter = Porter(slow, concurrency=2)
    one = lane(store, clock, porter)
    running = asyncio.create_task(one.run())
    await until(lambda: len(porter.seen) == 2)
    one.stop()
    await one.abandon()
    await running
    assert [row.lease_owner for row in rows(store)] == [None] * 4
    assert len(porter.seen) == 2


@in_a_loop
async def test_a_destination_that_is_down_keeps_nothing_back_from_others(
    store: Store, intakes: Intakes, clock: HandClock
) -> None:
    """What was claimed ahead is let go when the breaker opens; then one trial at a time, that spends no attempt."""
    for _ in range(4):
        intakes.take(intakes.request())

    porter: Porter

    async def fails(row: Row[Any]) -> None:
        porter.breaker.failed(clock())
        await store.write(
            lambda c: c.execute(
                update(deliveries).where(deliveries.c.id == row.id).values(lease_owner=None, lease_until=None)
            )
        )

    porter = Porter(fails, concurrency=1)
    one = lane(store, clock, porter)
    running = asyncio.create_task(one.run())
    await until(lambda: porter.breaker.open and {row.lease_owner for row in rows(store)} == {None})
    assert len(porter.seen) == 1
    clock.forward(seconds=11)
    await until(lambda: len(porter.seen) == 2)
    one.stop()
    await running
    assert porter.trials == set()


@pytest.mark.parametrize("error", [RuntimeError("ours"), LostLease("x"), StoreUnavailable("gone")])
@in_a_loop
async def test_a_fault_ends_no_lane(
    store: Store, vault: Vault, intakes: Intakes, clock: HandClock, error: Exception
) -> None:
    """Only a fault of ours is planned anew; the others are somebody else's, or looked at when the lease ends."""
    intakes.take(intakes.request())
    well = ends(store, vault, clock)
    first: list[str] = []

    async def once(row: Row[Any]) -> None:
        if not first:
            first.append(row.id)
            raise error
        await well(row)

    porter = Porter(once)
    one = lane(store, clock, porter)
    running = asyncio.create_task(one.run())
    await until(lambda: bool(first) and not one._flying)
    assert porter.stumbles == (first if isinstance(error, RuntimeError) else [])
    clock.forward(seconds=31)
    await until(lambda: rows(store)[0].state == "acknowledged")
    one.stop()
    await running


@in_a_loop
async def test_a_database_gone_ends_no_lane(
    store: Store, vault: Vault, intakes: Intakes, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim that fails is tried again."""
    intakes.take(intakes.request())
    porter = Porter(ends(store, vault, clock))
    one = lane(store, clock, porter)
    ordinary = store.write
    failed: list[int] = []

    async def write(work: Any, *rest: Any) -> Any:
        if len(failed) < 3:
            failed.append(1)
            raise StoreUnavailable("gone")
        return await ordinary(work, *rest)

    monkeypatch.setattr(store, "write", write)
    running = asyncio.create_task(one.run())
    await until(lambda: rows(store)[0].state == "acknowledged")
    one.stop()
    await running
    assert len(failed) == 3


@in_a_loop
async def test_a_rate_is_kept(store: Store, vault: Vault, intakes: Intakes, clock: HandClock) -> None:
    """No more leave than the clock allows."""
    for _ in range(3):
        intakes.take(intakes.request())
    porter = Porter(ends(store, vault, clock))
    porter.rate = RateLimit(per_second=1.0)
    one = lane(store, clock, porter)
    running = asyncio.create_task(one.run())
    await until(lambda: len(porter.seen) == 1)
    for _ in range(20):
        one.wake.set()
        await asyncio.sleep(0)
    assert len(porter.seen) == 1
    for expected in (2, 3):
        clock.forward(seconds=1)
        await until(lambda n=expected: len(porter.seen) == n)  # type: ignore[misc]
    one.stop()
    await running
