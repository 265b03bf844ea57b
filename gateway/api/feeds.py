"""What was fed: counts taken from the ledger."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection, func, select

from gateway.api.access import Caller, gateway_of, needs
from gateway.api.shapes import CountRow, Counts
from gateway.feeds.counts import CountError, counts
from gateway.feeds.tables import pending
from gateway.problems import Invalid, rule

__all__ = ["router"]

router = APIRouter(prefix="/v1/feeds", tags=["feeds"])

BAD_COUNT = rule(
    "API-FEEDS-001",
    "Cette demande de comptage n'est pas possible.",
    "This count cannot be asked for.",
    "Choisissez parmi les dimensions attendues, avec des mois de la forme 2026-01.",
    "Choose among the expected dimensions, with months like 2026-01.",
)


@router.get("/counts", response_model=Counts, summary="Count what was fed")
async def count(
    request: Request,
    caller: Annotated[Caller, Depends(needs("feeds:read", "feeds:audit"))],
    by: Annotated[str, Query(description="Dimensions, comma-separated: month, type, outcome...")] = "type,month",
    since: Annotated[str | None, Query(alias="from", description="First month, 2026-01.")] = None,
    until: Annotated[str | None, Query(alias="to", description="Last month.")] = None,
) -> Response:
    """Counts of the ledger for the structures entrusted to you, the entries not sealed yet included."""
    gateway = gateway_of(request)
    wanted = [name.strip() for name in by.split(",") if name.strip()][:8]

    def read(connection: Connection) -> Counts:
        rows = counts(connection, tenants=caller.tenant_ids, by=wanted, since=since, until=until)
        unsealed = connection.execute(
            select(func.count()).select_from(pending).where(pending.c.tenant.in_(caller.tenant_ids))
        ).scalar_one()
        return Counts(
            rows=[CountRow(service=row.service, by=dict(row.group), count=row.count) for row in rows],
            total=sum(row.count for row in rows),
            unsealed=unsealed,
        )

    try:
        out = await gateway.store.read(read)
    except CountError as exc:
        raise Invalid([BAD_COUNT.finding(exc.place, expected=exc.expected)], slug="invalid-count") from None
    return JSONResponse(out.model_dump(mode="json", by_alias=True))
