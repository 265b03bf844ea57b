"""A simulated MSSanté operator: strict, on real sockets, keeping what it accepted so that it can be compared.

SMTP with STARTTLS and a client certificate; a mail that breaks a rule is refused with the codes of its faults. Over
HTTP on loopback: the messages, the exchanges, the notices sent back, the white list, the fault switches.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import ssl
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from adapters.mss.addresses import CITIZEN_DOMAIN
from adapters.mss.client import AuthMode
from adapters.mss.judge import Judged, judge
from adapters.mss.rules import MailRefused
from adapters.mss.sandbox_boxes import Boxes
from adapters.mss.sandbox_http import routes
from adapters.mss.sandbox_imap import imap_server
from adapters.mss.sandbox_notices import Notice, render
from adapters.mss.sandbox_smtp import Envelope, Reply, SmtpSettings, smtp_server
from adapters.mss.sandbox_wire import Wire
from adapters.mss.whitelist import NAMESPACE
from adapters.sandbox_base import Faults, Journal, Server, admin_app, serve
from conformance.verdict import Finding
from security.pki import SandboxPki
from security.tls import server_ssl_context

__all__ = ["SANDBOX_DOMAINS", "MssSandbox", "StoredMail"]

#: The trust space of the sandbox: training names, which the national list does not hold, and the citizens' domain.
SANDBOX_DOMAINS = (
    "structure.formation.mssante.fr",
    "medecin.formation.mssante.fr",
    "hopital.formation.mssante.fr",
    "pharmacien.formation.mssante.fr",
    CITIZEN_DOMAIN,
)
_FAULTS = {
    "4xx": "a temporary refusal (transaction MAIL, RCPT or DATA; parameters code, text)",
    "5xx": "a final refusal (transaction MAIL, RCPT or DATA; parameters code, text)",
    "greylisting": "450 4.2.0 to a recipient",
    "quota": "552 5.2.2 to a recipient (parameter code)",
    "unavailable": "421 instead of a greeting",
    "no_starttls": "STARTTLS is not announced",
    "eof_after_starttls": "the connection ends right after the handshake",
    "reset_after_dot": "the message is kept, the answer is lost",
    "silent_after_dot": "the message is kept, the answer comes late (parameter seconds)",
    "reset_in_data": "the connection is lost, the message is not kept",
    "slow_bytes": "answers come byte by byte (parameter seconds for each)",
    "late_bounce": "accepted, then a delivery failure comes back (parameters status, text)",
    "no_notices": "accepted, then nothing is ever told of it",
    "mdn_error": "the recipient answers an integration error (parameter code, 902 by default)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMail:
    """A mail the operator took charge of."""

    id: str
    at: datetime
    message_id: str
    sender: str
    recipients: tuple[str, ...]
    envelope_id: str
    subject: str = field(repr=False)
    size: int
    sha256: str
    documents: tuple[Mapping[str, Any], ...]
    duplicate_of: str | None  #: the first mail with the same Message-ID
    raw: bytes = field(repr=False)  #: empty once room was made for newer ones

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "at": self.at.isoformat(),
            "messageId": self.message_id,
            "sender": self.sender,
            "recipients": list(self.recipients),
            "envelopeId": self.envelope_id,
            "subject": self.subject,
            "size": self.size,
            "sha256": self.sha256,
            "documents": [dict(d) for d in self.documents],
            "duplicateOf": self.duplicate_of,
            "kept": bool(self.raw),
        }


class MssSandbox:
    """The simulated operator. ``start`` takes its ports (0 for free ones), ``stop`` gives them back.

    ``senders`` binds a structure's identifier (OU of the certificate) to the mailboxes it may send from; without it any
    mailbox of the white list will do. ``check_token`` judges XOAUTH2 tokens (mailbox, token).
    """

    def __init__(
        self,
        pki: SandboxPki,
        *,
        smtp_port: int = 0,
        api_port: int = 0,
        imap_port: int = 0,
        host: str = "127.0.0.1",
        settings: SmtpSettings | None = None,
        domains: tuple[str, ...] = SANDBOX_DOMAINS,
        senders: Mapping[str, frozenset[str]] | None = None,
        check_token: Callable[[str, str], bool] | None = None,
        require_certificate: bool = True,
        require_pdfa: bool = False,
        max_bytes: int = 128 * 1024 * 1024,
        tls_maximum: ssl.TLSVersion | None = None,
    ) -> None:
        self.settings = settings or SmtpSettings()
        self.domains = frozenset(domains)
        self.faults = Faults(_FAULTS)
        self.journal = Journal()
        self._senders = senders
        self._check_token = check_token
        self._require_pdfa = require_pdfa
        self._host = host
        self._ports = (smtp_port, api_port, imap_port)
        self._context = server_ssl_context(pki.server, pki.trust if require_certificate else None)
        if tls_maximum is not None:
            self._context.maximum_version = tls_maximum
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._messages: dict[str, StoredMail] = {}
        self._by_message_id: dict[str, str] = {}
        self._notices: dict[str, Notice] = {}
        self._with_bytes: deque[str] = deque()
        self._bytes = 0
        self._max_bytes = max_bytes
        self.boxes = Boxes(uid_validity=int(datetime.now(UTC).timestamp()))
        self._web: Server | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._done: asyncio.Event | None = None
        self.smtp_port = 0
        self.imap_port = 0
        self.api_port = 0
        self.connections = 0  #: taken since the start

    # Life

    def start(self) -> MssSandbox:
        """Take the ports and serve; returns once both answer."""
        ready = threading.Event()
        failure: list[BaseException] = []

        async def main() -> None:
            self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
            smtp = smtp_server(self, self._context, self.settings)
            imap = imap_server(self, self._context, self.settings.auth)
            try:
                self.smtp_port = await smtp.start(self._host, self._ports[0])
                self.imap_port = await imap.start(self._host, self._ports[2])
            except OSError as exc:
                failure.append(exc)
                return
            finally:
                ready.set()
            await self._done.wait()
            await smtp.stop()
            await imap.stop()

        self._thread = threading.Thread(target=lambda: asyncio.run(main()), name="mss-sandbox", daemon=True)
        self._thread.start()
        ready.wait(10)
        if failure:
            raise RuntimeError("the mail simulator could not start") from failure[0]
        self._web = serve(
            admin_app("Simulateur d'opérateur MSSanté", self.journal, self.faults, routes(self)),
            host=self._host,
            port=self._ports[1],
        )
        self.api_port = self._web.port
        return self

    def stop(self) -> None:
        """Give the ports back; a second call does nothing."""
        if self._web is not None:
            self._web.stop()
            self._web = None
        if self._thread is not None and self._loop is not None and self._done is not None:
            self._loop.call_soon_threadsafe(self._done.set)
            self._thread.join(10)
            self._thread = None

    def __enter__(self) -> MssSandbox:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def api(self) -> str:
        """Base address of the HTTP interface."""
        return f"http://{self._host}:{self.api_port}"

    # What it keeps

    @property
    def messages(self) -> list[StoredMail]:
        """Everything taken charge of, oldest first."""
        with self._lock:
            return list(self._messages.values())

    def message(self, number: str) -> StoredMail | None:
        """One mail by its number."""
        with self._lock:
            return self._messages.get(number)

    @property
    def notices(self) -> list[Notice]:
        """The notices sent back, oldest first."""
        with self._lock:
            return list(self._notices.values())

    def notice(self, number: str) -> bytes:
        """A notice as a mail; empty when there is none, or when the mail it is about was let go."""
        with self._lock:
            found = self._notices.get(number)
        return self._render(found) if found is not None else b""

    def inbox(self, mailbox: str) -> list[bytes]:
        """The mails waiting in a mailbox, oldest first: notices about what it sent, and what was sent to it."""
        return [raw for mail in self.boxes.content(mailbox) if (raw := mail.load())]

    def clear(self) -> None:
        """Forget mails, notices and exchanges."""
        with self._lock:
            self._messages.clear()
            self._by_message_id.clear()
            self._notices.clear()
            self._with_bytes.clear()
            self._bytes = 0
        self.boxes.clear()
        self.connections = 0
        self.journal.clear()

    # What the dialogue asks

    def check_login(self, mode: AuthMode, mailbox: str, secret: str) -> bool:
        """Judge an authentication."""
        if mode is AuthMode.EXTERNAL:
            return mailbox.rpartition("@")[2].lower() in self.domains
        return self._check_token is not None and self._check_token(mailbox, secret)

    def check_sender(self, envelope: Envelope) -> Reply:
        """The sender must be a mailbox of the certificate, of the authenticated user, at least of the trust space."""
        sender = envelope.sender.lower()
        if not sender:
            return 250, "2.1.0 Ok"  # a notice
        domain = sender.rpartition("@")[2]
        if domain not in self.domains or domain == CITIZEN_DOMAIN:
            return 553, "5.7.1 Sender address rejected: not a mailbox of this operator"
        if envelope.mailbox and envelope.mailbox.lower() != sender:
            return 553, "5.7.1 Sender address rejected: not owned by the authenticated user"
        if self._senders is not None:
            allowed = self._senders.get(_structure(envelope.certificate), frozenset())
            if sender not in {a.lower() for a in allowed}:
                return 553, "5.7.1 Sender address rejected: not a mailbox of this certificate"
        return 250, "2.1.0 Ok"

    def check_recipient(self, envelope: Envelope, address: str) -> Reply:
        """Only domains of the trust space; ``inconnu@`` and ``pleine@`` never take anything."""
        local, _, domain = address.lower().rpartition("@")
        if domain not in self.domains:
            return 554, "5.7.1 Recipient domain is not on the white list"
        if local == "inconnu":
            return 550, "5.1.1 Recipient address rejected: user unknown"
        if local == "pleine":
            return 552, "5.2.2 Mailbox full"
        return 250, "2.1.5 Ok"

    def receive(self, envelope: Envelope, data: bytes) -> Reply:
        """Judge a whole mail, then keep it or refuse it with the codes of its faults."""
        if not envelope.sender:
            return self._take_notice(envelope, data)
        try:
            judged = judge(
                data, sender=envelope.sender, recipients=envelope.recipients, require_pdfa=self._require_pdfa
            )
            faults = judged.faults
        except MailRefused as refused:
            faults = refused.findings
        if faults:
            answer = _refusal(faults)
            self.journal.record(
                "SUBMIT",
                faults[0].code,
                request=data,
                response=f"{answer[0]} {answer[1]}".encode("ascii", "replace"),
                request_type="message/rfc822",
                response_type="text/plain",
                details={"faults": [f.code for f in faults], "recipients": len(envelope.recipients)},
            )
            return answer
        stored = self._keep(envelope, data, judged)
        self._answer_back(envelope, stored, judged)
        text = f"2.0.0 Ok: queued as {stored.id}"
        self.journal.record(
            "SUBMIT",
            "accepted",
            request=data,
            response=f"250 {text}".encode(),
            request_type="message/rfc822",
            response_type="text/plain",
            details={"messageId": stored.message_id, "message": stored.id, "recipients": len(stored.recipients)},
        )
        return 250, text

    def check_reader(self, mode: AuthMode, mailbox: str, secret: str, wire: Wire) -> bool:
        """Judge who wants to read a mailbox: by certificate one of its own, by token as for sending."""
        if mode is not AuthMode.EXTERNAL:
            return self.check_login(mode, mailbox, secret)
        certificate = wire.peer()
        if certificate is None or mailbox.rpartition("@")[2].lower() not in self.domains - {CITIZEN_DOMAIN}:
            return False
        if self._senders is None:
            return True
        return mailbox.lower() in {a.lower() for a in self._senders.get(_structure(certificate), frozenset())}

    def deliver(self, address: str, data: bytes) -> None:
        """Put any mail into a mailbox, unjudged, as if another operator had sent it."""
        self.boxes.deliver(address, lambda: data)

    def _take_notice(self, envelope: Envelope, data: bytes) -> Reply:
        """A disposition notice about a mail received: it goes to the mailboxes it is for."""
        for recipient in envelope.recipients:
            self.deliver(recipient, data)
        self.journal.record(
            "NOTICE", "accepted", request=data, request_type="message/rfc822", response_type="text/plain"
        )
        return 250, "2.0.0 Ok"

    def _keep(self, envelope: Envelope, data: bytes, judged: Judged) -> StoredMail:
        documents = judged.package.documents if judged.package is not None else ()
        with self._lock:
            number = f"msg_{next(self._ids):06d}"
            first = self._by_message_id.setdefault(judged.message_id, number)
            stored = StoredMail(
                id=number,
                at=datetime.now(UTC),
                message_id=judged.message_id,
                sender=envelope.sender,
                recipients=tuple(envelope.recipients),
                envelope_id=envelope.envelope_id,
                subject=judged.mail.header("Subject"),
                size=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                documents=tuple(
                    {
                        "uniqueId": d.unique_id,
                        "sha1": d.sha1,
                        "size": d.size,
                        "typeCode": d.document.code,
                        "path": d.path,
                    }
                    for d in documents
                ),
                duplicate_of=None if first == number else first,
                raw=data,
            )
            self._messages[number] = stored
            self._with_bytes.append(number)
            self._bytes += len(data)
            while self._bytes > self._max_bytes and len(self._with_bytes) > 1:
                old = self._messages[self._with_bytes.popleft()]
                self._bytes -= len(old.raw)
                self._messages[old.id] = replace(old, raw=b"")
        for recipient in stored.recipients:
            self.boxes.deliver(recipient, lambda: self._bytes_of(number))
        return stored

    def _bytes_of(self, number: str) -> bytes:
        found = self.message(number)
        return found.raw if found is not None else b""

    def _answer_back(self, envelope: Envelope, stored: StoredMail, judged: Judged) -> None:
        bounce = self.faults.take("DATA", "late_bounce")
        error = self.faults.take("DATA", "mdn_error")
        if self.faults.take("DATA", "no_notices") is not None:
            return
        wants_receipt = bool(judged.mail.header("Disposition-Notification-To"))
        for recipient in envelope.recipients:
            notify = envelope.notify.get(recipient, frozenset())
            common = {
                "to": stored.sender,
                "recipient": recipient,
                "envelope_id": stored.envelope_id,
                "at": stored.at,
                "about": stored.id,
            }
            if bounce is not None:
                if "NEVER" not in notify:
                    status = str(bounce.parameters.get("status", "5.1.1"))
                    text = str(bounce.parameters.get("text", "User unknown"))
                    self._notice(kind="bounced", code=status, text=text, **common)
                continue
            if "SUCCESS" in notify:
                self._notice(kind="delivered", **common)
            # Nobody reads most mailboxes of a simulator: it answers in their place, and only in theirs.
            if wants_receipt and stored.duplicate_of is None and (error or not self.boxes.opened(recipient)):
                code = str(error.parameters.get("code", "902")) if error is not None else ""
                self._notice(kind="error" if code else "processed", code=code, **common)

    def _notice(self, **members: Any) -> None:
        with self._lock:
            notice = Notice(id=f"ntc_{next(self._ids):06d}", **members)
            self._notices[notice.id] = notice
        self.boxes.deliver(notice.to, lambda: self._render(notice))

    def _render(self, notice: Notice) -> bytes:
        original = self._bytes_of(notice.about)
        return render(notice, original, self.settings.hostname) if original else b""

    def white_list(self) -> bytes:
        """The white list of the sandbox, in the shape of the national one."""
        rows = "".join(
            f"<Domaine><Nom>{d}</Nom><Description>Bac a sable</Description>"
            "<DNCertificatOperateur>CN=operateur.sandbox</DNCertificatOperateur></Domaine>"
            for d in sorted(self.domains)
        )
        when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?><ListeBlancheMSSante xmlns="{NAMESPACE}">'
            f"<DateDeGeneration>{when}</DateDeGeneration><ListeDomaines>{rows}</ListeDomaines></ListeBlancheMSSante>"
        )
        return text.encode()


def _structure(certificate: x509.Certificate | None) -> str:
    if certificate is None:
        return ""
    units = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    return str(units[0].value) if units else ""


def _refusal(faults: tuple[Finding, ...]) -> Reply:
    listed = ",".join(sorted({f.code for f in faults}))
    return 554, f"5.6.0 {listed} {faults[0].rule.message.en}"
