"""What happened this month?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection, func, select

from gateway.console import words
from gateway.console.asking import ask
from gateway.console.charts import Chart, stacked
from gateway.console.viewer import Viewer
from gateway.console.web import Refusal, Route, page_of, see_other
from gateway.feeds.entry import COUNTED, PARIS
from gateway.feeds.heads import kept_heads
from gateway.feeds.suppression import Cell
from gateway.services.feeds import CountQuery, counts_for, tenants_read
from gateway.services.feeds_watch import last_verified
from gateway.store.tables import deliveries, documents

__all__ = ["FED", "REFUSED", "router", "shift"]

router = APIRouter(prefix="/console", include_in_schema=False, route_class=Route)

#: The services the conventions speak of, in the order of the page.
FED: Final = tuple(COUNTED)
#: Outcomes that are a loss.
REFUSED: Final = frozenset("rejected abandoned expired withdrawn failed mismatch not_found refused".split())
_MONTHS_SHOWN: Final = 12
_SERIES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One service over one month, beside the month before."""

    service: str
    fed: int
    before: int
    refused: int
    held: int

    @property
    def change(self) -> int:
        return self.fed - self.before


def shift(month: str, by: int) -> str:
    """The month so many months later (or earlier): ``2026-01`` and -1 give ``2025-12``."""
    number = int(month[:4]) * 12 + int(month[5:]) - 1 + by
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


def _month(given: str, today: date) -> str:
    if not given:
        return f"{today:%Y-%m}"
    try:
        date.fromisoformat(f"{given}-01")
    except ValueError:
        raise Refusal(422, "Ce mois n'existe pas.", "Donnez un mois de la forme 2026-11.") from None
    return given


def held(connection: Connection, viewer: Viewer, tenants: Sequence[str]) -> Counter[str]:
    """Deliveries that wait for something (an identity to qualify, most often), by service."""
    query = (
        select(deliveries.c.destination, func.count())
        .where(deliveries.c.state == "held", deliveries.c.ended_at.is_(None), deliveries.c.tenant_id.in_(list(tenants)))
        .group_by(deliveries.c.destination)
    )
    if viewer.role == "professional":
        query = query.where(
            deliveries.c.document_id.in_(select(documents.c.id).where(documents.c.actor_id == f"8{viewer.rpps}"))
        )
    elif viewer.role == "structure":
        # A delivery knows its tenant, not the site: a structure's own are those of its tenant, told by the ledger.
        return Counter()
    names = {"dmp": "dmp.document", "mss": "mss.message"}
    return Counter({names[row[0]]: int(row[1]) for row in connection.execute(query) if row[0] in names})


def _lines(rows: Sequence[Cell], month: str, waiting: Mapping[str, int]) -> list[Line]:
    fed: Counter[tuple[str, str]] = Counter()
    refused: Counter[str] = Counter()
    for row in rows:
        when, outcome = row.group["month"], row.group["outcome"]
        if outcome in COUNTED.get(row.service, ()):
            fed[row.service, when] += row.count or 0
        elif when == month and outcome in REFUSED:
            refused[row.service] += row.count or 0
    before = shift(month, -1)
    return [
        Line(
            service=service,
            fed=fed[service, month],
            before=fed[service, before],
            refused=refused[service],
            held=waiting.get(service, 0),
        )
        for service in FED
    ]


def chart_of(rows: Sequence[Cell], last: str, dimension: str, names: Mapping[str, str] | None = None) -> Chart | None:
    """A year of months up to the last, stacked by a dimension; the rarest values together as « autres »."""
    months = [shift(last, by) for by in range(1 - _MONTHS_SHOWN, 1)]
    totals: Counter[str] = Counter()
    for row in rows:
        if row.group["month"] in months:
            totals[row.group[dimension]] += row.count or 0
    kept = [value for value, _ in totals.most_common(_SERIES if len(totals) <= _SERIES else _SERIES - 1)]

    def label(value: str) -> str:
        if value not in kept:
            return "autres"
        return (names or {}).get(value) or words.named(dimension, value)

    values: Counter[tuple[str, str]] = Counter()
    for row in rows:
        if row.group["month"] in months:
            values[words.month(row.group["month"]), label(row.group[dimension])] += row.count or 0
    series = [label(value) for value in kept] + (["autres"] if len(totals) > len(kept) else [])
    return stacked([words.month(month) for month in months], series, values)


def _finding(lines: Sequence[Line], month: str) -> str:
    """The finding of the page in one sentence."""
    told = [f"{words.number(line.fed)} {_UNITS[line.service][0 if line.fed < 2 else 1]}" for line in lines if line.fed]
    if not told:
        return f"Rien n'a été compté en {words.month(month)}."
    refused = sum(line.refused for line in lines)
    last = f" ; {words.plural(refused, 'refus', 'refus')}" if refused else " ; aucun refus"
    return f"En {words.month(month)} : {', '.join(told)}{last}."


_UNITS: Final = {
    "dmp.document": ("document au DMP", "documents au DMP"),
    "mss.message": ("message MSSanté remis", "messages MSSanté remis"),
    "eprescription": ("ordonnance numérique", "ordonnances numériques"),
    "ins.check": ("INS vérifiée", "INS vérifiées"),
    "apcv.use": ("usage de l'appli carte Vitale", "usages de l'appli carte Vitale"),
    "ecps.session": ("connexion e-CPS", "connexions e-CPS"),
}


@router.get("")
async def overview(request: Request) -> Response:
    """Fed, refused, held by service; a year by outcome and by type; the state of the ledger."""
    page = await page_of(request)
    if not page.viewer.sees_counts:
        return see_other("/console/deliveries")
    month = _month(page.one("month"), page.gateway.now().astimezone(PARIS).date())
    viewer = page.viewer

    def read(connection: Connection) -> dict[str, Any]:
        tenants = tenants_read(connection, page.audience)
        options = {"since": shift(month, -_MONTHS_SHOWN), "until": month}
        by_outcome = CountQuery(by=("month", "outcome"), where={"service": FED}, **options)
        by_type = CountQuery(by=("month", "type"), where={"service": ["dmp.document"]}, **options)
        return {
            "outcomes": counts_for(connection, page.audience, by_outcome).cells,
            "types": counts_for(connection, page.audience, by_type).cells,
            "heads": [head for name in tenants for head in kept_heads(connection, name, limit=1)],
            "held": held(connection, viewer, tenants),
            "verified": last_verified(connection, tenants),
        }

    found = await ask(page, read, scope={"month": month}, rows=lambda value: len(value["outcomes"]))
    lines = _lines(found["outcomes"], month, found["held"])
    documents_fed = [row for row in found["outcomes"] if row.service == "dmp.document"]
    return page.render(
        "overview.html",
        month=month,
        before=shift(month, -1),
        after=shift(month, 1),
        lines=lines,
        nothing=not found["outcomes"],
        finding=_finding(lines, month),
        by_outcome=chart_of([row for row in documents_fed if row.group["outcome"] != "submitted"], month, "outcome"),
        by_type=chart_of(found["types"], month, "type"),
        heads=found["heads"],
        verified=found["verified"],
        late=[one for one in found["verified"] if one.late(page.gateway.now())],
        last=max(found["heads"], key=lambda head: head.signed_at) if found["heads"] else None,
    )
