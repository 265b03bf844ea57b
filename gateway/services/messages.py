"""Messages as people read them: what was asked for, and the conversations they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row, select

from adapters.mss.addresses import mask
from gateway.journey import recipients
from gateway.store import blobs
from gateway.store.mail_tables import (
    mail_received,
    mail_received_documents,
    mail_recipients,
    mail_sent,
    mail_threads,
    messages,
)
from gateway.store.tables import deliveries, documents
from gateway.vault import Vault

__all__ = ["Item", "content_of", "items_of", "message_of", "thread_of", "words_of"]


def message_of(connection: Connection, message_id: str, tenant_ids: Sequence[str]) -> Row[Any] | None:
    """The message of an id, when it belongs to one of the tenants."""
    return connection.execute(
        select(messages).where(messages.c.id == message_id, messages.c.tenant_id.in_(tenant_ids))
    ).first()


def content_of(connection: Connection, vault: Vault, message: Row[Any]) -> dict[str, Any]:
    """Subject, body and options of a message; empty once erased."""
    try:
        said: dict[str, Any] = orjson.loads(blobs.get(connection, vault, message.tenant_id, message.content))
    except KeyError:
        return {}
    return said


def words_of(vault: Vault, received: Row[Any]) -> dict[str, str]:
    """Sender (masked when a citizen), subject and text of a mail received."""
    said: dict[str, str] = orjson.loads(vault.open(received.tenant_id, received.sealed, received.id))
    return said | {"sender": mask(said["sender"]) if said["sender"] else ""}


def thread_of(connection: Connection, thread_id: str, tenant_ids: Sequence[str]) -> Row[Any] | None:
    """The conversation of an id, when it belongs to one of the tenants."""
    return connection.execute(
        select(mail_threads).where(mail_threads.c.id == thread_id, mail_threads.c.tenant_id.in_(tenant_ids))
    ).first()


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One mail of a conversation."""

    id: str
    direction: str  #: sent, received
    at: datetime
    state: str
    link: str
    sender: str | None = field(default=None, repr=False)
    recipients: tuple[str, ...] = field(default=(), repr=False)
    subject: str | None = field(default=None, repr=False)
    documents: tuple[str, ...] = ()
    types: tuple[str, ...] = ()


def items_of(connection: Connection, vault: Vault, thread: Row[Any], *, limit: int = 500) -> list[Item]:
    """The mails of a conversation, oldest first."""
    found = [*_sent(connection, vault, thread, limit), *_received(connection, vault, thread, limit)]
    return sorted(found, key=lambda item: (item.at, item.id))[:limit]


def _sent(connection: Connection, vault: Vault, thread: Row[Any], limit: int) -> list[Item]:
    rows = connection.execute(
        select(deliveries, mail_sent.c.prepared_at)
        .join(mail_sent, mail_sent.c.delivery_id == deliveries.c.id)
        .where(mail_sent.c.thread_id == thread.id)
        .order_by(mail_sent.c.prepared_at)
        .limit(limit)
    ).all()
    out = []
    for row in rows:
        addresses = connection.execute(
            select(mail_recipients).where(mail_recipients.c.delivery_id == row.id).order_by(mail_recipients.c.rank)
        )
        shown = tuple(recipients.shown(vault, one) for one in addresses)
        if row.document_id is not None:
            ids, subject, number, link = [row.document_id], None, row.id, f"/v1/documents/{row.document_id}"
        else:
            message = connection.execute(select(messages).where(messages.c.id == row.message_id)).one()
            subject = content_of(connection, vault, message).get("subject")
            ids, number, link = list(message.documents), message.id, f"/v1/messages/{message.id}"
        types = {
            one.id: one.type_code
            for one in connection.execute(select(documents.c.id, documents.c.type_code).where(documents.c.id.in_(ids)))
        }
        out.append(
            Item(
                id=number,
                direction="sent",
                at=row.prepared_at,
                state=row.state,
                link=link,
                recipients=shown,
                subject=subject,
                documents=tuple(ids),
                types=tuple(types[one] for one in ids if one in types),
            )
        )
    return out


def _received(connection: Connection, vault: Vault, thread: Row[Any], limit: int) -> list[Item]:
    rows = connection.execute(
        select(mail_received)
        .where(mail_received.c.thread_id == thread.id)
        .order_by(mail_received.c.received_at)
        .limit(limit)
    ).all()
    out = []
    for row in rows:
        carried = connection.execute(
            select(mail_received_documents.c.unique_id, mail_received_documents.c.type_code)
            .where(mail_received_documents.c.received_id == row.id)
            .order_by(mail_received_documents.c.rank)
        ).all()
        words = words_of(vault, row)
        out.append(
            Item(
                id=row.id,
                direction="received",
                at=row.received_at,
                state=row.state,
                link=f"/v1/inbox/{row.id}",
                sender=words["sender"],
                subject=words["subject"],
                documents=tuple(one.unique_id for one in carried),
                types=tuple(one.type_code for one in carried),
            )
        )
    return out
