"""Storage that fails at the Nth call: the errors of both engines, raised where their drivers would raise them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import event

from gateway.store.engine import Store

__all__ = ["FAULTS", "Failing", "failing"]

#: What a driver says, and whether SQLite has ended the transaction by itself when it does.
FAULTS = {
    "input/output error": ("disk I/O error", True),
    "disk full": ("database or disk is full", True),
    "locked": ("database is locked", False),
}


class Failing:
    """Counts the calls to the database; raises at the one asked for, or at each from there on."""

    def __init__(self, store: Store, at: int, kind: str, *, lasting: bool = False) -> None:
        self.store = store
        self.at = at
        self.words, self.ended = FAULTS[kind]
        self.lasting = lasting
        self.calls = 0
        self.failed = 0

    def _call(self, connection: Any) -> None:
        self.raw_commit(connection.connection)

    def raw_commit(self, pooled: Any) -> None:
        """Before each commit."""
        self.calls += 1
        if self.calls == self.at or (self.lasting and self.calls > self.at):
            self.failed += 1
            if not self.store.sqlite:
                raise psycopg.OperationalError(self.words)
            raw = pooled.dbapi_connection
            if self.ended and raw.in_transaction:
                raw.execute("ROLLBACK")
            raise sqlite3.OperationalError(self.words)

    def statement(self, cursor: Any, text: str, parameters: Any, context: Any) -> None:
        """In the place of the driver's execution, so that the error goes the way of the driver's own."""
        self._call(context.root_connection)

    def many(self, cursor: Any, text: str, parameters: Any, context: Any) -> None:
        """The same for one statement with several rows of values."""
        self._call(context.root_connection)


def _heard(*_: Any) -> None:
    """Keeps statements on SQLAlchemy's way, where they can be made to fail."""


@contextmanager
def failing(store: Store, at: int, kind: str, *, lasting: bool = False) -> Iterator[Failing]:
    """Have writes of a store fail at their Nth call, statements and commits alike."""
    one = Failing(store, at, kind, lasting=lasting)
    engine = store.engine
    ordinary = engine.dialect.do_commit

    def commit(connection: Any) -> None:
        one.raw_commit(connection)
        ordinary(connection)

    listeners = (
        ("before_cursor_execute", _heard),
        ("do_execute", one.statement),
        ("do_executemany", one.many),
    )
    for name, listener in listeners:
        event.listen(engine, name, listener)
    engine.dialect.do_commit = commit  # type: ignore[method-assign,assignment]
    try:
        yield one
    finally:
        engine.dialect.do_commit = ordinary  # type: ignore[method-assign]
        for name, listener in listeners:
            event.remove(engine, name, listener)
