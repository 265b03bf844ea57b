"""Writes: a failed one harms no other, a failed commit serves nobody, a broken transaction is given up whole."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from gateway.store.engine import ACCEPT, BACKGROUND, NORMAL, Again, Store, StoreUnavailable
from tests.support.postgres import fresh_database


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Store]:
    """A small SQLite store."""
    store = Store(f"sqlite:///{tmp_path / 'a.db'}")
    store.write_now(lambda c: c.execute(text("CREATE TABLE t (n INTEGER PRIMARY KEY)")))
    yield store
    store.close()


def add(number: int) -> object:
    """A write of one row."""
    return lambda c: c.execute(text("INSERT INTO t VALUES (:n)"), {"n": number}).rowcount


def rows(store: Store) -> list[int]:
    """What was kept."""
    return [row[0] for row in store.read_now(lambda c: c.execute(text("SELECT n FROM t ORDER BY n")).all())]


def together(store: Store, works: list[tuple[object, int]]) -> list[BaseException | None]:
    """Run several writes in one batch; what each raised."""
    free = threading.Event()
    store.submit(lambda _: free.wait(10), ACCEPT)
    futures = [store.submit(work, priority) for work, priority in works]  # type: ignore[arg-type]
    free.set()
    return [future.exception(10) for future in futures]


def test_a_failed_write_harms_no_other_of_its_batch(lite: Store) -> None:
    """The one that raises changes nothing; its neighbours are kept."""

    def half(connection: Connection) -> None:
        connection.execute(text("INSERT INTO t VALUES (2)"))
        raise KeyError("no")

    errors = together(lite, [(add(1), NORMAL), (half, NORMAL), (add(3), NORMAL), (add(1), NORMAL)])
    assert [type(e).__name__ for e in errors] == ["NoneType", "KeyError", "NoneType", "IntegrityError"]
    assert rows(lite) == [1, 3]


def test_accepting_comes_first(lite: Store) -> None:
    """What waits is served by priority, then in order."""
    order: list[str] = []
    works = [(lambda _, n=name: order.append(n), p) for name, p in (("b", BACKGROUND), ("n", NORMAL), ("a", ACCEPT))]
    together(lite, works)
    assert order == ["a", "n", "b"]


def test_a_transaction_that_sqlite_ended_is_given_up_whole(lite: Store) -> None:
    """Nothing of the batch is kept, before or after the break, and everybody is told."""

    def broken(connection: Connection) -> None:
        connection.exec_driver_sql("ROLLBACK")
        raise KeyError("after a rollback of SQLite's own")

    errors = together(lite, [(add(1), NORMAL), (broken, NORMAL)])
    assert [type(e) for e in errors] == [StoreUnavailable, StoreUnavailable]
    assert rows(lite) == []
    assert lite.write_now(add(5)) == 1  # type: ignore[arg-type]


def test_an_error_of_the_engine_is_told_as_unavailable(lite: Store) -> None:
    """Its words name the failure and never the statement."""
    with pytest.raises(StoreUnavailable) as failed:
        lite.write_now(lambda c: c.execute(text("INSERT INTO nowhere VALUES (1)")))
    assert str(failed.value) == "OperationalError"
    with pytest.raises(StoreUnavailable):
        lite.read_now(lambda c: c.execute(text("SELECT 1 FROM nowhere")))


def test_a_read_only_file_keeps_nothing_and_says_so(lite: Store) -> None:
    """As on a read-only disk: refused, then served again when it may be."""
    lite.write_now(lambda c: c.exec_driver_sql("PRAGMA query_only = ON"))
    with pytest.raises(StoreUnavailable):
        lite.write_now(add(1))  # type: ignore[arg-type]
    lite.engine.dispose()  # the disk is mended: the next connection writes again
    assert lite.write_now(add(1)) == 1  # type: ignore[arg-type]


def test_postgresql_runs_again_what_lost_to_another() -> None:
    """A transaction asked to run again does, in a new transaction, and gives up after a few times."""
    with fresh_database() as url:
        store = Store(url, connections=2)
        store.write_now(lambda c: c.execute(text("CREATE TABLE t (n INTEGER PRIMARY KEY)")))
        tries: list[int] = []

        def work(connection: Connection) -> int:
            tries.append(1)
            connection.execute(text("INSERT INTO t VALUES (1)"))
            if len(tries) < 3:
                raise Again
            return len(tries)

        assert store.write_now(work) == 3
        assert rows(store) == [1]

        def never(connection: Connection) -> None:
            raise Again

        with pytest.raises(Again):
            store.write_now(never)
        store.close()


def test_a_server_that_became_read_only_is_told_as_unavailable() -> None:
    """As a standby refuses; a new connection may then reach the server that took its place."""
    with fresh_database() as url:
        store = Store(url, connections=2)
        store.write_now(lambda c: c.execute(text("CREATE TABLE t (n INTEGER)")))
        # The session alone, and for good: only another connection gets out of it.
        store.write_now(lambda c: c.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")))
        with pytest.raises(StoreUnavailable) as failed:
            store.write_now(add(1))  # type: ignore[arg-type]
        assert str(failed.value) == "ReadOnlySqlTransaction"
        assert store.write_now(add(1)) == 1  # type: ignore[arg-type]
        assert rows(store) == [1]
        store.close()


def test_a_server_that_is_gone_is_told_as_unavailable() -> None:
    """Neither a read nor a write waits for ever, nor shows an address."""
    store = Store("postgresql+psycopg://nobody@127.0.0.1:1/none", connections=1)
    for call in (store.write_now, store.read_now):
        with pytest.raises(StoreUnavailable) as failed:
            call(lambda c: c.execute(text("SELECT 1")))
        assert "127.0.0.1" not in str(failed.value)
    store.close()


def test_what_nobody_hurries_is_done_all_the_same(lite: Store) -> None:
    """Work that waits to share a commit is done when nothing else comes, beside what comes, and before the end."""
    lite.write_now(add(1), BACKGROUND)
    last = [lite.submit(add(number), priority) for number, priority in ((2, BACKGROUND), (3, ACCEPT), (4, BACKGROUND))]
    assert [future.result(10) for future in last] == [1, 1, 1]
    late = lite.submit(add(5), BACKGROUND)
    lite.close()
    assert late.result(10) == 1
