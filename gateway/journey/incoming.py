"""What a received mail changes: notices move the states of our sendings, everything else is kept for the caller.

Both run in the caller's transaction and may be run again on the same mail: a notice twice changes nothing, a mail twice
is kept once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
import structlog
from sqlalchemy import Connection, Row, select

from adapters.mss import outcomes
from adapters.mss.addresses import CITIZEN_DOMAIN, Audience, audience_of
from adapters.mss.inbox import NOTICES, Seen
from adapters.mss.outcomes import Phase
from adapters.mss.receive import MailKind, Received, integration_code
from adapters.mss.tracking import Event, EventKind, events
from conformance.verdict import Finding, Text
from gateway.ids import new_id
from gateway.journey import recipients, threads
from gateway.journey.cause import Cause
from gateway.journey.telling import tell
from gateway.services.evidence import keep_mail
from gateway.services.patient_match import Match, match_patient
from gateway.services.received import Unfolded
from gateway.store import blobs, sql
from gateway.store.engine import Again
from gateway.store.mail_tables import mail_received, mail_received_documents, mail_recipients, mail_sent
from gateway.vault import Vault

__all__ = ["PROCESSED", "apply_notice", "is_notice", "keep"]

log = structlog.get_logger("passerelle.mss")

#: Answer of a mail that was handled, beside the codes of integration errors.
PROCESSED = "processed"

#: Mon espace santé says so in plain mails, whose exact words are not public (mss.md 9).
_UNDELIVERED = re.compile(r"non (distribué|remis)|undeliver|delivery (failed|status notification)", re.IGNORECASE)
_SMTP = {"5.2.2": 552, "5.3.4": 552}

_REJECTED_FIX = Text(
    "Corrigez ce que dit le motif, puis renvoyez ; au besoin, appelez le destinataire.",
    "Correct what the reason says, then send again; if need be, call the recipient.",
)
_EXPIRED = Cause(
    code="MSS-OUT-EXPIRED",
    text=Text(
        "Le message n'a pas pu être remis malgré plusieurs essais.",
        "The message could not be delivered after several attempts.",
    ),
    fix=Text("Renvoyez plus tard, ou à une autre adresse.", "Send again later, or to another address."),
)


def is_notice(received: Received) -> bool:
    """True for what tells the fate of a mail of ours, plain words of Mon espace santé included."""
    if not received.accepted:
        return False
    if received.kind in NOTICES:
        return True
    plain = received.kind in (MailKind.MESSAGE, MailKind.CITIZEN, MailKind.AUTOMATIC)
    return plain and bool(_about(received)) and _UNDELIVERED.search(received.subject) is not None


def _about(received: Received) -> tuple[str, ...]:
    return tuple(filter(None, (received.in_reply_to, *reversed(received.references))))


def apply_notice(
    connection: Connection, vault: Vault, tenant: str, received: Received, *, now: datetime, raw: bytes | None = None
) -> int:
    """Move the recipients a notice tells of; how many changed: none when the mail it is about is not ours.

    ``raw``, the notice as it came, is kept as evidence with the delivery it tells of.
    """
    changed = 0
    about: set[str] = set()
    by = f"notice:{received.kind}"
    told: Sequence[Event] = events(received)
    if received.kind not in NOTICES:
        told = [
            Event(kind=EventKind.BOUNCED, envelope_id="", message_id=number, recipient="")
            for number in _about(received)[:1]
        ]
    for event in told:
        sending = _sending(connection, tenant, event)
        row = _recipient(connection, vault, tenant, sending, event) if sending is not None else None
        if sending is not None:
            about.add(sending.delivery_id)
        if row is None:
            log.info("mss.notice_unknown", kind=str(received.kind))
            continue
        if recipients.heard(connection, vault, row, event.kind, at=now, by=by, cause=_cause(event)):
            changed += 1
            log.info("mss.recipient", delivery=row.delivery_id, recipient=row.id, told=str(event.kind))
    for delivery in sorted(about) if raw is not None else ():
        keep_mail(
            connection,
            vault,
            tenant,
            delivery=delivery,
            transaction=str(received.kind),
            at=now,
            outcome=",".join(sorted({str(event.kind) for event in told})),
            answer=raw or b"",
            answer_type="message/rfc822",
        )
    return changed


def _sending(connection: Connection, tenant: str, event: Event) -> Row[Any] | None:
    if event.envelope_id:
        found = sql.find(connection, mail_sent, tenant_id=tenant, envelope_id=event.envelope_id)
        if found is not None:
            return found
    if not event.message_id:
        return None
    return sql.find(connection, mail_sent, tenant_id=tenant, message_id=event.message_id)


def _recipient(connection: Connection, vault: Vault, tenant: str, sending: Row[Any], event: Event) -> Row[Any] | None:
    rows = sql.rows(connection, mail_recipients, delivery_id=sending.delivery_id)
    key = recipients.lookup(vault, tenant, event.recipient)
    named = [row for row in rows if row.lookup == key]
    if named:
        return named[0]
    # An address rewritten on the way, or not told: the only recipient is meant, where there is one.
    return rows[0] if len(rows) == 1 else None


def _cause(event: Event) -> Cause | None:
    if event.kind is EventKind.BOUNCED:
        if event.code.startswith("4"):
            return Cause(
                code=_EXPIRED.code,
                text=_EXPIRED.text,
                fix=_EXPIRED.fix,
                original_code=event.code,
                original_text=event.text or None,
            )
        outcome = outcomes.reply(_SMTP.get(event.code, 550), f"{event.code or '5.1.1'} {event.text}", Phase.RCPT)
        return Cause(
            code=outcome.code,
            text=outcome.cause,
            fix=outcome.fix,
            original_code=event.code or None,
            original_text=event.text or None,
        )
    if event.kind is EventKind.REJECTED:
        label = event.cause or Text("Le destinataire n'a pas pu intégrer le message.", "The recipient refused it.")
        return Cause(
            code=f"MSS-MDN-{event.code or '906'}",
            text=label,
            fix=_REJECTED_FIX,
            original_code=event.code or None,
            original_text=event.text or None,
        )
    return None


def keep(
    connection: Connection,
    vault: Vault,
    tenant: str,
    mailbox: str,
    seen: Seen,
    unfolded: Sequence[Unfolded],
    *,
    now: datetime,
    environment: str,
    answer_matched: bool,
) -> str | None:
    """Keep a mail with its documents; its id, or None when it was kept before.

    A refused mail is kept as a line with its reasons and its header only: nothing of its content is written.
    ``answer_matched`` lets its sender know at once when its patient is matched beyond doubt.
    """
    received, data = seen.received, seen.fetched.data
    key = vault.lookup(tenant, f"received|{mailbox}|{seen.key}")
    known = select(mail_received.c.id).where(
        mail_received.c.tenant_id == tenant, mail_received.c.mailbox == mailbox, mail_received.c.key == key
    )
    if connection.execute(known).first() is not None:
        return None
    number = new_id("rcv", now)
    refusal = integration_code(received.reasons) if not received.accepted else ""
    match, thread = Match(kind="none"), None
    if not refusal:
        if received.package is not None:
            match = match_patient(connection, vault, tenant, received.package.patient, environment=environment)
        thread = _thread(connection, tenant, received, match.identity, now)
    raw = data if not refusal else _header_of(received, data)
    wanted = received.receipt_to is not None and raw is not None
    answer = refusal or (PROCESSED if answer_matched and match.kind == "exact" else None)
    words = {
        "sender": received.sender,
        "subject": received.display_subject,
        "text": received.text if not refusal else "",
    }
    added = blobs.insert_ignore(
        connection,
        mail_received,
        {
            "id": number,
            "tenant_id": tenant,
            "mailbox": mailbox,
            "key": key,
            "kind": _kind(received),
            "state": "refused" if refusal else "acknowledged" if answer else "new",
            "message_id": received.message_id,
            "references": list(received.references),
            "thread_id": thread,
            "identity_id": match.identity,
            "match": match.kind,
            "trusted": not any(f.code == "MSS-MIME-005" for f in received.reasons),
            "sealed": vault.seal(tenant, orjson.dumps(words), number),
            "raw": blobs.put(connection, vault, tenant, raw, now) if raw is not None else None,
            "size": seen.fetched.size,
            "reasons": [_both(f) for f in received.reasons],
            "answer_wanted": wanted,
            "answer": answer,
            "answer_state": "due" if answer and wanted else "none",
            "answer_due_at": now if answer and wanted else None,
            "settled_by": "gateway" if answer else None,
            "received_at": now,
            "updated_at": now,
        },
    )
    if not added:
        raise Again  # another node kept it meanwhile
    if not refusal and received.package is not None:
        for rank, (document, read) in enumerate(zip(received.package.documents, unfolded, strict=True), 1):
            name = f"{number}/{rank}"
            connection.execute(
                mail_received_documents.insert().values(
                    received_id=number,
                    rank=rank,
                    unique_id=document.unique_id[:200],
                    type_code=document.document.code[:40],
                    kind=read.kind,
                    action=document.action,
                    replaces=document.document.replaces,
                    size=document.size,
                    sha1=document.sha1,
                    sealed=vault.seal(tenant, (read.title or document.document.label).encode(), name),
                    cda=blobs.put(connection, vault, tenant, document.data, now),
                    fhir=blobs.put(connection, vault, tenant, read.fhir, now) if read.fhir else None,
                    loss=read.loss or {},
                    findings=[_both(f) for f in read.findings],
                )
            )
    tell(
        connection,
        tenant,
        "message.received",
        now,
        message=number,
        kind=_kind(received),
        match=match.kind,
        refused=bool(refusal),
        thread=thread,
    )
    return number


def _thread(connection: Connection, tenant: str, received: Received, identity: str | None, now: datetime) -> str:
    audience = str(audience_of(received.sender)) if received.sender else str(Audience.PROFESSIONAL)
    thread = threads.find(connection, tenant, audience, _about(received))
    if thread is None:
        return threads.begin(connection, tenant, audience, identity, now)
    threads.touch(connection, thread, now, identity)
    return thread


def _kind(received: Received) -> str:
    if received.kind is MailKind.DOCUMENT:
        return "document"
    citizen = received.sender.rpartition("@")[2].lower() == CITIZEN_DOMAIN
    return "citizen" if citizen else "message"


def _header_of(received: Received, data: bytes | None) -> bytes | None:
    """The header of a refused mail, which is all that a notice about it gives back."""
    if data is None or received.mail is None:
        return None
    return data[: received.mail.start]


def _both(finding: Finding) -> dict[str, Any]:
    return {"fr": finding.as_json("fr"), "en": finding.as_json("en")}
