"""Deliveries as an operator sees them: looked for by state and cause, dead letters sent again, incidents."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field
from sqlalchemy import Connection, Row

from gateway.api.access import Caller, Language, gateway_of, needs
from gateway.api.cursors import BAD_CURSOR, packed, unpacked
from gateway.api.receipts import delivered, local
from gateway.api.shapes import DeliveryOut, ProblemOut, Shape
from gateway.journey.states import IllegalMove
from gateway.problems import Conflict, Invalid, NotFound, rule
from gateway.services import operations
from gateway.services.operations import Filters, Replayed

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["operations"])

UNKNOWN = rule(
    "API-DLV-001",
    "Cet envoi n'existe pas pour vous.",
    "This delivery does not exist for you.",
    "Cherchez-le par GET /v1/deliveries.",
    "Look for it with GET /v1/deliveries.",
)
NOT_DEAD = rule(
    "API-DLV-002",
    "Seule une lettre morte peut être renvoyée.",
    "Only a dead letter can be sent again.",
    "Lisez l'état de l'envoi : il est en cours, ou terminé autrement.",
    "Read the delivery's state: it is under way, or ended otherwise.",
)

_CODE = r"^[A-Za-z0-9_.-]{1,80}$"
_PROBLEM: dict[str, Any] = {"model": ProblemOut, "content": {"application/problem+json": {}}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {**_PROBLEM, "description": "Not authenticated"},
    403: {**_PROBLEM, "description": "Not allowed"},
    404: {**_PROBLEM, "description": "Not found"},
    409: {**_PROBLEM, "description": "Not a dead letter"},
    422: {**_PROBLEM, "description": "A parameter is wrong"},
}


class OperatedDelivery(DeliveryOut):
    """A delivery with what it is about."""

    document: str | None = Field(None, description="Of a document.")
    message: str | None = Field(None, description="Of a message without a document.")
    created_at: datetime | None = None
    ended_at: datetime | None = None


class DeliveryPage(Shape):
    """A page of deliveries, newest first."""

    items: list[OperatedDelivery]
    cursor: str | None = Field(None, description="Give it back to read the next page; absent on the last.")


class ReplayAsked(Shape):
    """Which dead letters to send again."""

    cause: str = Field(description="Our code, or the code behind too_many_attempts.", pattern=_CODE)
    destination: str | None = Field(None, description="dmp or mss.", pattern=_CODE)


class ReplayDone(Shape):
    """How many dead letters were sent again."""

    replayed: int
    more: bool = Field(description="True when others match: ask again.")


class IncidentOut(Shape):
    """Something that needs a person, told once."""

    id: str
    kind: str = Field(description="destination_down or dead_letters.")
    destination: str
    code: str = Field(description="Cause of the dead letters.")
    opened_at: datetime
    closed_at: datetime | None = None


Operator = Annotated[Caller, Depends(needs("operations"))]


def _out(connection: Connection, rows: list[Row[Any]], language: str) -> list[OperatedDelivery]:
    return [
        OperatedDelivery(
            **plain.model_dump(),
            document=row.document_id,
            message=row.message_id,
            created_at=local(row.created_at),
            ended_at=local(row.ended_at),
        )
        for row, plain in zip(rows, delivered(connection, rows, language), strict=True)
    ]


def _json(value: Shape, status: int = 200) -> Response:
    return JSONResponse(value.model_dump(mode="json", by_alias=True, exclude_none=True), status)


@router.get("/deliveries", response_model=DeliveryPage, summary="List deliveries", responses=PROBLEMS)
async def listing(
    request: Request,
    language: Language,
    caller: Operator,
    state: Annotated[str | None, Query(description="dead_letter, retrying, held...", pattern=_CODE)] = None,
    destination: Annotated[str | None, Query(description="dmp or mss.", pattern=_CODE)] = None,
    cause: Annotated[str | None, Query(description="Code of the cause, ours or the one behind.", pattern=_CODE)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(description="From the page before.", max_length=80)] = None,
) -> Response:
    """The deliveries of your structures, newest first, by state, destination and cause."""
    filters = Filters(state=state, destination=destination, cause=cause)
    before = _open_cursor(cursor)

    def load(connection: Connection) -> DeliveryPage:
        rows = operations.list_deliveries(connection, caller.tenant_ids, filters, limit=limit + 1, before=before)
        more = len(rows) > limit
        return DeliveryPage(
            items=_out(connection, rows[:limit], language), cursor=_close_cursor(rows[limit - 1].id) if more else None
        )

    return _json(await gateway_of(request).store.read(load))


@router.post(
    "/deliveries/replay", response_model=ReplayDone, summary="Send dead letters again by cause", responses=PROBLEMS
)
async def replay_by_cause(request: Request, caller: Operator, asked: ReplayAsked) -> Response:
    """Send again, the oldest first, every dead letter of one cause; at most 200 a call."""
    gateway = gateway_of(request)
    filters = Filters(cause=asked.cause, destination=asked.destination)

    def work(connection: Connection) -> Replayed:
        return operations.replay_by_cause(
            connection,
            gateway.vault,
            caller.tenant_ids,
            filters,
            now=gateway.now(),
            by=f"client:{caller.client.id}",
        )

    done = await gateway.store.write(work)
    gateway.wake()
    return _json(ReplayDone(replayed=done.count, more=done.more))


@router.post(
    "/deliveries/{delivery_id}/replay",
    status_code=202,
    response_model=OperatedDelivery,
    summary="Send a dead letter again",
    responses=PROBLEMS,
)
async def replay(request: Request, delivery_id: str, language: Language, caller: Operator) -> Response:
    """Send one dead letter again, with all its attempts before it; what may have left is asked for first."""
    gateway = gateway_of(request)

    def work(connection: Connection) -> OperatedDelivery:
        row = operations.replay_one(
            connection,
            gateway.vault,
            caller.tenant_ids,
            delivery_id,
            now=gateway.now(),
            by=f"client:{caller.client.id}",
        )
        if row is None:
            raise NotFound([UNKNOWN.finding("")])
        return _out(connection, [row], language)[0]

    try:
        shown = await gateway.store.write(work)
    except IllegalMove as exc:
        raise Conflict([NOT_DEAD.finding("", found=str(exc.current))], slug="not-a-dead-letter") from None
    gateway.wake()
    return _json(shown, 202)


@router.get("/incidents", response_model=list[IncidentOut], summary="List incidents", responses=PROBLEMS)
async def incidents(
    request: Request,
    caller: Operator,
    only_open: Annotated[bool, Query(alias="open", description="Only those that last.")] = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Response:
    """Destinations that were down and causes of dead letters, the latest first; each stands once, however long."""
    rows = await gateway_of(request).store.read(
        lambda c: operations.list_incidents(c, only_open=only_open, limit=limit)
    )
    out = [
        IncidentOut(
            id=row.id,
            kind=row.kind,
            destination=row.destination,
            code=row.code,
            opened_at=row.opened_at,
            closed_at=row.closed_at,
        ).model_dump(mode="json", by_alias=True, exclude_none=True)
        for row in rows
    ]
    return JSONResponse(out)


def _close_cursor(delivery_id: str) -> str:
    return packed(delivery_id.encode())


def _open_cursor(cursor: str | None) -> str | None:
    if cursor is None:
        return None
    try:
        return unpacked(cursor).decode("ascii")
    except ValueError:
        raise Invalid([BAD_CURSOR.finding("cursor")], slug="invalid-cursor") from None
