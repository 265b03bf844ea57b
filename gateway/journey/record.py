"""Changes of state, each with its row of history, its ledger entry and its webhook, in the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from conformance.verdict import Text
from gateway.ids import new_id
from gateway.journey import incidents, states
from gateway.journey.states import CAUSES, CauseCode, Delivery
from gateway.journey.tally import tally
from gateway.store.tables import deliveries, documents, history, webhook_calls, webhooks
from gateway.vault import Vault

__all__ = ["Cause", "LostLease", "cause_of", "move", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a state changed: a stable code and its words, with the words of the remote service kept apart."""

    code: str
    text: Text
    fix: Text
    original_code: str | None = None
    original_text: str | None = None

    def outcome(self) -> dict[str, Any]:
        """The outcome as the interface shows it, in both languages."""
        return {
            "code": self.code,
            "originalCode": self.original_code,
            "originalText": self.original_text,
            "cause": {"fr": self.text.fr, "en": self.text.en},
            "fix": {"fr": self.fix.fr, "en": self.fix.en},
        }


def cause_of(code: CauseCode) -> Cause:
    """The cause of a code of the gateway's own table."""
    text, fix = CAUSES[code]
    return Cause(code=str(code), text=text, fix=fix)


class LostLease(Exception):
    """Another worker took the delivery over meanwhile: what this one learnt is not written."""


def note(
    connection: Connection,
    *,
    at: datetime,
    tenant: str,
    document: str,
    to: str,
    by: str,
    delivery: str | None = None,
    before: str | None = None,
    cause: Cause | None = None,
) -> None:
    """Add a row of history."""
    connection.execute(
        history.insert().values(
            at=at,
            tenant_id=tenant,
            document_id=document,
            delivery_id=delivery,
            from_state=before,
            to_state=to,
            code=cause.code if cause else None,
            cause_fr=cause.text.fr if cause else None,
            cause_en=cause.text.en if cause else None,
            by=by,
        )
    )


def move(
    connection: Connection,
    vault: Vault,
    delivery: Row[Any],
    to: Delivery,
    *,
    at: datetime,
    by: str,
    cause: Cause | None = None,
    fence: int | None = None,
    receipt: dict[str, Any] | None = None,
    values: dict[str, Any] | None = None,
) -> None:
    """Bring a delivery to a state, with everything that goes with it, or raise.

    ``fence`` is the number of the lease under which the caller works; :class:`LostLease` when it no longer holds.
    """
    states.check(delivery.state, to)
    ended = to in states.ENDED
    reopened = delivery.ended_at is not None
    new: dict[str, Any] = {
        "state": str(to),
        "updated_at": at,
        "reason": cause.code if cause else None,
        "cause_fr": cause.text.fr if cause else None,
        "cause_en": cause.text.en if cause else None,
        "fix_fr": cause.fix.fr if cause else None,
        "fix_en": cause.fix.en if cause else None,
    }
    if to is not Delivery.SENDING:
        new |= {"lease_owner": None, "lease_until": None}
    if reopened:
        # A person sends it again: it starts afresh, whatever it spent before.
        new |= {"ended_at": None, "attempts": 0, "first_failed_at": None}
    if ended:
        new |= {"ended_at": at, "next_attempt_at": None}
        if cause is not None:
            new["outcome"] = cause.outcome()
    if receipt is not None:
        new["receipt"] = receipt
    new |= values or {}
    statement = update(deliveries).where(deliveries.c.id == delivery.id, deliveries.c.state == delivery.state)
    if fence is not None:
        statement = statement.where(deliveries.c.fence == fence)
    if connection.execute(statement.values(**new)).rowcount != 1:
        raise LostLease(delivery.id)
    note(
        connection,
        at=at,
        tenant=delivery.tenant_id,
        document=delivery.document_id,
        delivery=delivery.id,
        before=delivery.state,
        to=str(to),
        by=by,
        cause=cause,
    )
    if ended or reopened:
        # Locked: two deliveries of one document that end at once on two nodes would each find the other still open.
        document = connection.execute(
            select(documents).where(documents.c.id == delivery.document_id).with_for_update()
        ).one()
        if ended:
            tally(connection, vault, document, delivery, to, cause.code if cause else None, receipt, at)
            _announce(connection, document, delivery, to, cause, at)
        settle_document(connection, document, at=at, by=by)
    if to is Delivery.DEAD_LETTER:
        incidents.dead_letters_seen(connection, delivery.destination, cause.code if cause else "unknown", at)
    if reopened and delivery.state == str(Delivery.DEAD_LETTER):
        incidents.dead_letters_settled(connection, delivery.destination, delivery.reason or "unknown", at)


def settle_document(connection: Connection, document: Row[Any], *, at: datetime, by: str) -> None:
    """Give a document the state its deliveries make."""
    all_states = [
        row.state
        for row in connection.execute(
            # A change asked for later (deletion, masking) has its own end; the document's is that of its sendings.
            select(deliveries.c.state).where(deliveries.c.document_id == document.id, deliveries.c.action == "feed")
        )
    ]
    wanted = str(states.document_state(all_states))
    if wanted != document.state:
        connection.execute(update(documents).where(documents.c.id == document.id).values(state=wanted, updated_at=at))
        note(
            connection,
            at=at,
            tenant=document.tenant_id,
            document=document.id,
            before=document.state,
            to=wanted,
            by=by,
        )


def _announce(
    connection: Connection, document: Row[Any], delivery: Row[Any], to: Delivery, cause: Cause | None, at: datetime
) -> None:
    listeners = connection.execute(
        select(webhooks.c.id).where(
            webhooks.c.tenant_id == document.tenant_id,
            webhooks.c.client_id == document.client_id,
            webhooks.c.disabled_at.is_(None),
        )
    ).all()
    for listener in listeners:
        call = new_id("whk", at)
        body = {
            "id": call,
            "type": f"delivery.{to}",
            "at": at.isoformat(),
            "document": document.id,
            "delivery": delivery.id,
            "outcome": cause.outcome() if cause else None,
        }
        connection.execute(
            webhook_calls.insert().values(
                id=call, webhook_id=listener.id, body=body, state="queued", next_attempt_at=at, created_at=at
            )
        )
