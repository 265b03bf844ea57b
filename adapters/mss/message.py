"""Write a mail exactly as MSSanté wants it: subject, headers, text, archive, and the PDF beside it (``mss.md`` 4).

Fields that must be encoded or folded are written by the standard library; attachments are spliced in as base64, since
its writer walks every line of them. The same draft gives the same bytes, boundary included, so that a retry is the
same mail.
"""

from __future__ import annotations

import hashlib
import quopri
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from unicodedata import combining, normalize

import pybase64

from adapters.mss import addresses
from adapters.mss.addresses import Audience
from adapters.mss.documents import MailDocument
from adapters.mss.headers import address_field, addresses_field, attachment_head
from adapters.mss.headers import field as field_of
from adapters.mss.package import same_patient
from adapters.mss.rules import MailRefused, refuse, rule
from conformance.verdict import Finding

__all__ = [
    "ARCHIVE_NAME",
    "MARKER",
    "Draft",
    "OutgoingMail",
    "Sender",
    "build_mail",
    "document_codes",
    "pdf_name",
    "sender_label",
    "subject",
]

#: IHE ITI-32 3.32.5.1: a mail that carries a document set says so in its subject.
MARKER = "XDM/1.0/DDM"
ARCHIVE_NAME = "IHE_XDM.zip"
_LABEL_LENGTH = 40  # ECO.2.1.3, ECO.2.1.6
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]+@[!-;=?-~]+>")
_ENVELOPE_ID = re.compile(r"[!-~]{1,100}")
_FILE_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|_]+')


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The sending mailbox and the name people see."""

    address: str
    label: str  #: see :func:`sender_label` for a personal mailbox; the functional entity's name otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a mail is made of. Identifiers and date come from the caller and are kept across retries."""

    sender: Sender
    recipients: tuple[str, ...] = field(repr=False)  #: checked by :func:`adapters.mss.addresses.check_recipients`
    audience: Audience
    message_id: str  #: ``<left@right>``
    envelope_id: str  #: ENVID, 1 to 100 printable ASCII characters
    date: datetime  #: with a zone
    product_reference: str  #: X-MSS-NIL, the product's number on the ANS Convergence platform
    documents: tuple[MailDocument, ...] = field(default=(), repr=False)
    archive: bytes = field(default=b"", repr=False)  #: IHE_XDM.zip, when there are documents
    #: the PDF of each document, in order; None takes the one that a level-1 document embeds
    pdfs: tuple[bytes | None, ...] = field(default=(), repr=False)
    folder_numbers: tuple[str, ...] = ()  #: last part of the PDF's name, as the order number in biology
    plain_subject: str = field(default="", repr=False)  #: subject of a mail without document
    body: str | None = field(default=None, repr=False)  #: the caller's own words; a default text otherwise
    reply_to: str | None = None
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    request_receipt: bool = True  #: ask for a disposition notice
    close_conversation: bool = False  #: X-MSS-MES: FIN, the citizen may not answer
    birth_date_in_subject: bool = True
    accents_in_label: bool = True  #: the public texts do not say whether the subject's label keeps its accents


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMail:
    """A mail ready to leave: its bytes never change between attempts."""

    data: bytes = field(repr=False)
    sender: str
    recipients: tuple[str, ...] = field(repr=False)
    message_id: str
    envelope_id: str
    audience: Audience = Audience.PROFESSIONAL

    @property
    def size(self) -> int:
        """Bytes on the wire, before dot stuffing."""
        return len(self.data)


def without_accents(text: str) -> str:
    """The text without diacritics, ligatures opened (œ, æ, ß)."""
    text = text.replace("œ", "oe").replace("Œ", "OE").replace("æ", "ae").replace("Æ", "AE").replace("ß", "ss")
    return "".join(c for c in normalize("NFD", text) if not combining(c))


def _words(text: str) -> str:
    return " ".join(text.split())


def sender_label(*, family: str, given: str, title: str = "", entity: str = "") -> str:
    """The label of a personal mailbox: ``<Titre>_<Prenom>_<NOM>_<Entité>``, title and entity optional (ECO.2.2.7)."""
    return "_".join(filter(None, (title, given, family.upper(), entity)))


def document_codes(documents: Sequence[MailDocument]) -> str:
    """The value of X-MSS-CODECDA: every document's code, comma-separated (ECO.2.4.1)."""
    return ",".join(d.code for d in documents)


def subject(documents: Sequence[MailDocument], *, birth_date: bool = True, accents: bool = True) -> str:
    """The subject ``XDM/1.0/DDM+<libellé> <NOM> <prénom>[ <JJ/MM/AAAA>]`` (ECO.2.1.3)."""
    label = documents[0].label if len(documents) == 1 else f"{len(documents)} documents"
    label = _words(label if accents else without_accents(label))[:_LABEL_LENGTH].rstrip()
    traits = documents[0].traits
    parts = [f"{MARKER}+{label}", without_accents(traits.family).upper(), without_accents(traits.given)]
    if birth_date and len(traits.birth_date) == 8:
        parts.append(f"{traits.birth_date[6:]}/{traits.birth_date[4:6]}/{traits.birth_date[:4]}")
    return _words(" ".join(filter(None, parts)))


def pdf_name(document: MailDocument, folder_number: str = "", *, rank: int = 1) -> str:
    """The PDF's file name: ``<date>_<type>_<NOM>_<prenom>[_<dossier>].pdf`` (ECO.2.1.6).

    ``rank`` above one tells apart two documents that would have the same name.
    """
    suffix = f" {rank}" if rank > 1 else ""
    label = _clean_part(document.label)[: _LABEL_LENGTH - len(suffix)].rstrip() + suffix
    traits = document.traits
    parts = [document.service_date[:8], label, _clean_part(traits.family).upper(), _clean_part(traits.given)]
    if folder_number:
        parts.append(_clean_part(folder_number))
    return "_".join(parts) + ".pdf"


def _clean_part(text: str) -> str:
    # "_" separates the parts of the name, and some characters cannot stand in a file name.
    return _words(_FILE_FORBIDDEN.sub(" ", text)).strip(". ")


def build_mail(draft: Draft, *, max_bytes: int = 10 * 1024 * 1024) -> OutgoingMail:
    """Write the mail. ``max_bytes`` is the operator's limit; the announced SIZE is checked again when connected.

    Raises :class:`MailRefused` with every fault found: headers, identifiers, PDF, several patients, size.
    """
    faults = _faults(draft)
    pdfs, pdf_faults = _pdfs(draft)
    if faults or pdf_faults:
        raise MailRefused([*faults, *pdf_faults])
    text = _text_part(draft.body if draft.body is not None else _default_body(draft))
    head = _headers(draft)
    if draft.documents:
        attachments = [_attachment(attachment_head("zip", ARCHIVE_NAME, constant=True), draft.archive)]
        attachments += [_attachment(attachment_head("pdf", name), data) for name, data in pdfs]
        data = _multipart(head, [text, *attachments], draft.message_id)
    else:
        data = head + text
    if len(data) > max_bytes:
        raise refuse("MSS-SIZE-001", found=f"{len(data)} octets", expected=f"{max_bytes} octets au plus")
    return OutgoingMail(
        data=data,
        sender=draft.sender.address,
        recipients=draft.recipients,
        message_id=draft.message_id,
        envelope_id=draft.envelope_id,
        audience=draft.audience,
    )


def _faults(draft: Draft) -> list[Finding]:
    faults: list[Finding] = []
    values = {
        "/sender/label": draft.sender.label,
        "/subject": draft.plain_subject,
        "/productReference": draft.product_reference,
        "/messageId": draft.message_id,
        "/inReplyTo": draft.in_reply_to or "",
        "/references": "".join(draft.references),
        "/replyTo": draft.reply_to or "",
    }
    # Values that come from a CDA end in headers too: the subject, the codes and the names of files.
    for index, document in enumerate(draft.documents):
        values[f"/documents/{index}/code"] = document.code + document.label
        values[f"/documents/{index}/patient"] = document.traits.family + document.traits.given
    faults += [rule("MSS-HDR-001", place) for place, value in values.items() if _CONTROL.search(value)]
    for place, address in (("/sender/address", draft.sender.address), ("/replyTo", draft.reply_to)):
        if address is not None:
            faults += _address_faults(place, address)
    for index, address in enumerate(draft.recipients):
        faults += _address_faults(f"/recipients/{index}", address)
    if not draft.recipients:
        faults.append(rule("MSS-ADR-003"))
    for identifier in (draft.message_id, draft.in_reply_to, *draft.references):
        if identifier is not None and not _MESSAGE_ID.fullmatch(identifier):
            faults.append(rule("MSS-HDR-002"))
    if not _ENVELOPE_ID.fullmatch(draft.envelope_id):
        faults.append(rule("MSS-HDR-003"))
    if not draft.product_reference.strip():
        faults.append(rule("MSS-HDR-004"))
    if draft.close_conversation and draft.audience is not Audience.CITIZEN:
        faults.append(rule("MSS-HDR-008"))
    if not same_patient(draft.documents):
        faults.append(rule("MSS-PAT-007"))
    if draft.audience is Audience.CITIZEN and draft.documents and not all(d.qualified for d in draft.documents):
        faults.append(rule("MSS-PAT-001"))
    if bool(draft.documents) != bool(draft.archive):
        faults.append(rule("MSS-XDM-012"))
    return faults


def _address_faults(place: str, address: str) -> list[Finding]:
    try:
        addresses.normalize(address)
    except MailRefused as refused:
        return [f.at(place) for f in refused.findings]
    return []


def _pdfs(draft: Draft) -> tuple[list[tuple[str, bytes]], list[Finding]]:
    """The PDF of each document with its name (ECO.2.1.1, ECO.2.1.5)."""
    out: list[tuple[str, bytes]] = []
    faults: list[Finding] = []
    names: set[str] = set()
    for index, document in enumerate(draft.documents):
        given = draft.pdfs[index] if index < len(draft.pdfs) else None
        embedded = document.embedded_pdf
        data = given if given is not None else embedded
        place = f"/documents/{index}/pdf"
        if data is None or not data.startswith(b"%PDF-"):
            faults.append(rule("MSS-PDF-001", place))
            continue
        if embedded is not None and data != embedded:
            faults.append(rule("MSS-PDF-002", place))
            continue
        folder = draft.folder_numbers[index] if index < len(draft.folder_numbers) else ""
        rank = 1
        while (name := pdf_name(document, folder, rank=rank)).lower() in names:
            rank += 1
        names.add(name.lower())
        out.append((name, data))
    return out, faults


def _headers(draft: Draft) -> bytes:
    """The header fields up to MIME-Version; the content's own fields follow directly."""
    out = [
        address_field("From", draft.sender.address, draft.sender.label),
        addresses_field("To", draft.recipients),
        field_of("Date", format_datetime(draft.date)),
        field_of("Message-ID", draft.message_id),
    ]
    if draft.documents:
        text = subject(draft.documents, birth_date=draft.birth_date_in_subject, accents=draft.accents_in_label)
        out += [
            field_of("Subject", text),
            field_of("X-MSS-CODECDA", document_codes(draft.documents)),
            field_of("X-MSS-INS", "O" if any(d.qualified for d in draft.documents) else "N"),
        ]
    else:
        out.append(field_of("Subject", draft.plain_subject))
    out.append(field_of("X-MSS-NIL", draft.product_reference))
    if draft.close_conversation:
        out.append(field_of("X-MSS-MES", "FIN"))
    if draft.in_reply_to:
        out.append(field_of("In-Reply-To", draft.in_reply_to))
    if draft.references:
        out.append(b"References: " + "\r\n ".join(draft.references).encode("ascii") + b"\r\n")
    if draft.reply_to:
        out.append(address_field("Reply-To", draft.reply_to))
    if draft.request_receipt:
        # The same as the envelope sender, or automatic notices are discouraged (RFC 8098 2.1).
        out.append(field_of("Disposition-Notification-To", f"<{draft.sender.address}>"))
    out.append(b"MIME-Version: 1.0\r\n")
    return b"".join(out)


def _text_part(text: str) -> bytes:
    data = text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8")
    data = data if data.endswith(b"\n") else data + b"\n"
    # Quoted-printable keeps dots at the start of a line and long lines safe on every road.
    body = quopri.encodestring(data).replace(b"\n", b"\r\n")
    return b'Content-Type: text/plain; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n' + body


def _attachment(head: bytes, data: bytes) -> bytes:
    return head + pybase64.encodebytes(data).replace(b"\n", b"\r\n")


def _multipart(head: bytes, parts: Sequence[bytes], message_id: str) -> bytes:
    # "=_" stands in no base64 text and in no quoted-printable one. Derived, so that a retry gives the same bytes.
    boundary = b"=_" + hashlib.sha256(message_id.encode()).hexdigest()[:40].encode()
    out = [head, b'Content-Type: multipart/mixed; boundary="', boundary, b'"\r\n\r\n']
    for part in parts:
        out += [b"--", boundary, b"\r\n", part.rstrip(b"\r\n"), b"\r\n"]
    out += [b"--", boundary, b"--\r\n"]
    return b"".join(out)


def _default_body(draft: Draft) -> str:
    """Tell a person what came, without any clinical content."""
    who = _words(draft.sender.label.replace("_", " "))
    count = len(draft.documents)
    if not count:
        return f"Message de {who}.\n"
    citizen = draft.audience is Audience.CITIZEN
    one = count == 1
    what = "un document de santé" if one else f"{count} documents de santé"
    whom = "vous concernant" if citizen else "concernant un même patient"
    lines = ["Bonjour,", "", f"{who} vous transmet {what} {whom} :", ""]
    for document in draft.documents:
        day = document.service_date
        when = f" du {day[6:8]}/{day[4:6]}/{day[:4]}" if len(day) >= 8 else ""
        lines.append(f"- {_words(document.label)}{when}")
        if document.replaces:
            lines.append("  Ce document remplace une version envoyée précédemment, qui n'est plus à utiliser.")
    lines.append("")
    lines.append(
        f"Pour {'le' if one else 'les'} lire, ouvrez {'le fichier PDF joint' if one else 'les fichiers PDF joints'}."
    )
    if citizen:
        if draft.close_conversation:
            lines.append("Il n'est pas possible de répondre à ce message.")
    else:
        lines.append(
            f"L'archive {ARCHIVE_NAME} contient {'le même document' if one else 'les mêmes documents'} "
            "sous forme structurée, pour votre logiciel."
        )
    lines += ["", who, ""]
    return "\n".join(lines)
