"""Exports of lines with their signed manifest: asked for, followed, fetched."""

from __future__ import annotations

import asyncio
import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import FileResponse, JSONResponse
from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel
from sqlalchemy import Connection

from gateway.api.feeds_access import PROBLEMS, Viewer, viewing
from gateway.api.shapes import Shape
from gateway.services import feeds_exports, feeds_figures
from gateway.services.feeds import LineQuery
from gateway.services.feeds_exports import Export, Order, Work
from gateway.services.feeds_rules import chosen_policy, scheme

__all__ = ["router"]

router = APIRouter(prefix="/v1/feeds/exports", tags=["feeds"], responses=PROBLEMS)

View = Annotated[Viewer, Depends(viewing)]


class ExportIn(Shape):
    """Which sealed lines, in which forms, for which figures."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    services: list[str] | None = Field(None, max_length=20, description="dmp.document, mss.message...; all if absent.")
    professional: str | None = Field(None, max_length=14, description="RPPS.")
    structure: str | None = Field(None, max_length=9, description="FINESS of the site.")
    tenants: list[str] | None = Field(None, max_length=500, description="Structures entrusted, by their id.")
    since: str | None = Field(None, alias="from", description="First day, 2026-01-01.")
    until: str | None = Field(None, alias="to", description="Last day.")
    forms: list[str] = Field(["ndjson", "csv"], max_length=3, description="ndjson, csv, parquet.")
    sample: int | None = Field(None, ge=1, le=100_000, description="So many lines drawn at random.")
    seed: str | None = Field(None, min_length=1, max_length=200, description="Of the draw; made if absent.")
    scheme: str | None = Field(None, max_length=120, description="With year: the statement goes into the manifest.")
    year: int | None = None


def _shown(one: Export) -> dict[str, Any]:
    base = f"/v1/feeds/exports/{one.id}"
    links = {"self": base} | ({"file": f"{base}/file"} if one.state == "ready" else {})
    return {
        "id": one.id,
        "state": one.state,
        "done": one.done,
        "total": one.total,
        "detail": one.detail,
        "createdAt": one.created_at,
        "request": one.request,
        "links": links,
    }


@router.post("", status_code=202, summary="Ask for an export")
async def ask(viewer: View, body: ExportIn) -> Response:
    """Sealed lines within your grant, pseudonymised for your purpose, with proofs, counts and a signed manifest.

    The answer (202) tells where to follow it. The ZIP holds its own checker: `passerelle feeds verify EXPORT`, or
    `python verify.py` with nothing but Python, needs neither database nor network.
    """
    gateway, audience = viewer.gateway, viewer.audience
    where = {
        "service": body.services,
        "professional": [body.professional] if body.professional else None,
        "structure": [body.structure] if body.structure else None,
        "tenant": body.tenants,
    }
    query = LineQuery(where={k: v for k, v in where.items() if v}, since=body.since, until=body.until)
    settings, now = gateway.settings, gateway.now()
    who = feeds_figures.about(audience, body.professional, body.structure)
    figures = scheme(settings, body.scheme, body.year) if body.scheme and body.year else []

    def begin(connection: Connection) -> Work:
        feeds_exports.forget(connection, settings, now=now)
        stated = [
            feeds_figures.statement_for(connection, audience, one, who, as_of=now, chosen=chosen_policy(settings))
            for one in feeds_figures.fitting(figures, who)
        ]
        order = Order(
            query=query,
            forms=tuple(body.forms),
            sample=body.sample,
            seed=(body.seed or secrets.token_hex(16)) if body.sample else "",
            statement={"figures": stated} if stated else {},
        )
        return feeds_exports.begin(connection, audience, order, settings=settings, now=now)

    work = await gateway.store.write(begin)
    task = asyncio.create_task(feeds_exports.run(gateway, work), name=f"export-{work.id}")
    under_way: list[Any] = gateway.health.setdefault("chores", [])
    under_way.append(task)
    task.add_done_callback(lambda done: under_way.remove(done) if done in under_way else None)
    one = await gateway.store.read(lambda c: feeds_exports.export_of(c, audience.who, work.id, now=gateway.now()))
    return JSONResponse(_shown(one), 202, {"Location": f"/v1/feeds/exports/{work.id}"})


@router.get("", summary="Exports asked for")
async def listing(viewer: View) -> Response:
    """Your exports, newest first, with their progress."""
    now = viewer.gateway.now()
    found = await viewer.gateway.store.read(lambda c: feeds_exports.exports_of(c, viewer.audience.who, now=now))
    return JSONResponse({"items": [_shown(one) for one in found]})


async def _one(viewer: Viewer, number: str) -> Export:
    now = viewer.gateway.now()
    return await viewer.gateway.store.read(lambda c: feeds_exports.export_of(c, viewer.audience.who, number, now=now))


@router.get("/{number}", summary="Progress of an export")
async def following(viewer: View, number: str) -> Response:
    """Running with the lines written so far, ready with the link of its file, or failed with why."""
    return JSONResponse(_shown(await _one(viewer, number)))


@router.get("/{number}/file", summary="Fetch an export")
async def file(viewer: View, number: str) -> Response:
    """The ZIP: manifest and signature first, lines, and the program that checks them."""
    one = await _one(viewer, number)
    path = feeds_exports.export_file(viewer.gateway.settings, one)
    return FileResponse(path, media_type="application/zip", filename=f"passerelle-{one.id}.zip")


@router.delete("/{number}", status_code=204, summary="Delete an export")
async def remove(viewer: View, number: str) -> Response:
    """The file is deleted; the query stays in the ledger."""
    one = await _one(viewer, number)
    settings, now = viewer.gateway.settings, viewer.gateway.now()
    await viewer.gateway.store.write(lambda c: feeds_exports.forget(c, settings, now=now, number=one.id))
    return Response(status_code=204)
