"""Judge a whole mail as a strict operator and a strict receiver would: every rule of ``mss.md`` 4 to 6 at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import getaddresses, parsedate_to_datetime

from adapters.mss.addresses import CITIZEN_DOMAIN, Audience, audience_of
from adapters.mss.message import ARCHIVE_NAME, MARKER, document_codes, subject, without_accents
from adapters.mss.mime import MIME_LIMITS, MimeLimits, Part, parse
from adapters.mss.receipts import message_id
from adapters.mss.rules import MailRefused, rule
from adapters.mss.unpack import ReceivedPackage, read_package
from conformance.verdict import Finding

__all__ = ["Judged", "is_archive", "judge"]

_ZIP = b"PK\x03\x04"
_PDF_NAME = re.compile(r"\d{8}_[^_]{1,40}_[^_]+_[^_]+(_[^_]+)?\.pdf", re.IGNORECASE)
_PDFA_1 = re.compile(rb"pdfaid:part(?:>|=[\"'])\s*1")
_SINGLE = ("from", "to", "subject", "date", "message-id", "x-mss-codecda", "x-mss-ins", "x-mss-nil", "x-mss-mes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A mail read and judged."""

    mail: Part = field(repr=False)
    message_id: str
    package: ReceivedPackage | None = field(default=None, repr=False)
    findings: tuple[Finding, ...] = ()

    @property
    def faults(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.severity == "error")


def is_archive(part: Part) -> bool:
    """True for the part that is the IHE XDM archive, whatever its case and with or without Content-Disposition."""
    if part.children or part.content_type.startswith(("text/", "message/")):
        return False
    name = part.filename.lower()
    if name:
        return name == ARCHIVE_NAME.lower()
    return part.content_type in ("application/zip", "application/x-zip-compressed")


def judge(
    data: bytes,
    *,
    sender: str,
    recipients: Sequence[str],
    limits: MimeLimits = MIME_LIMITS,
    citizen_domain: str = CITIZEN_DOMAIN,
    require_pdfa: bool = False,
) -> Judged:
    """Judge a mail with its envelope.

    ``require_pdfa`` also refuses a PDF that does not say it is PDF/A-1 (published examples embed plain ones). Raises
    :class:`MailRefused` when the mail cannot be read at all; everything else is in the findings.
    """
    mail = parse(data, limits)
    found: list[Finding] = []
    found += _transport(data)
    found += _headers(mail, sender)
    archives = [part for part in mail.walk() if is_archive(part)]
    package: ReceivedPackage | None = None
    if len(archives) > 1:
        found.append(rule("MSS-XDM-011", found=str(len(archives)), expected="1"))
    elif archives:
        try:
            package = read_package(archives[0].content())
            found += package.warnings
        except MailRefused as refused:
            found += refused.findings
    elif MARKER.lower() in mail.header("Subject").lower():
        found.append(rule("MSS-XDM-012"))
    if package is not None:
        found += _content_headers(mail, package)
        found += _pdfs(mail, package, require_pdfa)
    elif not archives and (mail.header("X-MSS-CODECDA") or mail.header("X-MSS-INS")):
        found.append(rule("MSS-HDR-006", found="en-tête sans document"))
    found += _audience(mail, recipients, package, citizen_domain)
    return Judged(mail=mail, message_id=message_id(mail.header("Message-ID")), package=package, findings=tuple(found))


def _transport(data: bytes) -> list[Finding]:
    found = []
    if not data.isascii():
        found.append(rule("MSS-MIME-001", found="octets hors ASCII", expected="base64 ou quoted-printable"))
    if data.count(b"\n") != data.count(b"\r\n") or data.count(b"\r") != data.count(b"\r\n"):
        found.append(rule("MSS-MIME-001", found="fin de ligne isolée", expected="CRLF"))
    if any(len(line) > 998 for line in data.split(b"\r\n")):  # RFC 5322 2.1.1
        found.append(rule("MSS-MIME-001", found="ligne de plus de 998 caractères"))
    return found


def _headers(mail: Part, sender: str) -> list[Finding]:
    found = []
    for name in _SINGLE:
        if mail.count(name) > 1:
            found.append(rule("MSS-MIME-004", name))
    authors = [a for _, a in getaddresses([mail.header("From")]) if a]
    if len(authors) != 1 or authors[0].lower() != sender.lower():
        found.append(rule("MSS-HDR-009", "From"))
    if not message_id(mail.header("Message-ID")):
        found.append(rule("MSS-HDR-002", "Message-ID"))
    if not mail.header("X-MSS-NIL"):
        found.append(rule("MSS-HDR-004", "X-MSS-NIL"))
    try:
        parsedate_to_datetime(mail.header("Date"))
    except ValueError:
        found.append(rule("MSS-MIME-001", "Date", found="date illisible", expected="RFC 5322 3.3"))
    answer_to = mail.header("Disposition-Notification-To")
    if answer_to and sender.lower() not in (a.lower() for _, a in getaddresses([answer_to])):
        found.append(rule("MSS-HDR-009", "Disposition-Notification-To"))
    return found


def _content_headers(mail: Part, package: ReceivedPackage) -> list[Finding]:
    """The headers that speak of the documents must say what the archive says (ECO.2.1.3, ECO.2.4.1, ECO.2.4.2)."""
    found = []
    documents = [d.document for d in package.documents]
    if mail.header("X-MSS-CODECDA") != document_codes(documents):
        found.append(rule("MSS-HDR-006", "X-MSS-CODECDA", expected=document_codes(documents)))
    if mail.header("X-MSS-INS") != ("O" if any(d.qualified for d in documents) else "N"):
        found.append(rule("MSS-HDR-007", "X-MSS-INS"))
    written = without_accents(mail.header("Subject"))
    allowed = {subject(documents, birth_date=with_date, accents=False) for with_date in (True, False)}
    if written not in allowed:
        found.append(rule("MSS-HDR-005", "Subject"))
    return found


def _pdfs(mail: Part, package: ReceivedPackage, require_pdfa: bool) -> list[Finding]:
    found = []
    contents: list[bytes] = []
    for part in mail.walk():
        if part.content_type != "application/pdf":
            continue
        if not _PDF_NAME.fullmatch(part.filename):
            found.append(rule("MSS-PDF-003"))
        content = part.content()
        if not content.startswith(b"%PDF-"):
            found.append(rule("MSS-PDF-001", found="pas un PDF"))
        elif require_pdfa and not _PDFA_1.search(content):
            found.append(rule("MSS-PDF-001", found="pas un PDF/A-1", expected="PDF/A-1"))
        contents.append(content)
    if len(contents) != len(package.documents):
        found.append(rule("MSS-PDF-001", found=f"{len(contents)} PDF", expected=f"{len(package.documents)} PDF"))
    embedded = [d.document.embedded_pdf for d in package.documents if d.document.embedded_pdf is not None]
    found += [rule("MSS-PDF-002") for pdf in embedded if pdf not in contents]
    return found


def _audience(
    mail: Part, recipients: Sequence[str], package: ReceivedPackage | None, citizen_domain: str
) -> list[Finding]:
    found = []
    audiences = {audience_of(a, citizen_domain=citizen_domain) for a in recipients}
    close = mail.header("X-MSS-MES")
    if close and (close != "FIN" or audiences != {Audience.CITIZEN}):
        found.append(rule("MSS-HDR-008", "X-MSS-MES"))
    if len(audiences) > 1:
        found.append(rule("MSS-ADR-005"))
    if Audience.CITIZEN not in audiences or package is None:
        return found
    if not all(d.document.qualified for d in package.documents):
        found.append(rule("MSS-PAT-001"))
    key = package.patient.identifier
    own = f"{key.value}@{citizen_domain}".lower() if key is not None else ""
    found += [
        rule("MSS-ADR-006")
        for a in recipients
        if audience_of(a, citizen_domain=citizen_domain) is Audience.CITIZEN and a.lower() != own
    ]
    return found
