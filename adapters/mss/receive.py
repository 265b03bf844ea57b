"""Read a mail that arrived: say what it is, unpack what it carries, and verify all of it before anything is filed.

The order of the questions is that of ``mss.md`` 7.2: reports and failure notices come first, since they carry the
marker of a document in their subject or hold the whole original.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from email.utils import getaddresses
from enum import StrEnum

from adapters.mss.addresses import CITIZEN_DOMAIN, Audience, audience_of
from adapters.mss.disposition import receipt_address
from adapters.mss.judge import is_archive
from adapters.mss.message import MARKER
from adapters.mss.mime import MIME_LIMITS, MimeLimits, Part, parse, parse_head
from adapters.mss.receipts import (
    DeliveryNotice,
    DispositionNotice,
    FailureNotice,
    is_failure_subject,
    message_id,
    parse_delivery,
    parse_disposition,
    parse_failure,
)
from adapters.mss.rules import MailRefused, rule
from adapters.mss.unpack import XDM_LIMITS, ReceivedPackage, read_package
from conformance.verdict import Finding, Severity
from security.zip import ZipLimits

__all__ = ["MailKind", "Received", "integration_code", "receive"]

_SINGLE = (
    "from",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "disposition-notification-to",
    "content-type",
    "auto-submitted",
    "x-mss-codecda",
)
_ENCRYPTED = ("application/pkcs7-mime", "application/x-pkcs7-mime", "multipart/encrypted")


class MailKind(StrEnum):
    """What a received mail is."""

    DOCUMENT = "document"
    DSN = "dsn"
    MDN = "mdn"
    FAILURE = "failure"  #: a notice for people that an integration failed
    CITIZEN = "citizen"  #: a patient's answer, without document
    AUTOMATIC = "automatic"  #: an automatic reply, to be ignored
    MESSAGE = "message"  #: a plain message between people


# Which code of the table of integration errors tells the sender what was wrong (mss.md 8.4).
_INTEGRATION = {
    "MSS-XDM-009": "904",
    "MSS-PAT-001": "903",
    "MSS-PAT-002": "905",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A mail read whole. ``reasons`` with an error refuse it, and then nothing of it may be filed."""

    kind: MailKind
    message_id: str
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    sender: str = field(default="", repr=False)
    subject: str = field(default="", repr=False)  #: it names the patient
    reasons: tuple[Finding, ...] = ()
    package: ReceivedPackage | None = field(default=None, repr=False)
    delivery: DeliveryNotice | None = None
    disposition: DispositionNotice | None = None
    failure: FailureNotice | None = None
    text: str = field(default="", repr=False)  #: words of the sender
    receipt_to: str | None = field(default=None, repr=False)  #: who asked for a disposition notice
    mail: Part | None = field(default=None, repr=False)

    @property
    def accepted(self) -> bool:
        """True when nothing refuses the mail."""
        return not any(f.severity is Severity.ERROR for f in self.reasons)

    @property
    def display_subject(self) -> str:
        """The subject without its marker, as people read it (ECO.3.1.3)."""
        at = self.subject.lower().find(MARKER.lower())
        return (
            self.subject if at < 0 else (self.subject[:at] + self.subject[at + len(MARKER) :].removeprefix("+")).strip()
        )


def integration_code(reasons: tuple[Finding, ...]) -> str:
    """The code of the table of integration errors for a refusal: the first precise one, else 906 (other)."""
    errors = [f.code for f in reasons if f.severity is Severity.ERROR]
    return next((_INTEGRATION[c] for c in errors if c in _INTEGRATION), "906") if errors else ""


def receive(
    data: bytes,
    *,
    white_list: Container[str] | None = None,
    limits: MimeLimits = MIME_LIMITS,
    archive_limits: ZipLimits = XDM_LIMITS,
    accept_rooted_uri: bool = False,
    citizen_domain: str = CITIZEN_DOMAIN,
) -> Received:
    """Read one mail from its bytes.

    ``white_list`` holds domains in lower case; a sender outside it is a warning. ``accept_rooted_uri``: see
    :func:`adapters.mss.unpack.read_package`. Raises :class:`MailRefused` only when not even the header can be read;
    every other fault is among the reasons, with what is known of the mail beside.
    """
    reasons: list[Finding] = []
    try:
        mail = parse(data, limits)
    except MailRefused as refused:
        # The body is not to be read; its sender is told all the same, by what the header says.
        mail = parse_head(data, limits)
        reasons += refused.findings
    reasons += _doubled(mail)
    values = {name: _value(mail, name, reasons) for name in _SINGLE}
    sender = _one_address(values["from"])
    members: dict[str, object] = {
        "message_id": message_id(values["message-id"]),
        "in_reply_to": message_id(values["in-reply-to"]),
        "references": tuple(r for r in (message_id(w) for w in values["references"].split()) if r),
        "sender": sender,
        "subject": values["subject"],
        "receipt_to": receipt_address(mail),
        "mail": mail,
    }
    if white_list is not None and sender.rpartition("@")[2].lower() not in white_list:
        reasons.append(rule("MSS-MIME-005", "From"))
    if any(f.severity is Severity.ERROR for f in reasons):
        return Received(kind=_refused_kind(mail), reasons=tuple(reasons), **members)  # type: ignore[arg-type]
    kind, found = _classify(mail, citizen_domain, sender)
    members.update(found)
    if kind in (MailKind.DOCUMENT, MailKind.CITIZEN, MailKind.MESSAGE):
        package, faults, kind = _package(mail, kind, archive_limits, accept_rooted_uri)
        reasons += faults
        members["package"] = package
        members["text"] = _text(mail)
    return Received(kind=kind, reasons=tuple(reasons), **members)  # type: ignore[arg-type]


def _value(mail: Part, name: str, reasons: list[Finding]) -> str:
    try:
        return mail.header(name)
    except MailRefused as refused:
        reasons += refused.findings
        return ""


def _refused_kind(mail: Part) -> MailKind:
    """What a mail whose body is not read claims to be."""
    return MailKind.DOCUMENT if MARKER.lower() in mail.safe_header("Subject").lower() else MailKind.MESSAGE


def _classify(mail: Part, citizen_domain: str, sender: str) -> tuple[MailKind, dict[str, object]]:
    if mail.content_type == "multipart/report":
        # The parts tell even where the report-type parameter is missing.
        if (delivery := parse_delivery(mail)) is not None:
            return MailKind.DSN, {"delivery": delivery}
        if (disposition := parse_disposition(mail)) is not None:
            return MailKind.MDN, {"disposition": disposition}
    if is_failure_subject(mail.header("Subject")):
        return MailKind.FAILURE, {"failure": parse_failure(mail)}
    if mail.header("Auto-Submitted").lower() not in ("", "no"):
        return MailKind.AUTOMATIC, {}
    if sender and audience_of(sender, citizen_domain=citizen_domain) is Audience.CITIZEN:
        return MailKind.CITIZEN, {}
    return MailKind.MESSAGE, {}


def _package(
    mail: Part, kind: MailKind, limits: ZipLimits, accept_rooted_uri: bool
) -> tuple[ReceivedPackage | None, list[Finding], MailKind]:
    if any(p.content_type in _ENCRYPTED for p in mail.walk()):
        return None, [rule("MSS-MIME-003")], MailKind.MESSAGE
    announced = MARKER.lower() in mail.header("Subject").lower()
    archives = _archives(mail)
    if not archives:
        if announced or mail.header("X-MSS-CODECDA"):
            return None, [rule("MSS-XDM-012")], MailKind.DOCUMENT
        return None, [], kind
    if len(archives) > 1:
        return None, [rule("MSS-XDM-011", found=str(len(archives)), expected="1")], MailKind.DOCUMENT
    try:
        package = read_package(archives[0].content(), limits=limits, accept_rooted_uri=accept_rooted_uri)
    except MailRefused as refused:
        return None, list(refused.findings), MailKind.DOCUMENT
    return package, list(package.warnings), MailKind.DOCUMENT


def _archives(mail: Part) -> list[Part]:
    """The IHE XDM archives: by name, or, without a name, by what they hold (attachments may lack every header)."""
    leaves = [p for p in mail.walk() if not p.children]
    named = [p for p in leaves if is_archive(p)]
    if named:
        return named
    return [
        p
        for p in leaves
        if p.content_type.startswith("application/") and p.content_type != "application/pdf" and _holds_xdm(p)
    ]


def _holds_xdm(part: Part) -> bool:
    try:
        content = part.content()
    except MailRefused:
        return False
    return content.startswith(b"PK\x03\x04") and b"IHE_XDM/" in content


def _doubled(mail: Part) -> list[Finding]:
    """A header that may stand once stands twice: what one program checks, another would not read."""
    return [rule("MSS-MIME-004", name) for name in _SINGLE if mail.count(name) > 1]


def _one_address(value: str) -> str:
    found = [address for _, address in getaddresses([value]) if address]
    return found[0] if len(found) == 1 else ""


def _text(mail: Part, limit: int = 100_000) -> str:
    for part in mail.walk():
        if part.content_type == "text/plain" and not part.filename:
            return part.text()[:limit].replace("\r\n", "\n").strip()
    return ""
