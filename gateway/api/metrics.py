"""Figures for monitoring, in Prometheus' text form; their labels are codes and routes, never a person's datum."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, Histogram, generate_latest
from sqlalchemy import Connection, func, select

from gateway.api.access import gateway_of
from gateway.services import keys
from gateway.store.tables import deliveries, incidents

__all__ = ["observe", "router"]

router = APIRouter(tags=["health"])

REQUESTS = Counter("passerelle_http_requests_total", "Requests answered.", ["method", "route", "status"])
SECONDS = Histogram("passerelle_http_seconds", "Time to answer.", ["route"])
DAYS_LEFT = Gauge("passerelle_certificate_days_left", "Days before a certificate ends.", ["key", "structure"])
OPEN = Gauge("passerelle_deliveries_open", "Deliveries not ended.", ["destination", "state"])
OLDEST = Gauge("passerelle_delivery_oldest_seconds", "Age of the oldest delivery that is due.", ["destination"])
DOWN = Gauge("passerelle_destination_down", "1 while a destination is held to be down, on this node.", ["destination"])
INCIDENTS = Gauge("passerelle_incidents_open", "Incidents that last, on all nodes.", ["kind"])
REFUSED = Gauge("passerelle_busy_refusals", "Documents refused because too many were under way, since the start.")
INSIDE = Gauge("passerelle_documents_under_way", "Documents being received and converted.")
LAG = Gauge("passerelle_event_loop_lag_p99_seconds", "Lag of the event loop over the last minute, 99th percentile.")
CPU = Gauge("passerelle_cpu_seconds", "CPU time used since the start, by part.", ["part"])
RSS = Gauge("passerelle_resident_bytes", "Memory held, by part.", ["part"])


def _processes(pool: tuple[int, ...]) -> None:
    """CPU and memory of this process and of those of its pool, by their numbers."""
    import psutil

    me = psutil.Process()
    spent = me.cpu_times()
    CPU.labels("gateway").set(spent.user + spent.system)
    RSS.labels("gateway").set(me.memory_info().rss)
    cpu = rss = 0.0
    for number in pool:
        try:
            child = psutil.Process(number)
            with child.oneshot():
                used = child.cpu_times()
                cpu += used.user + used.system
                # Pages shared with the parent of the pool are counted once, by their share.
                rss += child.memory_info().rss
        except psutil.Error:
            continue
    CPU.labels("pool").set(cpu)
    RSS.labels("pool").set(rss)


def observe(method: str, route: str, status: int, seconds: float) -> None:
    """Note one answered request."""
    REQUESTS.labels(method, route, str(status)).inc()
    SECONDS.labels(route).observe(seconds)


@router.get("/metrics", summary="Monitoring figures", response_class=Response)
async def metrics(request: Request) -> Response:
    """Figures in Prometheus' text form."""
    gateway = gateway_of(request)

    def read(connection: Connection) -> tuple[list[Any], list[Any]]:
        due = func.min(deliveries.c.next_attempt_at)
        return list(
            connection.execute(
                select(deliveries.c.destination, deliveries.c.state, func.count(), due)
                .where(deliveries.c.ended_at.is_(None))
                .group_by(deliveries.c.destination, deliveries.c.state)
            )
        ), list(
            connection.execute(
                select(incidents.c.kind, func.count())
                .where(incidents.c.open_key.is_not(None))
                .group_by(incidents.c.kind)
            )
        )

    rows, lasting = await gateway.store.read(read)
    now = gateway.now()
    oldest: dict[str, float] = {}
    for destination, _, _, since in rows:
        if since is not None:
            oldest[destination] = max(oldest.get(destination, 0.0), (now - since).total_seconds())
    OLDEST.clear()
    for destination, seconds in oldest.items():
        OLDEST.labels(destination).set(seconds)
    INCIDENTS.clear()
    for kind, count in lasting:
        INCIDENTS.labels(kind).set(count)
    for lane in gateway.worker.lanes if gateway.worker is not None else []:
        DOWN.labels(lane.name).set(lane.courier.breaker.open)
    if gateway.pulse is not None:
        LAG.set(gateway.pulse.percentile(0.99))
    REFUSED.set(gateway.gate.refused)
    INSIDE.set(gateway.gate.inside)
    # Named rather than looked for among all the processes of the machine, which takes ten times as long.
    await asyncio.to_thread(_processes, tuple(getattr(gateway.pool, "_processes", None) or ()))
    OPEN.clear()
    for destination, state, count, _ in rows:
        OPEN.labels(destination, state).set(count)
    for name, structure, days in await keys.days_left(gateway):
        DAYS_LEFT.labels(name, structure).set(days)
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
