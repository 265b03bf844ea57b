"""What the simulated mail servers share: lines and messages over a connection that can be upgraded to TLS.

Written over asyncio's protocols rather than with a server library: faults must strike between two bytes, an end of file
right after the handshake, a reset after the final dot.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from cryptography import x509

__all__ = ["Closed", "TlsUpgradeServer", "Wire"]


class Closed(Exception):
    """The peer is gone."""


class Wire(asyncio.Protocol):
    """Bytes in, bytes out, and an upgrade to TLS in the middle."""

    def __init__(self, session: Callable[[Wire], asyncio.Task[None]]) -> None:
        self._start = session
        self._buffer = bytearray()
        self._arrived = asyncio.Event()
        self._closed = False
        self.transport: asyncio.Transport | None = None
        self.task: asyncio.Task[None] | None = None
        self.byte_delay = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.task = self._start(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._arrived.set()

    def eof_received(self) -> None:
        self._closed = True
        self._arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        self._arrived.set()

    async def _more(self) -> None:
        if self._closed:
            raise Closed
        self._arrived.clear()
        await self._arrived.wait()

    async def line(self, limit: int = 2048) -> bytes:
        """One line with its CRLF. A bare LF ends no line: it would smuggle a second command."""
        start = 0
        while (end := self._buffer.find(b"\r\n", start)) < 0:
            if len(self._buffer) > limit:
                raise Closed
            start = max(len(self._buffer) - 1, 0)
            await self._more()
        line = bytes(self._buffer[: end + 2])
        del self._buffer[: end + 2]
        return line

    async def message(self, limit: int) -> bytes | None:
        """The bytes up to the final dot, unstuffed; None when they are over the limit (they are still read)."""
        start, kept = 0, True
        while True:
            if self._buffer.startswith(b".\r\n"):
                del self._buffer[:3]
                return b"" if kept else None
            end = self._buffer.find(b"\r\n.\r\n", start)
            if end >= 0:
                data = bytes(self._buffer[: end + 2])
                del self._buffer[: end + 5]
                data = data[1:] if data.startswith(b".") else data
                return data.replace(b"\r\n..", b"\r\n.") if kept else None
            if len(self._buffer) > limit + 1024:
                kept = False
                del self._buffer[:-4]
            start = max(len(self._buffer) - 4, 0)
            await self._more()

    async def send(self, text: str) -> None:
        """Write text, byte by byte when a delay is set. Raises :class:`Closed`."""
        await self.send_bytes(text.encode("ascii", "replace"))

    async def send_bytes(self, data: bytes) -> None:
        """As :meth:`send`, for what is not text."""
        if self.transport is None or self._closed:
            raise Closed
        if not self.byte_delay:
            self.transport.write(data)
            return
        for byte in data[:-1]:
            self.transport.write(bytes([byte]))
            await asyncio.sleep(self.byte_delay)
        # Not after the last one: the peer may go on at once, as it does after the answer to STARTTLS.
        self.transport.write(data[-1:])

    async def start_tls(self, context: ssl.SSLContext) -> None:
        if self._buffer or self.transport is None:
            raise Closed  # bytes sent in clear before the handshake: an injection (RFC 3207 5)
        loop = asyncio.get_running_loop()
        try:
            upgraded = await loop.start_tls(self.transport, self, context, server_side=True, ssl_handshake_timeout=10)
        except (OSError, ssl.SSLError):
            raise Closed from None
        self.transport = upgraded

    def peer(self) -> x509.Certificate | None:
        tls = self.transport.get_extra_info("ssl_object") if self.transport is not None else None
        der = tls.getpeercert(binary_form=True) if tls is not None else None
        return x509.load_der_x509_certificate(der) if der else None

    def abort(self) -> None:
        self._closed = True
        if self.transport is not None:
            self.transport.abort()

    def close(self) -> None:
        self._closed = True
        if self.transport is not None:
            self.transport.close()


class TlsUpgradeServer:
    """Listens and runs one dialogue a connection; lives in the event loop that starts it."""

    def __init__(self, dialogue: Callable[[Wire], Awaitable[None]]) -> None:
        self._dialogue = dialogue
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen; give the port taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Wire(self._session), host, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and drop the connections still open."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _session(self, wire: Wire) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._serve(wire))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _serve(self, wire: Wire) -> None:
        try:
            await self._dialogue(wire)
        except (Closed, ConnectionError):
            pass
        finally:
            wire.close()
