"""Taking a document to mailboxes: one message for professionals, another for the patient, kept before it leaves.

Message-ID and ENVID are made once and kept; a connection lost after the final dot leaves the same mail to be sent again
under the same Message-ID, which the receiver recognises (mss.md 10).
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import orjson
import structlog
from sqlalchemy import Connection, Row, select

from adapters.dmp.prepare import CONSULTATION
from adapters.mss.addresses import Audience, PatientConsent, Visibility, check_recipients
from adapters.mss.documents import read_document
from adapters.mss.message import Draft, OutgoingMail, Sender, build_mail
from adapters.mss.outcomes import Kind, Outcome
from adapters.mss.package import Producer, SetInfo, build_package
from adapters.mss.rules import MailRefused
from conformance.verdict import Finding
from gateway import __version__, identities
from gateway.context import Gateway
from gateway.ids import new_oid
from gateway.journey.courier import CourierBase, Load, Stop
from gateway.journey.record import Cause, LostLease, cause_of, move
from gateway.journey.states import CauseCode, Delivery
from gateway.neighbours import MssLine, Neighbours
from gateway.services.rewrite import rewrite
from gateway.store import blobs
from gateway.store.tables import deliveries
from mappings.xds import Author, Organization, Person
from mappings.xds.vocabulary import PROFESSIONAL_AUTHORITY, STRUCTURE_AUTHORITY

__all__ = ["MailCourier"]

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


class MailCourier(CourierBase):
    """Sends documents by MSSanté."""

    destination = "mss"

    def __init__(self, gateway: Gateway, neighbours: Neighbours, **options: Any) -> None:
        super().__init__(gateway.store, gateway.vault, clock=gateway.clock, **options)
        self.gateway = gateway
        self.neighbours = neighbours
        self.concurrency = gateway.settings.mss.concurrency

    async def carry(self, delivery: Row[Any]) -> None:
        """Bring one claimed delivery as far as it goes now."""
        try:
            load = await self.load(delivery)
            line = self.neighbours.mss(load.tenant)
            if delivery.prepared is None:
                mail = await self._prepare(load, line)
            else:
                mail = _open_mail(await self.read_blob(delivery.tenant_id, delivery.prepared))
                if delivery.state != str(Delivery.SENDING):
                    await self.finish(delivery, Delivery.SENDING, None, values={"next_attempt_at": self.clock()})
            await self._send(load, line, mail)
        except Stop:
            return

    async def _prepare(self, load: Load, line: MssLine) -> OutgoingMail:
        delivery = load.delivery
        asked = orjson.loads(await self.read_blob(delivery.tenant_id, delivery.request))
        citizen = any(r["kind"] == "citizen" for r in asked["recipients"])
        identity = load.identity
        if not identity.qualified and (citizen or not self.gateway.settings.mss.send_unqualified):
            await self.hold(
                delivery,
                cause_of(CauseCode.IDENTITY_NOT_QUALIFIED),
                identity=identity,
                days=self.gateway.settings.hold_days,
                look_again=LOOK_AGAIN,
            )
            raise Stop
        opposed = await self.store.read(lambda c: identities.opposed(c, identity.id, "mss"))
        if opposed:
            await self.finish(delivery, Delivery.REFUSED, cause_of(CauseCode.PATIENT_OPPOSED))
            raise Stop
        cda = await self._content(load)
        pdf = await self._pdf(load, cda)
        try:
            mail = await asyncio.to_thread(self._write, load, line, asked, cda, pdf)
        except MailRefused as exc:
            await self.finish(delivery, Delivery.REFUSED, cause_of_finding(exc.findings[0]))
            raise Stop from exc
        await self.store.write(lambda c: self._commit_mail(c, load, mail))
        self.moment("after_prepare")
        return mail

    async def _content(self, load: Load) -> bytes:
        """The CDA to mail: with the INS when the identity is qualified, whatever it was when received."""
        document = load.document
        if document.cda_qualified or not load.identity.qualified:
            return load.cda
        model = await self.read_blob(document.tenant_id, document.model)
        pdf = await self.read_blob(document.tenant_id, document.pdf) if document.pdf else None
        patient = orjson.dumps(load.identity.patient.model_dump(mode="json", exclude_none=True))
        return (await self.gateway.compute(rewrite, model, patient, pdf)).cda

    async def _pdf(self, load: Load, cda: bytes) -> bytes | None:
        """The PDF beside the archive (ECO.2.1.1); a level-1 document embeds its own."""
        document = load.document
        if document.pdf:
            return await self.read_blob(document.tenant_id, document.pdf)
        from mappings.rendering.pdf import cda_pdf

        return await self.gateway.compute(cda_pdf, cda)

    def _write(self, load: Load, line: MssLine, asked: dict[str, Any], cda: bytes, pdf: bytes | None) -> OutgoingMail:
        settings = self.gateway.settings
        identity = load.identity
        ins = identity.patient.ins if identity.qualified else None
        hidden = set(load.document.visibility)
        visibility = Visibility(
            masked_to_professionals="MASQUE_PS" in hidden,
            invisible_to_patient="INVISIBLE_PATIENT" in hidden,
            invisible_to_guardians="INVISIBLE_REPRESENTANTS_LEGAUX" in hidden,
        )
        audience, recipients = check_recipients(
            [r["address"] for r in asked["recipients"]],
            patient=PatientConsent(
                qualified=identity.qualified,
                matricule=ins.value if ins else "",
                authority=ins.authority if ins else "",
            ),
            white_list=line.white_list,
            visibility=[visibility],
            allow_unqualified=settings.mss.send_unqualified,
            environment=settings.environment,
        )
        now = self.clock()
        document = read_document(cda, visibility=frozenset(hidden))
        actor = load.document.actor
        package = build_package(
            [document],
            SetInfo(
                unique_id=new_oid(),
                source_id=settings.dmp.source_id,
                submission_time=now,
                title=document.label,
                author=Author(
                    person=Person(
                        id=str(actor["id"]),
                        family=str(actor.get("family") or ""),
                        given=str(actor.get("given") or ""),
                        authority=PROFESSIONAL_AUTHORITY,
                    ),
                    institutions=(
                        Organization(name=load.tenant.name, id=load.tenant.structure_id, authority=STRUCTURE_AUTHORITY),
                    ),
                ),
                content_type=CONSULTATION,
            ),
            Producer(
                institution=load.tenant.name,
                institution_contact=line.mailbox,
                product="Passerelle",
                product_version=__version__,
                vendor_contact=line.mailbox,
            ),
        )
        left = load.delivery.id.lower().replace("_", "-")
        domain = line.mailbox.rpartition("@")[2]
        return build_mail(
            Draft(
                sender=Sender(address=line.mailbox, label=line.label),
                recipients=recipients,
                audience=audience,
                message_id=f"<{left}@{domain}>",
                envelope_id=left,
                date=now,
                product_reference=settings.mss.nil,
                documents=(document,),
                archive=package.data,
                pdfs=(pdf,),
                body=asked.get("body"),
                reply_to=asked.get("reply_to"),
                close_conversation=bool(asked.get("no_reply")) and audience is Audience.CITIZEN,
            ),
            max_bytes=settings.mss.max_message_bytes,
        )

    def _commit_mail(self, connection: Connection, load: Load, mail: OutgoingMail) -> None:
        now = self.clock()
        row = connection.execute(select(deliveries).where(deliveries.c.id == load.delivery.id)).one()
        if row.fence != load.delivery.fence:
            raise LostLease(row.id)
        address = blobs.put(connection, self.vault, row.tenant_id, _keep_mail(mail), now)
        move(
            connection,
            self.vault,
            row,
            Delivery.SENDING,
            at=now,
            by=self.by,
            fence=load.delivery.fence,
            values={"prepared": address, "next_attempt_at": now},
        )

    async def _send(self, load: Load, line: MssLine, mail: OutgoingMail) -> None:
        delivery = load.delivery
        served = set((delivery.receipt or {}).get("served", []))
        due = [address for index, address in enumerate(mail.recipients) if index not in served]
        self.moment("before_send")
        result = await line.client.send(mail, due)
        self.moment("after_send")
        served |= {
            index
            for index, address in enumerate(mail.recipients)
            if (one := result.outcomes.get(address)) is not None and one.kind is Kind.ACCEPTED
        }
        worst = result.worst
        self.heard(up=worst.code not in _DOWN)
        log.info("mss.answered", delivery=delivery.id, outcome=str(worst.kind), code=worst.code, served=len(served))
        receipt = {
            "reference": mail.message_id,
            "served": sorted(served),
            "recipientClass": "citizen" if mail.audience is Audience.CITIZEN else "ps",
            "dsn": result.dsn_requested,
        }
        attempts = {"attempts": delivery.attempts + 1}
        if worst.kind is Kind.ACCEPTED:
            self.moment("before_ack")
            await self.finish(delivery, Delivery.ACKNOWLEDGED, None, receipt=receipt, values=attempts)
            return
        cause = cause_from(worst)
        if worst.kind is Kind.REFUSED:
            await self.finish(delivery, Delivery.REFUSED, cause, receipt=receipt, values=attempts)
            return
        await self._remember_served(delivery, receipt)
        to = Delivery.UNCERTAIN if worst.kind is Kind.UNCERTAIN else Delivery.RETRYING
        wait = 300.0 if worst.kind is Kind.OPERATOR else float(worst.retry_after or 0)
        await self.try_later(delivery, to, cause, retry_after=min(wait, self.gateway.settings.mss.max_wait_seconds))

    async def _remember_served(self, delivery: Row[Any], receipt: dict[str, Any]) -> None:
        await self.store.write(
            lambda c: c.execute(
                deliveries.update()
                .where(deliveries.c.id == delivery.id, deliveries.c.fence == delivery.fence)
                .values(receipt=receipt)
            )
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
