"""Is the gateway alive, and can it take documents? For probes and for people."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from gateway.api.access import gateway_of
from gateway.store import blobs, sql
from gateway.store.engine import ACCEPT
from gateway.store.tables import installation

__all__ = ["router"]

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live", summary="Is the process alive?")
async def live() -> dict[str, str]:
    """Answers as long as the event loop turns."""
    return {"status": "ok"}


def _probe(connection: Connection, now: datetime) -> None:
    """Write a row: a full or read-only disk lets a transaction begin and end when nothing was written in it."""
    if not sql.change(connection, installation, {"name": "probe"}, {"set_at": now}):
        blobs.insert_ignore(connection, installation, {"name": "probe", "value": "ready", "set_at": now})


@router.get("/ready", summary="Can documents be taken in charge?", responses={503: {"description": "Not now"}})
async def ready(request: Request) -> Response:
    """Writes to the database for real, and says what does not work."""
    gateway = gateway_of(request)
    checks: dict[str, Any] = {}
    try:
        await gateway.store.write(lambda c: _probe(c, gateway.now()), ACCEPT)
        checks["store"] = "ok"
    except Exception as exc:  # whatever the reason, the answer is that we cannot take documents
        checks["store"] = type(exc.__cause__ or exc).__name__
    checks["workers"] = "ok" if gateway.worker is not None else "elsewhere"
    if gateway.worker is not None:
        down = [lane.name for lane in gateway.worker.lanes if lane.courier.breaker.open]
        # A destination that is down is told, and is no reason to refuse documents: they wait.
        checks["destinations"] = {lane.name: "down" if lane.name in down else "ok" for lane in gateway.worker.lanes}
    full = gateway.backlog is not None and gateway.backlog >= gateway.settings.max_pending
    checks["backlog"] = "full" if full else "ok"
    good = checks["store"] == "ok" and not full
    return JSONResponse({"status": "ok" if good else "unavailable", "checks": checks}, 200 if good else 503)
