"""Connections of callers, bounded: many idle ones and slow ones take nothing from those who work.

A caller that has not sent the head of a request in time, or stops in the middle of a body, is let go. When as many are
connected as may be, the one that has been idle for longest makes room.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any

import structlog
from uvicorn.protocols.http.auto import AutoHTTPProtocol

__all__ = ["bounded", "raise_file_limit"]

log = structlog.get_logger("passerelle.http")

#: Files that are not connections of callers: the database, neighbours, logs, the pool.
_OTHERS = 256


def raise_file_limit(connections: int) -> int:
    """Let the process open as many files as so many connections need; how many connections it can really have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHERS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return connections
    return max(16, min(connections, soft - _OTHERS))


def bounded(most: int, seconds: float, *, body_seconds: float = 120.0, base: Any = AutoHTTPProtocol) -> type:
    """The HTTP protocol of the server, for at most ``most`` connections.

    ``seconds`` is how long the head of a request may take, and how long a body may pause; ``body_seconds`` how long a
    body may take in all.
    """

    class Bounded(base):  # type: ignore[misc]
        """One connection."""

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            now = self.loop.time()
            self._since = now  # idle, or in the head of a request, since then
            self._heard = now
            self._timer = self.loop.call_later(seconds, self._look)
            if len(self.connections) > most and not self._make_room():
                log.warning("connections.full", most=most)
                transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            self._timer.cancel()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            self._heard = self.loop.time()
            super().data_received(data)

        def on_response_complete(self) -> None:
            self._since = self.loop.time()
            super().on_response_complete()

        @property
        def idle(self) -> bool:
            """True when no request is under way."""
            return self.cycle is None or bool(self.cycle.response_complete)

        def _make_room(self) -> bool:
            others = [one for one in self.connections if one is not self and one.idle]
            if not others:
                return False
            min(others, key=lambda one: one._since).transport.abort()
            return True

        def _look(self) -> None:
            now = self.loop.time()
            if self.idle:
                late = now - self._since >= seconds
            else:
                paused = now - self._heard >= seconds or now - self._since >= body_seconds
                late = bool(self.cycle.more_body) and paused
            if late:
                self.transport.abort()
            elif not self.transport.is_closing():
                self._timer = self.loop.call_later(seconds / 2, self._look)

    return Bounded
