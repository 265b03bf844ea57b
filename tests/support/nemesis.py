"""A TCP proxy between the gateway and a neighbour that behaves as bad networks do.

``Nemesis`` listens on a loopback port and forwards to another. What goes wrong is set at any moment and holds for the
connections that follow; TLS goes through it untouched, since it only moves bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Nemesis", "Toxic", "nemesis"]

_CHUNK = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxic:
    """What is wrong with the way; by default nothing."""

    refuse: bool = False  #: connections are reset as soon as they are made
    latency: float = 0.0  #: seconds before each piece is passed on
    slice: int = 0  #: pieces of so many bytes, each sent alone
    reset_up: int | None = None  #: reset both sides after so many bytes of the request
    cut_answer_after: int | None = None  #: once so much was asked, half of the next answer comes, then a reset
    half_close: bool = False  #: the neighbour's side is closed for writing after the first piece of the request
    lose_answer_after: int | None = None  #: once so much was asked, the next answer is read and lost in a reset
    silent: bool = False  #: the request is swallowed
    times: int | None = None  #: for so many connections only


class Nemesis:
    """One proxy."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._toxic = Toxic()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nemesis", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.connections = 0
        self.hurt = 0  #: connections that something was done to
        self.port = 0

    def start(self) -> None:
        """Listen."""
        self._thread.start()

        async def begin() -> asyncio.Server:
            return await asyncio.start_server(self._serve, "127.0.0.1", 0)

        self._server = asyncio.run_coroutine_threadsafe(begin(), self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]

    def set(self, toxic: Toxic = Toxic(), *, cut: bool = False) -> None:
        """What goes wrong from now on; ``cut`` also resets the connections that are open."""

        def change() -> None:
            self._toxic = toxic
            if cut:
                for writer in list(self._open):
                    _reset(writer)

        asyncio.run_coroutine_threadsafe(_call(change), self._loop).result(10)

    def stop_listening(self) -> None:
        """Nobody is there any more."""

        async def close() -> None:
            if self._server is not None:
                self._server.close()

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(10)

    def stop(self) -> None:
        """Close everything."""

        async def end() -> None:
            if self._server is not None:
                self._server.close()
            for writer in list(self._open):
                _reset(writer)
            mine = asyncio.current_task()
            for task in asyncio.all_tasks():
                if task is not mine:
                    task.cancel()
            await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _next(self) -> Toxic:
        toxic = self._toxic
        if toxic.times is not None:
            self._toxic = replace(toxic, times=toxic.times - 1) if toxic.times > 1 else Toxic()
        return toxic

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        toxic = self._next()
        self.hurt += toxic != Toxic()
        self._open.add(writer)
        upstream: asyncio.StreamWriter | None = None
        try:
            if toxic.refuse:
                return _reset(writer)
            if toxic.silent:
                while await reader.read(_CHUNK):
                    pass
                return None
            answers, upstream = await asyncio.open_connection(*self._target)
            self._open.add(upstream)
            asked = [0]
            up = asyncio.create_task(self._up(toxic, reader, upstream, writer, asked))
            down = asyncio.create_task(self._down(toxic, answers, writer, upstream, asked))
            await asyncio.wait({up, down})
            for task in (up, down):
                task.exception()
        except OSError:
            pass
        finally:
            for one in (writer, upstream):
                if one is not None:
                    self._open.discard(one)
                    with contextlib.suppress(Exception):
                        one.close()
        return None

    async def _up(
        self,
        toxic: Toxic,
        reader: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
        asked: list[int],
    ) -> None:
        while piece := await reader.read(_CHUNK):
            if toxic.reset_up is not None and asked[0] + len(piece) >= toxic.reset_up:
                upstream.write(piece[: max(0, toxic.reset_up - asked[0])])
                await upstream.drain()
                _reset(upstream)
                return _reset(client)
            asked[0] += len(piece)
            await _pass(toxic, piece, upstream)
            if toxic.half_close:
                upstream.write_eof()
                return None
        with contextlib.suppress(OSError):
            upstream.write_eof()
        return None

    async def _down(
        self,
        toxic: Toxic,
        answers: asyncio.StreamReader,
        client: asyncio.StreamWriter,
        upstream: asyncio.StreamWriter,
        asked: list[int],
    ) -> None:
        while piece := await answers.read(_CHUNK):
            if toxic.lose_answer_after is not None and asked[0] >= toxic.lose_answer_after:
                _reset(client)
                return _reset(upstream)
            if toxic.cut_answer_after is not None and asked[0] >= toxic.cut_answer_after:
                client.write(piece[: len(piece) // 2])
                await client.drain()
                _reset(upstream)
                return _reset(client)
            await _pass(toxic, piece, client)
        with contextlib.suppress(OSError):
            client.write_eof()
        return None


async def _call(work: Any) -> None:
    work()


async def _pass(toxic: Toxic, piece: bytes, to: asyncio.StreamWriter) -> None:
    step = toxic.slice or len(piece)
    for start in range(0, len(piece), step):
        if toxic.latency:
            await asyncio.sleep(toxic.latency)
        to.write(piece[start : start + step])
        await to.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a reset, as a network that broke does, rather than politely."""
    taken = writer.get_extra_info("socket")
    if taken is not None:
        with contextlib.suppress(OSError):
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextmanager
def nemesis(host: str, port: int) -> Iterator[Nemesis]:
    """A proxy before a neighbour, stopped at the end."""
    one = Nemesis(host, port)
    one.start()
    try:
        yield one
    finally:
        one.stop()
