"""A mail before it leaves: what it is about and for whom, and how it is written (package, PDF, headers).

A letter carries one document of ``POST /v1/documents``, or what ``POST /v1/messages`` asked for: several documents
about one patient, or words alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row, select

from adapters.dmp.prepare import CONSULTATION
from adapters.mss.addresses import Audience, PatientConsent, Visibility, check_recipients
from adapters.mss.documents import MailDocument, read_document
from adapters.mss.message import Draft, OutgoingMail, Sender, build_mail
from adapters.mss.package import Package, Producer, SetInfo, build_package, intended_recipient
from gateway import __version__, identities
from gateway.identities import Identity
from gateway.ids import new_oid
from gateway.journey.threads import Reply
from gateway.neighbours import MssLine
from gateway.settings import Settings
from gateway.store import blobs, sql
from gateway.store.mail_tables import messages
from gateway.store.tables import documents
from gateway.tenants import Tenant, tenant
from gateway.vault import Vault
from mappings.xds import Author, Organization, Person
from mappings.xds.vocabulary import PROFESSIONAL_AUTHORITY, STRUCTURE_AUTHORITY

__all__ = ["Letter", "load_letter", "write_letter"]

#: Subject of a mail of words alone that brings none.
NO_SUBJECT = "Message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A delivery by mail and everything it is about."""

    delivery: Row[Any]
    tenant: Tenant
    identity: Identity | None  #: the patient; None for words alone
    documents: tuple[Row[Any], ...]
    actor: dict[str, Any]
    client: str
    asked: dict[str, Any] = field(repr=False)  #: recipients and options

    @property
    def citizen(self) -> bool:
        """True for a patient's own mailbox."""
        return any(r.get("kind") == "citizen" for r in self.asked["recipients"])

    @property
    def audience(self) -> Audience:
        """Who it is for."""
        return Audience.CITIZEN if self.citizen else Audience.PROFESSIONAL


def load_letter(connection: Connection, vault: Vault, delivery: Row[Any]) -> Letter:
    """Everything a delivery by mail is about; :class:`LookupError` when its structure is disabled."""
    owner = tenant(connection, delivery.tenant_id)
    if owner is None:
        raise LookupError("the tenant is disabled")
    asked = orjson.loads(blobs.get(connection, vault, delivery.tenant_id, delivery.request))
    if delivery.document_id is not None:
        subject = sql.find(connection, documents, id=delivery.document_id)
        if subject is None:
            raise LookupError("the document is gone")
        carried = [subject]
    else:
        subject = connection.execute(select(messages).where(messages.c.id == delivery.message_id)).one()
        asked |= orjson.loads(blobs.get(connection, vault, delivery.tenant_id, subject.content))
        asked.setdefault("thread", subject.thread_id)
        found = {
            row.id: row for row in connection.execute(select(documents).where(documents.c.id.in_(subject.documents)))
        }
        carried = [found[number] for number in subject.documents]
    identity = None
    if subject.identity_id is not None:
        identity = identities.load(connection, vault, subject.identity_id)
    return Letter(
        delivery=delivery,
        tenant=owner,
        identity=identity,
        documents=tuple(carried),
        actor=subject.actor,
        client=subject.client_id,
        asked=asked,
    )


def write_letter(
    letter: Letter,
    line: MssLine,
    settings: Settings,
    contents: Sequence[tuple[bytes, bytes | None]],
    *,
    now: datetime,
    reply: Reply,
) -> OutgoingMail:
    """Write the mail: ``contents`` is the CDA and the PDF of each document. Raises :class:`MailRefused`.

    Oppositions are looked at before: whoever calls knows that there is none.
    """
    recipients = _checked(letter, line, settings)
    carried = tuple(
        read_document(cda, visibility=frozenset(row.visibility))
        for row, (cda, _) in zip(letter.documents, contents, strict=True)
    )
    left = letter.delivery.id.lower().replace("_", "-")
    asked = letter.asked
    return build_mail(
        Draft(
            sender=Sender(address=line.mailbox, label=line.label),
            recipients=recipients,
            audience=letter.audience,
            message_id=f"<{left}@{line.mailbox.rpartition('@')[2]}>",
            envelope_id=left,
            date=now,
            product_reference=settings.mss.nil,
            documents=carried,
            archive=_package(letter, line, settings, carried, recipients, now).data if carried else b"",
            pdfs=tuple(pdf for _, pdf in contents),
            plain_subject="" if carried else str(asked.get("subject") or NO_SUBJECT),
            body=asked.get("body"),
            reply_to=asked.get("reply_to"),
            in_reply_to=reply.in_reply_to,
            references=reply.references,
            close_conversation=bool(asked.get("no_reply")) and letter.citizen,
        ),
        max_bytes=settings.mss.max_message_bytes,
    )


def _checked(letter: Letter, line: MssLine, settings: Settings) -> tuple[str, ...]:
    identity = letter.identity
    # Words alone about nobody may go to professionals: there is no identity to be sure of.
    qualified = identity.qualified if identity is not None else not letter.citizen
    ins = identity.patient.ins if identity is not None and identity.qualified else None
    _, recipients = check_recipients(
        [r["address"] for r in letter.asked["recipients"]],
        patient=PatientConsent(
            qualified=qualified,
            matricule=ins.value if ins else "",
            authority=ins.authority if ins else "",
        ),
        white_list=line.white_list,
        visibility=[_visibility(row) for row in letter.documents],
        allow_unqualified=settings.mss.send_unqualified or not letter.documents,
        environment=settings.environment,
    )
    return recipients


def _visibility(document: Row[Any]) -> Visibility:
    hidden = set(document.visibility)
    return Visibility(
        masked_to_professionals="MASQUE_PS" in hidden,
        invisible_to_patient="INVISIBLE_PATIENT" in hidden,
        invisible_to_guardians="INVISIBLE_REPRESENTANTS_LEGAUX" in hidden,
    )


def _package(
    letter: Letter,
    line: MssLine,
    settings: Settings,
    carried: Sequence[MailDocument],
    recipients: Sequence[str],
    now: datetime,
) -> Package:
    actor = letter.actor
    structure = letter.tenant
    return build_package(
        carried,
        SetInfo(
            unique_id=new_oid(),
            source_id=settings.dmp.source_id,
            submission_time=now,
            title=carried[0].label if len(carried) == 1 else f"{len(carried)} documents",
            author=Author(
                person=Person(
                    id=str(actor["id"]),
                    family=str(actor.get("family") or ""),
                    given=str(actor.get("given") or ""),
                    authority=PROFESSIONAL_AUTHORITY,
                ),
                institutions=(
                    Organization(name=structure.name, id=structure.structure_id, authority=STRUCTURE_AUTHORITY),
                ),
            ),
            content_type=CONSULTATION,
            intended_recipients=tuple(map(intended_recipient, recipients)),
        ),
        Producer(
            institution=structure.name,
            institution_contact=line.mailbox,
            product="Passerelle",
            product_version=__version__,
            vendor_contact=line.mailbox,
        ),
    )
