"""Conversations: a request and its answers stay one, on both sides (RFC 5322 3.6.4; ECO.2.2.2).

A mail belongs to the conversation of any mail it refers to; those we sent and those we received are looked up alike. A
conversation is with professionals or with a citizen, never both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, literal, select, union_all, update

from adapters.mss.tracking import references
from gateway.ids import new_id
from gateway.store import sql
from gateway.store.mail_tables import mail_received, mail_sent, mail_threads

__all__ = ["Reply", "audience_of", "begin", "find", "reply", "touch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The headers that keep an answer in its conversation."""

    in_reply_to: str | None = None
    references: tuple[str, ...] = ()


def begin(connection: Connection, tenant: str, audience: str, identity: str | None, now: datetime) -> str:
    """Begin a conversation; its id."""
    number = new_id("thr", now)
    sql.add(
        connection,
        mail_threads,
        {
            "id": number,
            "tenant_id": tenant,
            "audience": audience,
            "identity_id": identity,
            "created_at": now,
            "updated_at": now,
        },
    )
    return number


def audience_of(connection: Connection, tenant: str, thread: str) -> str | None:
    """Whom a conversation is with; None when it is not one of this structure."""
    query = select(mail_threads.c.audience).where(mail_threads.c.id == thread, mail_threads.c.tenant_id == tenant)
    return connection.execute(query).scalar_one_or_none()


def touch(connection: Connection, thread: str, now: datetime, identity: str | None = None) -> None:
    """Note that a conversation went on, and about whom once that is known."""
    sql.change(connection, mail_threads, {"id": thread}, {"updated_at": now})
    if identity is not None:
        connection.execute(
            update(mail_threads)
            .where(mail_threads.c.id == thread, mail_threads.c.identity_id.is_(None))
            .values(identity_id=identity)
        )


def find(connection: Connection, tenant: str, audience: str, message_ids: Sequence[str]) -> str | None:
    """The conversation of the first of these mails that is known, the nearest named first."""
    wanted = [number for number in message_ids if number][:50]
    if not wanted:
        return None
    known: dict[str, str] = {}
    for table in (mail_received, mail_sent):
        rows = connection.execute(
            select(table.c.message_id, table.c.thread_id)
            .join(mail_threads, mail_threads.c.id == table.c.thread_id)
            .where(
                table.c.tenant_id == tenant,
                table.c.message_id.in_(wanted),
                mail_threads.c.tenant_id == tenant,
                mail_threads.c.audience == audience,
            )
        )
        known.update({row.message_id: row.thread_id for row in rows})
    return next((known[number] for number in wanted if number in known), None)


def reply(connection: Connection, tenant: str, thread: str, *, answering: str | None, besides: str = "") -> Reply:
    """The headers of a mail of ours in a conversation.

    ``answering`` is the Message-ID answered, by default the last mail of the conversation; ``besides`` is the delivery
    being written, which is no answer to itself.
    """
    sent = select(
        mail_sent.c.message_id, mail_sent.c.references, mail_sent.c.prepared_at.label("at"), literal(0).label("ours")
    ).where(mail_sent.c.tenant_id == tenant, mail_sent.c.thread_id == thread, mail_sent.c.delivery_id != besides)
    received = select(
        mail_received.c.message_id, mail_received.c.references, mail_received.c.received_at, literal(1)
    ).where(mail_received.c.tenant_id == tenant, mail_received.c.thread_id == thread, mail_received.c.message_id != "")
    both = union_all(sent, received).subquery()
    query = select(both).order_by(both.c.at.desc(), both.c.ours.desc()).limit(1)
    if answering is not None:
        query = query.where(both.c.message_id == answering)
    last = connection.execute(query).first()
    if last is None:
        return Reply()
    return Reply(in_reply_to=last.message_id, references=references(last.message_id, tuple(last.references)))
