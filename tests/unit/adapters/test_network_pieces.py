"""Our network under httpx: a small request leaves at once as one piece, and a broken peer has its name."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import httpx
import pytest

from adapters.network import LeanTransport

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def called(peer: Peer, content: bytes, *, times: int = 1) -> list[httpx.Response]:
    """Post to a peer of ours over plain HTTP, several times on one transport."""
    server = await asyncio.start_server(peer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport = LeanTransport(verify=ssl.create_default_context(), limits=httpx.Limits(max_connections=1))
    try:
        async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=10) as http:
            return [await http.post(f"http://127.0.0.1:{port}/", content=content) for _ in range(times)]
    finally:
        server.close()
        await server.wait_closed()


def test_head_and_body_leave_together() -> None:
    """What the peer reads first holds both; the connection serves again."""
    pieces: list[bytes] = []

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 20):
            pieces.append(data)
            writer.write(ANSWER)
            await writer.drain()
        writer.close()

    answers = asyncio.run(called(peer, b"<body/>", times=2))
    assert [answer.text for answer in answers] == ["ok", "ok"]
    assert len(pieces) == 2
    assert all(piece.startswith(b"POST / ") and piece.endswith(b"<body/>") for piece in pieces)


def test_a_large_body_leaves_whole() -> None:
    """More than is put together arrives all the same, once."""
    content = bytes(range(256)) * 4096
    seen = bytearray()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.extend((await reader.readuntil(b"\r\n\r\n"))[:0])
        seen.extend(await reader.readexactly(len(content)))
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    assert asyncio.run(called(peer, content))[0].text == "ok"
    assert bytes(seen) == content


def test_a_peer_that_hangs_up_is_a_read_error() -> None:
    """The request had left: whoever called knows that the answer was lost, not the request."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        asyncio.run(called(peer, b"<body/>"))
