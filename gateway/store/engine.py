"""One store on two engines: SQLite with one writer thread, PostgreSQL with a pool.

Every write is a function of a connection, run in one transaction. On SQLite a single thread runs them, the accepting of
documents first, several to a commit: two writers on one file starve each other, and one fsync then serves many callers.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url

from gateway.store.metadata import metadata

__all__ = ["ACCEPT", "BACKGROUND", "NORMAL", "Store", "StoreUnavailable"]

T = TypeVar("T")

ACCEPT, NORMAL, BACKGROUND = 0, 1, 2  #: priorities of writes, the first served first

_BATCH = 64  #: most writes of one commit


class StoreUnavailable(Exception):
    """The database cannot be written just now (full or read-only disk, gone server)."""


class Store:
    """The database of the gateway.

    ``write`` and ``read`` take a function of a SQLAlchemy connection; a write that raises changes nothing.
    """

    def __init__(self, url: str, *, readers: int = 4) -> None:
        self.url = make_url(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="store-read")
        if self.sqlite:
            self.engine = _sqlite_engine(url, begin="BEGIN IMMEDIATE")
            self.read_engine = _sqlite_engine(url, begin="BEGIN")
            self._writer: _Writer | None = _Writer(self.engine)
            self._writers: ThreadPoolExecutor | None = None
        else:
            self.engine = create_engine(url, pool_size=10, max_overflow=10, pool_pre_ping=True)
            self.read_engine = self.engine
            self._writer = None
            self._writers = ThreadPoolExecutor(10, thread_name_prefix="store-write")

    def create_all(self) -> None:
        """Make the tables of an empty database (tests); a service uses the migrations."""
        import gateway.feeds.tables
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
        with self.read_engine.connect() as connection:
            return work(connection)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run a read without holding the event loop."""
        return await asyncio.wrap_future(self._readers.submit(self.read_now, work))

    def _transaction(self, work: Callable[[Connection], T]) -> T:
        with self.engine.begin() as connection:
            return work(connection)

    def close(self) -> None:
        """Finish queued writes and let go of every connection."""
        if self._writer is not None:
            self._writer.close()
        if self._writers is not None:
            self._writers.shutdown()
        self._readers.shutdown()
        self.engine.dispose()
        self.read_engine.dispose()


def _sqlite_engine(url: str, *, begin: str) -> Engine:
    engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": 30})

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
            "cache_size=-65536",
            "temp_store=MEMORY",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


class _Writer:
    """The one thread that writes to a SQLite file."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._order = itertools.count()
        self._queue: queue.PriorityQueue[tuple[int, int, Any, Any]] = queue.PriorityQueue()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Connection], T], priority: int) -> Future[T]:
        future: Future[T] = Future()
        self._queue.put((priority, next(self._order), work, future))
        return future

    def close(self) -> None:
        self._queue.put((99, next(self._order), None, None))
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while True:
            job = self._queue.get()
            if job[2] is None:
                return
            if self._batch(job):
                return

    def _batch(self, job: tuple[int, int, Any, Any]) -> bool:
        """Run one job and those waiting behind it in one transaction; true when asked to stop."""
        done: list[tuple[Future[Any], Any, BaseException | None]] = []
        stop = False
        try:
            with self._engine.begin() as connection:
                while True:
                    _, _, work, future = job
                    if future.set_running_or_notify_cancel():
                        done.append((future, *self._one(connection, work)))
                    if len(done) >= _BATCH:
                        break
                    try:
                        job = self._queue.get_nowait()
                    except queue.Empty:
                        break
                    if job[2] is None:
                        stop = True
                        break
        except BaseException as exc:  # the commit itself failed: nobody was served
            failed = StoreUnavailable("the commit failed")
            failed.__cause__ = exc
            for future, _, error in done:
                future.set_exception(error or failed)
            if not done:
                job[3].set_exception(failed)
            return stop
        for future, result, error in done:
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)
        return stop

    @staticmethod
    def _one(connection: Connection, work: Callable[[Connection], Any]) -> tuple[Any, BaseException | None]:
        try:
            with connection.begin_nested():
                return work(connection), None
        except Exception as exc:  # handed to the caller who waits on the future
            return None, exc
