"""Adding to the ledger while it is sealed: steadily for a minute, and by one tenant whose every commit is slow.

``PASSERELLE_BENCH_SECONDS`` says for how long (60 for the full figure; 4 otherwise). The full figure is held to its
bound by the clock, and wants a machine to itself; otherwise the bound is by processor time.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, func, select

from gateway.feeds import ledger
from gateway.feeds.tables import links, pending
from gateway.feeds.verification import verify
from gateway.store.engine import Store
from gateway.store.metadata import metadata
from tests.support.feeds import fed
from tests.support.postgres import fresh_database

SECONDS = float(os.environ.get("PASSERELLE_BENCH_SECONDS", "4"))
Record = Callable[[str, object], None]

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store, as the gateway opens it: durable at each commit."""
    if request.param == "sqlite":
        made = Store(f"sqlite:///{tmp_path / 'ledger.db'}")
        made.create_all()
        yield made
        made.close()
        return
    with fresh_database() as url:
        made = Store(url)
        made.create_all()
        yield made
        made.close()


def test_appending_for_a_while_with_sealing_on(store: Store, record_property: Record) -> None:
    """Two thousand entries a second: batches of 64 committed one by one, sealed beside as the gateway seals."""
    stop = threading.Event()

    def seal() -> None:
        while not stop.wait(0.5):
            while store.write_now(lambda c: ledger.seal(c, "one")).more:
                pass

    sealer = threading.Thread(target=seal)
    sealer.start()
    number, begun = 0, time.perf_counter()
    cpu = time.process_time()
    try:
        while time.perf_counter() - begun < SECONDS:
            batch = [fed(number + one) for one in range(64)]
            store.write_now(lambda c, batch=batch: ledger.record_many(c, "one", batch))  # type: ignore[misc]
            number += 64
    finally:
        stop.set()
        sealer.join()
    while store.write_now(lambda c: ledger.seal(c, "one")).more:
        pass
    spent, worked = time.perf_counter() - begun, time.process_time() - cpu
    record_property("seconds", round(spent, 1))
    record_property("entries_a_second", round(number / spent))
    record_property("entries_a_second_of_processor", round(number / worked))
    assert store.read_now(lambda c: c.execute(select(func.count()).select_from(links)).scalar_one()) == number
    assert number / (spent if SECONDS >= 60 else worked) > 2000


def _slow(engine: Engine) -> None:
    """Make every commit wait for twenty milliseconds on the server, its locks held."""

    def wait(connection: Connection) -> None:
        connection.exec_driver_sql("SELECT pg_sleep(0.02)")

    event.listen(engine, "commit", wait)


def test_one_tenant_keeps_up_when_every_commit_is_slow(record_property: Record) -> None:
    """66 outcomes a second of one structure, each in a transaction of its own, sealed beside: no backlog builds up."""
    rate, workers = 66, 8
    with fresh_database() as url:
        engine = create_engine(url, pool_size=workers + 2)
        metadata.create_all(engine)
        _slow(engine)
        total = int(rate * max(SECONDS, 8))
        lags: list[float] = []
        tails: list[int] = []
        stop = threading.Event()

        def seal() -> None:
            while not stop.wait(0.5):
                with engine.begin() as connection:
                    ledger.seal(connection, "one")
                with engine.connect() as connection:
                    tails.append(connection.execute(select(func.count()).select_from(pending)).scalar_one())

        def outcome(number: int) -> None:
            due = begun + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            with engine.begin() as connection:
                ledger.record(connection, "one", fed(number))
            lags.append(time.perf_counter() - due)

        sealer = threading.Thread(target=seal)
        sealer.start()
        begun = time.perf_counter()
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(outcome, range(total)))
        spent = time.perf_counter() - begun
        stop.set()
        sealer.join()
        with engine.begin() as connection:
            while ledger.seal(connection, "one").more:
                pass
        with engine.connect() as connection:
            report = verify(connection, "one")
        lags.sort()
        for name, value in (
            ("outcomes_a_second", total / spent),
            ("lag_median_ms", lags[len(lags) // 2] * 1000),
            ("lag_99_ms", lags[len(lags) * 99 // 100] * 1000),
            ("unsealed_at_most", max(tails, default=0)),
        ):
            record_property(name, round(value, 1))
        engine.dispose()
    assert report.ok
    assert report.sealed == total
    # A backlog would grow with time: the last ones are no later than a busy machine makes any of them.
    assert spent < total / rate + 5
    assert max(tails, default=0) < rate * 10


def test_such_commits_are_slow(record_property: Record) -> None:
    """One connection alone could not do it: fewer than fifty commits a second."""
    with fresh_database() as url:
        engine = create_engine(url)
        metadata.create_all(engine)
        _slow(engine)
        begun = time.perf_counter()
        for number in range(40):
            with engine.begin() as connection:
                ledger.record(connection, "one", fed(number))
        rate = 40 / (time.perf_counter() - begun)
        engine.dispose()
    record_property("commits_a_second", round(rate, 1))
    assert rate < 50
