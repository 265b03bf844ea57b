"""Drawing lines at random, so that anybody can draw them again, and taking them away signed."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from gateway.console.asking import ask, enter
from gateway.console.pages.lines import bounds
from gateway.console.pages.overview import FED
from gateway.console.web import HEADERS, Page, Refusal, Route, form_of, page_of, see_other
from gateway.feeds.export import Selection, pack, write_export
from gateway.feeds.sampling import Draw, draw
from gateway.services.feeds import LineQuery, key_of, sample_for, selection_for
from gateway.services.feeds_proofs import keep_public_key, signing_key
from gateway.services.feeds_roles import said_of
from gateway.store.engine import BACKGROUND

__all__ = ["router"]

router = APIRouter(prefix="/console/sample", include_in_schema=False, route_class=Route)

_MOST: Final = 1000
#: Lines of one export made while the browser waits; larger ones are made by the HTTP interface or a command.
_MOST_EXPORTED: Final = 20_000


def query_of(given: Mapping[str, str]) -> LineQuery:
    """The lines to draw from; raises :class:`Refusal` for a span that does not exist."""
    where: dict[str, Sequence[str]] = {}
    for name in ("service", "professional", "structure"):
        value = given.get(name, "").strip()[:200]
        if value:
            where[name] = [value]
    where.setdefault("service", list(FED))
    since, until = bounds(given.get("from", "").strip(), given.get("to", "").strip())
    return LineQuery(where=where, since=since, until=until)


def size_of(given: str) -> int:
    """How many lines; raises :class:`Refusal`."""
    if not given.isdigit() or not 1 <= int(given[:6]) <= _MOST:
        raise Refusal(422, "Ce nombre de lignes ne convient pas.", f"Tirez de 1 à {_MOST} lignes.")
    return int(given)


@router.get("")
async def sample(request: Request) -> Response:
    """The form, and the sample once a size is given: the seed stands in the address, so that the draw can be redone."""
    page = await page_of(request, lambda who: who.sees_lines)
    given = {name: page.one(name) for name in ("service", "professional", "structure", "from", "to", "seed", "size")}
    query = query_of(given)
    values: dict[str, Any] = {"given": given, "fed": FED, "own": page.viewer.own_only, "most": _MOST}
    if not given["size"]:
        return page.render("sample.html", drawn=None, lines=(), **values)
    size = size_of(given["size"])
    if not given["seed"]:
        # Nobody's choice; an auditor who wants one from outside types it.
        chosen = {**{name: value for name, value in given.items() if value}, "seed": secrets.token_hex(8)}
        return see_other(f"/console/sample?{urlencode(chosen)}")
    found: tuple[Draw, list[dict[str, Any]]] = await ask(
        page,
        lambda c: sample_for(c, page.audience, query, size=size, seed=given["seed"], keys=key_of(page.gateway.vault)),
        scope={**query.as_json(), "sample": size, "seed": given["seed"]},
        rows=lambda value: len(value[1]),
    )
    return page.render("sample.html", drawn=found[0], lines=found[1], **values)


@router.post("/export")
async def export(request: Request) -> Response:
    """The sample, or everything it would be drawn from, as a signed export."""
    page = await page_of(request, lambda who: who.sees_lines)
    form = await form_of(request, page.session.csrf)
    query = query_of(form)
    whole = form.get("whole") == "1"
    seed = form.get("seed", "").strip()[:200]
    size = 1 if whole else size_of(form.get("size", ""))
    if not whole and not seed:
        raise Refusal(422, "La graine du tirage manque.", "Tirez les lignes d'abord, puis téléchargez-les.")
    data = await page.gateway.store.write(lambda c: made(c, page, query, size=size, seed=seed, whole=whole), BACKGROUND)
    name = f"passerelle-{page.gateway.now():%Y%m%d-%H%M%S}.zip"
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, media_type="application/zip", headers=headers)


def made(connection: Connection, page: Page, query: LineQuery, *, size: int, seed: str, whole: bool) -> bytes:
    """The ZIP of an export; its heads are signed and kept, and an auditor's query entered, in the same transaction."""
    selection: Selection = selection_for(connection, page.audience, query)
    # Whoever asks learns nothing that a later page would not show: the draw is redone, not believed from the form.
    drawn = draw(connection, selection, size=size, seed=seed or "whole")
    lines = drawn.population if whole else sum(len(numbers) for numbers in drawn.entries.values())
    if lines > _MOST_EXPORTED:
        raise Refusal(
            422,
            f"Cet export ferait plus de {_MOST_EXPORTED} lignes.",
            "Réduisez la période, ou demandez-le par POST /v1/feeds/exports, qui le prépare à part.",
        )
    statement: dict[str, Any] = {"audience": said_of(page.audience), "query": query.as_json()}
    if not whole:
        selection = replace(selection, entries=drawn.entries)
        statement["sample"] = drawn.as_json()
    key = signing_key(page.gateway.settings)
    keep_public_key(connection, key.public_key(), page.gateway.now())
    with tempfile.TemporaryDirectory(prefix="passerelle-export-") as folder:
        place = Path(folder) / "export"
        write_export(
            connection,
            place,
            key=key,
            selection=selection,
            purpose=page.audience.pseudonym_purpose,
            pseudonym_key=key_of(page.gateway.vault),
            now=page.gateway.now(),
            statement=statement,
        )
        pack(place, Path(folder) / "export.zip")
        data = (Path(folder) / "export.zip").read_bytes()
    enter(connection, page, scope={**query.as_json(), "export": True, "seed": seed or None}, rows=lines)
    return data
