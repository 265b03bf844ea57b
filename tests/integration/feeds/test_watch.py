"""Every ledger read again at night by a process of its own, on each engine: what it finds is kept and told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, select, text, update

from gateway.feeds.ledger import record_many, seal
from gateway.feeds.tables import verifications
from gateway.services.feeds_watch import NightWatch, last_verified
from gateway.store.engine import Store
from gateway.store.tables import incidents
from tests.support.feeds import fed
from tests.support.postgres import fresh_database

NIGHT = datetime(2026, 11, 24, 1, 30, tzinfo=UTC)  # half past two in Paris
NAMES = ("cabinet", "pharmacie")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Two sealed ledgers on each engine."""

    def fill(connection: Connection) -> None:
        for name in NAMES:
            record_many(connection, name, [fed(number) for number in range(300)])
            while seal(connection, name).more:
                pass

    def made(url: str) -> Iterator[Store]:
        one = Store(url)
        one.create_all()
        one.write_now(fill)
        yield one
        one.close()

    if request.param == "sqlite":
        yield from made(f"sqlite:///{tmp_path / 'ledger.db'}")
        return
    with fresh_database() as url:
        yield from made(url)


def watch(store: Store, at: datetime, hour: int | None = 2) -> NightWatch:
    """The chore of a node whose clock stands at an instant, up for a while."""
    feeds = SimpleNamespace(verify_hour=hour)
    clock = [at - timedelta(hours=1)]
    gateway: Any = SimpleNamespace(store=store, settings=SimpleNamespace(feeds=feeds), now=lambda: clock[0])
    made = NightWatch(gateway)
    clock[0] = at
    return made


def states(store: Store) -> dict[str, str]:
    """What the last reading of each ledger found."""
    return {one.tenant: one.state for one in store.read_now(lambda c: last_verified(c, NAMES))}


def open_incidents(store: Store) -> list[str]:
    """The incidents open now."""
    query = select(incidents.c.kind).where(incidents.c.open_key.is_not(None))
    return list(store.read_now(lambda c: list(c.execute(query).scalars())))


def test_a_change_is_known_by_morning(store: Store) -> None:
    """Whole the first night; a line changed meanwhile is found the next, as an incident; mended, the incident ends."""
    asyncio.run(watch(store, NIGHT).run())
    assert states(store) == {"cabinet": "whole", "pharmacie": "whole"}
    (first, _) = store.read_now(lambda c: last_verified(c, NAMES))
    assert first.sealed == 300
    assert not first.late(NIGHT + timedelta(days=1))
    assert first.late(NIGHT + timedelta(days=3))
    assert open_incidents(store) == []

    def change(connection: Connection, value: str) -> None:
        if store.sqlite:
            connection.execute(text("DROP TRIGGER IF EXISTS feed_entries_no_UPDATE"))
        else:
            connection.execute(text("ALTER TABLE feed_entries DISABLE TRIGGER USER"))
        row = "SELECT min(id) FROM feed_entries WHERE tenant = 'pharmacie'"
        connection.execute(text(f"UPDATE feed_entries SET doc_type = :v WHERE id = ({row})"), {"v": value})  # noqa: S608

    kept = store.read_now(
        lambda c: c.execute(text("SELECT doc_type FROM feed_entries WHERE tenant = 'pharmacie' ORDER BY id")).scalar()
    )
    store.write_now(lambda c: change(c, "autre"))
    asyncio.run(watch(store, NIGHT + timedelta(days=1)).run())
    assert states(store) == {"cabinet": "whole", "pharmacie": "altered"}
    altered = store.read_now(lambda c: last_verified(c, ["pharmacie"]))[0]
    assert altered.findings
    assert open_incidents(store) == ["ledger_altered"]

    store.write_now(lambda c: change(c, str(kept)))
    asyncio.run(watch(store, NIGHT + timedelta(days=2)).run())
    assert states(store) == {"cabinet": "whole", "pharmacie": "whole"}
    assert open_incidents(store) == []


def test_a_night_is_read_once_and_at_night(store: Store) -> None:
    """By day, while it starts, when set to never, or when another node has begun: nothing is read."""
    for at, hour in ((NIGHT + timedelta(hours=10), 2), (NIGHT, None)):
        one = watch(store, at, hour)
        asyncio.run(one.run())
        assert states(store) == {}
    assert watch(store, NIGHT, None).chores() == []
    starting = watch(store, NIGHT)
    starting._from = NIGHT + timedelta(minutes=1)
    asyncio.run(starting.run())
    assert states(store) == {}
    begun = {"day": "2026-11-24", "state": "running", "begun_at": "2026-11-24T01:29:00.000Z"}
    store.write_now(lambda c: c.execute(verifications.insert().values(tenant="cabinet", **begun)))
    asyncio.run(watch(store, NIGHT).run())
    assert states(store) == {"pharmacie": "whole"}
    # A node that died with a reading in hand: another takes it up the night after, when it is surely gone.
    store.write_now(
        lambda c: c.execute(
            update(verifications).where(verifications.c.tenant == "cabinet").values(begun_at="2026-11-23T01:29:00.000Z")
        )
    )
    asyncio.run(watch(store, NIGHT).run())
    assert states(store) == {"cabinet": "whole", "pharmacie": "whole"}


def test_a_reading_that_dies_is_said_to_have_failed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends without an answer: neither whole nor altered, and no incident."""
    one = watch(store, NIGHT)
    monkeypatch.setattr("gateway.services.feeds_watch._in_process", _dies)
    asyncio.run(one.run())
    assert states(store) == {"cabinet": "failed", "pharmacie": "failed"}
    assert open_incidents(store) == []
    asyncio.run(one.close())


def _dies(url: str, tenants: Any, answer: Any) -> None:
    raise SystemExit(3)
