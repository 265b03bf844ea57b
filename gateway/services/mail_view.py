"""Mail as people read it: recipients with what became of them, addresses of citizens masked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from gateway.journey import recipients
from gateway.store.mail_tables import mail_recipient_history, mail_recipients, mail_sent
from gateway.vault import Vault

__all__ = ["recipient_history", "recipients_by_delivery", "threads_by_delivery"]


def recipients_by_delivery(
    connection: Connection, vault: Vault, deliveries: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """The recipients of deliveries: id, class, address as it may be shown, state and why, in both languages."""
    out: dict[str, list[dict[str, Any]]] = {}
    rows = connection.execute(
        select(mail_recipients)
        .where(mail_recipients.c.delivery_id.in_(deliveries))
        .order_by(mail_recipients.c.delivery_id, mail_recipients.c.rank)
    )
    for row in rows:
        out.setdefault(row.delivery_id, []).append(
            {
                "id": row.id,
                "address": recipients.shown(vault, row),
                "class": row._mapping["class"],
                "confidence": row.confidence,
                "state": row.state,
                "at": row.updated_at,
                "code": row.code,
                "original_code": row.original_code,
                "original_text": row.original_text,
                "cause": {"fr": row.cause_fr, "en": row.cause_en} if row.cause_fr else None,
            }
        )
    return out


def recipient_history(connection: Connection, deliveries: Sequence[str]) -> list[Row[Any]]:
    """Every change of state of the recipients of deliveries, oldest first."""
    return list(
        connection.execute(
            select(mail_recipient_history)
            .where(mail_recipient_history.c.delivery_id.in_(deliveries))
            .order_by(mail_recipient_history.c.id)
        )
    )


def threads_by_delivery(connection: Connection, deliveries: Sequence[str]) -> dict[str, str]:
    """The conversation of each delivery whose mail is written."""
    rows = connection.execute(
        select(mail_sent.c.delivery_id, mail_sent.c.thread_id).where(mail_sent.c.delivery_id.in_(deliveries))
    )
    return {row.delivery_id: row.thread_id for row in rows}
