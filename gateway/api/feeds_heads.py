"""Signed heads of the ledger: the last ones, the keys that verify them, and where each day's copies went."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from sqlalchemy import Connection

from gateway.api.feeds_access import PROBLEMS, Viewer, viewing
from gateway.feeds import departures
from gateway.feeds.heads import kept_heads
from gateway.problems import NotFound, rule
from gateway.services.feeds import AUDITS, day_of, tenants_read
from gateway.services.feeds_proofs import public_keys, public_pem, signing_key

__all__ = ["router"]

router = APIRouter(prefix="/v1/feeds", tags=["feeds"], responses=PROBLEMS)

NO_BUNDLE = rule(
    "FEED-HEAD-003",
    "Aucune tête n'est partie ce jour-là.",
    "No head left on that day.",
    "Choisissez un jour de /v1/feeds/heads.",
    "Choose a day of /v1/feeds/heads.",
    "incentives 6.3",
)
_MOST_CHAINS = 200

View = Annotated[Viewer, Depends(viewing)]


@router.get("/heads", summary="Last signed heads, and where they left to")
async def heads(
    viewer: View, limit: Annotated[int, Query(ge=1, le=100, description="Heads of each ledger.")] = 1
) -> Response:
    """The last heads of each ledger you may read; keep one: it shows later whether the history was rewritten.

    `departures` says where each day's copies went (time-stamp, folder, auditors' mailbox), or why they have not.
    """
    audience = viewer.audience

    def read(connection: Connection) -> dict[str, Any]:
        names = tenants_read(connection, audience)
        if audience.role.audits:
            names.append(AUDITS)
        kept = [head for name in names[:_MOST_CHAINS] for head in kept_heads(connection, name, limit=limit)]
        return {
            "items": [head.as_json() for head in kept],
            "departures": [
                {"day": one.day, "channel": one.channel, "state": one.state, "at": one.done_at, "detail": one.detail}
                for one in departures.last(connection)
            ],
        }

    return JSONResponse(await viewer.gateway.store.read(read))


@router.get("/heads/{day}", summary="The heads of a day, as they left")
async def heads_of(viewer: View, day: str) -> Response:
    """Every chain's head of that day, the root over them and its time-stamp: what `passerelle feeds verify --head`
    takes. Names of chains are opaque, heads tell nothing of what they stand for but a number of lines.
    """
    wanted = day_of("day", day) or ""
    found = await viewer.gateway.store.read(lambda c: departures.bundle_of(c, wanted))
    if found is None:
        raise NotFound([NO_BUNDLE.finding("day")])
    return JSONResponse(found)


@router.get("/keys", summary="Public keys of heads and exports", response_class=PlainTextResponse)
async def keys(viewer: View) -> Response:
    """Every Ed25519 key that ever signed here (PEM), the present one last: keep them with the heads."""
    own = signing_key(viewer.gateway.settings).public_key()
    known = await viewer.gateway.store.read(public_keys)
    present = public_pem(own)
    former = [pem for pem in map(public_pem, known) if pem != present]
    return PlainTextResponse("".join([*former, present]), media_type="application/x-pem-file")
