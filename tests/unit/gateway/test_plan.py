"""Statements run by the engine's own cursor give what SQLAlchemy gives, and fail as it does."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Table, event, insert, select
from sqlalchemy.exc import IntegrityError, StatementError

from gateway.store import sql
from gateway.store.engine import Store, StoreUnavailable
from gateway.store.plan import run
from gateway.store.tables import blobs, documents, history, installation, tenants

NOW = datetime(2026, 11, 24, 8, 0, 0, 123456, tzinfo=UTC)
TENANT = {
    "id": "t",
    "structure_id": "1290099886",
    "name": "CABINET FICTIF",
    "activity_sector": "SA07",
    "references": {"mailbox": "a@b"},
    "created_at": NOW,
}
BLOB = {"tenant_id": "t", "address": "a", "sealed": b"\x00\xff", "size": 2, "created_at": NOW}


@pytest.mark.parametrize(("table", "values"), [(tenants, TENANT), (blobs, BLOB)])
def test_rows_are_those_of_sqlalchemy(store: Store, table: Table, values: dict[str, Any]) -> None:
    """Values, names and absent ones: JSON, instants, bytes and nulls come out as they went in."""

    def work(connection: Connection) -> tuple[Any, Any]:
        sql.add(connection, table, values)
        name = table.primary_key.columns.keys()[0]
        return sql.find(connection, table, **{name: values[name]}), connection.execute(select(table)).one()

    ours, theirs = store.write_now(work)
    assert tuple(ours) == tuple(theirs)
    assert ours._mapping == theirs._mapping
    assert ours._fields == theirs._fields
    assert all(getattr(ours, key) == value for key, value in values.items())


def test_defaults_of_the_table_hold(store: Store) -> None:
    """A row number left out is given by the database, a column left out is null."""

    def work(connection: Connection) -> Any:
        for state in ("accepted", "completed"):
            sql.add(connection, history, {"at": NOW, "tenant_id": "t", "to_state": state, "by": "x"})
        return sql.rows(connection, history, tenant_id="t")

    first, second = store.write_now(work)
    assert second.id > first.id
    assert first.cause_fr is None


def test_failures_are_those_of_sqlalchemy(store: Store) -> None:
    """The same exceptions; those of SQLite show no value."""
    row = {"name": "canary-name", "value": "1", "set_at": NOW}

    def twice(connection: Connection) -> None:
        for _ in range(2):
            sql.add(connection, installation, row)

    with pytest.raises(IntegrityError) as caught:
        store.write_now(twice)
    assert not store.sqlite or "canary" not in str(caught.value)
    assert store.read_now(lambda c: sql.find(c, installation, name="canary-name")) is None
    with pytest.raises(StatementError) as wrong:
        store.write_now(lambda c: sql.add(c, installation, {**row, "set_at": datetime(2026, 1, 1)}))
    assert not store.sqlite or "canary" not in str(wrong.value)


def test_a_read_is_of_one_instant(tmp_path: Path) -> None:
    """What another transaction commits meanwhile is not seen before the read ends."""
    store = Store(f"sqlite:///{tmp_path}/one.db")
    try:
        store.create_all()
        row = {"value": "1", "set_at": NOW}

        def work(connection: Connection) -> tuple[int, int]:
            before = len(sql.rows(connection, installation, value="1"))
            store.write_now(lambda c: sql.add(c, installation, {"name": "late", **row}))
            return before, len(sql.rows(connection, installation, value="1"))

        assert store.read_now(work) == (0, 0)
        assert len(store.read_now(lambda c: sql.rows(c, installation, value="1"))) == 1
    finally:
        store.close()


def test_whoever_listens_hears_every_statement(store: Store) -> None:
    """A trace, or a test that makes the Nth statement fail, sees these statements too."""
    heard: list[str] = []

    def hear(connection: Any, cursor: Any, text: str, *_: Any) -> None:
        heard.append(text)

    event.listen(store.engine, "before_cursor_execute", hear)
    try:
        store.write_now(lambda c: sql.find(c, documents, id="none"))
    finally:
        event.remove(store.engine, "before_cursor_execute", hear)
    assert any("FROM documents" in text for text in heard)


def test_what_only_sqlalchemy_can_run_is_left_to_it(store: Store) -> None:
    """A list of values of any length gives what it gives there."""
    statement = select(installation).where(installation.c.name.in_(("a", "b")))

    def work(connection: Connection) -> list[str]:
        for name in ("a", "b", "c"):
            run(connection, insert(installation), {"name": name, "value": "1", "set_at": NOW})
        return sorted(row.name for row in run(connection, statement, {}).rows)

    assert store.write_now(work) == ["a", "b"]


async def _looked(store: Store) -> list[str]:
    async def once() -> str:
        return await store.look(lambda c: str(sql.value(c, installation, "value", name="a")))

    return [await once() for _ in range(2)]


def test_a_short_read_runs_where_it_is_asked(store: Store) -> None:
    """It gives what a read gives, sees the last commit, and leaves no transaction open."""
    store.write_now(lambda c: sql.add(c, installation, {"name": "a", "value": "1", "set_at": NOW}))
    assert asyncio.run(_looked(store)) == ["1", "1"]
    store.write_now(lambda c: sql.change(c, installation, {"name": "a"}, {"value": "2"}))
    assert asyncio.run(_looked(store)) == ["2", "2"]
    assert all(not c.connection.dbapi_connection.in_transaction for c in store._kept_open)  # type: ignore[union-attr]


def test_a_short_read_of_a_file_that_is_held_waits_elsewhere(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop is not held: a thread takes the read over; a fault of the caller's own is the caller's."""
    store.write_now(lambda c: sql.add(c, installation, {"name": "a", "value": "1", "set_at": NOW}))
    here = threading.get_ident()
    ordinary = store._read_kept

    def held(work: Any, patience: int | None = None) -> Any:
        if threading.get_ident() == here:
            raise StoreUnavailable("OperationalError")
        return ordinary(work, patience)

    monkeypatch.setattr(store, "_read_kept", held)
    assert asyncio.run(_looked(store)) == ["1", "1"]

    def wrong(connection: Connection) -> None:
        raise LookupError("not there")

    with pytest.raises(LookupError):
        asyncio.run(store.look(wrong))
