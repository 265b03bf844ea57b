"""What did not leave, which identities wait, and whether the services answer: the pages of whoever runs the gateway."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection, Row, func, select

from gateway.console.viewer import OPERATOR, Viewer
from gateway.console.web import Page, Refusal, Route, form_of, page_of, see_other
from gateway.journey.states import Delivery
from gateway.services.operations import Filters, Replayed, list_incidents, replay_by_cause
from gateway.store.tables import deliveries, documents, tenants

__all__ = ["router"]

router = APIRouter(prefix="/console", include_in_schema=False, route_class=Route)

STUCK: Final = (str(Delivery.DEAD_LETTER), str(Delivery.HELD), str(Delivery.RETRYING), str(Delivery.UNCERTAIN))
STATES: Final = {
    "dead_letter": "abandonné : à renvoyer",
    "held": "retenu",
    "retrying": "nouvel essai prévu",
    "uncertain": "réponse perdue : le service est interrogé",
}
DESTINATIONS: Final = {"dmp": "DMP", "mss": "MSSanté"}


def _operates(viewer: Viewer) -> bool:
    return viewer.role == OPERATOR


def _tenants(connection: Connection, viewer: Viewer) -> list[str]:
    if viewer.tenants is not None:
        return list(viewer.tenants)
    return list(connection.execute(select(tenants.c.id)).scalars())


def _stuck(connection: Connection, viewer: Viewer) -> list[Row[Any]]:
    """What waits or was given up, grouped by cause, dead letters first."""
    d = deliveries.c
    query = (
        select(
            d.state,
            d.destination,
            d.reason,
            func.max(d.cause_fr).label("cause"),
            func.max(d.fix_fr).label("fix"),
            func.count().label("number"),
            func.min(d.created_at).label("oldest"),
        )
        .where(d.state.in_(STUCK), d.tenant_id.in_(_tenants(connection, viewer)))
        .group_by(d.state, d.destination, d.reason)
    )
    rows = connection.execute(query).all()
    return sorted(rows, key=lambda row: (STUCK.index(row.state), -row.number))


@router.get("/deliveries")
async def stuck(request: Request) -> Response:
    """What did not leave, by cause."""
    page = await page_of(request, _operates)
    rows = await page.gateway.store.read(lambda c: _stuck(c, page.viewer))
    return page.render(
        "deliveries.html",
        rows=rows,
        states=STATES,
        destinations=DESTINATIONS,
        sent=page.one("sent"),
        more=page.one("more"),
    )


@router.post("/deliveries/replay")
async def replay(request: Request) -> Response:
    """Send again every dead letter of one cause, the oldest first."""
    page = await page_of(request, _operates)
    form = await form_of(request, page.session.csrf)
    cause, destination = form.get("cause", "")[:60], form.get("destination", "")
    if not cause or destination not in DESTINATIONS:
        raise Refusal(422, "La cause n'est pas dite.", "Choisissez-la dans la liste des envois.")
    done = await page.gateway.store.write(lambda c: _replayed(c, page, cause, destination))
    page.gateway.wake()
    return see_other(f"/console/deliveries?sent={done.count}{'&more=1' if done.more else ''}")


def _replayed(connection: Connection, page: Page, cause: str, destination: str) -> Replayed:
    return replay_by_cause(
        connection,
        page.gateway.vault,
        _tenants(connection, page.viewer),
        Filters(cause=cause, destination=destination),
        now=page.gateway.now(),
        by=f"account:{page.viewer.id}",
    )


def _waiting(connection: Connection, viewer: Viewer) -> list[Row[Any]]:
    """Identities that hold documents back; no trait is read."""
    d = deliveries.c
    query = (
        select(
            documents.c.identity_id.label("identity"),
            d.reason,
            func.max(d.cause_fr).label("cause"),
            func.max(d.fix_fr).label("fix"),
            func.count(d.document_id.distinct()).label("number"),
            func.min(d.created_at).label("oldest"),
        )
        .select_from(deliveries.join(documents, documents.c.id == d.document_id))
        .where(
            d.state == str(Delivery.HELD),
            d.reason.like("identity%"),
            d.tenant_id.in_(_tenants(connection, viewer)),
        )
        .group_by(documents.c.identity_id, d.reason)
        .order_by(func.count(d.document_id.distinct()).desc(), func.min(d.created_at))
        .limit(500)
    )
    return list(connection.execute(query))


@router.get("/identities")
async def identities(request: Request) -> Response:
    """The work list: which identities are to be qualified, and how many documents wait for each."""
    page = await page_of(request, _operates)
    rows = await page.gateway.store.read(lambda c: _waiting(c, page.viewer))
    return page.render("identities.html", rows=rows, total=sum(row.number for row in rows))


@router.get("/health")
async def health(request: Request) -> Response:
    """Each destination: whether it answers, how many wait; the incidents; the last entry sealed."""
    page = await page_of(request, _operates)
    worker = page.gateway.worker

    def read(connection: Connection) -> dict[str, Any]:
        waiting = connection.execute(
            select(deliveries.c.destination, func.count(), func.min(deliveries.c.created_at))
            .where(deliveries.c.ended_at.is_(None), deliveries.c.state != str(Delivery.HELD))
            .group_by(deliveries.c.destination)
        ).all()
        return {
            "waiting": {row[0]: (int(row[1]), row[2]) for row in waiting},
            "incidents": list_incidents(connection, only_open=False, limit=20),
        }

    found = await page.gateway.store.read(read)
    lanes = [] if worker is None else [(lane.name, lane.courier.breaker.open) for lane in worker.lanes]
    now: datetime = page.gateway.now()
    return page.render(
        "health.html", lanes=lanes, destinations=DESTINATIONS, now=now, elsewhere=worker is None, **found
    )
