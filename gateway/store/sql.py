"""Statements built once: adding a row, finding rows by equal columns, changing them.

Building a statement anew costs several times its execution; what runs for every document goes through these, which keep
one statement for each table and set of columns, and :mod:`gateway.store.plan`, which keeps how it is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import Connection, Insert, Row, Select, Table, Update, bindparam, select, update

from gateway.store.plan import run

__all__ = ["add", "anything", "change", "find", "rows", "value"]


@cache
def _insert(table: Table) -> Insert:
    return table.insert()


@cache
def _select(table: Table, names: tuple[str, ...], column: str | None, lock: bool, hold: bool = False) -> Select[Any]:
    wanted = select(table) if column is None else select(table.c[column])
    query = wanted.where(*(table.c[name] == bindparam(f"is_{name}") for name in names))
    if hold:
        return query.with_for_update(read=True, key_share=True)
    return query.with_for_update() if lock else query


@cache
def _update(table: Table, names: tuple[str, ...]) -> Update:
    return update(table).where(*(table.c[name] == bindparam(f"is_{name}") for name in names))


def _keys(values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"is_{name}": value for name, value in values.items()}


def add(connection: Connection, table: Table, values: Mapping[str, Any] | None = None, /, **columns: Any) -> None:
    """Insert one row."""
    run(connection, _insert(table), {**values, **columns} if values else columns)


def find(connection: Connection, table: Table, /, *, lock: bool = False, **equal: Any) -> Row[Any] | None:
    """The first row whose columns equal these; locked until the end of the transaction when asked."""
    found = run(connection, _select(table, tuple(equal), None, lock), _keys(equal), first=True).rows
    return found[0] if found else None


def rows(connection: Connection, table: Table, /, **equal: Any) -> list[Row[Any]]:
    """Every row whose columns equal these."""
    return list(run(connection, _select(table, tuple(equal), None, False), _keys(equal)).rows)


def value(connection: Connection, table: Table, column: str, /, *, hold: bool = False, **equal: Any) -> Any:
    """One column of the first row whose columns equal these; None without such a row.

    With ``hold`` the row is not deleted before the transaction ends.
    """
    found = run(connection, _select(table, tuple(equal), column, False, hold), _keys(equal), first=True).rows
    return found[0][0] if found else None


def anything(connection: Connection, statement: Select[Any], values: Mapping[str, Any]) -> bool:
    """True when a kept statement finds a row: asked before a write that would mostly change nothing."""
    return bool(run(connection, statement, values, first=True).rows)


def change(connection: Connection, table: Table, equal: Mapping[str, Any], values: Mapping[str, Any]) -> int:
    """Change the rows whose columns equal these; gives how many were."""
    return run(connection, _update(table, tuple(equal)), {**_keys(equal), **values}).count
