"""The one thread that writes to a SQLite file: what waits is run in order of priority, many to a commit."""

from __future__ import annotations

import contextlib
import itertools
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import InterfaceError, OperationalError

__all__ = ["ACCEPT", "BACKGROUND", "NORMAL", "Again", "StoreUnavailable", "Writer", "unavailable"]

T = TypeVar("T")

ACCEPT, NORMAL, BACKGROUND = 0, 1, 2  #: priorities of writes, the first served first
_LAST = 99

_BATCH = 64  #: most writes of one commit
#: Seconds that work nobody is in a hurry for waits for other work to share its commit with.
_GATHER = 0.02


class StoreUnavailable(Exception):
    """The database cannot serve just now (full or read-only disk, gone server)."""


class Again(Exception):
    """Another transaction came between: the same work is to be run again on what stands now."""


def unavailable(cause: BaseException) -> StoreUnavailable:
    """The error a caller sees when the database failed; its words name the kind of failure, never a statement."""
    original = getattr(cause, "orig", None) or cause
    return StoreUnavailable(type(original).__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[Connection], Any]
    future: Future[Any]


class _Broken(Exception):
    """The transaction of the batch is gone: SQLite itself rolls back on a full disk or a failed read or write."""


class Writer:
    """Runs writes in one thread; each is a savepoint of its own, several share one commit and its fsync."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._order = itertools.count()
        self._queue: queue.PriorityQueue[tuple[int, int, _Job | None]] = queue.PriorityQueue()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many writes wait, about."""
        return self._queue.qsize()

    def submit(self, work: Callable[[Connection], T], priority: int) -> Future[T]:
        """Queue a write; the future ends after the commit."""
        future: Future[T] = Future()
        self._queue.put((priority, next(self._order), _Job(work, future)))
        return future

    def close(self) -> None:
        """Run what waits, then stop."""
        self._queue.put((_LAST, next(self._order), None))
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while True:
            first = self._queue.get()
            if first[0] == BACKGROUND:
                with contextlib.suppress(queue.Empty):
                    first, late = sorted((first, self._queue.get(timeout=_GATHER)))
                    self._queue.put(late)  # back to its place, among what came meanwhile
            job = first[2]
            if job is None or self._batch(job):
                break
        self._disconnect()

    def _connected(self) -> Connection:
        """The writer's own connection, kept from batch to batch."""
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

    def _batch(self, job: _Job | None) -> bool:
        """Run one job and those waiting behind it in one transaction; true when asked to stop."""
        done: list[tuple[Future[Any], Any, BaseException | None]] = []
        taken: list[Future[Any]] = []
        stop = False
        try:
            connection = self._connected()
            with connection.begin():
                while job is not None:
                    if job.future.set_running_or_notify_cancel():
                        taken.append(job.future)
                        done.append((job.future, *self._one(connection, job.work)))
                    if len(taken) >= _BATCH:
                        break
                    try:
                        job = self._queue.get_nowait()[2]
                    except queue.Empty:
                        break
                    stop = job is None
        except BaseException as exc:  # nothing was committed: nobody is told otherwise
            self._disconnect()
            if not taken and job is not None and job.future.set_running_or_notify_cancel():
                taken.append(job.future)  # the transaction could not even begin
            cause = exc.__cause__ if isinstance(exc, _Broken) and exc.__cause__ else exc
            for future in taken:
                failed = unavailable(cause)
                failed.__cause__ = cause
                future.set_exception(failed)
            return stop
        for future, result, error in done:
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)
        return stop

    @staticmethod
    def _one(connection: Connection, work: Callable[[Connection], Any]) -> tuple[Any, BaseException | None]:
        # A savepoint by hand: SQLAlchemy's own costs more than the statements of many a job.
        raw: Any = connection.connection.dbapi_connection
        try:
            raw.execute("SAVEPOINT job")
            result = work(connection)
            raw.execute("RELEASE job")
        except (OperationalError, InterfaceError, sqlite3.OperationalError) as exc:
            # After such an error SQLite may have ended the transaction by itself; what follows would then be
            # committed statement by statement. The whole batch is given up instead.
            raise _Broken from exc
        except Exception as exc:  # handed to the caller who waits on the future
            if not raw.in_transaction:
                raise _Broken from exc
            raw.execute("ROLLBACK TO job")
            raw.execute("RELEASE job")
            return None, exc
        return result, None
