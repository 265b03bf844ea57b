"""Webhooks: where a caller wants to be told the end of deliveries."""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection, select, update

from gateway.api.access import Caller, gateway_of, needs
from gateway.api.documents import PROBLEMS, READ_PROBLEMS
from gateway.api.shapes import WebhookIn, WebhookOut
from gateway.ids import new_id
from gateway.journey.hooks import address_problem
from gateway.problems import Conflict, Invalid, NotFound, rule
from gateway.store.tables import webhooks

__all__ = ["router"]

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

BAD_ADDRESS = rule(
    "API-HOOK-001",
    "Cette adresse ne peut pas être appelée.",
    "This address cannot be called.",
    "Donnez une adresse https publique.",
    "Give a public https address.",
)
UNKNOWN = rule(
    "API-HOOK-002",
    "Ce webhook n'existe pas pour vous.",
    "This webhook does not exist for you.",
    "Vérifiez son identifiant.",
    "Check its id.",
)
TWICE = rule(
    "API-HOOK-003",
    "Cette adresse est déjà enregistrée.",
    "This address is registered already.",
    "Supprimez l'ancienne pour changer son secret.",
    "Delete the former one to change its secret.",
)


@router.post("", status_code=201, response_model=WebhookOut, summary="Register a webhook", responses=PROBLEMS)
async def register(
    request: Request,
    asked: WebhookIn,
    caller: Annotated[Caller, Depends(needs("documents:write", "messages:write"))],
    passerelle_tenant: Annotated[str | None, Header()] = None,
) -> Response:
    """Register an address: ends of deliveries, fates of mails and mails received are posted there, signed.

    The secret of the signature is shown once, here.
    """
    gateway = gateway_of(request)
    tenant = caller.acting_for(asked.tenant or passerelle_tenant)
    problem = await address_problem(asked.url, allow_private=gateway.settings.allow_private_webhooks)
    if problem is not None:
        raise Invalid([BAD_ADDRESS.finding("/url", found=problem)], slug="invalid-webhook")
    now = gateway.now()
    hook = new_id("whk", now)
    secret = f"whsec_{secrets.token_urlsafe(32)}"

    def work(connection: Connection) -> None:
        same = select(webhooks.c.id).where(
            webhooks.c.client_id == caller.client.id,
            webhooks.c.tenant_id == tenant.id,
            webhooks.c.url == asked.url,
        )
        if connection.execute(same).first() is not None:
            raise Conflict([TWICE.finding("/url")], slug="webhook-exists")
        connection.execute(
            webhooks.insert().values(
                id=hook,
                tenant_id=tenant.id,
                client_id=caller.client.id,
                url=asked.url,
                sealed_secret=gateway.vault.seal(tenant.id, secret.encode(), hook),
                created_at=now,
            )
        )

    await gateway.store.write(work)
    out = WebhookOut(id=hook, url=asked.url, secret=secret)
    return JSONResponse(out.model_dump(mode="json"), 201, {"Cache-Control": "no-store"})


@router.get("", response_model=list[WebhookOut], summary="List webhooks", responses=READ_PROBLEMS)
async def listing(
    request: Request, caller: Annotated[Caller, Depends(needs("documents:write", "messages:write"))]
) -> Response:
    """Your webhooks, without their secrets."""
    gateway = gateway_of(request)
    rows = await gateway.store.read(
        lambda c: c.execute(
            select(webhooks.c.id, webhooks.c.url).where(
                webhooks.c.client_id == caller.client.id, webhooks.c.disabled_at.is_(None)
            )
        ).all()
    )
    return JSONResponse([{"id": row.id, "url": row.url} for row in rows])


@router.delete("/{webhook_id}", status_code=204, summary="Remove a webhook", responses=READ_PROBLEMS)
async def remove(
    request: Request, webhook_id: str, caller: Annotated[Caller, Depends(needs("documents:write", "messages:write"))]
) -> Response:
    """Stop calling an address."""
    gateway = gateway_of(request)
    done = await gateway.store.write(
        lambda c: (
            c.execute(
                update(webhooks)
                .where(webhooks.c.id == webhook_id, webhooks.c.client_id == caller.client.id)
                .values(disabled_at=gateway.now())
            ).rowcount
        )
    )
    if not done:
        raise NotFound([UNKNOWN.finding("")])
    return Response(status_code=204)
