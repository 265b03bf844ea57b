"""What comes back about a mail we sent: delivery notices (DSN), disposition notices (MDN), notices for people.

Each becomes a typed event that names the sending by its envelope identifier or its Message-ID. No news is not success.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import policy
from email.parser import BytesHeaderParser
from enum import StrEnum

from adapters.mss.mime import Part
from adapters.mss.outcomes import remote_text
from conformance.verdict import Text

__all__ = [
    "INTEGRATION_CODES",
    "DeliveryNotice",
    "DispositionNotice",
    "FailureNotice",
    "RecipientStatus",
    "State",
    "is_failure_subject",
    "message_id",
    "parse_delivery",
    "parse_disposition",
    "parse_failure",
]

_FIELDS = BytesHeaderParser(policy=policy.compat32)
_MESSAGE_ID = re.compile(r"<[^<>@\s]+@[^<>@\s]+>")
_FAILURE_SUBJECTS = ("[ko intégration système !]", "[erreur d'intégration !]")
_CODE = re.compile(r"\[(\d{3})\]")

# Volet Transmission LPS / HL7v2, table applicationErrorCondition (ERR-5).
INTEGRATION_CODES: dict[str, Text] = {
    "900": Text("Version du document incorrecte", "Wrong version of the document"),
    "901": Text("Auteur non autorisé", "Author not allowed"),
    "902": Text("Identifiant patient inconnu", "Unknown patient identifier"),
    "903": Text("INS absent du document", "No INS in the document"),
    "904": Text("INS différent de celui du dossier local", "INS differs from that of the local record"),
    "905": Text("INS incomplet", "Incomplete INS"),
    "906": Text("Autre erreur", "Other error"),
}


class State(StrEnum):
    """What a notice says of one recipient."""

    DELIVERED = "delivered"
    DELAYED = "delayed"
    FAILED = "failed"


#: RFC 3464 2.3.3; ``relayed`` and ``expanded`` are as far as anybody will ever know.
_ACTIONS = {
    "delivered": State.DELIVERED,
    "relayed": State.DELIVERED,
    "expanded": State.DELIVERED,
    "delayed": State.DELAYED,
    "failed": State.FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientStatus:
    """What a delivery notice says of one recipient."""

    address: str  #: the address we wrote to when the notice tells it, else the final one
    action: str  #: as written, lower case
    state: State
    status: str  #: enhanced status, ``5.1.1``
    diagnostic: str  #: the remote server's words, safe to show
    smtp_code: str = ""  #: the reply code found in the diagnostic


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryNotice:
    """A delivery status notification (RFC 3464)."""

    envelope_id: str  #: our ENVID, the surest link; empty when the server gave none
    original_message_id: str  #: from the returned headers
    recipients: tuple[RecipientStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DispositionNotice:
    """A message disposition notification (RFC 8098): the mail was handled, or could not be."""

    original_message_id: str
    recipient: str  #: the address we wrote to when the notice tells it, else the final one
    disposition: str  #: ``processed``, ``displayed``, ``deleted``...
    automatic: bool  #: by software, without a person
    failed: bool
    error_code: str = ""  #: ``902``, from the table of integration errors
    error_text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureNotice:
    """An ordinary mail that tells people an integration failed; never to be taken for a document."""

    original_message_id: str
    error_code: str


def message_id(text: str) -> str:
    """The first well-formed Message-ID of a text, with its angle brackets; empty when none."""
    found = _MESSAGE_ID.search(text)
    return found.group(0) if found else ""


def is_failure_subject(subject: str) -> bool:
    """True for the subject of a notice that an integration failed; it contains the document marker as well."""
    return subject.strip().lower().replace("’", "'").startswith(_FAILURE_SUBJECTS)


def parse_delivery(mail: Part) -> DeliveryNotice | None:
    """Read a delivery notice; None when the mail holds no delivery status."""
    status = _first(mail, "message/delivery-status")
    if status is None:
        return None
    groups = list(_groups(status.content()))
    if not groups:
        return None
    return DeliveryNotice(
        envelope_id=_decode_xtext(groups[0].get("original-envelope-id", "")),
        original_message_id=_returned_id(mail),
        recipients=tuple(_recipient(group) for group in groups[1:] if group.get("action")),
    )


def parse_disposition(mail: Part) -> DispositionNotice | None:
    """Read a disposition notice in its current and its older grammar; None when the mail holds none."""
    part = _first(mail, "message/disposition-notification")
    if part is None:
        return None
    fields = next(_groups(part.content()), {})
    mode, _, rest = fields.get("disposition", "").partition(";")
    kind, _, modifier = rest.strip().partition("/")
    errors = " ".join(fields.get(name, "") for name in ("error", "failure")).strip()
    if not errors and ":" in modifier:
        # Older grammar: "processed/Error: 902^..." holds the error in the modifier.
        errors = modifier.partition(":")[2].strip()
    failed = bool(re.search("error|failure", modifier, re.IGNORECASE)) or any(n in fields for n in ("error", "failure"))
    code = errors.partition("^")[0].strip()
    known = code if re.fullmatch(r"\d{3}", code) else ""
    return DispositionNotice(
        original_message_id=message_id(fields.get("original-message-id", "")) or _returned_id(mail),
        recipient=_address(fields.get("original-recipient", "")) or _address(fields.get("final-recipient", "")),
        disposition=kind.strip().lower(),
        automatic=mode.strip().lower().startswith("automatic-action"),
        # IHE's ZIP-over-Email Response says "deleted" with an error; "deleted" alone means unread and thrown away.
        failed=failed or kind.strip().lower() == "deleted",
        error_code=known,
        error_text=remote_text(errors),
    )


def parse_failure(mail: Part) -> FailureNotice | None:
    """Read a notice written for people, by its subject; None when it is not one."""
    subject = mail.header("Subject")
    if not is_failure_subject(subject):
        return None
    code = _CODE.search(subject)
    reference = message_id(mail.header("In-Reply-To")) or _returned_id(mail)
    return FailureNotice(original_message_id=reference, error_code=code.group(1) if code else "906")


def _first(mail: Part, content_type: str) -> Part | None:
    return next((p for p in mail.walk() if p.content_type == content_type), None)


def _groups(data: bytes) -> Iterator[dict[str, str]]:
    """The groups of fields of a report, names in lower case, values unfolded (RFC 3464 2.1)."""
    for block in re.split(rb"(?:\r?\n){2,}", data.strip()):
        fields = {
            name.lower(): " ".join(str(value).split()) for name, value in _FIELDS.parsebytes(block + b"\n\n").items()
        }
        if fields:
            yield fields


def _returned_id(mail: Part) -> str:
    """The Message-ID of our mail as it came back, whole or headers only."""
    for content_type in ("message/rfc822", "text/rfc822-headers", "message/global"):
        part = _first(mail, content_type)
        if part is not None:
            head = re.split(rb"\r?\n\r?\n", part.content(), maxsplit=1)[0]
            return message_id(str(_FIELDS.parsebytes(head[:65536] + b"\n\n").get("Message-ID", "")))
    return ""


def _recipient(fields: dict[str, str]) -> RecipientStatus:
    action = fields.get("action", "").split()[0].lower()
    diagnostic = fields.get("diagnostic-code", "")
    smtp = re.match(r"\s*smtp\s*;\s*(?:<[^>]*>\s*)?(\d{3})\b", diagnostic, re.IGNORECASE)
    found = re.search(r"\b([245]\.\d{1,3}\.\d{1,3})\b", fields.get("status", ""))
    return RecipientStatus(
        address=_address(_decode_xtext(fields.get("original-recipient", "")))
        or _address(fields.get("final-recipient", "")),
        action=action,
        state=_ACTIONS.get(action, State.FAILED),
        status=found.group(1) if found else "",
        diagnostic=remote_text(diagnostic.partition(";")[2] or diagnostic),
        smtp_code=smtp.group(1) if smtp else "",
    )


def _address(field: str) -> str:
    kind, semicolon, address = field.partition(";")
    return (address if semicolon else kind).strip().strip("<>")


def _decode_xtext(text: str) -> str:
    # RFC 3461 4: "+" and two hexadecimal digits stand for one character; some servers send it back undecoded.
    return re.sub(r"\+([0-9A-F]{2})", lambda m: chr(int(m.group(1), 16)), text)
