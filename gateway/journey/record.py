"""Changes of state, each with its row of history, its ledger entry and its webhook, in the caller's transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from gateway.journey import incidents, mail_tally, states
from gateway.journey.cause import Cause, cause_of
from gateway.journey.states import CauseCode, Delivery, IllegalMove
from gateway.journey.tally import tally
from gateway.journey.telling import tell
from gateway.store import sql
from gateway.store.mail_tables import messages
from gateway.store.tables import deliveries, documents, history
from gateway.vault import Vault

__all__ = ["Cause", "LostLease", "cause_of", "move", "note", "settle_document", "withdraw_all"]


class LostLease(Exception):
    """Another worker took the delivery over meanwhile: what this one learnt is not written."""


def note(
    connection: Connection,
    *,
    at: datetime,
    tenant: str,
    document: str | None,
    to: str,
    by: str,
    message: str | None = None,
    delivery: str | None = None,
    before: str | None = None,
    cause: Cause | None = None,
) -> None:
    """Add a row of history."""
    sql.add(
        connection,
        history,
        {
            "at": at,
            "tenant_id": tenant,
            "document_id": document,
            "message_id": message,
            "delivery_id": delivery,
            "from_state": before,
            "to_state": to,
            "code": cause.code if cause else None,
            "cause_fr": cause.text.fr if cause else None,
            "cause_en": cause.text.en if cause else None,
            "by": by,
        },
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
    where = {"id": delivery.id, "state": delivery.state}
    if fence is not None:
        where["fence"] = fence
    if sql.change(connection, deliveries, where, new) != 1:
        raise LostLease(delivery.id)
    note(
        connection,
        at=at,
        tenant=delivery.tenant_id,
        document=delivery.document_id,
        message=delivery.message_id,
        delivery=delivery.id,
        before=delivery.state,
        to=str(to),
        by=by,
        cause=cause,
    )
    if ended or reopened:
        _settle(connection, vault, delivery, to, ended=ended, cause=cause, receipt=receipt, at=at, by=by)
    if to is Delivery.DEAD_LETTER:
        incidents.dead_letters_seen(connection, delivery.destination, cause.code if cause else "unknown", at)
    if reopened and delivery.state == str(Delivery.DEAD_LETTER):
        incidents.dead_letters_settled(connection, delivery.destination, delivery.reason or "unknown", at)


def withdraw_all(connection: Connection, vault: Vault, rows: Iterable[Row[Any]], *, at: datetime, by: str) -> int:
    """Stop those deliveries that may still be stopped, at their caller's wish; says how many."""
    stopped = 0
    for row in rows:
        with contextlib.suppress(IllegalMove):
            cause = cause_of(CauseCode.WITHDRAWN_BY_CALLER)
            move(connection, vault, row, Delivery.WITHDRAWN, at=at, by=by, cause=cause)
            stopped += 1
    return stopped


def _settle(
    connection: Connection,
    vault: Vault,
    delivery: Row[Any],
    to: Delivery,
    *,
    ended: bool,
    cause: Cause | None,
    receipt: dict[str, Any] | None,
    at: datetime,
    by: str,
) -> None:
    """Count the end of a delivery, tell it, and give what it delivers the state that its deliveries make."""
    table = messages if delivery.document_id is None else documents
    number = delivery.message_id if delivery.document_id is None else delivery.document_id
    # Locked: two deliveries of one document that end at once on two nodes would each find the other still open.
    subject = sql.find(connection, table, lock=True, id=number)
    if subject is None:
        raise LookupError(number)
    if ended:
        reason = cause.code if cause else None
        if delivery.destination == "mss":
            mail_tally.end(connection, vault, subject, delivery, to, reason, receipt, at)
        else:
            tally(connection, vault, subject, delivery, to, reason, receipt, at)
        _announce(connection, subject, delivery, to, cause, at)
    if delivery.document_id is None:
        settle_message(connection, subject, at=at, by=by)
    else:
        settle_document(connection, subject, at=at, by=by)


def settle_message(connection: Connection, message: Row[Any], *, at: datetime, by: str) -> None:
    """Give a message the state its deliveries make."""
    all_states = [row.state for row in sql.rows(connection, deliveries, message_id=message.id)]
    wanted = str(states.document_state(all_states))
    if wanted != message.state:
        sql.change(connection, messages, {"id": message.id}, {"state": wanted, "updated_at": at})
        note(
            connection,
            at=at,
            tenant=message.tenant_id,
            document=None,
            message=message.id,
            before=message.state,
            to=wanted,
            by=by,
        )


def settle_document(connection: Connection, document: Row[Any], *, at: datetime, by: str) -> None:
    """Give a document the state its deliveries make."""
    # A change asked for later (deletion, masking) has its own end; the document's is that of its sendings.
    all_states = [row.state for row in sql.rows(connection, deliveries, document_id=document.id, action="feed")]
    wanted = str(states.document_state(all_states))
    if wanted != document.state:
        sql.change(connection, documents, {"id": document.id}, {"state": wanted, "updated_at": at})
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
    connection: Connection, subject: Row[Any], delivery: Row[Any], to: Delivery, cause: Cause | None, at: datetime
) -> None:
    what = {"document": subject.id} if delivery.document_id is not None else {"message": subject.id}
    tell(
        connection,
        subject.tenant_id,
        f"delivery.{to}",
        at,
        client=subject.client_id,
        **what,
        delivery=delivery.id,
        action=delivery.action,
        outcome=cause.outcome() if cause else None,
    )
