"""The ASGI application: routes, refusals, and the gateway's life from start to graceful stop."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import __version__
from gateway.api import (
    apcv,
    checks,
    deliveries,
    directory,
    dispensations,
    documents,
    errors,
    feeds,
    fhir_changes,
    fhir_face,
    fhir_validate,
    health,
    identities,
    identity_questions,
    inbox,
    messages,
    metrics,
    oauth,
    prescriptions,
    psc_logins,
    record_changes,
    records,
    teams,
    webhooks,
)
from gateway.api.straight import Straight
from gateway.console.install import install as install_console
from gateway.context import Gateway
from gateway.ids import new_id
from gateway.journey.clock import utc_now
from gateway.runtime import open_gateway, start_gateway, stop_gateway
from gateway.services import keys, psc
from gateway.settings import Settings

__all__ = ["create_app"]

log = structlog.get_logger("passerelle.http")

DESCRIPTION = """\
Passerelle takes a practitioner's document, makes sure of the patient's identity, writes it as CDA R2 and FHIR R4,
feeds the DMP, mails it by MSSanté, and keeps a count anyone can check.
"""


class RequestFrame:
    """Gives each request its number, its log line and the headers every answer carries."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        plain = given.replace("-", "").replace("_", "").replace(".", "")
        request_id = given if 0 < len(given) <= 64 and plain.isalnum() and plain.isascii() else new_id("req", utc_now())
        scope.setdefault("state", {})["request_id"] = request_id
        began = time.perf_counter()
        status = 0

        async def framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, framed)
        except ClientDisconnect:
            # The caller left before the end of its request: nobody is there to be answered.
            log.info("http.caller_left", request=request_id)
        except Exception as exc:  # a fault of ours is answered here, once, and the connection stays usable
            answer = errors.bug(Request(scope), exc)
            if not status:
                await answer(scope, receive, framed)
        finally:
            route = getattr(scope.get("route"), "path", "?")
            elapsed = time.perf_counter() - began
            metrics.observe(scope["method"], route, status, elapsed)
            log.info(
                "http.answered",
                method=scope["method"],
                route=route,
                status=status,
                ms=round(elapsed * 1000, 1),
                request=request_id,
            )


def create_app(
    settings: Settings | None = None,
    *,
    gateway: Gateway | None = None,
    prepare: Callable[[Gateway], None] | None = None,
) -> FastAPI:
    """Make the application of some settings, or around a gateway already open (tests)."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        running = gateway or open_gateway(settings or Settings())
        app.state.gateway = running
        app.state.under_way = set()
        app.state.psc_verifier = psc.open_verifier(running.settings, running.now)
        if prepare is not None:
            prepare(running)
        await start_gateway(running, workers=running.settings.workers_inside or running.store.sqlite)
        await keys.announce(running)
        log.info("gateway.started", version=__version__, environment=running.settings.environment)
        try:
            yield
        finally:
            if app.state.psc_verifier is not None:
                await app.state.psc_verifier.aclose()
            await stop_gateway(running)
            log.info("gateway.stopped")

    app = FastAPI(
        title="Passerelle",
        version=__version__,
        summary="Gateway to the French national health services: INS, DMP, MSSanté.",
        description=DESCRIPTION,
        lifespan=life,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    errors.install(app)
    modules = (oauth, documents, identities, apcv, identity_questions, feeds, checks, webhooks, health, metrics)
    for module in (
        *modules,
        records,
        record_changes,
        fhir_face,
        fhir_changes,
        fhir_validate,
        deliveries,
        prescriptions,
        dispensations,
    ):
        app.include_router(module.router)
    for module in (messages, inbox, teams, directory, psc_logins):
        app.include_router(module.router)
    install_console(app)
    app.add_middleware(Straight)
    app.add_middleware(RequestFrame)
    return app
