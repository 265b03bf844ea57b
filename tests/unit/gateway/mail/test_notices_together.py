"""Notices read together are one transaction; one that stands in the way of the others has each handled alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, text

from gateway.journey import mailbox
from gateway.journey.clock import utc_now
from gateway.journey.mailbox import MailReceiver
from gateway.settings import Settings
from gateway.store.engine import Store, StoreUnavailable


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store of one table."""
    opened = Store(f"sqlite:///{tmp_path / 'a.db'}")
    opened.write_now(lambda c: c.execute(text("CREATE TABLE told (n TEXT)")))
    yield opened
    opened.close()


def applying(connection: Connection, vault: Any, tenant: str, received: str, **_: Any) -> int:
    """Keep what a notice says, unless it is a bad one."""
    connection.execute(text("INSERT INTO told VALUES (:n)"), {"n": received})
    if received == "bad":
        raise ValueError(received)
    if received == "full":
        raise StoreUnavailable(received)
    return 1


def told(store: Store, *names: str) -> bool:
    """Apply notices of these names together."""
    gateway: Any = SimpleNamespace(
        store=store, vault=None, now=utc_now, clock=utc_now, directory=None, settings=Settings()
    )
    reader: Any = SimpleNamespace(tenant=SimpleNamespace(id="t"))
    some: Any = [SimpleNamespace(received=name, fetched=SimpleNamespace(data=b"")) for name in names]

    async def run() -> bool:
        receiver = MailReceiver(gateway, SimpleNamespace(), owner="me")  # type: ignore[arg-type]
        return await receiver._notices(reader, some)

    return asyncio.run(run())


def kept(store: Store) -> list[str]:
    """What was kept."""
    return [row.n for row in store.read_now(lambda c: c.execute(text("SELECT n FROM told")).all())]


def test_notices_are_one_transaction_or_none(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are kept, in order; or, with a bad one among them, none, and each is left to be handled alone."""
    monkeypatch.setattr(mailbox, "apply_notice", applying)
    assert told(store, "one", "bad", "two") is False
    assert kept(store) == []
    assert told(store, "one", "two") is True
    assert kept(store) == ["one", "two"]


def test_a_database_that_cannot_serve_is_no_fault_of_a_notice(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried one by one then: the mailbox is read again later."""
    monkeypatch.setattr(mailbox, "apply_notice", applying)
    with pytest.raises(StoreUnavailable):
        told(store, "one", "full")
    assert kept(store) == []
