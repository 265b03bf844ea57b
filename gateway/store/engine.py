"""One store on two engines: SQLite with one writer thread, PostgreSQL with a pool.

Every write is a function of a connection, run in one transaction. On SQLite a single thread runs them, the accepting of
documents first, several to a commit: two writers on one file starve each other, and one fsync then serves many callers.
On PostgreSQL they run side by side; one that meets another's change is run again on what stands then.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from gateway.store.metadata import metadata
from gateway.store.scrub import scrub_postgres, scrub_sqlite, truncate_log
from gateway.store.writer import ACCEPT, BACKGROUND, NORMAL, Again, StoreUnavailable, Writer, unavailable

__all__ = ["ACCEPT", "BACKGROUND", "NORMAL", "Again", "Store", "StoreUnavailable"]

T = TypeVar("T")

#: SQLSTATE of a transaction that lost to another and may simply be run again (PostgreSQL, appendix A, class 40).
_LOST = frozenset({"40001", "40P01"})
#: read_only_sql_transaction, which the driver does not take for a failure of the server.
_READ_ONLY = "25006"
_TRIES = 6

#: A server that vanished without a word must not hold a thread for ever; what the address itself says comes first.
_POSTGRES_DEFAULTS = {
    "connect_timeout": 5,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "application_name": "passerelle",
}


class Store:
    """The database of the gateway.

    ``write`` and ``read`` take a function of a SQLAlchemy connection; a write that raises changes nothing. On
    PostgreSQL a write may be run more than once, each time in a transaction of its own: it keeps nothing outside.
    Raises :class:`StoreUnavailable` when the database cannot serve.
    """

    def __init__(self, url: str, *, readers: int = 4, connections: int = 10) -> None:
        self.url = make_url(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="store-read")
        self._kept = threading.local()
        self._kept_open: set[Connection] = set()
        if self.sqlite:
            self.engine = _sqlite_engine(url, begin="BEGIN IMMEDIATE", cache_kib=64 * 1024)
            # Several connections read: what each keeps is memory that the system's own cache serves as well.
            self.read_engine = _sqlite_engine(url, begin="BEGIN", cache_kib=8 * 1024)
            self._writer: Writer | None = Writer(self.engine)
            self._writers: ThreadPoolExecutor | None = None
        else:
            self.engine = _postgres_engine(self.url, connections + readers)
            self.read_engine = self.engine
            self._writer = None
            self._writers = ThreadPoolExecutor(connections, thread_name_prefix="store-write")

    def create_all(self) -> None:
        """Make the tables of an empty database (tests); a service uses the migrations."""
        import gateway.feeds.tables
        import gateway.store.console_tables
        import gateway.store.mail_tables
        import gateway.store.order_tables
        import gateway.store.tables  # noqa: F401

        metadata.create_all(self.engine)

    def submit(self, work: Callable[[Connection], T], priority: int = NORMAL) -> Future[T]:
        """Queue a write; the future ends after its commit is durable."""
        if self._writer is not None:
            return self._writer.submit(work, priority)
        if self._writers is None:
            raise RuntimeError("the store is closed")
        return self._writers.submit(self._transaction, work)

    def write_now(self, work: Callable[[Connection], T], priority: int = NORMAL) -> T:
        """Run a write and wait for its commit."""
        return self.submit(work, priority).result()

    async def write(self, work: Callable[[Connection], T], priority: int = NORMAL) -> T:
        """Run a write without holding the event loop; returns after the commit."""
        return await asyncio.wrap_future(self.submit(work, priority))

    def read_now(self, work: Callable[[Connection], T]) -> T:
        """Run a read in this thread."""
        try:
            with self.read_engine.connect() as connection:
                return work(connection)
        except (OperationalError, InterfaceError, PoolTimeout, sqlite3.OperationalError) as exc:
            raise unavailable(exc) from exc

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run a read without holding the event loop."""
        return await asyncio.wrap_future(self._readers.submit(self._read_kept if self.sqlite else self.read_now, work))

    async def look(self, work: Callable[[Connection], T]) -> T:
        """Run a short read of a few rows by their keys, never of contents.

        On SQLite it runs here: some 50 µs, where a change of thread costs both threads several times that. A reader
        of its write-ahead log waits for nobody; should the file be held all the same, a thread waits instead.
        """
        if self.sqlite:
            with contextlib.suppress(StoreUnavailable):
                return self._read_kept(work, patience=0)
        return await self.read(work)

    def _read_kept(self, work: Callable[[Connection], T], patience: int | None = None) -> T:
        """Run a read on the connection of this thread, opened once: opening costs more than most reads.

        ``patience`` is how long that connection ever waits for a file that is held, in ms, unless the engine's own.
        """
        connection: Connection | None = getattr(self._kept, "connection", None)
        try:
            if connection is None:
                connection = self._kept.connection = self.read_engine.connect()
                self._kept_open.add(connection)
                if patience is not None:
                    raw: Any = connection.connection.dbapi_connection
                    raw.execute(f"PRAGMA busy_timeout={patience}")
            return _read_once(connection, work)
        except (OperationalError, InterfaceError, sqlite3.OperationalError) as exc:
            if connection is not None:
                self._kept.connection = None
                self._kept_open.discard(connection)
                with contextlib.suppress(Exception):
                    connection.close()
            raise unavailable(exc) from exc

    def _transaction(self, work: Callable[[Connection], T]) -> T:
        attempt = 0
        while True:
            attempt += 1
            try:
                with self.engine.begin() as connection:
                    return work(connection)
            except (Again, IntegrityError):
                if attempt == _TRIES:
                    raise
            except PoolTimeout as exc:
                raise unavailable(exc) from exc
            except DBAPIError as exc:
                state = getattr(exc.orig, "sqlstate", None)
                if state == _READ_ONLY:
                    # A server that became a standby: the next connection may reach the one that took its place.
                    self.engine.dispose()
                    raise unavailable(exc) from exc
                lost = state in _LOST
                if not lost and (isinstance(exc, OperationalError | InterfaceError) or exc.connection_invalidated):
                    raise unavailable(exc) from exc
                if not lost or attempt == _TRIES:
                    raise
            time.sleep(random.uniform(0.0, 0.002 * 2**attempt))  # noqa: S311 - jitter, not a secret

    def scrub(self, *, within: float = 30.0, thorough: bool = True) -> bool:
        """Make what was deleted gone from the disk: false when others held the database for ``within`` seconds.

        ``thorough`` writes the database anew, closed to writers meanwhile (some 100 MB a second): after a person was
        erased. Without it the log of a SQLite file is emptied into the file, whose deleted rows are overwritten, though
        not what was left of them when rows moved. Also true while another process serves the same database.
        """
        try:
            if not self.sqlite:
                return scrub_postgres(self.engine, within=within) if thorough else True
            file = self.url.database
            if not file or file == ":memory:":
                return True
            return (scrub_sqlite if thorough else truncate_log)(file, within=within)
        except (OperationalError, InterfaceError, PoolTimeout, sqlite3.OperationalError) as exc:
            raise unavailable(exc) from exc

    def close(self) -> None:
        """Finish queued writes and let go of every connection."""
        if self._writer is not None:
            self._writer.close()
        if self._writers is not None:
            self._writers.shutdown()
        self._readers.shutdown()
        while self._kept_open:
            self._kept_open.pop().close()
        self.engine.dispose()
        self.read_engine.dispose()


def _read_once(connection: Connection, work: Callable[[Connection], T]) -> T:
    """Run a read of one instant; SQLAlchemy's own beginning and end cost more than most of what is read."""
    raw: Any = connection.connection.dbapi_connection
    raw.execute("BEGIN")
    try:
        return work(connection)
    finally:
        if connection.in_transaction():
            connection.rollback()  # a statement went SQLAlchemy's way, which then counts the transaction as its own
        elif raw.in_transaction:
            raw.execute("ROLLBACK")


def _postgres_engine(url: URL, connections: int) -> Engine:
    defaults = {name: value for name, value in _POSTGRES_DEFAULTS.items() if name not in url.query}
    return create_engine(
        url, pool_size=connections, max_overflow=4, pool_timeout=10, pool_pre_ping=True, connect_args=defaults
    )


def _sqlite_engine(url: str, *, begin: str, cache_kib: int) -> Engine:
    engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": 30, "cached_statements": 512})

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        # The driver must not open transactions: ours begin as writers at once, never as readers that upgrade.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "busy_timeout=30000",
            f"cache_size=-{cache_kib}",
            "temp_store=MEMORY",
            # What is purged is overwritten, not left in free pages.
            "secure_delete=ON",
            # Pages that change with every document are copied to the file once for many: 16 MB of log at most.
            "wal_autocheckpoint=4000",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        raw: Any = connection.connection.dbapi_connection
        if not raw.in_transaction:
            raw.execute(begin)

    return engine
