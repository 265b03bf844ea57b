"""What the simulated operator shows over HTTP: mails it took, notices it sent back, its white list; and a way in."""

from __future__ import annotations

from email.utils import getaddresses
from typing import TYPE_CHECKING

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.mss.mime import parse_head
from adapters.mss.rules import MailRefused

if TYPE_CHECKING:
    from adapters.mss.sandbox import MssSandbox, StoredMail

__all__ = ["routes"]

# Never rendered by a browser as a page of ours: what is shown came from a stranger.
_NOSNIFF = {"x-content-type-options": "nosniff"}


def routes(operator: MssSandbox) -> list[Route]:
    """The simulator's own routes, beside those every simulator has.

    ``GET /messages`` (filter ``messageId``), ``/messages/{id}``, ``/messages/{id}/raw``, ``/notices``,
    ``/notices/{id}/raw``, ``/listeblanchemssante.xml``; ``POST /deliveries`` puts a mail into the mailboxes of its
    ``To`` header as if another operator had sent it.
    """
    handlers = _Handlers(operator)
    return [
        Route("/messages", handlers.messages),
        Route("/messages/{id}", handlers.message),
        Route("/messages/{id}/raw", handlers.message_bytes),
        Route("/notices", handlers.notices),
        Route("/notices/{id}/raw", handlers.notice_bytes),
        Route("/deliveries", handlers.deliveries, methods=["POST"]),
        Route("/listeblanchemssante.xml", handlers.white_list),
    ]


def _json(content: object) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


class _Handlers:
    def __init__(self, operator: MssSandbox) -> None:
        self._operator = operator

    def _find(self, request: Request) -> StoredMail:
        found = self._operator.message(request.path_params["id"])
        if found is None:
            raise HTTPException(404, "no such message")
        return found

    async def messages(self, request: Request) -> Response:
        found = self._operator.messages
        if message_id := request.query_params.get("messageId"):
            found = [m for m in found if m.message_id.strip("<>") == message_id.strip("<>")]
        return _json([m.as_json() for m in found])

    async def message(self, request: Request) -> Response:
        return _json(self._find(request).as_json())

    async def message_bytes(self, request: Request) -> Response:
        raw = self._find(request).raw
        if not raw:
            raise HTTPException(404, "the bytes were let go")
        return Response(raw, media_type="message/rfc822", headers=_NOSNIFF)

    async def notices(self, request: Request) -> Response:
        return _json([n.as_json() for n in self._operator.notices])

    async def notice_bytes(self, request: Request) -> Response:
        raw = self._operator.notice(request.path_params["id"])
        if not raw:
            raise HTTPException(404, "no such notice")
        return Response(raw, media_type="message/rfc822", headers=_NOSNIFF)

    async def deliveries(self, request: Request) -> Response:
        data = await request.body()
        try:
            to = [address for _, address in getaddresses([parse_head(data).header("To")]) if address]
        except MailRefused:
            to = []
        if not to:
            raise HTTPException(400, "expected a mail with a To header")
        for address in to:
            self._operator.deliver(address, data)
        return _json({"delivered": len(to)})

    async def white_list(self, request: Request) -> Response:
        return Response(self._operator.white_list(), media_type="application/xml")
