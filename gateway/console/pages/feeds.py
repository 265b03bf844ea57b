"""What was fed? Counts by any dimension, filters that read as a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from gateway.console import words
from gateway.console.asking import ask
from gateway.console.pages.overview import FED, shift
from gateway.console.web import Page, Route, page_of
from gateway.feeds.entry import PARIS
from gateway.feeds.suppression import Cell
from gateway.services.feeds import CountQuery, counts_for

__all__ = ["router"]

router = APIRouter(prefix="/console/feeds", include_in_schema=False, route_class=Route)

#: What the page groups by; the other dimensions serve as filters.
GROUPS: Final = (
    "month",
    "type",
    "outcome",
    "reason",
    "profession",
    "structure",
    "professional",
    "mode",
    "place",
    "ins",
)
FILTERS: Final = ("type", "outcome", "profession", "structure", "professional", "reason", "mode", "place", "ins")
_MOST_GROUPS: Final = 3
_MOST_ROWS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the form asks for."""

    by: tuple[str, ...]
    service: str
    filters: dict[str, str]
    since: str
    until: str

    def query(self) -> CountQuery:
        """The count behind the page."""
        return CountQuery(
            by=self.by,
            where={"service": [self.service] if self.service else list(FED)}
            | {name: [value] for name, value in self.filters.items()},
            since=self.since or None,
            until=self.until or None,
        )

    def sentence(self) -> str:
        """The filters as a sentence."""
        what = words.SERVICES[self.service] if self.service else "les six services"
        said = f"Ce qui concerne {what}"
        if self.since and self.since == self.until:
            said += f", en {words.month(self.since)}"
        elif self.since or self.until:
            said += f", de {words.month(self.since) if self.since else 'la première écriture'}"
            said += f" à {words.month(self.until) if self.until else 'aujourd’hui'}"
        for name, value in self.filters.items():
            said += f", {words.DIMENSIONS[name]} {words.named(name, value)}"
        return f"{said}, compté par {' et par '.join(words.DIMENSIONS[name] for name in self.by)}."


def asked_of(page: Page) -> Asked:
    """Read the form; what is not understood is left out rather than guessed, and the sentence shows what is left."""
    given = page.request.query_params
    may = [name for name in GROUPS if name != "professional" or page.viewer.sees_lines]
    by = tuple(dict.fromkeys(name for name in given.getlist("by") if name in may))[:_MOST_GROUPS]
    service = page.one("service")
    today = page.gateway.now().astimezone(PARIS).date()
    fresh = not given
    return Asked(
        by=by or ("month", "outcome"),
        service=service if service in words.SERVICES else "",
        filters={name: page.one(name) for name in FILTERS if page.one(name)},
        since=shift(f"{today:%Y-%m}", -11) if fresh else page.one("from"),
        until=page.one("to"),
    )


def _lines_link(page: Page, asked: Asked, cell: Cell) -> str:
    """The address of the lines behind a cell, when they can be asked for."""
    if not page.viewer.sees_lines or cell.count is None:
        return ""
    group = dict(cell.group)
    month = group.pop("month", "")
    wanted = {"service": cell.service, **asked.filters, **{name: value for name, value in group.items() if value}}
    if any(not value for value in group.values()):
        return ""  # a value that is not there cannot be a filter
    for name, bound in (("from", month or asked.since), ("to", month or asked.until)):
        if bound:
            wanted[name] = bound
    return f"/console/lines?{urlencode(wanted)}"


@router.get("")
async def feeds(request: Request) -> Response:
    """The table."""
    page = await page_of(request, lambda who: who.sees_counts)
    asked = asked_of(page)
    query = asked.query()
    found = await ask(
        page,
        lambda c: counts_for(c, page.audience, query, small=page.gateway.settings.feeds.small_cell),
        scope=query.as_json(),
        rows=lambda value: len(value.cells),
    )
    rows: Sequence[Cell] = sorted(
        found.cells, key=lambda cell: [cell.service, *(cell.group[name] for name in asked.by)]
    )
    return page.render(
        "feeds.html",
        asked=asked,
        sentence=asked.sentence(),
        groups=[name for name in GROUPS if name != "professional" or page.viewer.sees_lines],
        filters=[name for name in FILTERS if name not in ("outcome",)],
        rows=[(cell, _lines_link(page, asked, cell)) for cell in rows[:_MOST_ROWS]],
        more=max(0, len(rows) - _MOST_ROWS),
        found=found,
        fed=FED,
        small=page.gateway.settings.feeds.small_cell,
    )
