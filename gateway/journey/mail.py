"""Taking mail to its recipients: one message for professionals, another for the patient, kept before it leaves.

Message-ID and ENVID are made once and kept; a connection lost after the final dot leaves the same mail to be sent again
under the same Message-ID, which the receiver recognises (mss.md 10). Each recipient has a state of its own: those our
operator took charge of are never sent to again.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import structlog
from sqlalchemy import Connection, Row, select

from adapters.mss import outcomes
from adapters.mss.addresses import Audience
from adapters.mss.client import SendResult
from adapters.mss.message import OutgoingMail
from adapters.mss.outcomes import Kind, Outcome, Phase
from adapters.mss.rules import MailRefused
from adapters.mss.tracking import RecipientState
from conformance.verdict import Finding, Text
from gateway import identities
from gateway.context import Gateway
from gateway.journey import mail_tally, recipients, threads
from gateway.journey.cause import Cause, cause_of
from gateway.journey.courier import CourierBase, Stop
from gateway.journey.letter import Letter, load_letter, write_letter
from gateway.journey.qualify import Qualifier, Verification
from gateway.journey.record import LostLease, move
from gateway.journey.states import CauseCode, Delivery
from gateway.neighbours import MssLine, Neighbours
from gateway.services.evidence import keep_mail
from gateway.services.mail_sessions import NoMailSession
from gateway.services.rewrite import carries, rewrite
from gateway.store import blobs, sql
from gateway.store.mail_tables import mail_sent
from gateway.store.tables import deliveries, history

__all__ = ["MailCourier", "cause_from"]

log = structlog.get_logger("passerelle.mss")

#: How long before a held mail is looked at again by itself; an identity that becomes qualified lets it go at once.
LOOK_AGAIN = timedelta(hours=6)

#: Outcomes that say the operator cannot serve, rather than something of a recipient.
_DOWN = frozenset({"MSS-OUT-NETWORK", "MSS-OUT-TEMPORARY", "MSS-OUT-UNCERTAIN"})


def cause_from(outcome: Outcome) -> Cause:
    """The cause of an operator's outcome, its own code and words kept."""
    return Cause(
        code=outcome.code,
        text=outcome.cause,
        fix=outcome.fix,
        original_code=outcome.original_code or None,
        original_text=outcome.original_text or None,
    )


def cause_of_finding(finding: Finding) -> Cause:
    """The cause of a mail refused before any connection."""
    return Cause(code=finding.code, text=finding.rule.message, fix=finding.rule.fix, original_text=finding.found)


#: Some recipients were refused by our operator, the others not.
PARTLY = Cause(
    code="MSS-OUT-PARTLY",
    text=Text("Certains destinataires ont été refusés.", "Some recipients were refused."),
    fix=Text("Voyez l'état de chaque destinataire.", "See the state of each recipient."),
)


#: The operator knows no such mailbox.
_CLOSED = "MSS-OUT-ADDRESS"


class MailCourier(CourierBase):
    """Sends documents and messages by MSSanté."""

    destination = "mss"

    def __init__(self, gateway: Gateway, neighbours: Neighbours, **options: Any) -> None:
        super().__init__(gateway.store, gateway.vault, clock=gateway.clock, **options)
        self.gateway = gateway
        self.neighbours = neighbours
        self.qualifier = Qualifier(gateway.settings, neighbours)
        self.concurrency = gateway.settings.mss.concurrency

    async def carry(self, delivery: Row[Any]) -> None:
        """Bring one claimed delivery as far as it goes now."""
        try:
            letter = await self.store.read(lambda c: load_letter(c, self.vault, delivery))
            line = self.neighbours.mss(letter.tenant)
            if delivery.prepared is None:
                mail = await self._prepare(letter, line)
            else:
                mail = _open_mail(await self.read_blob(delivery.tenant_id, delivery.prepared))
                if delivery.state != str(Delivery.SENDING):
                    await self.finish(delivery, Delivery.SENDING, None, values={"next_attempt_at": self.clock()})
            await self._send(delivery, line, mail)
        except Stop:
            return

    async def _prepare(self, letter: Letter, line: MssLine) -> OutgoingMail:
        delivery, identity = letter.delivery, letter.identity
        settings = self.gateway.settings
        # Words alone carry nobody's number; a patient's own address is the number itself.
        allowed = not letter.citizen and (not letter.documents or settings.mss.send_unqualified)
        if identity is not None and not identity.qualified and not allowed:
            await self.hold(
                delivery,
                cause_of(CauseCode.IDENTITY_NOT_QUALIFIED),
                identity=identity,
                days=settings.hold_days,
                look_again=LOOK_AGAIN,
            )
            raise Stop
        if letter.citizen and identity is not None and identity.checked_at is None and settings.insi.url:
            # The address is the number itself: one that nobody verified is verified before it is written to.
            asked = Verification(delivery=delivery, identity=identity, tenant=letter.tenant)
            identity = await self.qualifier.ensure(self, asked)
            letter = replace(letter, identity=identity)
        if delivery.state == str(Delivery.HELD):
            # Settled while it was being held: it leaves as if it had been released.
            await self.let_go(delivery)
            raise Stop
        scope = "mss_citizen" if letter.citizen else "mss"
        if identity is not None and await self.store.look(lambda c: identities.opposed(c, identity.id, scope)):
            await self.finish(delivery, Delivery.REFUSED, cause_of(CauseCode.PATIENT_OPPOSED))
            raise Stop
        if await self.store.read(lambda c: self._perhaps_mailed(c, delivery)):
            # No operator can be asked, as the registry can: a person looks in the mailbox.
            await self.finish(delivery, Delivery.DEAD_LETTER, cause_of(CauseCode.RESTORED))
            raise Stop
        contents = [await self._content(letter, row) for row in letter.documents]
        reply, thread = threads.Reply(), None
        if letter.asked.get("thread") is not None:
            reply, thread = await self.store.read(lambda c: self._conversation(c, letter))
        try:
            mail = await asyncio.to_thread(
                write_letter, letter, line, settings, contents, now=self.clock(), reply=reply
            )
        except MailRefused as exc:
            await self.finish(delivery, Delivery.REFUSED, cause_of_finding(exc.findings[0]))
            raise Stop from exc
        await self.store.write(lambda c: self._commit_mail(c, letter, line, mail, thread, reply))
        self.moment("after_prepare")
        return mail

    def _perhaps_mailed(self, connection: Connection, delivery: Row[Any]) -> bool:
        """Kept before the database was restored from a backup, and not sent again by a person since."""
        restored = self.gateway.restored_at
        if restored is None or delivery.created_at >= restored:
            return False
        again = select(history.c.id).where(
            history.c.delivery_id == delivery.id,
            history.c.document_id == delivery.document_id,
            history.c.message_id == delivery.message_id,
            history.c.from_state == str(Delivery.DEAD_LETTER),
            history.c.at >= restored,
        )
        return connection.execute(again.limit(1)).first() is None

    def _conversation(self, connection: Connection, letter: Letter) -> tuple[threads.Reply, str | None]:
        """The headers that keep the mail in its conversation; a new one when none is asked for."""
        thread = letter.asked.get("thread")
        # What answers professionals is no part of a patient's conversation, and the other way round.
        if thread is None or threads.audience_of(connection, letter.tenant.id, thread) != str(letter.audience):
            return threads.Reply(), None
        answering = letter.asked.get("answering")
        reply = threads.reply(connection, letter.tenant.id, thread, answering=answering, besides=letter.delivery.id)
        return reply, thread

    async def _content(self, letter: Letter, document: Row[Any]) -> tuple[bytes, bytes | None]:
        """The CDA to mail and the PDF beside it (ECO.2.1.1)."""
        tenant, identity = document.tenant_id, letter.identity
        pdf = await self.read_blob(tenant, document.pdf) if document.pdf else None
        cda = await self.read_blob(tenant, document.cda)
        settled = document.cda_qualified and identity is not None and carries(cda, identity.patient)
        if identity is not None and identity.qualified and not settled:
            # With the INS when the identity is qualified, whatever it was when received.
            model = await self.read_blob(tenant, document.model)
            patient = orjson.dumps(identity.patient.model_dump(mode="json", exclude_none=True))
            cda = (await self.gateway.compute(rewrite, model, patient, pdf)).cda
        if pdf is None:
            from mappings.rendering.pdf import cda_pdf

            pdf = await self.gateway.compute(cda_pdf, cda)
        return cda, pdf

    def _commit_mail(
        self,
        connection: Connection,
        letter: Letter,
        line: MssLine,
        mail: OutgoingMail,
        thread: str | None,
        reply: threads.Reply,
    ) -> None:
        now = self.clock()
        row = sql.find(connection, deliveries, id=letter.delivery.id)
        if row is None or row.fence != letter.delivery.fence:
            raise LostLease(letter.delivery.id)
        identity = letter.identity.id if letter.identity else None
        if thread is None:
            thread = threads.begin(connection, row.tenant_id, str(letter.audience), identity, now)
        else:
            threads.touch(connection, thread, now, identity)
        sql.add(
            connection,
            mail_sent,
            delivery_id=row.id,
            tenant_id=row.tenant_id,
            mailbox=line.mailbox,
            message_id=mail.message_id,
            envelope_id=mail.envelope_id,
            thread_id=thread,
            references=list(reply.references),
            prepared_at=now,
        )
        address = blobs.put(connection, self.vault, row.tenant_id, _keep_mail(mail), now)
        move(
            connection,
            self.vault,
            row,
            Delivery.SENDING,
            at=now,
            by=self.by,
            fence=letter.delivery.fence,
            values={"prepared": address, "next_attempt_at": now},
        )

    async def _send(self, delivery: Row[Any], line: MssLine, mail: OutgoingMail) -> None:
        rows = await self.store.look(lambda c: recipients.of_delivery(c, delivery.id))
        due = {mail.recipients[row.rank]: row for row in rows if row.state == recipients.PENDING}
        result, worst = None, None
        if due:
            self.moment("before_send")
            try:
                result = await line.client.send(mail, list(due))
            except NoMailSession:
                # As a refused token: nothing left, and a professional must log in.
                result = SendResult(outcomes=dict.fromkeys(due, outcomes.local("token", phase=Phase.AUTH)))
            self.moment("after_send")
            worst = result.worst
            self.heard(up=worst.code not in _DOWN)
            log.info("mss.answered", delivery=delivery.id, outcome=str(worst.kind), code=worst.code, due=len(due))
            if self.gateway.directory is not None:
                for address in (a for a, outcome in result.outcomes.items() if outcome.code == _CLOSED):
                    self.gateway.directory.closed(address)
        ends = worst is None or worst.kind in (Kind.ACCEPTED, Kind.REFUSED)
        if ends:
            self.moment("before_ack")

        def settle(connection: Connection) -> None:
            # What the operator said of each recipient and the end it makes of the mail are one change.
            receipt = self._learn(connection, delivery, line, mail, result, due)
            if not ends:
                return
            attempts = {"attempts": delivery.attempts + 1}
            if receipt["served"]:
                to, cause = Delivery.ACKNOWLEDGED, PARTLY if receipt["refused"] else None
            else:
                to, cause = Delivery.REFUSED, cause_from(worst) if worst is not None else _known_refusal(rows)
            self.bring(connection, delivery, to, cause, receipt=receipt, values=attempts)

        await self.store.write(settle)
        if worst is not None and not ends:
            to = Delivery.UNCERTAIN if worst.kind is Kind.UNCERTAIN else Delivery.RETRYING
            wait = 300.0 if worst.kind is Kind.OPERATOR else float(worst.retry_after or 0)
            longest = self.gateway.settings.mss.max_wait_seconds
            await self.try_later(delivery, to, cause_from(worst), retry_after=min(wait, longest))

    def _learn(
        self,
        connection: Connection,
        delivery: Row[Any],
        line: MssLine,
        mail: OutgoingMail,
        result: SendResult | None,
        due: dict[str, Row[Any]],
    ) -> dict[str, Any]:
        """Write what our operator said of each recipient; the receipt as it now stands."""
        fence = sql.value(connection, deliveries, "fence", id=delivery.id)
        if fence != delivery.fence:
            raise LostLease(delivery.id)
        if result is not None and self.gateway.settings.mss.keep_exchanges:
            self._evidence(connection, delivery, mail, result)
        for address, row in due.items():
            outcome = result.outcomes[address] if result is not None else None
            if outcome is None:
                continue
            if outcome.kind is Kind.ACCEPTED:
                self._change(connection, row, RecipientState.SUBMITTED, None)
            elif outcome.kind is Kind.REFUSED:
                self._change(connection, row, RecipientState.FAILED, cause_from(outcome))
        rows = recipients.of_delivery(connection, delivery.id)
        before = delivery.receipt or {}
        refused = sorted({*before.get("refused", []), *self._refused(rows, due, result)})
        served = [row.rank for row in rows if row.state != recipients.PENDING and row.rank not in refused]
        if served and not any(row.state == recipients.PENDING for row in rows):
            for row in rows:
                if row.rank in refused:
                    # Refused while others were served: a recipient that failed, in a message that left.
                    mail_tally.recipient(connection, self.vault, delivery, row, "failed", row.code, row.updated_at)
        receipt = {
            "reference": mail.message_id,
            "served": served,
            "refused": refused,
            "dsn": result.dsn_requested if result is not None else bool(before.get("dsn")),
            "selfAddressed": line.mailbox.lower() in (a.lower() for a in mail.recipients),
        }
        sql.change(connection, deliveries, {"id": delivery.id, "fence": delivery.fence}, {"receipt": receipt})
        return receipt

    def _evidence(self, connection: Connection, delivery: Row[Any], mail: OutgoingMail, result: SendResult) -> None:
        """The mail as it left and what our operator answered, each recipient on a line, failures included."""
        lines = [f"{a}: {o.original_code} {o.original_text}".rstrip() for a, o in result.outcomes.items()]
        keep_mail(
            connection,
            self.vault,
            delivery.tenant_id,
            delivery=delivery.id,
            transaction="submit",
            at=self.clock(),
            outcome=result.worst.code,
            message_id=mail.message_id,
            sent=mail.data,
            answer="\n".join([*lines, result.server_text]).encode(),
        )

    def _change(self, connection: Connection, row: Row[Any], to: RecipientState, cause: Cause | None) -> None:
        recipients.change(connection, self.vault, row, str(to), at=self.clock(), by=self.by, cause=cause, count=False)

    @staticmethod
    def _refused(rows: list[Row[Any]], due: dict[str, Row[Any]], result: SendResult | None) -> list[int]:
        if result is None:
            return []
        return [due[a].rank for a, outcome in result.outcomes.items() if outcome.kind is Kind.REFUSED]


def _known_refusal(rows: list[Row[Any]]) -> Cause:
    """The refusal of recipients that an earlier attempt already learnt."""
    row = next(row for row in rows if row.code)
    return Cause(
        code=row.code,
        text=Text(row.cause_fr, row.cause_en),
        fix=PARTLY.fix,
        original_code=row.original_code,
        original_text=row.original_text,
    )


def _keep_mail(mail: OutgoingMail) -> bytes:
    head = orjson.dumps(
        {
            "sender": mail.sender,
            "recipients": mail.recipients,
            "messageId": mail.message_id,
            "envelopeId": mail.envelope_id,
            "audience": str(mail.audience),
        }
    )
    return head + b"\n" + mail.data


def _open_mail(stored: bytes) -> OutgoingMail:
    head, _, data = stored.partition(b"\n")
    said = orjson.loads(head)
    return OutgoingMail(
        data=data,
        sender=said["sender"],
        recipients=tuple(said["recipients"]),
        message_id=said["messageId"],
        envelope_id=said["envelopeId"],
        audience=Audience(said["audience"]),
    )
