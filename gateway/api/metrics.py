"""Figures for monitoring, in Prometheus' text form; their labels are codes and routes, never a person's datum."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, Histogram, generate_latest
from sqlalchemy import func, select

from gateway.api.access import gateway_of
from gateway.services import keys
from gateway.store.tables import deliveries

__all__ = ["observe", "router"]

router = APIRouter(tags=["health"])

REQUESTS = Counter("passerelle_http_requests_total", "Requests answered.", ["method", "route", "status"])
SECONDS = Histogram("passerelle_http_seconds", "Time to answer.", ["route"])
DAYS_LEFT = Gauge("passerelle_certificate_days_left", "Days before a certificate ends.", ["key", "structure"])
OPEN = Gauge("passerelle_deliveries_open", "Deliveries not ended.", ["destination", "state"])


def observe(method: str, route: str, status: int, seconds: float) -> None:
    """Note one answered request."""
    REQUESTS.labels(method, route, str(status)).inc()
    SECONDS.labels(route).observe(seconds)


@router.get("/metrics", summary="Monitoring figures", response_class=Response)
async def metrics(request: Request) -> Response:
    """Figures in Prometheus' text form."""
    rows = await gateway_of(request).store.read(
        lambda c: c.execute(
            select(deliveries.c.destination, deliveries.c.state, func.count())
            .where(deliveries.c.ended_at.is_(None))
            .group_by(deliveries.c.destination, deliveries.c.state)
        ).all()
    )
    OPEN.clear()
    for destination, state, count in rows:
        OPEN.labels(destination, state).set(count)
    for name, structure, days in await keys.days_left(gateway_of(request)):
        DAYS_LEFT.labels(name, structure).set(days)
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
