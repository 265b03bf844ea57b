"""Queueing a webhook: what every registered address of a structure is told, without a clinical word or a trait."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from gateway.ids import new_id
from gateway.store import sql
from gateway.store.tables import webhook_calls, webhooks

__all__ = ["tell"]


def tell(
    connection: Connection, tenant: str, event: str, at: datetime, /, *, client: str | None = None, **body: Any
) -> None:
    """Queue a call to the webhooks of a structure, those of one client only when it is named."""
    asked = {"tenant_id": tenant} if client is None else {"tenant_id": tenant, "client_id": client}
    for listener in sql.rows(connection, webhooks, **asked):
        if listener.disabled_at is not None:
            continue
        call = new_id("whk", at)
        content = {"id": call, "type": event, "at": at.isoformat(), **body}
        sql.add(
            connection,
            webhook_calls,
            {
                "id": call,
                "webhook_id": listener.id,
                "body": content,
                "state": "queued",
                "next_attempt_at": at,
                "created_at": at,
            },
        )
