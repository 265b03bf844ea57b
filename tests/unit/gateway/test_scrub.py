"""Scrubbing: bytes deleted are found nowhere on the disk afterwards; what is kept stays whole."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, LargeBinary, delete, func, select, text

from gateway.store import blobs
from gateway.store.engine import Store
from gateway.store.scrub import sealed_tables
from gateway.store.tables import blobs as stored
from gateway.vault import Vault
from tests.support.scanning import found_in, postgres_folder, sqlite_files
from tests.unit.gateway.conftest import HandClock


def files(store: Store) -> list[Path]:
    """Every file where the bytes of a store may be."""
    return sqlite_files(str(store.url)) if store.sqlite else postgres_folder(store.engine)


def removed(address: str, connection: Connection) -> None:
    """Delete one row."""
    connection.execute(delete(stored).where(stored.c.address == address))


def filled(store: Store, vault: Vault, clock: HandClock, seed: int) -> dict[str, bytes]:
    """Many rows, small and large, in random order, half of them deleted again; what was deleted, by its end."""
    chance = random.Random(seed)
    # Small ones share pages and are moved between them; large ones fill pages of their own.
    kept = [chance.randbytes(chance.choice((20, 300, 900, 9_000))) for _ in range(240)]
    taken = [store.submit(lambda c, one=one: blobs.put(c, vault, "t1", one, clock())) for one in kept]  # type: ignore[misc]
    at = [one.result(30) for one in taken]
    gone = chance.sample(at, 120)
    sealed = {
        address: bytes(value)
        for address, value in store.read_now(
            lambda c: c.execute(select(stored.c.address, stored.c.sealed).where(stored.c.address.in_(gone))).all()
        )
    }
    if not store.sqlite:
        # What autovacuum does by itself now and then: the planner's samples must not keep what is deleted later.
        store.write_now(lambda c: c.execute(text("ANALYZE")))
    ended = [store.submit(partial(removed, one)) for one in gone]
    for done in ended:
        done.result(30)
    return {f"{address}/{part}": value[part : part + 48] for address, value in sealed.items() for part in (0, 60)}


@pytest.mark.parametrize("seed", range(2))
def test_what_was_deleted_is_nowhere_on_the_disk(store: Store, vault: Vault, clock: HandClock, seed: int) -> None:
    """Neither the start nor the middle of any sealed row deleted, in the file, its log or the server's folder."""
    gone = filled(store, vault, clock, seed)
    held = store.read_now(lambda c: dict(c.execute(select(stored.c.address, stored.c.sealed)).all()))
    assert store.scrub(within=120)
    where = files(store)
    if not where:
        pytest.skip("the server's folder is not readable from here")
    assert found_in(where, gone) == []
    # The search itself works: what is kept is there, and opens.
    address, sealed = next(iter(held.items()))
    assert found_in(where, {"kept": bytes(sealed)[60:108]}) != []
    assert store.read_now(lambda c: blobs.get(c, vault, "t1", address))
    assert len(held) == 120


def test_the_log_alone_can_be_emptied(store: Store, vault: Vault, clock: HandClock) -> None:
    """The quick form leaves nothing in the write-ahead log of a SQLite file, and every row kept."""
    filled(store, vault, clock, 9)
    assert store.scrub(thorough=False)
    if store.sqlite:
        assert sqlite_files(str(store.url))[1].stat().st_size == 0
    assert store.read_now(lambda c: c.execute(select(func.count()).select_from(stored)).scalar_one()) == 120


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Store]:
    """A small SQLite store."""
    store = Store(f"sqlite:///{tmp_path / 'a.db'}")
    store.write_now(lambda c: c.execute(text("CREATE TABLE t (n INTEGER PRIMARY KEY, b BLOB)")))
    yield store
    store.close()


def test_a_reader_of_an_older_state_is_waited_for(lite: Store) -> None:
    """While somebody reads what was, the log cannot go: told, and done once they have ended."""
    lite.write_now(lambda c: c.execute(text("INSERT INTO t VALUES (1, randomblob(5000))")))
    reader = sqlite3.connect(str(lite.url.database), isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM t").fetchone() == (1,)
    lite.write_now(lambda c: c.execute(text("DELETE FROM t")))
    assert lite.scrub(within=0.0) is False
    assert lite.scrub(within=0.0, thorough=False) is False
    reader.close()
    assert lite.scrub(within=30.0) is True


def test_an_older_transaction_of_a_server_is_waited_for(store: Store, vault: Vault, clock: HandClock) -> None:
    """Rows deleted stay while somebody may still see them: told, and done once they have ended."""
    if store.sqlite:
        pytest.skip("a matter of the server's row versions")
    store.write_now(lambda c: blobs.put(c, vault, "t1", b"x", clock()))
    with store.engine.connect().execution_options(isolation_level="REPEATABLE READ") as reader:
        assert reader.execute(select(func.count()).select_from(stored)).scalar_one() == 1
        store.write_now(lambda c: c.execute(delete(stored)))
        assert store.scrub(within=0.2) is False
    assert store.scrub(within=120) is True


def test_writing_goes_on_beside_a_scrub(lite: Store) -> None:
    """Writes queued while the file is written anew are kept."""
    many = (
        "INSERT INTO t WITH RECURSIVE r(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM r WHERE n < 59) "
        "SELECT n, randomblob(20000) FROM r"
    )
    lite.write_now(lambda c: c.execute(text(many)))
    lite.write_now(lambda c: c.execute(text("DELETE FROM t WHERE n < 50")))
    later = [
        lite.submit(lambda c, n=number: c.execute(text("INSERT INTO t VALUES (:n, NULL)"), {"n": n}).rowcount)  # type: ignore[misc]
        for number in range(100, 140)
    ]
    assert lite.scrub()
    assert [one.result(30) for one in later] == [1] * 40
    assert lite.read_now(lambda c: c.execute(text("SELECT count(*) FROM t")).scalar_one()) == 50


def test_a_database_in_memory_has_nothing_to_scrub() -> None:
    """Nothing of it is on a disk."""
    store = Store("sqlite://")
    assert store.scrub()
    store.close()


def test_every_sealed_column_is_scrubbed(store: Store) -> None:
    """On PostgreSQL tables are named one by one: each that holds sealed bytes or salts is, the chain is not."""
    named = set(sealed_tables())
    assert {"blobs", "identities", "mail_recipients", "orders", "feed_subjects"} <= named
    assert not named & {"feed_entries", "feed_links", "feed_heads"}

    def sealed(connection: Connection) -> set[str]:
        from sqlalchemy import inspect

        look = inspect(connection)
        return {
            table
            for table in look.get_table_names()
            for column in look.get_columns(table)
            if column["name"].startswith("sealed") and isinstance(column["type"], LargeBinary)
        }

    assert store.read_now(sealed) <= named
