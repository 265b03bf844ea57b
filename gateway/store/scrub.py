"""Deleted bytes made really gone: from the file and the write-ahead log of SQLite, from the tables of PostgreSQL.

``secure_delete`` overwrites a row that is deleted, yet not the copies of it that SQLite left in the slack of a page
when it moved rows from one page to another; only a file written anew is free of them. The log keeps whole pages as they
were until it is truncated, which waits for whoever still reads an older state.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Final

import structlog
from sqlalchemy import BigInteger, Connection, Engine, LargeBinary, bindparam, text
from sqlalchemy.exc import OperationalError

from gateway.store.metadata import metadata

__all__ = ["scrub_postgres", "scrub_sqlite", "sealed_tables", "truncate_log"]

log = structlog.get_logger("passerelle.store")

_PAUSE: Final = 0.05

#: A row deleted is kept, and would be copied, for whoever began before: any transaction of the server that writes, or
#: any reader of this database (statistics being gathered included).
_HELD: Final = text(
    "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint < :since OR EXISTS ("
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND age(backend_xmin) > age((:since % 4294967296)::text::xid))"
).bindparams(bindparam("since", type_=BigInteger))

#: Tables of the ledger from which nothing is ever deleted for a person's sake: codes and hashes. The salts are.
_KEPT: Final = frozenset({"feed_entries", "feed_links", "feed_heads", "feed_chains", "feed_nodes"})


def sealed_tables() -> list[str]:
    """The tables that hold sealed bytes, whose deleted rows must not be found again."""
    found = [
        table.name
        for table in metadata.sorted_tables
        if table.name not in _KEPT and any(isinstance(c.type, LargeBinary) for c in table.columns)
    ]
    return sorted(found)


def truncate_log(file: str, *, within: float) -> bool:
    """Move the write-ahead log of a SQLite file into it and empty it; false when a reader held it all that time."""
    connection = _opened(file)
    try:
        return _truncated(connection, time.monotonic() + within)
    finally:
        connection.close()


def scrub_sqlite(file: str, *, within: float) -> bool:
    """Write a SQLite file anew and empty its log; false when others held it for ``within`` seconds.

    Nothing else is written to the file meanwhile: some 100 MB a second. Raises :class:`sqlite3.OperationalError` when
    there is no room for the copy, as large as what is kept.
    """
    until = time.monotonic() + within
    connection = _opened(file)
    try:
        # The copy goes to a file of the system's temporary folder: in memory it would take that of the whole database.
        connection.execute("PRAGMA temp_store=FILE")
        while True:
            try:
                connection.execute("VACUUM")
                break
            except sqlite3.OperationalError as exc:
                if exc.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    raise
                if time.monotonic() >= until:
                    return False
                time.sleep(_PAUSE)
        return _truncated(connection, until)
    finally:
        connection.close()


def _opened(file: str) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None, timeout=1.0)
    connection.execute("PRAGMA secure_delete=ON")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _truncated(connection: sqlite3.Connection, until: float) -> bool:
    while True:
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(_PAUSE)


def scrub_postgres(engine: Engine, *, within: float) -> bool:
    """Write the tables that hold sealed bytes anew; false when one of them was held all that time.

    Each is closed to everybody while it is written: for the quiet hours of a large installation. What the server's own
    log, its archives and its backups hold goes with their retention.
    """
    until = time.monotonic() + within
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        since = connection.execute(text("SELECT pg_current_xact_id()::text::bigint")).scalar_one()
        while connection.execute(_HELD, {"since": since}).scalar_one():
            if time.monotonic() >= until:
                return False
            time.sleep(_PAUSE)
        connection.execute(text("SELECT set_config('lock_timeout', :most, false)"), {"most": f"{int(within * 1000)}ms"})
        try:
            left = [name for name in sealed_tables() if not _rewritten(connection, name)]
        finally:
            connection.execute(text("RESET lock_timeout"))
    return not left


def _rewritten(connection: Connection, table: str) -> bool:
    try:
        connection.execute(text(f'VACUUM (FULL) "{table}"'))
    except OperationalError as exc:
        if getattr(exc.orig, "sqlstate", None) != "55P03":  # lock_not_available
            raise
        log.warning("scrub.table_in_use", table=table)
        return False
    return True
