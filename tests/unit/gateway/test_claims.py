"""Claims by lease: one holder at a time, in order per lineage, the dead taken over, the late not written."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Row, select

from gateway.journey.claims import claim, extend, release, release_all
from gateway.journey.record import LostLease, move
from gateway.journey.states import Delivery
from gateway.store.engine import Store
from gateway.store.tables import deliveries
from gateway.vault import Vault
from tests.support import documents as samples
from tests.unit.gateway.conftest import HandClock, Intakes

LEASE = timedelta(seconds=30)


def take(store: Store, clock: HandClock, owner: str = "one", limit: int = 10) -> list[Row[Any]]:
    """Claim what is due for the DMP."""
    return store.write_now(lambda c: claim(c, "dmp", owner=owner, now=clock(), lease=LEASE, limit=limit))


def test_a_claim_is_one_holder_s(store: Store, intakes: Intakes, clock: HandClock) -> None:
    """What one holds, another does not get, until the lease ends."""
    intakes.take(intakes.request())
    mine = take(store, clock)
    assert [row.fence for row in mine] == [1]
    assert take(store, clock, "two") == []
    clock.forward(seconds=31)
    theirs = take(store, clock, "two")
    assert [row.fence for row in theirs] == [2]


def test_the_late_words_of_a_dead_worker_are_not_written(
    store: Store, intakes: Intakes, clock: HandClock, vault: Vault
) -> None:
    """A higher fence makes the former holder's outcome void."""
    intakes.take(intakes.request())
    mine = take(store, clock)[0]
    clock.forward(seconds=31)
    take(store, clock, "two")
    with pytest.raises(LostLease):
        store.write_now(lambda c: move(c, vault, mine, Delivery.SENDING, at=clock(), by="one", fence=mine.fence))


def test_a_heartbeat_keeps_a_lease(store: Store, intakes: Intakes, clock: HandClock) -> None:
    """Extended in time, a lease holds; under an old fence it does not."""
    intakes.take(intakes.request())
    mine = take(store, clock)[0]
    clock.forward(seconds=20)
    assert store.write_now(lambda c: extend(c, [(mine.id, mine.fence)], until=clock() + LEASE)) == 1
    clock.forward(seconds=20)
    assert take(store, clock, "two") == []
    assert store.write_now(lambda c: extend(c, [(mine.id, mine.fence - 1)], until=clock() + LEASE)) == 0


def test_versions_of_a_document_keep_their_order(
    store: Store, intakes: Intakes, clock: HandClock, vault: Vault
) -> None:
    """The second version is not claimed before the first has ended; another document does not wait."""
    first = samples.report(1)
    intakes.take(intakes.request(first))
    clock.forward(seconds=1)
    second = {
        **samples.report(2),
        "setId": first["setId"],
        "versionNumber": 2,
        "replaces": {"id": first["id"], "versionNumber": 1},
    }
    intakes.take(intakes.request(second))
    clock.forward(seconds=1)
    intakes.take(intakes.request(samples.report(3)))
    rows = take(store, clock)
    lineages = [row.lineage for row in rows]
    assert len(rows) == 2
    assert len(set(lineages)) == 2
    one = next(row for row in rows if row.lineage == first["setId"]["root"])
    store.write_now(lambda c: move(c, vault, one, Delivery.SENDING, at=clock(), by="x", fence=one.fence))
    sending = store.read_now(lambda c: c.execute(select(deliveries).where(deliveries.c.id == one.id)).one())
    store.write_now(
        lambda c: move(c, vault, sending, Delivery.ACKNOWLEDGED, at=clock(), by="x", fence=one.fence, receipt={})
    )
    assert [row.lineage for row in take(store, clock)] == [first["setId"]["root"]]


def test_given_back_or_started_anew(store: Store, intakes: Intakes, clock: HandClock) -> None:
    """A delivery given back is due at its time; a process that knows itself alone ends every lease."""
    intakes.take(intakes.request())
    mine = take(store, clock)[0]
    store.write_now(lambda c: release(c, mine.id, mine.fence, next_attempt_at=clock() + timedelta(minutes=1)))
    assert take(store, clock) == []
    clock.forward(minutes=2)
    assert len(take(store, clock)) == 1
    store.write_now(release_all)
    assert len(take(store, clock, "two")) == 1
