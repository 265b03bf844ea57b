"""Handling a mail received: filed or refused by the caller, once, and its sender told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from gateway.journey import threads
from gateway.journey.incoming import PROCESSED
from gateway.problems import Conflict, Invalid, NotFound, rule
from gateway.store.mail_tables import mail_received, mail_received_documents
from gateway.store.tables import identities

__all__ = ["documents_of", "received_of", "settle"]

UNKNOWN = rule(
    "API-INBOX-001",
    "Ce courriel n'existe pas pour vous.",
    "This mail does not exist for you.",
    "Prenez l'identifiant dans la boîte de réception.",
    "Take the id from the inbox.",
)
SETTLED = rule(
    "API-INBOX-002",
    "Ce courriel est déjà traité autrement.",
    "This mail is handled already, in another way.",
    "Aucune action : la première décision a été dite à l'expéditeur.",
    "Nothing to do: the first decision was told to the sender.",
)
UNKNOWN_PATIENT = rule(
    "API-INBOX-003",
    "Ce patient n'existe pas pour vous.",
    "This patient does not exist for you.",
    "Donnez l'identifiant d'une identité (idt_).",
    "Give the id of an identity (idt_).",
)


def received_of(connection: Connection, number: str, tenant_ids: Sequence[str]) -> Row[Any]:
    """The mail of an id; :class:`NotFound` when it does not belong to one of the tenants."""
    row = connection.execute(
        select(mail_received).where(mail_received.c.id == number, mail_received.c.tenant_id.in_(tenant_ids))
    ).first()
    if row is None:
        raise NotFound([UNKNOWN.finding("")])
    return row


def documents_of(connection: Connection, number: str) -> list[Row[Any]]:
    """The documents of a mail, in their order."""
    return list(
        connection.execute(
            select(mail_received_documents)
            .where(mail_received_documents.c.received_id == number)
            .order_by(mail_received_documents.c.rank)
        )
    )


def settle(
    connection: Connection,
    number: str,
    tenant_ids: Sequence[str],
    *,
    answer: str,
    now: datetime,
    by: str,
    label: str | None = None,
    identity: str | None = None,
) -> Row[Any]:
    """Note that a mail was handled (``processed``) or could not be (a code), and have its sender told.

    The same again gives the same row; :class:`Conflict` when it was handled otherwise before.
    """
    row = received_of(connection, number, tenant_ids)
    state = "acknowledged" if answer == PROCESSED else "rejected"
    if row.state != "new":
        if (row.state, row.answer) != (state, answer):
            raise Conflict([SETTLED.finding("", found=row.state)], slug="already-handled")
        return row
    if identity is not None:
        known = select(identities.c.id).where(identities.c.id == identity, identities.c.tenant_id == row.tenant_id)
        if connection.execute(known).first() is None:
            raise Invalid([UNKNOWN_PATIENT.finding("/identity")])
        if row.thread_id is not None:
            threads.touch(connection, row.thread_id, now, identity)
    done = connection.execute(
        update(mail_received)
        .where(mail_received.c.id == number, mail_received.c.state == "new")
        .values(
            state=state,
            answer=answer,
            answer_label=label,
            answer_state="due" if row.answer_wanted else "none",
            answer_due_at=now if row.answer_wanted else None,
            identity_id=identity or row.identity_id,
            settled_by=by,
            updated_at=now,
        )
    )
    if done.rowcount != 1:
        raise Conflict([SETTLED.finding("")], slug="already-handled")
    return received_of(connection, number, tenant_ids)
