"""The one call of every document, answered without the framework around it.

Routing, dependencies and their stacks cost as much as what ``POST /v1/documents`` does itself in this process. The
route stays in the application: it documents the call, and answers whatever the short way leaves to it.
"""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api import documents

__all__ = ["Straight"]

_PATH = "/v1/documents"
_ROUTE = next(
    route
    for route in documents.router.routes
    if getattr(route, "path", None) == _PATH and "POST" in getattr(route, "methods", ())
)


class Straight:
    """Takes documents in charge; hands every other request on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != _PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive, send)
        if not documents.plain(request):
            await self._app(scope, receive, send)
            return
        scope["route"] = _ROUTE  # as it is called in logs and measures
        try:
            answer = await documents.receive(request)
        except ClientDisconnect:
            raise
        except Exception as exc:
            answer = await _refusal(request, exc)
        await answer(scope, receive, send)


async def _refusal(request: Request, exc: Exception) -> Response:
    """What the application answers to an exception; raises it again when it has no answer."""
    for kind in type(exc).__mro__:
        handler = request.app.exception_handlers.get(kind)
        if handler is not None:
            made: Response = await handler(request, exc)
            return made
    raise exc
