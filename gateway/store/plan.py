"""Statements of every document, compiled once and run by SQLite's own cursor.

SQLAlchemy spends some 100 µs around a statement that SQLite runs in 10; a document takes about a hundred of them. Text,
order of parameters and conversions come from SQLAlchemy's compiler, once for each statement and set of columns, so that
both ways say and give the same. On PostgreSQL, where the way to the server counts, SQLAlchemy runs them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Executable, Row
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.exc import DBAPIError, StatementError

__all__ = ["Done", "run"]

_Convert = Callable[[Any], Any]
_DIALECT: Any = sqlite.dialect(paramstyle="qmark")
#: SQLAlchemy keeps the number of rows of an INSERT when asked only.
_COUNTING = {"preserve_rowcount": True}


@dataclass(frozen=True, slots=True)
class Done:
    """What a statement gave."""

    rows: Sequence[Row[Any]]
    count: int  #: rows changed, or given


@dataclass(frozen=True, slots=True)
class _Plan:
    text: str
    binds: tuple[tuple[str, _Convert | None, Any], ...]  #: name, conversion, value when none is given
    results: SimpleResultMetaData | None
    converts: tuple[tuple[int, _Convert], ...]

    def parameters(self, values: Mapping[str, Any]) -> list[Any]:
        out = []
        for name, convert, default in self.binds:
            value = values.get(name, default)
            out.append(value if convert is None else convert(value))
        return out

    def rows(self, found: list[Any]) -> Sequence[Row[Any]]:
        if self.results is None or not found:
            return ()
        if self.converts:
            found = [self._converted(row) for row in found]
        # As SQLAlchemy's results make their rows; going through one of those costs ten times as much.
        keys = self.results._key_to_index
        return [Row(self.results, None, keys, values) for values in found]

    def _converted(self, row: Any) -> tuple[Any, ...]:
        values = list(row)
        for position, convert in self.converts:
            values[position] = convert(values[position])
        return tuple(values)


@cache
def _plan(statement: Any, names: tuple[str, ...]) -> _Plan | None:
    """How SQLite runs a statement, given these names; None for what only SQLAlchemy can run."""
    compiled = statement.compile(dialect=_DIALECT, column_keys=list(names))
    if getattr(compiled, "insert_prefetch", ()) or getattr(compiled, "update_prefetch", ()):
        return None  # values that SQLAlchemy computes for each row
    if compiled.positiontup is None or any(bind.expanding for bind in compiled.binds.values()):
        return None
    binds = []
    for name in compiled.positiontup:
        bind = compiled.binds[name]
        binds.append((name, bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT), bind.value))
    columns = list(getattr(statement, "exported_columns", ()))
    if not columns:
        return _Plan(str(compiled), tuple(binds), None, ())
    converts = []
    for position, column in enumerate(columns):
        convert = column.type.dialect_impl(_DIALECT).result_processor(_DIALECT, None)
        if convert is not None:
            converts.append((position, convert))
    return _Plan(str(compiled), tuple(binds), SimpleResultMetaData([c.key for c in columns]), tuple(converts))


def run(connection: Connection, statement: Executable, values: Mapping[str, Any], *, first: bool = False) -> Done:
    """Run a statement built once (it is kept for ever) with its values; only its first row when asked.

    Raises SQLAlchemy's errors.
    """
    # Whoever listens to statements (a trace, a test that makes them fail) hears these too.
    if connection.dialect.name == "sqlite" and not connection.dispatch.before_cursor_execute:
        plan = _plan(statement, tuple(values))
        if plan is not None:
            return _quick(connection, plan, values, first)
    result = connection.execute(statement, values, execution_options=_COUNTING)
    if not result.returns_rows:
        return Done((), result.rowcount)
    if not first:
        return Done(result.all(), result.rowcount)
    row = result.first()
    return Done(() if row is None else (row,), result.rowcount)


def _quick(connection: Connection, plan: _Plan, values: Mapping[str, Any], first: bool) -> Done:
    raw: Any = connection.connection.dbapi_connection
    # An engine that is not the store's may leave the driver to begin when it writes.
    if not raw.in_transaction and not connection.in_transaction():
        connection.begin()
    try:
        parameters = plan.parameters(values)
    except Exception as exc:
        raise StatementError(str(exc), plan.text, None, exc) from exc
    try:
        cursor = raw.execute(plan.text, parameters)
        if plan.results is None:
            return Done((), cursor.rowcount)
        found = cursor.fetchmany(1) if first else cursor.fetchall()
        # A statement left half read would keep its state of the database.
        cursor.close()
    except sqlite3.Error as exc:
        # No parameters: they may be a person's.
        raise DBAPIError.instance(plan.text, None, exc, sqlite3.Error, hide_parameters=True) from exc
    return Done(plan.rows(found), len(found))
