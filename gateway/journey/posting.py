"""Taking a message in charge: its new documents, the message, its deliveries and its key, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row, select

from adapters.mss.addresses import Audience
from adapters.mss.rules import rule as mss_rule
from gateway import identities
from gateway.ids import new_id
from gateway.journey import threads
from gateway.journey.accept import Accepted, accept, queue, replay
from gateway.journey.accept import Request as Submission
from gateway.journey.record import note
from gateway.problems import Invalid, NotFound, rule
from gateway.services.addressing import Answered
from gateway.store import blobs, sql
from gateway.store.engine import Again
from gateway.store.mail_tables import messages
from gateway.store.tables import documents, idempotency
from gateway.store.tables import identities as identity_rows
from gateway.vault import Vault

__all__ = ["Posting", "post"]

UNKNOWN_DOCUMENT = rule(
    "API-MSG-005",
    "Ce document n'existe pas pour vous.",
    "This document does not exist for you.",
    "Vérifiez l'identifiant reçu à l'envoi (doc_).",
    "Check the identifier received when sending (doc_).",
)
UNKNOWN_PATIENT = rule(
    "API-MSG-006",
    "Ce patient n'existe pas pour vous.",
    "This patient does not exist for you.",
    "Donnez l'identifiant d'une identité (idt_).",
    "Give the id of an identity (idt_).",
)
NO_PATIENT = rule(
    "API-MSG-007",
    "Un message à un patient doit dire de quel patient il s'agit.",
    "A message to a patient must say which patient.",
    "Joignez un document du patient, répondez à l'un de ses messages, ou donnez patient (idt_).",
    "Join a document of the patient, answer one of their messages, or give patient (idt_).",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """A message asked for: what it carries, for whom, in which conversation."""

    tenant: str
    client: str
    actor: dict[str, Any]
    documents: tuple[str | Submission, ...]  #: ids of documents already kept, and new ones
    recipients: tuple[dict[str, Any], ...]
    content: dict[str, Any] = field(repr=False)  #: subject, body, reply_to, no_reply
    body_mac: str
    idempotency_key: str
    patient: str | None = None
    answered: Answered | None = None


def post(
    connection: Connection,
    vault: Vault,
    asked: Posting,
    *,
    now: datetime,
    hold_days: int,
    max_pending: int,
    mail_unqualified: bool = False,
    pending: int | None = None,
) -> Accepted:
    """Keep a message and its deliveries; the document id of the result is the message's."""
    earlier = replay(connection, asked.client, asked.idempotency_key, asked.body_mac)
    if earlier is not None:
        return earlier
    carried = _documents(connection, vault, asked, now, hold_days, max_pending, pending)
    identity_id = _patient(connection, asked, carried)
    identity = identities.load(connection, vault, identity_id) if identity_id is not None else None
    groups = {
        Audience.PROFESSIONAL: [r for r in asked.recipients if r["kind"] != "citizen"],
        Audience.CITIZEN: [r for r in asked.recipients if r["kind"] == "citizen"],
    }
    groups = {audience: group for audience, group in groups.items() if group}
    if Audience.CITIZEN in groups and identity is None:
        raise Invalid([NO_PATIENT.finding("/patient")])
    thread, first = _thread(connection, asked, tuple(groups), identity_id, now)
    message = new_id("msg", now)
    by = f"client:{asked.client}"
    sql.add(
        connection,
        messages,
        id=message,
        tenant_id=asked.tenant,
        client_id=asked.client,
        thread_id=thread,
        identity_id=identity_id,
        actor_id=str(asked.actor["id"]),
        actor=asked.actor,
        documents=[row.id for row in carried],
        content=blobs.put(connection, vault, asked.tenant, orjson.dumps(asked.content), now),
        state="accepted",
        created_at=now,
        updated_at=now,
    )
    note(connection, at=now, tenant=asked.tenant, document=None, message=message, to="accepted", by=by)
    rank = int(now.timestamp() * 1_000_000)
    for audience, group in groups.items():
        unsure = identity is not None and not identity.qualified
        citizen = audience is Audience.CITIZEN
        queue(
            connection,
            vault,
            tenant=asked.tenant,
            message=message,
            destination="mss",
            rank=rank,
            lineage=f"{message}#{audience}",
            now=now,
            by=by,
            # Words alone carry nobody's number, and may go to professionals.
            held=unsure and (citizen or (bool(carried) and not mail_unqualified)),
            hold_days=hold_days,
            request={
                "recipients": group,
                "thread": thread if audience is first else None,
                "answering": asked.answered.message_id if asked.answered and audience is first else None,
            },
        )
    added = blobs.insert_ignore(
        connection,
        idempotency,
        {
            "client_id": asked.client,
            "key": asked.idempotency_key,
            "tenant_id": asked.tenant,
            "body_mac": asked.body_mac,
            "document_id": message,
            "created_at": now,
        },
    )
    if not added:
        raise Again  # another node served the same key meanwhile: its receipt is given instead
    return Accepted(document_id=message, replayed=False)


def _documents(
    connection: Connection,
    vault: Vault,
    asked: Posting,
    now: datetime,
    hold_days: int,
    max_pending: int,
    pending: int | None,
) -> list[Row[Any]]:
    """The rows of the documents to carry, the new ones kept first, in the order asked for."""
    out: list[Row[Any]] = []
    for index, one in enumerate(asked.documents):
        if not isinstance(one, str):
            one = accept(
                connection, vault, one, now=now, hold_days=hold_days, max_pending=max_pending, pending=pending
            ).document_id
        row = connection.execute(
            select(documents).where(documents.c.id == one, documents.c.tenant_id == asked.tenant)
        ).first()
        if row is None:
            raise NotFound([UNKNOWN_DOCUMENT.finding(f"/documents/{index}/id")])
        if row.purged_at is not None:
            raise blobs.Purged(row.id)
        out.append(row)
    if len({row.identity_id for row in out}) > 1:
        raise Invalid([mss_rule("MSS-PAT-007", "/documents")])
    return out


def _patient(connection: Connection, asked: Posting, carried: list[Row[Any]]) -> str | None:
    """Whom the message is about: the documents' patient, the one named, or that of the conversation answered."""
    if carried:
        return str(carried[0].identity_id)
    if asked.patient is not None:
        known = connection.execute(
            select(identity_rows.c.id).where(
                identity_rows.c.id == asked.patient, identity_rows.c.tenant_id == asked.tenant
            )
        ).scalar_one_or_none()
        if known is None:
            raise Invalid([UNKNOWN_PATIENT.finding("/patient")])
        return str(known)
    return asked.answered.identity if asked.answered else None


def _thread(
    connection: Connection, asked: Posting, audiences: tuple[Audience, ...], identity: str | None, now: datetime
) -> tuple[str, Audience]:
    """The conversation of the message, and the part of its recipients that goes on in it."""
    if asked.answered is not None:
        for audience in audiences:
            if str(audience) == asked.answered.audience:
                return asked.answered.thread, audience
    return threads.begin(connection, asked.tenant, str(audiences[0]), identity, now), audiences[0]
