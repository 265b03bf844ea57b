"""The network under HTTP clients: the errors httpx promises, whatever breaks, and connections kept and let go."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from adapters.network import LeanTransport
from tests.support.nemesis import Nemesis, Toxic, nemesis


class Echo(BaseHTTPRequestHandler):
    """Answers with what was sent, or with as many bytes as the path says."""

    protocol_version = "HTTP/1.1"
    connections: set[tuple[str, int]] = set()  # noqa: RUF012 - shared on purpose, emptied by each test

    def do_POST(self) -> None:
        """One request."""
        Echo.connections.add(self.client_address)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        size = self.path.strip("/")
        answer = b"x" * int(size) if size.isdigit() else body
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class Quiet(ThreadingHTTPServer):
    """A server whose broken connections are no news."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Broken on purpose."""


@pytest.fixture
def way() -> Iterator[Nemesis]:
    """A server behind a proxy that can be made bad."""
    Echo.connections.clear()
    server = Quiet(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with nemesis("127.0.0.1", server.server_address[1]) as proxy:
        yield proxy
    server.shutdown()
    server.server_close()
    thread.join(10)


@contextmanager
def loop() -> Iterator[asyncio.Runner]:
    """An event loop of the test's own."""
    with asyncio.Runner() as runner:
        yield runner


async def ask(port: int, *bodies: bytes, path: str = "/", timeout: float = 20) -> list[bytes]:
    """Post bodies one after the other on one client; the answers."""
    context = ssl.create_default_context()
    limits = httpx.Limits(max_connections=4, max_keepalive_connections=4, keepalive_expiry=30)
    async with httpx.AsyncClient(
        transport=LeanTransport(verify=context, limits=limits), timeout=timeout, trust_env=False
    ) as client:
        return [(await client.post(f"http://127.0.0.1:{port}{path}", content=body)).content for body in bodies]


def test_bodies_of_any_size_go_and_come(way: Nemesis) -> None:
    """Nothing, a little, more than is put together, more than is read ahead; on one connection."""
    bodies = [b"", b"a", b"b" * 1000, b"c" * 300_000, b"d" * 3_000_000]
    with loop() as run:
        assert run.run(ask(way.port, *bodies)) == bodies
        assert [len(one) for one in run.run(ask(way.port, b"", path="/5000000"))] == [5_000_000]
    assert way.connections == 2


def test_a_sliced_way_changes_nothing(way: Nemesis) -> None:
    """One byte at a time, both ways."""
    way.set(Toxic(slice=1))
    with loop() as run:
        assert run.run(ask(way.port, b"a" * 700)) == [b"a" * 700]


@pytest.mark.parametrize(
    ("toxic", "errors"),
    [
        (Toxic(refuse=True), (httpx.NetworkError, httpx.RemoteProtocolError)),
        (Toxic(reset_up=300), (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)),
        (Toxic(cut_answer_after=1), (httpx.ReadError, httpx.RemoteProtocolError)),
        (Toxic(lose_answer_after=1), (httpx.ReadError, httpx.RemoteProtocolError)),
    ],
)
def test_what_breaks_is_told_in_httpx_s_words(way: Nemesis, toxic: Toxic, errors: tuple[type[Exception], ...]) -> None:
    """Never an error of the system, which nobody above expects."""
    way.set(toxic)
    with loop() as run, pytest.raises(errors):
        run.run(ask(way.port, b"x" * 5_000))


def test_silence_ends_with_a_timeout(way: Nemesis) -> None:
    """Of the reading: something was sent."""
    way.set(Toxic(silent=True))
    with loop() as run, pytest.raises(httpx.ReadTimeout):
        run.run(ask(way.port, b"x", timeout=0.2))


def test_nobody_there_is_a_connection_that_failed(way: Nemesis) -> None:
    """Told apart from what broke later: nothing left."""
    way.stop_listening()
    with loop() as run, pytest.raises(httpx.ConnectError):
        run.run(ask(way.port, b"x"))


def test_a_server_that_speaks_no_tls_is_a_connection_that_failed(way: Nemesis, tmp_path: Path) -> None:
    """The handshake is part of connecting."""

    async def over_tls() -> None:
        limits = httpx.Limits(max_connections=1)
        transport = LeanTransport(verify=ssl.create_default_context(), limits=limits)
        async with httpx.AsyncClient(transport=transport, timeout=20, trust_env=False) as client:
            await client.get(f"https://127.0.0.1:{way.port}/")

    with loop() as run, pytest.raises(httpx.ConnectError):
        run.run(over_tls())


def test_a_connection_the_peer_ended_is_not_used_again(way: Nemesis) -> None:
    """Kept while it lives; once the peer let go of it, another is opened and the request does not fail."""

    async def twice() -> None:
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=60)
        transport = LeanTransport(verify=ssl.create_default_context(), limits=limits)
        async with httpx.AsyncClient(transport=transport, timeout=20, trust_env=False) as client:
            for _ in range(2):
                assert (await client.post(f"http://127.0.0.1:{way.port}/", content=b"a")).content == b"a"
            assert way.connections == 1
            await asyncio.to_thread(way.set, cut=True)
            async with asyncio.timeout(20):
                # The reset has to arrive before it can be seen.
                while True:
                    await asyncio.sleep(0.01)
                    (kept,) = transport._pool.connections
                    if kept.has_expired():
                        break
            assert (await client.post(f"http://127.0.0.1:{way.port}/", content=b"b")).content == b"b"
            assert way.connections == 2

    with loop() as run:
        run.run(twice())
