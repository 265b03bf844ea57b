"""What every simulator shares: a journal of exchanges, fault switches, their HTTP interface, and a TLS server.

A simulator is an ASGI application served by :func:`serve` on a real socket, in a thread with its own loop. The peer's
certificate stands in ``scope["extensions"]["tls"]["client_certificate_der"]`` (bytes, or None without one), and
``scope["extensions"]["connection"]["abort"]`` drops the connection without a word, for faults.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any, Final

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Scope

__all__ = [
    "Exchange",
    "Fault",
    "Faults",
    "Journal",
    "Listener",
    "Server",
    "abort_connection",
    "admin_app",
    "client_certificate",
    "serve",
    "serve_all",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request a simulator received and what it answered."""

    id: str
    at: datetime
    transaction: str  #: what was asked, in the field's word (``TD2.1``, ``rechercherInsAvecTraitsIdentite``)
    outcome: str  #: what came of it: ``accepted``, a fault or an error code
    status: int | None = None  #: HTTP status, None outside HTTP or when the connection was dropped
    details: Mapping[str, Any] = field(default_factory=dict)  #: more members for the list, never a patient's trait
    request_type: str = "application/xml"
    response_type: str = "application/xml"
    request: bytes | None = field(default=None, repr=False)  #: None once the journal made room
    response: bytes | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, Any]:
        """The line of the list."""
        return {
            **self.details,
            "id": self.id,
            "at": self.at.isoformat(),
            "transaction": self.transaction,
            "outcome": self.outcome,
            "status": self.status,
            "kept": self.request is not None,
        }


class Journal:
    """What a simulator received, oldest first; safe from any thread.

    Bodies are kept up to ``max_bytes`` in all, then the oldest are let go; the lines themselves stay, up to
    ``max_exchanges``, and :attr:`counts` never forgets.
    """

    def __init__(self, *, max_bytes: int = 128 * 1024 * 1024, max_exchanges: int = 500_000) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._lines: dict[str, Exchange] = {}
        self._with_bodies: deque[str] = deque()
        self._bytes = 0
        self._max_exchanges = max_exchanges
        #: (transaction, outcome) -> how many since the start
        self.counts: Counter[tuple[str, str]] = Counter()

    def record(
        self,
        transaction: str,
        outcome: str,
        *,
        request: bytes,
        response: bytes = b"",
        status: int | None = None,
        request_type: str = "application/xml",
        response_type: str = "application/xml",
        details: Mapping[str, Any] | None = None,
    ) -> Exchange:
        """Write one line and give it."""
        with self._lock:
            exchange = Exchange(
                id=f"exc_{next(self._ids):06d}",
                at=datetime.now(UTC),
                transaction=transaction,
                outcome=outcome,
                status=status,
                details=details or {},
                request_type=request_type,
                response_type=response_type,
                request=request,
                response=response,
            )
            self._lines[exchange.id] = exchange
            self._with_bodies.append(exchange.id)
            self._bytes += len(request) + len(response)
            self.counts[transaction, outcome] += 1
            self._make_room()
        return exchange

    def _make_room(self) -> None:
        while self._bytes > self._max_bytes and len(self._with_bodies) > 1:
            old = self._lines.get(self._with_bodies.popleft())
            if old is not None:
                self._bytes -= len(old.request or b"") + len(old.response or b"")
                self._lines[old.id] = Exchange(
                    id=old.id,
                    at=old.at,
                    transaction=old.transaction,
                    outcome=old.outcome,
                    status=old.status,
                    details=old.details,
                )
        while len(self._lines) > self._max_exchanges:
            gone = self._lines.pop(next(iter(self._lines)))
            self._bytes -= len(gone.request or b"") + len(gone.response or b"")

    def all(self, *, transaction: str | None = None, outcome: str | None = None) -> list[Exchange]:
        """The exchanges, oldest first, of one transaction or outcome when asked."""
        with self._lock:
            lines = list(self._lines.values())
        return [line for line in lines if transaction in (None, line.transaction) and outcome in (None, line.outcome)]

    def get(self, exchange_id: str) -> Exchange | None:
        """One exchange by its id."""
        with self._lock:
            return self._lines.get(exchange_id)

    def clear(self) -> None:
        """Forget everything, counts included."""
        with self._lock:
            self._lines.clear()
            self._with_bodies.clear()
            self._bytes = 0
            self.counts.clear()

    def __len__(self) -> int:
        return len(self._lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault asked of a simulator, as it is about to happen."""

    name: str
    transaction: str | None = None  #: only for this transaction
    parameters: Mapping[str, Any] = field(default_factory=dict)  #: as ``{"seconds": 2}`` for a latency

    def number(self, name: str, default: float) -> float:
        """A parameter as a number. Raises ``ValueError`` when it is not one."""
        return float(self.parameters.get(name, default))


@dataclass(slots=True)
class _Switch:
    fault: Fault
    left: int | None  # None: until cleared


class Faults:
    """The fault switches of a simulator: what goes wrong, for which transaction, how many times.

    ``known`` gives the names a simulator understands, with a sentence for each. Safe from any thread.
    """

    def __init__(self, known: Mapping[str, str]) -> None:
        self.known: Final = dict(known)
        self._lock = threading.Lock()
        self._switches: list[_Switch] = []

    def set(
        self,
        name: str,
        *,
        count: int | None = 1,
        transaction: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        """Switch a fault on for the next ``count`` requests, or until cleared with None.

        Raises ``ValueError`` on a name the simulator does not know, or a count below one.
        """
        if name not in self.known:
            raise ValueError(f"unknown fault {name!r}; known: {', '.join(sorted(self.known))}")
        if count is not None and count < 1:
            raise ValueError("count must be at least 1")
        fault = Fault(name=name, transaction=transaction, parameters=dict(parameters or {}))
        with self._lock:
            self._switches.append(_Switch(fault, count))

    def take(self, transaction: str, *names: str) -> Fault | None:
        """The next fault due for a transaction, used up by one; only among ``names`` when some are given."""
        with self._lock:
            for switch in self._switches:
                fault = switch.fault
                if fault.transaction not in (None, transaction) or (names and fault.name not in names):
                    continue
                if switch.left is not None:
                    switch.left -= 1
                    if switch.left == 0:
                        self._switches.remove(switch)
                return fault
        return None

    def clear(self) -> None:
        """Switch everything off."""
        with self._lock:
            self._switches.clear()

    def as_json(self) -> dict[str, Any]:
        """What is on, and what could be."""
        with self._lock:
            active = [
                {
                    "fault": s.fault.name,
                    "count": s.left,
                    "transaction": s.fault.transaction,
                    "parameters": dict(s.fault.parameters),
                }
                for s in self._switches
            ]
        return {"active": active, "known": self.known}


def _json(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def _set_faults(faults: Faults, body: bytes) -> None:
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise HTTPException(400, "the body must be JSON") from None
    for one in asked if isinstance(asked, list) else [asked]:
        if not isinstance(one, dict) or not isinstance(one.get("fault"), str):
            raise HTTPException(400, 'expected {"fault": name, "count": number, "transaction": word, "parameters": {}}')
        count = one.get("count", 1)
        parameters = one.get("parameters") or {}
        if (count is not None and (not isinstance(count, int) or isinstance(count, bool))) or not isinstance(
            parameters, dict
        ):
            raise HTTPException(400, "count must be an integer or null, parameters an object")
        try:
            faults.set(one["fault"], count=count, transaction=one.get("transaction"), parameters=parameters)
        except ValueError as exc:
            raise HTTPException(400, str(exc)) from None


_PAGE: Final = """<!doctype html><html lang="fr"><head><meta charset="utf-8"><title>{title}</title><style>
body{{font:15px system-ui,sans-serif;margin:2rem;max-width:70rem}}table{{border-collapse:collapse;width:100%}}
th,td{{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #ddd}}code{{font-size:.95em}}</style></head><body>
<h1>{title}</h1><p>{count} échanges reçus. Pannes actives : {active}.</p>
<table><thead><tr><th>Échange</th><th>Heure</th><th>Transaction</th><th>Résultat</th><th>HTTP</th><th>Octets</th></tr></thead><tbody>{rows}</tbody></table></body></html>"""


def _row(e: Exchange) -> str:
    if e.request is None:
        links = "effacés"
    else:
        links = f'<a href="exchanges/{e.id}/request">demande</a> <a href="exchanges/{e.id}/response">réponse</a>'
    cells = (e.id, e.at.strftime("%H:%M:%S"), e.transaction, e.outcome, str(e.status or "coupé"))
    return f"<tr>{''.join(f'<td>{escape(c)}</td>' for c in cells)}<td>{links}</td></tr>"


def admin_app(title: str, journal: Journal, faults: Faults, routes: Sequence[BaseRoute] = ()) -> Starlette:
    """The HTTP interface of a simulator: exchanges, faults, a page to look at, and the simulator's own routes.

    ``GET /exchanges`` (filters ``transaction``, ``outcome``, ``limit`` for the last ones), ``DELETE /exchanges``,
    ``GET /exchanges/{id}/request`` and ``/response``, ``GET``, ``POST`` and ``DELETE /faults``.
    """

    async def exchanges(request: Request) -> Response:
        if request.method == "DELETE":
            journal.clear()
            return Response(status_code=204)
        query = request.query_params
        lines = journal.all(transaction=query.get("transaction"), outcome=query.get("outcome"))
        if (limit := query.get("limit", "")).isdecimal():
            lines = lines[-int(limit) :] if int(limit) else []
        return _json([line.as_json() for line in lines])

    async def side(request: Request) -> Response:
        exchange = journal.get(request.path_params["id"])
        name = request.path_params["side"]
        body = getattr(exchange, name) if exchange is not None and name in ("request", "response") else None
        if body is None:
            raise HTTPException(404, "no such exchange, or its bytes were let go")
        # Never rendered by a browser as a page of ours: what is shown came from a stranger.
        media_type = getattr(exchange, f"{name}_type")
        return Response(body, media_type=media_type, headers={"x-content-type-options": "nosniff"})

    async def switches(request: Request) -> Response:
        if request.method == "POST":
            _set_faults(faults, await request.body())
        elif request.method == "DELETE":
            faults.clear()
        return _json(faults.as_json())

    async def page(_: Request) -> Response:
        rows = "".join(_row(e) for e in reversed(journal.all()[-200:]))
        active = ", ".join(str(f["fault"]) for f in faults.as_json()["active"]) or "aucune"
        html = _PAGE.format(title=escape(title), count=len(journal), active=escape(active), rows=rows)
        return HTMLResponse(html, headers={"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"})

    async def refused(_: Request, exc: Exception) -> Response:
        code = exc.status_code if isinstance(exc, HTTPException) else 500
        detail = exc.detail if isinstance(exc, HTTPException) else "the simulator failed"
        return _json({"error": detail}, code)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/exchanges", exchanges, methods=["GET", "DELETE"]),
            Route("/exchanges/{id}/{side}", side),
            Route("/faults", switches, methods=["GET", "POST", "DELETE"]),
            *routes,
        ],
        exception_handlers={HTTPException: refused},
    )


def client_certificate(scope: Scope) -> bytes | None:
    """The certificate of the TLS client as DER, or None when it gave none."""
    tls = scope.get("extensions", {}).get("tls")
    return tls["client_certificate_der"] if tls else None


def abort_connection(scope: Scope) -> None:
    """Drop the connection of a request at once, with a reset and no answer."""
    scope["extensions"]["connection"]["abort"]()


class _PeerProtocol(HttpToolsProtocol):
    """HTTP protocol that tells the application who its TLS peer is, which uvicorn does not."""

    _peer_der: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        self._peer_der = tls.getpeercert(binary_form=True) if tls is not None else None

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["extensions"] = {"connection": {"abort": self.transport.abort}}
        if self.scheme == "https":
            scope["extensions"]["tls"] = {"client_certificate_der": self._peer_der}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One application on one address; port 0 takes a free one."""

    app: ASGIApp
    ssl_context: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    port: int = 0


class _Uvicorn(uvicorn.Server):
    """A server that lets its owner know it is up, and leaves signals alone."""

    def __init__(self, config: uvicorn.Config, up: threading.Event) -> None:
        super().__init__(config)
        self._up = up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._up.set()


class Server:
    """Applications being served in a thread; a context manager that stops them."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._sockets = [_bind(listener) for listener in listeners]
        #: the ports taken, in the order of the listeners
        self.ports: Final = tuple(int(s.getsockname()[1]) for s in self._sockets)
        self._ups = [threading.Event() for _ in listeners]
        self._servers = [_Uvicorn(_config(listener), up) for listener, up in zip(listeners, self._ups, strict=True)]
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)

    @property
    def port(self) -> int:
        """The port of the first listener."""
        return self.ports[0]

    def start(self) -> Server:
        """Start serving; returns once every address answers. Raises ``RuntimeError`` when one could not start."""
        self._thread.start()
        for up in self._ups:
            up.wait(10)
        if self._failure is not None or not all(s.started for s in self._servers):
            self.stop()
            raise RuntimeError("the sandbox could not start") from self._failure
        return self

    def _run(self) -> None:
        async def all_of_them() -> None:
            async with asyncio.TaskGroup() as group:
                for server, sock in zip(self._servers, self._sockets, strict=True):
                    group.create_task(server._serve([sock]))

        try:
            with asyncio.Runner(loop_factory=self._servers[0].config.get_loop_factory()) as runner:
                runner.run(all_of_them())
        except BaseException as exc:
            self._failure = exc
        finally:
            for up in self._ups:
                up.set()

    def stop(self) -> None:
        """Stop serving and wait until it is done; a second call does nothing."""
        for server in self._servers:
            server.should_exit = True
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(15)
        for sock in self._sockets:
            sock.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _bind(listener: Listener) -> socket.socket:
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((listener.host, listener.port))
    except OSError:
        sock.close()
        raise
    return sock


def _config(listener: Listener) -> uvicorn.Config:
    config = uvicorn.Config(
        listener.app,
        host=listener.host,
        port=listener.port,
        http=_PeerProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=1,
        proxy_headers=False,
    )
    config.load()
    config.ssl = listener.ssl_context
    return config


def serve_all(listeners: Sequence[Listener]) -> Server:
    """Serve several applications in one thread, and give the running server."""
    return Server(listeners).start()


def serve(app: ASGIApp, ssl_context: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0) -> Server:
    """Serve one application in a thread of its own, over TLS when a context is given, and give the running server."""
    return serve_all([Listener(app=app, ssl_context=ssl_context, host=host, port=port)])
