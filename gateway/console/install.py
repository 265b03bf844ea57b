"""Adding the console to the application."""

from __future__ import annotations

import hashlib

from fastapi import APIRouter, FastAPI, Request, Response

from gateway.console import signin
from gateway.console.pages import (
    documents,
    entries,
    feeds,
    funnel,
    indicators,
    lines,
    operations,
    overview,
    reconcile,
    sample,
    verify,
)
from gateway.console.web import HEADERS, Refusal, Route, stylesheet

__all__ = ["install"]

_static = APIRouter(prefix="/console", include_in_schema=False, route_class=Route)
_last = APIRouter(prefix="/console", include_in_schema=False, route_class=Route)


@_static.get("/console.css")
async def css(request: Request) -> Response:
    """The stylesheet, kept by the browser until it changes."""
    body = stylesheet()
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    headers = {**HEADERS, "ETag": tag, "Cache-Control": "public, max-age=300"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="text/css", headers=headers)


@_last.get("/{rest:path}")
async def unknown(request: Request) -> Response:
    """Any other address: a page that says so."""
    raise Refusal(404, "Cette page n'existe pas.", "Le lien est peut-être incomplet.")


def install(app: FastAPI) -> None:
    """Add every page to an application; the console shows what its gateway holds."""
    pages = (
        overview,
        feeds,
        funnel,
        lines,
        indicators,
        entries,
        sample,
        verify,
        reconcile,
        documents,
        operations,
    )
    for router in (_static, signin.router, *(page.router for page in pages), _last):
        app.include_router(router)
