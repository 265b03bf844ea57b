"""The Nth call to the database fails, for each N until none does: refused whole, nothing lost, nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Table, func, select

from gateway.feeds.tables import entries
from gateway.journey.claims import claim
from gateway.journey.purge import Retention, purge
from gateway.journey.record import move
from gateway.journey.states import Delivery
from gateway.store.engine import Store, StoreUnavailable
from gateway.store.tables import blobs, deliveries, documents, history, identities
from gateway.vault import Vault
from tests.support import documents as samples
from tests.support.storage import FAULTS, failing
from tests.unit.gateway.conftest import HandClock, Intakes

PRO = {"address": "dr.exemple@medecin.formation.mssante.fr", "kind": "professional"}
TABLES = (documents, deliveries, history, blobs, identities, entries)


def counts(store: Store) -> dict[str, int]:
    """How many rows there are of everything a document makes."""

    def read(connection: Connection) -> dict[str, int]:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in TABLES
        }

    return store.read_now(read)


def states(store: Store) -> list[str]:
    """Where each delivery stands."""
    return sorted(store.read_now(lambda c: c.execute(select(deliveries.c.state)).scalars().all()))


def told(work: Callable[[], Any]) -> str | None:
    """The words of the error with which the database could not serve; None when it could."""
    try:
        work()
    except StoreUnavailable as exc:
        return str(exc)
    return None


def until_none_fails(
    store: Store, kind: str, work: Callable[[], Any], unchanged: Callable[[], Any], *, lasting: bool = False
) -> int:
    """Run work with a fault at its first call, its second... until it ends without one; how many there were.

    Each time it fails, it is told as unavailable and what ``unchanged`` looks at is as it was.
    """
    before = unchanged()
    for at in range(1, 400):
        with failing(store, at, kind, lasting=lasting) as fault:
            said = told(work)
        if not fault.failed:
            assert said is None
            return at - 1
        assert said == "OperationalError"
        assert unchanged() == before
    raise AssertionError("it never ended without a fault")


@pytest.mark.parametrize("kind", FAULTS)
def test_a_document_is_taken_whole_or_not_at_all(store: Store, intakes: Intakes, kind: str) -> None:
    """Whatever call fails, nothing is kept and the caller is told; the same request then gives one document."""
    request = intakes.request(samples.report(3), recipients=(PRO,), key="k")
    assert until_none_fails(store, kind, lambda: intakes.take(request), lambda: counts(store)) > 10
    assert counts(store)["documents"] == 1
    assert counts(store)["deliveries"] == 2
    again = intakes.take(request)
    assert again.replayed
    assert counts(store)["documents"] == 1


@pytest.mark.parametrize("kind", FAULTS)
def test_an_outcome_is_written_with_its_count_or_not_at_all(
    store: Store, vault: Vault, intakes: Intakes, clock: HandClock, kind: str
) -> None:
    """State, history and ledger move together; after the fault the same outcome is written once."""
    intakes.take(intakes.request())

    def act(to: Delivery) -> Callable[[], None]:
        def work(connection: Connection) -> None:
            row = connection.execute(select(deliveries)).one()
            move(connection, vault, row, to, at=clock(), by="test")

        return lambda: store.write_now(work)

    def seen() -> Any:
        return states(store), counts(store)

    until_none_fails(store, kind, act(Delivery.SENDING), seen)
    assert until_none_fails(store, kind, act(Delivery.ACKNOWLEDGED), seen) > 5
    assert states(store) == ["acknowledged"]


def test_a_claim_is_held_or_not(store: Store, intakes: Intakes, clock: HandClock) -> None:
    """A claim that could not be written leaves the delivery to whoever comes next."""
    intakes.take(intakes.request())

    def take() -> None:
        lease = timedelta(seconds=30)
        rows = store.write_now(lambda c: claim(c, "dmp", owner="a", now=clock(), lease=lease, limit=5))
        assert len(rows) == 1

    def leases() -> Any:
        return store.read_now(
            lambda c: [tuple(r) for r in c.execute(select(deliveries.c.lease_owner, deliveries.c.fence))]
        )

    assert until_none_fails(store, "disk full", take, leases) >= 2
    assert leases() == [("a", 1)]


@pytest.mark.parametrize("kind", ["disk full", "locked"])
def test_a_purge_that_fails_goes_on_later(
    store: Store, vault: Vault, intakes: Intakes, clock: HandClock, kind: str
) -> None:
    """Each document is whole or purged whole at every moment, and in the end all are."""
    for _ in range(2):
        intakes.take(intakes.request(to_dmp=False))
    clock.forward(days=100)
    all_of_it = Retention(contents=clock(), evidence=clock(), keys=clock())

    def consistent() -> None:
        held = {row.address for row in rows(store, blobs)}
        for row in rows(store, documents):
            needed = {row.model, row.cda, row.fhir, row.pdf} - {None}
            assert needed <= held if row.purged_at is None else not needed & held

    for at in range(1, 400):
        with failing(store, at, kind) as fault:
            said = told(lambda: purge(store, vault, all_of_it, clock()))
        assert (said is not None) is bool(fault.failed)
        consistent()
        if not fault.failed:
            break
    assert rows(store, blobs) == []


def rows(store: Store, table: Table) -> list[Any]:
    """Every row of a table."""
    return store.read_now(lambda c: list(c.execute(select(table))))
