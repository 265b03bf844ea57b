"""Lines behind a number: pseudonymised, newest first, by filters or by their place in a funnel."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from gateway.console import words
from gateway.console.asking import ask
from gateway.console.web import Page, Refusal, Route, page_of
from gateway.feeds.lines import FILTERS
from gateway.services.feeds import LineQuery, key_of, page_for

__all__ = ["bounds", "router"]

router = APIRouter(prefix="/console/lines", include_in_schema=False, route_class=Route)

_A_PAGE: Final = 50


def bounds(since: str, until: str) -> tuple[str | None, str | None]:
    """First and last day of a span given in months or in days; raises :class:`Refusal`."""
    try:
        first = f"{since}-01" if len(since) == 7 else since or None
        last = until or None
        if len(until) == 7:
            last = f"{until}-{monthrange(int(until[:4]), int(until[5:]))[1]:02d}"
    except (ValueError, IndexError):
        raise Refusal(422, "Cette période n'existe pas.", "Donnez des mois de la forme 2026-11.") from None
    return first, last


def _cursor(given: str) -> int | None:
    if not given:
        return None
    if not given.isdigit() or len(given) > 18:
        raise Refusal(422, "Cette suite de liste n'existe pas.", "Revenez au début de la liste.")
    return int(given)


def sentence(where: dict[str, Sequence[str]], since: str | None, until: str | None) -> str:
    """What the list holds, in words."""
    parts = [f"{words.DIMENSIONS[name]} {words.named(name, values[0])}" for name, values in where.items()]
    if since:
        parts.append(f"depuis le {words.day(since)}")
    if until:
        parts.append(f"jusqu'au {words.day(until)}")
    return f"Les lignes : {', '.join(parts)}." if parts else "Toutes les lignes que vous pouvez voir."


@router.get("")
async def listing(request: Request) -> Response:
    """A page of lines."""
    page: Page = await page_of(request, lambda who: who.sees_lines)
    where: dict[str, Sequence[str]] = {name: [page.one(name)] for name in FILTERS if page.one(name)}
    since, until = bounds(page.one("from"), page.one("to"))
    query = LineQuery(where=where, since=since, until=until, limit=_A_PAGE)
    before = _cursor(page.one("before"))

    def read(connection: Connection) -> Any:
        return page_for(connection, page.audience, query, before=before, keys=key_of(page.gateway.vault))

    found = await ask(page, read, scope=query.as_json(), rows=lambda value: len(value.lines))
    kept = {name: value for name, value in request.query_params.items() if name != "before"}
    following = f"?{urlencode({**kept, 'before': found.following})}" if found.following else ""
    return page.render(
        "lines.html",
        lines=found.lines,
        sentence=sentence(where, since, until),
        following=following,
        first=f"?{urlencode(kept)}" if before else "",
    )
