"""The mails a simulated operator sends back: delivery notices and the recipient's disposition notice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Literal

from adapters.mss.disposition import Answer, build_disposition

__all__ = ["Notice", "render"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A mail to be put in the sender's mailbox, written only when somebody reads it."""

    id: str
    kind: Literal["delivered", "bounced", "processed", "error"]
    to: str
    recipient: str  #: the one it is about
    envelope_id: str
    at: datetime
    code: str = ""  #: enhanced status of a bounce, or code of an integration error
    text: str = ""
    about: str = ""  #: the mail it answers, by its number at the operator

    def as_json(self) -> dict[str, str]:
        """The line of the list."""
        return {
            "id": self.id,
            "at": self.at.isoformat(),
            "kind": self.kind,
            "to": self.to,
            "recipient": self.recipient,
            "envelopeId": self.envelope_id,
            "code": self.code,
            "about": self.about,
        }


def render(notice: Notice, original: bytes, hostname: str) -> bytes:
    """Write the notice about a mail, given as its bytes."""
    if notice.kind in ("processed", "error"):
        answer = Answer(
            mailbox=notice.recipient,
            recipient=notice.recipient,
            message_id=f"<{notice.id}@{hostname}>",
            date=notice.at,
            reporting_ua=f"{hostname}; simulateur",
            error_code=notice.code if notice.kind == "error" else "",
        )
        mail = build_disposition(original, answer)
        return mail.data if mail is not None else b""
    return _delivery(notice, original, hostname)


def _delivery(notice: Notice, original: bytes, hostname: str) -> bytes:
    failed = notice.kind == "bounced"
    head = EmailMessage(policy=SMTP)
    head["From"] = f"MAILER-DAEMON@{hostname}"
    head["To"] = notice.to
    head["Date"] = format_datetime(notice.at)
    head["Message-ID"] = f"<{notice.id}@{hostname}>"
    head["Subject"] = "Undelivered Mail Returned to Sender" if failed else "Successful Mail Delivery Report"
    head["Auto-Submitted"] = "auto-replied"
    head["MIME-Version"] = "1.0"
    status = [f"Reporting-MTA: dns; {hostname}"]
    if notice.envelope_id:
        status.append(f"Original-Envelope-Id: {notice.envelope_id}")
    status += [
        "",
        f"Original-Recipient: rfc822;{notice.recipient}",
        f"Final-Recipient: rfc822; {notice.recipient}",
        f"Action: {'failed' if failed else 'delivered'}",
        f"Status: {notice.code or ('5.1.1' if failed else '2.0.0')}",
    ]
    if failed:
        status.append(f"Diagnostic-Code: smtp; 550 {notice.code or '5.1.1'} {notice.text or 'User unknown'}")
    words = "Le message n'a pas pu être remis.\n" if failed else "Le message a été remis.\n"
    text = EmailMessage(policy=SMTP)
    text.set_content(words, charset="utf-8", cte="quoted-printable")
    del text["MIME-Version"]
    boundary = f"=_{notice.id}"
    returned = original.partition(b"\r\n\r\n")[0] + b"\r\n"
    parts = [
        text.as_bytes(),
        b"Content-Type: message/delivery-status\r\n\r\n" + "\r\n".join(status).encode("ascii", "replace") + b"\r\n",
        b"Content-Type: text/rfc822-headers\r\n\r\n" + returned,
    ]
    out = [
        head.as_bytes().removesuffix(b"\r\n"),
        f'Content-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"\r\n\r\n'.encode(),
    ]
    for part in parts:
        out += [f"--{boundary}\r\n".encode(), part.rstrip(b"\r\n"), b"\r\n"]
    out.append(f"--{boundary}--\r\n".encode())
    return b"".join(out)
