"""How HTTP clients reach the network: asyncio's own streams under httpx.

httpx reaches sockets through anyio, whose TLS is pumped in Python: a call over TLS costs about twice the CPU it does
over asyncio's transports (uvloop's, in the service). Errors keep the meaning httpcore gives them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

__all__ = ["AsyncioBackend", "LeanTransport"]

#: Bytes of a request put together before they leave.
_TOGETHER = 256 * 1024
#: Bytes kept ahead of the reader before the peer is made to wait.
_AHEAD = 256 * 1024


@contextmanager
def _mapped(mapping: Mapping[type[Exception], type[Exception]]) -> Iterator[None]:
    try:
        yield
    except Exception as exc:
        for kind, meaning in mapping.items():
            if isinstance(exc, kind):
                raise meaning(str(exc) or type(exc).__name__) from exc
        raise


#: A timeout is an OSError too in this Python: it is looked at first.
_READ = {TimeoutError: httpcore.ReadTimeout, OSError: httpcore.ReadError, EOFError: httpcore.ReadError}
_WRITE = {TimeoutError: httpcore.WriteTimeout, OSError: httpcore.WriteError, RuntimeError: httpcore.WriteError}
_CONNECT = {TimeoutError: httpcore.ConnectTimeout, OSError: httpcore.ConnectError, EOFError: httpcore.ConnectError}


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._unsent: list[bytes] = []
        self._size = 0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._unsent:
            await self._flush(timeout)
        with _mapped(_READ):
            if timeout is None:
                return await self._reader.read(max_bytes)
            async with asyncio.timeout(timeout):
                return await self._reader.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send bytes; small ones wait for those that follow, and leave at the latest when an answer is read.

        httpcore writes head and body apart: one TLS record and one system call for both cost half as much.
        """
        if not buffer:
            return
        if self._writer.transport.is_closing():
            with _mapped(_WRITE):
                raise BrokenPipeError("the peer closed the connection")
        self._unsent.append(buffer)
        self._size += len(buffer)
        if self._size >= _TOGETHER:
            await self._flush(timeout)

    async def _flush(self, timeout: float | None) -> None:
        data, self._unsent, self._size = b"".join(self._unsent), [], 0
        with _mapped(_WRITE):
            self._writer.write(data)
            if timeout is None:
                await self._writer.drain()
                return
            async with asyncio.timeout(timeout):
                await self._writer.drain()

    async def aclose(self) -> None:
        self._writer.close()
        # The goodbye of TLS is not waited for: a peer that never answers it would hold us.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(0.1):
                await self._writer.wait_closed()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            with _mapped(_CONNECT):
                async with asyncio.timeout(timeout):
                    await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except BaseException:
            self._writer.transport.abort()
            raise
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return self._writer.get_extra_info("ssl_object")
        if info == "client_addr":
            return self._writer.get_extra_info("sockname")
        if info == "server_addr":
            return self._writer.get_extra_info("peername")
        if info == "socket":
            return self._writer.get_extra_info("socket")
        if info == "is_readable":
            # Asked of an idle connection: has the peer ended it meanwhile?
            reader = self._reader
            return reader.at_eof() or reader.exception() is not None or self._writer.transport.is_closing()
        return None


class AsyncioBackend(httpcore.AsyncNetworkBackend):
    """httpcore's network over asyncio's streams."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Open a TCP connection; raises httpcore's ConnectError or ConnectTimeout."""
        local = (local_address, 0) if local_address else None
        with _mapped(_CONNECT):
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_connection(host, port, local_addr=local, limit=_AHEAD)
        for option in socket_options or ():
            writer.get_extra_info("socket").setsockopt(*option)
        return _Stream(reader, writer)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class LeanTransport(httpx.AsyncHTTPTransport):
    """httpx's own transport, over :class:`AsyncioBackend`; HTTP/1.1, no proxy."""

    def __init__(self, *, verify: ssl.SSLContext, limits: httpx.Limits) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=verify,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=AsyncioBackend(),
        )
