"""Teams: named lists of professionals and mailboxes of a structure, to be written to by name."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection, delete, select

from gateway.api.access import Caller, gateway_of, needs
from gateway.api.documents import PROBLEMS, READ_PROBLEMS
from gateway.api.mail_shapes import TeamIn, TeamOut
from gateway.api.receipts import local
from gateway.ids import new_id
from gateway.problems import Conflict, Invalid, NotFound, rule
from gateway.services.addressing import UNKNOWN_TEAM, check_address, members_of
from gateway.store.mail_tables import teams

__all__ = ["router"]

router = APIRouter(prefix="/v1/teams", tags=["messages"])

SAME_NAME = rule(
    "API-TEAM-002",
    "Une équipe porte déjà ce nom.",
    "A team has this name already.",
    "Choisissez un autre nom, ou supprimez l'ancienne équipe.",
    "Choose another name, or delete the former team.",
)
TWICE = rule(
    "API-TEAM-003",
    "Un même membre est donné deux fois.",
    "The same member is given twice.",
    "Retirez le doublon.",
    "Remove the repetition.",
)


@router.post("", status_code=201, response_model=TeamOut, summary="Make a team", responses=PROBLEMS)
async def make(
    request: Request,
    asked: TeamIn,
    caller: Annotated[Caller, Depends(needs("messages:write"))],
    passerelle_tenant: Annotated[str | None, Header(description="Structure acted for, when several.")] = None,
) -> Response:
    """Keep a team of the structure; members are the recipients of whatever is sent to it from then on."""
    gateway = gateway_of(request)
    tenant = caller.acting_for(passerelle_tenant)
    faults, members, seen = [], [], set()
    for index, member in enumerate(asked.members):
        address, found = check_address(member.address, member.kind, f"/members/{index}")
        faults += found
        if address.lower() in seen:
            faults.append(TWICE.finding(f"/members/{index}"))
        seen.add(address.lower())
        members.append(member.model_dump(mode="json", exclude_none=True) | {"address": address})
    if faults:
        raise Invalid(faults)
    now = gateway.now()
    number = new_id("team", now)
    row = {
        "id": number,
        "tenant_id": tenant.id,
        "name": asked.name,
        "kind": asked.kind,
        "sealed": gateway.vault.seal(tenant.id, orjson.dumps(members), number),
        "created_at": now,
        "updated_at": now,
    }

    def work(connection: Connection) -> None:
        same = select(teams.c.id).where(teams.c.tenant_id == tenant.id, teams.c.name == asked.name)
        if connection.execute(same).first() is not None:
            raise Conflict([SAME_NAME.finding("/name")], slug="team-exists")
        connection.execute(teams.insert().values(**row))

    await gateway.store.write(work)
    out = TeamOut(id=str(row["id"]), name=asked.name, kind=asked.kind, members=members, created_at=local(now) or now)
    return JSONResponse(out.model_dump(mode="json", by_alias=True), 201)


@router.get("", response_model=list[TeamOut], summary="List teams", responses=READ_PROBLEMS)
async def listing(
    request: Request, caller: Annotated[Caller, Depends(needs("messages:write", "messages:read"))]
) -> Response:
    """The teams of your structures, by name."""
    gateway = gateway_of(request)
    rows = await gateway.store.read(
        lambda c: c.execute(
            select(teams).where(teams.c.tenant_id.in_(caller.tenant_ids)).order_by(teams.c.name, teams.c.id)
        ).all()
    )
    out = [
        TeamOut(
            id=row.id,
            name=row.name,
            kind=row.kind,
            members=members_of(gateway.vault, row),
            created_at=local(row.created_at) or row.created_at,
        ).model_dump(mode="json", by_alias=True)
        for row in rows
    ]
    return JSONResponse(out)


@router.delete("/{team_id}", status_code=204, summary="Delete a team", responses=READ_PROBLEMS)
async def remove(
    request: Request, team_id: str, caller: Annotated[Caller, Depends(needs("messages:write"))]
) -> Response:
    """Forget a team; what was sent to its members stays as it is."""
    done = await gateway_of(request).store.write(
        lambda c: (
            c.execute(delete(teams).where(teams.c.id == team_id, teams.c.tenant_id.in_(caller.tenant_ids))).rowcount
        )
    )
    if not done:
        raise NotFound([UNKNOWN_TEAM.finding("")])
    return Response(status_code=204)
