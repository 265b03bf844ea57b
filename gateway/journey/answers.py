"""Telling senders what became of their mail: disposition notices, durable, sent again under the same Message-ID."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Row, select, update

from adapters.mss.disposition import Answer, build_disposition
from adapters.mss.message import OutgoingMail
from adapters.mss.outcomes import Kind
from adapters.mss.rules import MailRefused
from gateway import __version__
from gateway.context import Gateway
from gateway.journey.incoming import PROCESSED
from gateway.neighbours import Neighbours, NotConfigured
from gateway.services.mail_sessions import NoMailSession
from gateway.store import blobs
from gateway.store.engine import NORMAL
from gateway.store.mail_tables import mail_received
from gateway.tenants import tenant

__all__ = ["Answerer"]

log = structlog.get_logger("passerelle.mss")

#: How long a notice under way is left to the node that took it.
_LEASE = timedelta(seconds=60)
_LONGEST = timedelta(hours=1)


class Answerer:
    """Sends the notices that are due."""

    def __init__(self, gateway: Gateway, neighbours: Neighbours) -> None:
        self._gateway = gateway
        self._neighbours = neighbours

    async def run(self) -> None:
        """Send what is due now."""
        due = select(mail_received.c.id).where(mail_received.c.answer_state == "due").limit(1)
        if await self._gateway.store.read(lambda c: c.execute(due).first()) is None:
            return
        for row in await self._gateway.store.write(self._claim, NORMAL):
            await self._answer(row)

    def _claim(self, connection: Connection) -> list[Row[Any]]:
        now = self._gateway.now()
        ids = list(
            connection.execute(
                select(mail_received.c.id)
                .where(mail_received.c.answer_state == "due", mail_received.c.answer_due_at <= now)
                .order_by(mail_received.c.answer_due_at)
                .limit(16)
                .with_for_update(skip_locked=True)
            ).scalars()
        )
        if not ids:
            return []
        return list(
            connection.execute(
                update(mail_received)
                .where(mail_received.c.id.in_(ids))
                .values(answer_due_at=now + _LEASE, answer_attempts=mail_received.c.answer_attempts + 1)
                .returning(mail_received)
            )
        )

    async def _answer(self, row: Row[Any]) -> None:
        gateway = self._gateway
        owner = await gateway.store.read(lambda c: tenant(c, row.tenant_id))
        try:
            raw = await gateway.store.read(lambda c: blobs.get(c, gateway.vault, row.tenant_id, row.raw))
            notice = _notice(row, raw, gateway.now())
        except (KeyError, MailRefused):
            notice = None  # erased meanwhile, or a header nobody can read: there is nothing to answer to
        if notice is None or owner is None:
            await self._note(row, "failed")
            return
        try:
            line = self._neighbours.mss(owner)
            outcome = (await line.client.send(notice)).worst
        except (NotConfigured, NoMailSession) as exc:
            log.warning("mss.notice_waits", received=row.id, error=type(exc).__name__)
            await self._later(row)
            return
        log.info("mss.notice", received=row.id, answer=row.answer, outcome=str(outcome.kind), code=outcome.code)
        if outcome.kind is Kind.ACCEPTED:
            await self._note(row, "sent")
        elif outcome.kind is Kind.REFUSED:
            await self._note(row, "failed")
        else:
            await self._later(row)

    async def _note(self, row: Row[Any], state: str) -> None:
        now = self._gateway.now()
        await self._gateway.store.write(
            lambda c: c.execute(
                update(mail_received)
                .where(mail_received.c.id == row.id, mail_received.c.answer_attempts == row.answer_attempts)
                .values(answer_state=state, answer_due_at=None, answered_at=now if state == "sent" else None)
            ),
            NORMAL,
        )

    async def _later(self, row: Row[Any]) -> None:
        now = self._gateway.now()
        if now - row.updated_at > timedelta(hours=self._gateway.settings.imap.answer_hours):
            await self._note(row, "failed")
            return
        first = self._gateway.settings.retry_first_seconds
        wait = min(timedelta(seconds=first * 2 ** min(row.answer_attempts, 20)), _LONGEST)
        await self._gateway.store.write(
            lambda c: c.execute(
                update(mail_received).where(mail_received.c.id == row.id).values(answer_due_at=now + wait)
            ),
            NORMAL,
        )


def _notice(row: Row[Any], raw: bytes, now: datetime) -> OutgoingMail | None:
    code = "" if row.answer == PROCESSED else str(row.answer)
    # Derived from the mail answered: an answer sent again is the same answer.
    number = hashlib.sha256(f"{row.mailbox}:{row.key}:{code}".encode()).hexdigest()[:32]
    answer = Answer(
        mailbox=row.mailbox,
        recipient=row.mailbox,
        message_id=f"<mdn.{number}@{row.mailbox.rpartition('@')[2]}>",
        date=now,
        reporting_ua=f"passerelle; Passerelle {__version__}",
        error_code=code,
        label=row.answer_label or "",
    )
    return build_disposition(raw, answer, whole=row.state != "refused")
