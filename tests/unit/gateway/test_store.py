"""The store: one writer, several writes to a commit, a failing one alone in its failure."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.exc import IntegrityError

from gateway.store import blobs
from gateway.store.engine import ACCEPT, BACKGROUND, Store
from gateway.store.migrate import pending, upgrade
from gateway.store.tables import used_assertions
from gateway.vault import Vault

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def add(name: str) -> object:
    """A write of one row."""
    return lambda c: c.execute(insert(used_assertions).values(client_id="c", jti=name, expires_at=NOW))


def test_migrations_leave_nothing_pending(tmp_path: Path) -> None:
    """Listing what is pending writes nothing; upgrading twice is harmless."""
    url = f"sqlite:///{tmp_path / 'x.db'}"
    before = pending(url)
    assert before
    assert before == pending(url)
    upgrade(url)
    upgrade(url)
    assert pending(url) == []


def test_many_writers_lose_nothing(store: Store) -> None:
    """Sixteen threads write at once; every row is there."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: store.write_now(add(f"j{n}")), range(200)))  # type: ignore[arg-type]
    assert store.read_now(lambda c: c.execute(select(func.count()).select_from(used_assertions)).scalar_one()) == 200


def test_a_write_that_fails_takes_nobody_with_it(store: Store) -> None:
    """Several writes share a commit, and a refused one leaves the others whole."""
    gate = threading.Event()
    first = store.submit(lambda c: gate.wait(5))
    good = [store.submit(add(f"g{n}")) for n in range(3)]  # type: ignore[arg-type]
    gate.set()
    first.result(5)
    for one in good:
        one.result(5)
    bad = store.submit(add("g1"))  # type: ignore[arg-type]
    with pytest.raises(IntegrityError):
        bad.result(5)
    assert store.read_now(lambda c: c.execute(select(func.count()).select_from(used_assertions)).scalar_one()) == 3


def test_accepting_comes_first(store: Store) -> None:
    """A write of higher priority overtakes those that wait."""
    if not store.sqlite:
        pytest.skip("PostgreSQL takes writes side by side: there is no queue to overtake")
    order: list[str] = []
    gate = threading.Event()
    waiting = [store.submit(lambda c: gate.wait(5))]
    waiting.append(store.submit(lambda c: order.append("background"), BACKGROUND))
    waiting.append(store.submit(lambda c: order.append("accept"), ACCEPT))
    gate.set()
    for one in waiting:
        one.result(5)
    assert order == ["accept", "background"]


def test_sqlite_is_durable_by_setting(store: Store) -> None:
    """WAL with a full fsync: a commit survives a power cut."""
    if not store.sqlite:
        pytest.skip("a setting of SQLite")

    def look(connection: Connection) -> tuple[str, int]:
        return (
            str(connection.execute(text("PRAGMA journal_mode")).scalar()),
            int(connection.execute(text("PRAGMA synchronous")).scalar() or 0),
        )

    assert store.read_now(look) == ("wal", 2)


def test_blobs_are_kept_once_and_sealed(store: Store, vault: Vault, tmp_path: Path) -> None:
    """The same bytes have one address; neither they nor their hash stand in the file."""
    data = b"CANARY-PATIENT-TRAIT" * 50
    first = store.write_now(lambda c: blobs.put(c, vault, "t1", data, NOW))
    again = store.write_now(lambda c: blobs.put(c, vault, "t1", data, NOW))
    other = store.write_now(lambda c: blobs.put(c, vault, "t2", data, NOW))
    assert first == again != other
    assert store.read_now(lambda c: blobs.get(c, vault, "t1", first)) == data
    with pytest.raises(KeyError):
        store.read_now(lambda c: blobs.get(c, vault, "t2", first))
    assert all(b"CANARY" not in path.read_bytes() for path in tmp_path.iterdir())
