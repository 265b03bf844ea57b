"""Queueing a webhook: what every registered address of a structure is told, without a clinical word or a trait."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from gateway.ids import new_id
from gateway.store.tables import webhook_calls, webhooks

__all__ = ["tell"]


def tell(
    connection: Connection, tenant: str, event: str, at: datetime, /, *, client: str | None = None, **body: Any
) -> None:
    """Queue a call to the webhooks of a structure, those of one client only when it is named."""
    query = select(webhooks.c.id).where(webhooks.c.tenant_id == tenant, webhooks.c.disabled_at.is_(None))
    if client is not None:
        query = query.where(webhooks.c.client_id == client)
    for listener in connection.execute(query).all():
        call = new_id("whk", at)
        content = {"id": call, "type": event, "at": at.isoformat(), **body}
        connection.execute(
            webhook_calls.insert().values(
                id=call, webhook_id=listener.id, body=content, state="queued", next_attempt_at=at, created_at=at
            )
        )
