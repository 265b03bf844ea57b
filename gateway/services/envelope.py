"""What surrounds a document in a request: who acts, for which structure, where it goes, what loss is accepted.

Four bodies say it in their own ways: our JSON holds it beside the document, a multipart in its ``metadata`` part, a
bare CDA or FHIR Bundle in headers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import ConfigDict, Field, ValidationError

from gateway.problems import Invalid, Unreadable, Unsupported, rule
from gateway.services.faults import findings_of
from gateway.services.intake import UNREADABLE, Form
from mappings.document.base import Part
from mappings.document.people import Identifier, Professional
from security import json as hard_json
from security.errors import UnsafeInput

__all__ = ["Counting", "DeliverTo", "Envelope", "Sent", "open_body", "split_json"]

WRONG_TYPE = rule(
    "API-TYPE-001",
    "Ce type de contenu n'est pas accepté ici.",
    "This content type is not accepted here.",
    "Envoyez application/json, application/fhir+json, application/xml (CDA) ou multipart/form-data.",
    "Send application/json, application/fhir+json, application/xml (CDA) or multipart/form-data.",
)
NO_PART = rule(
    "API-MULTI-001",
    "Il manque une partie du formulaire.",
    "A part of the form is missing.",
    "Envoyez une partie metadata (JSON) et une partie file (PDF, texte, CDA ou FHIR).",
    "Send a metadata part (JSON) and a file part (PDF, text, CDA or FHIR).",
)
NOT_JSON_OBJECT = rule(
    "API-JSON-001",
    "Un objet JSON est attendu.",
    "A JSON object is expected.",
    "Envoyez un objet avec le membre document, ou le document lui-même.",
    "Send an object with the member document, or the document itself.",
)


class MailRecipient(Part):
    """A mailbox a document is mailed to: its address, or the number by which the directory knows it."""

    address: str | None = Field(
        None, min_length=3, max_length=254, pattern=r"^[^\s@]+@[^\s@]+$", description="MSSanté address."
    )
    rpps: str | None = Field(
        None, pattern="^8?[0-9]{11}$", description="In place of address: the professional, found in the directory."
    )
    structure: str | None = Field(
        None,
        pattern="^[0-4][0-9A-Z]{9,15}$",
        description="In place of address: the structure (Struct_IdNat); with rpps, where the professional practises.",
    )
    kind: str = Field(
        "professional",
        pattern="^(professional|structure|application|citizen)$",
        description="Whose mailbox it is; of one found in the directory, the directory says it.",
    )


class Mail(Part):
    """Mail asked for with a document."""

    recipients: tuple[MailRecipient, ...] = Field((), max_length=50)
    teams: tuple[str, ...] = Field(
        (), max_length=10, description="Teams, by id or name: their members as they are now."
    )
    body: str | None = Field(None, max_length=4000, description="Words for the readers; made when absent.")
    reply_to: str | None = Field(None, max_length=254)
    no_reply: bool = Field(False, description="Close the exchange with a citizen (X-MSS-MES: FIN).")
    in_reply_to: str | None = Field(
        None, max_length=64, description="What this answers: a mail received, a message, or a conversation, by its id."
    )


class DeliverTo(Part):
    """Where a document goes: the DMP unless said otherwise, and mailboxes."""

    dmp: bool = True
    mss: Mail | None = None


class Counting(Part):
    """What counting needs and no document says: told by the calling software, never guessed."""

    ald_listed: bool | None = Field(None, description="The patient is in the list of long-term illnesses (ALD) held.")
    care_mode: str | None = Field(
        None,
        pattern="^(presentiel|teleconsultation|telesoin|tele_expertise)$",
        description="How the act was done; from the encounter when absent.",
    )
    encounter: Identifier | None = Field(None, description="Visit or stay; that of the document when absent.")
    substituted: str | None = Field(
        None, pattern="^[0-9A-Z]{8,14}$", description="PS_IdNat of the doctor whom the actor stands in for."
    )
    software_version: str | None = Field(None, max_length=40, description="Version of the calling software.")


class Envelope(Part):
    """What is said beside a document."""

    model_config = ConfigDict(**{**Part.model_config, "extra": "forbid"})

    actor: Professional | None = Field(None, description="Who acts; the document's author when absent.")
    deliver_to: DeliverTo = DeliverTo()
    allow_loss: bool = Field(False, description="Accept that a clinical part be lost in conversion.")
    counting: Counting = Counting()


@dataclass(slots=True, kw_only=True)
class Sent:
    """A document as sent, its form, and what was said beside it."""

    body: bytes  #: let go once it is converted: of a large document each copy counts
    form: Form
    envelope: Envelope
    closed: bool = False  #: the body is a whole request in our JSON, whose envelope is known once it is converted
    actor_id: str | None = None  #: PS_IdNat, when given in a header
    parts: dict[str, Any] = field(default_factory=dict)


def media_type(content_type: str) -> str:
    """The type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def form_of(kind: str) -> Form | None:
    """Which form a media type announces."""
    if kind in ("application/xml", "text/xml", "application/hl7-cda+xml"):
        return "cda"
    if kind in ("application/fhir+json", "application/json+fhir"):
        return "fhir"
    if kind == "application/json":
        return "json"
    return None


def split_json(body: bytes, limit: int) -> tuple[Any, Form, Envelope | None]:
    """A request in our JSON: ``{document, actor, deliverTo, allowLoss}``, or the document alone.

    Gives the document's plain values, their form, and what is said beside it, None when it is alone. Raises
    :class:`Invalid` and :class:`Unreadable`.
    """
    try:
        value = hard_json.loads(body, max_bytes=limit)
    except UnsafeInput as exc:
        raise Unreadable([UNREADABLE.finding("", found=f"{exc.code} {exc.found}", expected=exc.expected)]) from None
    if not isinstance(value, dict):
        raise Invalid([NOT_JSON_OBJECT.finding("")])
    if "document" not in value:
        if value.get("resourceType") == "Bundle":
            return value, "fhir", None
        return value, "json", None
    document = value.pop("document")
    return document, "json", _envelope(value)


def open_json(body: bytes, limit: int) -> Sent:
    """A request in our JSON, its document apart; raises :class:`Invalid`, :class:`Unreadable`."""
    value, form, envelope = split_json(body, limit)
    if envelope is None:
        return Sent(body=body, form=form, envelope=Envelope())
    return Sent(body=_dump(value), form=form, envelope=envelope)


def _dump(value: Any) -> bytes:
    import orjson

    return orjson.dumps(value, default=str)


def _envelope(value: dict[str, Any]) -> Envelope:
    try:
        return Envelope.model_validate(value)
    except ValidationError as exc:
        raise Invalid(list(findings_of(exc))) from None


def open_multipart(metadata: bytes | None, file: bytes | None, file_type: str, limit: int) -> Sent:
    """A request in two parts: what is said (``metadata``) and the document itself (``file``).

    A PDF or a text is the content of the ``document`` member of the metadata, a report without its content.
    """
    missing = [name for name, part in (("metadata", metadata), ("file", file)) if part is None]
    if missing or metadata is None or file is None:
        raise Invalid([NO_PART.finding(f"/{name}") for name in missing])
    try:
        value = hard_json.loads(metadata, max_bytes=limit)
    except UnsafeInput as exc:
        raise Unreadable([UNREADABLE.finding("/metadata", found=exc.code, expected=exc.expected)]) from None
    if not isinstance(value, dict):
        raise Invalid([NOT_JSON_OBJECT.finding("/metadata")])
    kind = media_type(file_type)
    form = form_of(kind)
    if form in ("cda", "fhir"):
        value.pop("document", None)
        return Sent(body=file, form=form, envelope=_envelope(value))
    if kind not in ("application/pdf", "text/plain", "text/rtf", "image/jpeg", "image/tiff"):
        raise Unsupported([WRONG_TYPE.finding("/file", found=kind[:60])])
    document = value.pop("document", None)
    if not isinstance(document, dict):
        document, value = value, {}
        for name in ("actor", "deliverTo", "allowLoss"):
            if name in document:
                value[name] = document.pop(name)
    import pybase64

    document.setdefault("kind", "report")
    document["mediaType"] = kind
    document["content"] = pybase64.b64encode_as_string(file)
    return Sent(body=_dump(document), form="json", envelope=_envelope(value))


def open_body(body: bytes, content_type: str, limit: int, *, closed: bool = False) -> Sent:
    """A request whose whole body is the document, by its media type.

    With ``closed``, our JSON is not looked into: whoever converts it reads it, once.
    """
    form = form_of(media_type(content_type))
    if form is None:
        raise Unsupported([WRONG_TYPE.finding("Content-Type", found=media_type(content_type)[:60] or "aucun")])
    if form == "json":
        return Sent(body=body, form=form, envelope=Envelope(), closed=True) if closed else open_json(body, limit)
    return Sent(body=body, form=form, envelope=Envelope())
