"""Statements built once do what those built each time do, on both engines."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.store import sql
from gateway.store.engine import Store
from gateway.store.tables import blobs, installation

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def test_rows_are_added_found_and_changed(store: Store) -> None:
    """By one column or several, whole rows or one value; how many changed is told."""

    def work(connection: object) -> None:
        c = connection
        for name in ("a", "b"):
            sql.add(c, installation, {"name": name, "value": "1", "set_at": NOW})  # type: ignore[arg-type]
        row = sql.find(c, installation, name="a", value="1", lock=True)  # type: ignore[arg-type]
        assert row is not None
        assert (row.name, row.set_at) == ("a", NOW)
        assert sql.find(c, installation, name="c") is None  # type: ignore[arg-type]
        assert {r.name for r in sql.rows(c, installation, value="1")} == {"a", "b"}  # type: ignore[arg-type]
        assert sql.value(c, installation, "value", name="b") == "1"  # type: ignore[arg-type]
        assert sql.value(c, installation, "value", name="c") is None  # type: ignore[arg-type]
        assert sql.change(c, installation, {"name": "a"}, {"value": "2"}) == 1  # type: ignore[arg-type]
        assert sql.change(c, installation, {"name": "a", "value": "1"}, {"value": "3"}) == 0  # type: ignore[arg-type]
        assert sql.value(c, installation, "value", name="a") == "2"  # type: ignore[arg-type]

    store.write_now(work)


def test_a_statement_is_built_once() -> None:
    """The same table and columns give the same statement, whatever the values."""
    assert sql._select(blobs, ("address",), None, False) is sql._select(blobs, ("address",), None, False)
    assert sql._select(blobs, ("address",), None, False) is not sql._select(blobs, ("address",), None, True)
