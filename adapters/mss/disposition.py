"""Answer a mail: the disposition notice that says it was processed, or why it was not (``mss.md`` 8.1, 8.3)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from adapters.mss.addresses import normalize
from adapters.mss.message import OutgoingMail, without_accents
from adapters.mss.mime import Part, parse_head
from adapters.mss.receipts import INTEGRATION_CODES, is_failure_subject, message_id
from adapters.mss.rules import MailRefused

__all__ = ["Answer", "build_disposition", "receipt_address"]

_CONDITION = "applicationErrorCondition"  # name of the table of codes, third component of the Error field


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a mail was handled, to be told to its sender."""

    mailbox: str  #: the mailbox that handled it: From of the notice
    recipient: str  #: the address the mail was sent to, when it is another one of ours
    message_id: str  #: of the notice itself, kept across retries
    date: datetime  #: with a zone
    reporting_ua: str  #: host and product that handled it
    error_code: str = ""  #: of the table of integration errors; empty for a success
    label: str = field(default="")  #: what went wrong, in words without any trait; the table's by default


def receipt_address(mail: Part) -> str | None:
    """The address that asked for a notice, or None when none may be sent.

    None is sent about a report, about a failure notice, about an automatic mail, or to an address that is not one
    (RFC 8098 2.1: loops).
    """
    asked = mail.safe_header("Disposition-Notification-To")
    automatic = mail.safe_header("Auto-Submitted").lower() not in ("", "no")
    report = mail.content_type == "multipart/report"
    if not asked or automatic or report or is_failure_subject(mail.safe_header("Subject")):
        return None
    try:
        return normalize(parseaddr(asked)[1])
    except MailRefused:
        return None


def build_disposition(
    original: bytes, answer: Answer, *, mail: Part | None = None, whole: bool = True
) -> OutgoingMail | None:
    """Write the notice about a mail we received, given as its bytes; None when none may be sent.

    ``multipart/report`` of three parts: words for people, the disposition, the complete original mail (only its
    header when not ``whole``, for what was refused as hostile). The envelope sender is empty, so that a notice never
    answers a notice. Raises :class:`MailRefused` when not even the original's header can be read.
    """
    mail = mail or parse_head(original)
    to = receipt_address(mail)
    if to is None:
        return None
    failed = bool(answer.error_code)
    label = answer.label or INTEGRATION_CODES.get(answer.error_code, INTEGRATION_CODES["906"]).fr
    prefix = f"[KO Intégration système !][{answer.error_code}] " if failed else ""
    head = EmailMessage(policy=SMTP)
    head["From"] = Address(addr_spec=answer.mailbox)
    head["To"] = Address(addr_spec=to)
    head["Date"] = format_datetime(answer.date)
    head["Message-ID"] = answer.message_id
    head["Subject"] = prefix + mail.safe_header("Subject")
    head["Auto-Submitted"] = "auto-replied"
    original_id = message_id(mail.safe_header("Message-ID"))
    if original_id:
        head["In-Reply-To"] = original_id
        head["References"] = original_id
    head["MIME-Version"] = "1.0"
    words = EmailMessage(policy=SMTP)
    words.set_content(_words(answer, label), charset="utf-8", cte="quoted-printable")
    del words["MIME-Version"]
    boundary = "=_" + hashlib.sha256(answer.message_id.encode()).hexdigest()[:40]
    parts = [
        words.as_bytes(),
        b"Content-Type: message/disposition-notification\r\n\r\n" + _fields(answer, label, original_id),
        _original(original) if whole else _original_head(original, mail),
    ]
    separator = f"--{boundary}".encode("ascii")
    data = b"".join(
        [
            head.as_bytes().removesuffix(b"\r\n"),
            b"Content-Type: multipart/report; report-type=disposition-notification;\r\n",
            f' boundary="{boundary}"\r\n\r\n'.encode("ascii"),
            *(separator + b"\r\n" + part.rstrip(b"\r\n") + b"\r\n" for part in parts),
            separator + b"--\r\n",
        ]
    )
    return OutgoingMail(
        data=data, sender="", recipients=(to,), message_id=answer.message_id, envelope_id=answer.message_id.strip("<>")
    )


def _words(answer: Answer, label: str) -> str:
    if answer.error_code:
        return (
            "Le message n'a pas pu être intégré par le système du destinataire.\n"
            f"Code : {answer.error_code}\nMotif : {label}\n"
        )
    return "Le message a été intégré par le système du destinataire.\n"


def _fields(answer: Answer, label: str, original_id: str) -> bytes:
    lines = [
        f"Reporting-UA: {answer.reporting_ua}",
        f"Original-Recipient: rfc822;{answer.recipient}",
        f"Final-Recipient: rfc822;{answer.mailbox}",
    ]
    if original_id:
        lines.append(f"Original-Message-ID: {original_id}")
    mode = "automatic-action/MDN-sent-automatically; processed"
    if answer.error_code:
        # The label's accents would not pass in a field: fields are ASCII (RFC 8098 3.1.1).
        ascii_label = "".join(c if " " <= c <= "~" else "?" for c in without_accents(label))
        lines.append(f"Disposition: {mode}/error")
        lines.append(f"Error: {answer.error_code}^{ascii_label}^{_CONDITION}|E^Error^errorSeverity")
    else:
        lines.append(f"Disposition: {mode}")
    clean = (" ".join(line.split()) for line in lines)
    return "\r\n".join(clean).encode("ascii", "replace") + b"\r\n"


def _original(original: bytes) -> bytes:
    encoding = b"7bit" if original.isascii() else b"8bit"
    return b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n" + original


def _original_head(original: bytes, mail: Part) -> bytes:
    head = original[: mail.start].rstrip() if mail.start else original[:4096]
    clean = head if head.isascii() and b"\x00" not in head else b""
    return b"Content-Type: text/rfc822-headers\r\n\r\n" + clean + b"\r\n"
