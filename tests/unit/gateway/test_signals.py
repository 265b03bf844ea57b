"""Nodes wake each other over PostgreSQL; a lost listener comes back; SQLite needs none of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.store import signals
from gateway.store.engine import Store
from gateway.store.signals import Signals
from tests.support.postgres import fresh_database


@pytest.fixture
def server() -> Iterator[Store]:
    """A store on PostgreSQL."""
    with fresh_database() as url:
        store = Store(url, connections=2)
        yield store
        store.close()


def test_what_one_node_tells_another_hears(server: Store) -> None:
    """Told many times at once, heard once or so; a node does not hear itself."""

    async def main() -> tuple[int, int]:
        one, two = Signals(server), Signals(server)
        mine: list[int] = []
        heard: list[int] = []
        woken = asyncio.Event()

        def hear() -> None:
            heard.append(1)
            if len(heard) > 1:  # the first call only says that it listens
                woken.set()

        one.listen(lambda: mine.append(1))
        two.listen(hear)
        await asyncio.wait_for(asyncio.gather(one.connected.wait(), two.connected.wait()), 10)
        for _ in range(50):
            one.tell()
        await asyncio.wait_for(woken.wait(), 10)
        await one.close()
        await two.close()
        return len(mine), len(heard)

    mine, heard = asyncio.run(main())
    assert mine == 1
    assert heard == 2


def test_a_lost_listener_comes_back(server: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection cut by the server, it listens anew and looks at once for what it missed."""
    monkeypatch.setattr(signals, "_AGAIN", 0.05)

    async def main() -> int:
        one = Signals(server)
        heard: list[int] = []
        again = asyncio.Event()

        def hear() -> None:
            heard.append(1)
            if len(heard) == 2:
                again.set()

        one.listen(hear)
        await asyncio.wait_for(one.connected.wait(), 10)
        await server.write(
            lambda c: c.execute(
                text(
                    # this database alone: other tests listen on the same server
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND query LIKE 'LISTEN %'"
                )
            )
        )
        await asyncio.wait_for(again.wait(), 10)
        await one.close()
        return len(heard)

    assert asyncio.run(main()) == 2


def test_sqlite_has_one_node_and_nothing_to_tell(tmp_path: Path) -> None:
    """No task is started."""
    store = Store(f"sqlite:///{tmp_path / 'a.db'}")

    async def main() -> int:
        one = Signals(store)
        one.listen(lambda: None)
        one.tell()
        count = len(asyncio.all_tasks())
        await one.close()
        return count

    assert asyncio.run(main()) == 1
    store.close()
