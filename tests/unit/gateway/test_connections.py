"""Connections of callers: idle ones make room, slow heads and stalled bodies are let go, those who work are not."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.connections import bounded, raise_file_limit

MOST = 20


@dataclass
class Serving:
    """A server under test."""

    server: uvicorn.Server
    port: int

    @property
    def connected(self) -> int:
        """How many are connected."""
        return len(self.server.server_state.connections)

    def connect(self) -> socket.socket:
        """A plain connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)


async def echo(request: Request) -> Response:
    """The length of what came."""
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture(params=[H11Protocol, HttpToolsProtocol])
def serving(request: pytest.FixtureRequest) -> Iterator[Serving]:
    """A server with short patience, on each of the two protocols."""
    app = Starlette(routes=[Route("/", echo, methods=["GET", "POST"])])
    protocol = bounded(MOST, 1.0, body_seconds=60, base=request.param)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, http=protocol, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    yield Serving(server, server.servers[0].sockets[0].getsockname()[1])
    server.should_exit = True
    thread.join(20)


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def closed(one: socket.socket) -> bool:
    """True once the server has let go of a connection."""
    try:
        return one.recv(1) == b""
    except ConnectionError:
        return True


def test_idle_connections_make_room_and_are_let_go(serving: Serving) -> None:
    """Many more than may be connected: a caller who works is answered, and the idle ones are gone soon."""
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(serving.connect()) for _ in range(MOST * 5)]
        answer = httpx.post(f"http://127.0.0.1:{serving.port}/", content=b"12345", trust_env=False, timeout=30)
        assert answer.text == "5"
        assert serving.connected <= MOST + 1
        assert all(closed(one) for one in idle)
        wait_until(lambda: serving.connected == 0)


def test_a_head_that_never_ends_is_let_go(serving: Serving) -> None:
    """Also one of which a piece comes now and then, and the second request of a connection."""
    with serving.connect() as first, serving.connect() as second:
        first.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        second.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert second.recv(4096).startswith(b"HTTP/1.1 200")
        second.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(2000):
                first.sendall(b"a")
                time.sleep(0.01)
                if serving.connected == 0:
                    break
        wait_until(lambda: serving.connected == 0)
        assert closed(first)


def test_a_body_that_stops_is_let_go(serving: Serving) -> None:
    """The rest of a body that never comes is not waited for."""
    with serving.connect() as one:
        one.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123")
        wait_until(lambda: serving.connected == 1)
        assert closed(one)


def test_the_bound_follows_what_the_system_allows() -> None:
    """Never more connections than files may be opened."""
    assert raise_file_limit(64) == 64
    assert 16 <= raise_file_limit(10**7) <= 10**7
