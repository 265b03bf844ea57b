"""Waking the workers of other nodes: PostgreSQL's NOTIFY and LISTEN; the poll of each worker stays the safety net.

A notification is sent after the commit it tells of, never within: a notifying commit waits for every other one in the
whole server, and a lost notification costs at most one poll.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy import Connection, text

from gateway.store.engine import BACKGROUND, Store

__all__ = ["CHANNEL", "Signals"]

log = structlog.get_logger("passerelle.signals")

CHANNEL = "passerelle_due"

#: Seconds during which what becomes due is told once.
_GATHER = 0.03
#: Seconds before a lost listening connection is opened again.
_AGAIN = 2.0


class Signals:
    """Tells other nodes that something is due, and hears them say it; does nothing on SQLite, which has one node."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._me = secrets.token_hex(8)
        self._telling: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self.connected = asyncio.Event()

    def tell(self) -> None:
        """Have the other nodes look for due deliveries, soon; what is told meanwhile is told once."""
        if not self._store.sqlite and (self._telling is None or self._telling.done()):
            self._telling = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        await asyncio.sleep(_GATHER)
        try:
            await self._store.write(self._notify, BACKGROUND)
        except Exception as exc:  # the poll of the others stands in
            log.warning("signals.not_sent", error=type(exc).__name__)

    def _notify(self, connection: Connection) -> None:
        # Nothing to make durable: this commit need not wait for the disk.
        connection.execute(text("SET LOCAL synchronous_commit TO OFF"))
        connection.execute(text("SELECT pg_notify(:channel, :me)"), {"channel": CHANNEL, "me": self._me})

    def listen(self, heard: Callable[[], None]) -> None:
        """Call ``heard`` whenever another node tells that something is due."""
        if not self._store.sqlite and self._listening is None:
            self._listening = asyncio.get_running_loop().create_task(self._listen(heard))

    async def _listen(self, heard: Callable[[], None]) -> None:
        while True:
            try:
                await self._hear(heard)
            except asyncio.CancelledError:
                raise
            except Exception as exc:  # an engine without LISTEN, or a server gone: the poll goes on
                log.warning("signals.not_heard", error=type(exc).__name__)
            self.connected.clear()
            await asyncio.sleep(_AGAIN)

    async def _hear(self, heard: Callable[[], None]) -> None:
        import psycopg

        conninfo = self._store.url.set(drivername="postgresql").render_as_string(hide_password=False)
        connection: Any = await psycopg.AsyncConnection.connect(conninfo, autocommit=True, connect_timeout=5)
        async with connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            self.connected.set()
            heard()  # whatever was told while nobody listened
            async for notice in connection.notifies():
                if notice.payload != self._me:
                    heard()

    async def close(self) -> None:
        """Stop telling and hearing."""
        for task in (self._telling, self._listening):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._telling = self._listening = None
