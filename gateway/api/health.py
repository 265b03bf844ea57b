"""Is the gateway alive, and can it take documents? For probes and for people."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import text

from gateway.api.access import gateway_of
from gateway.store.engine import ACCEPT

__all__ = ["router"]

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live", summary="Is the process alive?")
async def live() -> dict[str, str]:
    """Answers as long as the event loop turns."""
    return {"status": "ok"}


@router.get("/ready", summary="Can documents be taken in charge?", responses={503: {"description": "Not now"}})
async def ready(request: Request) -> Response:
    """Writes to the database for real, and says what does not work."""
    gateway = gateway_of(request)
    checks: dict[str, Any] = {}
    try:
        await gateway.store.write(lambda c: c.execute(text("SELECT 1")).scalar(), ACCEPT)
        checks["store"] = "ok"
    except Exception as exc:  # whatever the reason, the answer is that we cannot take documents
        checks["store"] = type(exc.__cause__ or exc).__name__
    checks["workers"] = "ok" if gateway.worker is not None else "elsewhere"
    good = checks["store"] == "ok"
    return JSONResponse({"status": "ok" if good else "unavailable", "checks": checks}, 200 if good else 503)
