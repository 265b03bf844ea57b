"""Is the ledger intact? The last signed heads, where their copies go, and the verification worked out here."""

from __future__ import annotations

from typing import Any, Final

import orjson
from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection, select

from gateway.console.web import HEADERS, Page, Refusal, Route, form_of, page_of
from gateway.feeds.heads import kept_heads, key_id
from gateway.feeds.ledger import chain_state
from gateway.feeds.tables import entries
from gateway.feeds.verification import all_tenants, verify
from gateway.services.feeds_proofs import public_keys, public_pem, signing_key
from gateway.services.feeds_watch import Verified, last_verified

__all__ = ["router"]

router = APIRouter(prefix="/console/verify", include_in_schema=False, route_class=Route)

_HEADS_SHOWN: Final = 5
#: Entries read again while the browser waits; beyond, the command does it.
_MOST: Final = 200_000


def ledgers_of(connection: Connection, page: Page) -> list[str]:
    """The ledgers that concern the viewer: those entrusted to them, or those that hold lines of their own."""
    viewer = page.viewer
    if viewer.own_only:
        mine = entries.c.actor_rpps == viewer.rpps if viewer.rpps else entries.c.structure_finess == viewer.finess
        return sorted(connection.execute(select(entries.c.tenant).where(mine).distinct()).scalars())
    known = all_tenants(connection)
    return known if viewer.tenants is None else [name for name in known if name in viewer.tenants]


def _state(connection: Connection, page: Page) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "size": chain_state(connection, name)[0].size,
            "heads": kept_heads(connection, name, limit=_HEADS_SHOWN),
        }
        for name in ledgers_of(connection, page)
    ]


def _known(connection: Connection, page: Page) -> tuple[list[dict[str, Any]], list[Verified]]:
    state = _state(connection, page)
    return state, last_verified(connection, [one["name"] for one in state])


def _values(page: Page, state: list[dict[str, Any]], verified: list[Verified]) -> dict[str, Any]:
    feeds = page.gateway.settings.feeds
    key = signing_key(page.gateway.settings)
    return {
        "ledgers": state,
        "mailboxes": len(feeds.mail_to),
        "folder": feeds.drop_folder is not None,
        "stamped": bool(feeds.timestamp_url),
        "key": key_id(key.public_key()),
        "verified": verified,
        "late": [one for one in verified if one.late(page.gateway.now())],
        "too_many": sum(one["size"] for one in state) > _MOST,
    }


@router.get("")
async def state(request: Request) -> Response:
    """The heads and where they go."""
    page = await page_of(request)
    found, verified = await page.gateway.store.read(lambda c: _known(c, page))
    return page.render("verify.html", reports=None, **_values(page, found, verified))


@router.post("")
async def check(request: Request) -> Response:
    """Read every entry again and compare with every kept head."""
    page = await page_of(request)
    await form_of(request, page.session.csrf)
    key = signing_key(page.gateway.settings).public_key()
    found, verified = await page.gateway.store.read(lambda c: _known(c, page))
    values = _values(page, found, verified)
    if values["too_many"]:
        raise Refusal(
            422,
            "Ce journal est trop long pour une page.",
            "Lancez « passerelle feeds verify » sur la machine, ou vérifiez un export chez vous.",
        )

    def read(connection: Connection) -> list[Any]:
        return [
            verify(
                connection,
                one["name"],
                heads=kept_heads(connection, one["name"]),
                keys=[key, *public_keys(connection)],
            )
            for one in found
        ]

    reports = await page.gateway.store.read(read)
    return page.render("verify.html", reports=reports, at=page.gateway.now(), **values)


@router.get("/heads.json")
async def heads(request: Request) -> Response:
    """The last heads, to be kept elsewhere and given to ``--head`` later."""
    page = await page_of(request)
    found = await page.gateway.store.read(lambda c: _state(c, page))
    body = orjson.dumps([head.as_json() for one in found for head in one["heads"]], option=orjson.OPT_INDENT_2)
    headers = {**HEADERS, "Content-Disposition": 'attachment; filename="passerelle-heads.json"'}
    return Response(body, media_type="application/json", headers=headers)


@router.get("/key.pem")
async def public_key(request: Request) -> Response:
    """The public key of the heads and exports."""
    page = await page_of(request)
    headers = {**HEADERS, "Content-Disposition": 'attachment; filename="passerelle-feeds.pem"'}
    return Response(
        public_pem(signing_key(page.gateway.settings).public_key()),
        media_type="application/x-pem-file",
        headers=headers,
    )
