"""The JSON of mail: messages, conversations, mails received, teams."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from gateway.api.shapes import DeliveryOut, Fault, HistoryRow, Shape
from gateway.services.envelope import MailRecipient
from mappings.document.base import Part
from mappings.document.people import Professional

__all__ = [
    "MESSAGE_BODY",
    "InboxPage",
    "MessageIn",
    "MessageOut",
    "MessagePage",
    "ReceivedDocumentOut",
    "ReceivedOut",
    "RejectIn",
    "SettleIn",
    "TeamIn",
    "TeamOut",
    "ThreadOut",
]


class CarriedDocument(Part):
    """A document of a message: one already kept, or a new one."""

    id: str | None = Field(None, max_length=40, description="Id of a document already kept (doc_).")
    document: dict[str, Any] | None = Field(None, description="A new document, in our JSON.")
    dmp: bool = Field(False, description="Of a new document: feed the DMP too.")


class MessageIn(Part):
    """A message to professionals, teams or the patient."""

    actor: Professional | None = Field(None, description="Who acts; the first document's author when absent.")
    documents: tuple[CarriedDocument, ...] = Field((), max_length=20, description="About one patient.")
    recipients: tuple[MailRecipient, ...] = Field((), max_length=50)
    teams: tuple[str, ...] = Field((), max_length=10, description="Teams, by id or name.")
    subject: str | None = Field(None, min_length=1, max_length=200, description="Of words alone; made for documents.")
    body: str | None = Field(None, max_length=20_000, description="Words for the readers; made for documents.")
    in_reply_to: str | None = Field(None, max_length=64, description="What it answers: rcv_, msg_ or thr_.")
    patient: str | None = Field(None, max_length=40, description="The patient (idt_), for words alone to them.")
    reply_to: str | None = Field(None, max_length=254, description="Where answers should go, when elsewhere.")
    no_reply: bool = Field(False, description="Close the exchange with a citizen (X-MSS-MES: FIN).")


class MessageOut(Shape):
    """A message in charge, and where it stands."""

    id: str
    state: str
    created_at: datetime
    thread: str
    documents: list[str]
    subject: str | None = None
    deliveries: list[DeliveryOut]
    history: list[HistoryRow] | None = None
    links: dict[str, str]


class MessagePage(Shape):
    """A page of messages, newest first."""

    items: list[MessageOut]
    cursor: str | None = None


class ReceivedDocumentOut(Shape):
    """A document that came by mail."""

    rank: int
    unique_id: str
    type_code: str
    title: str
    kind: str | None = Field(None, description="As the gateway reads it; absent when it could not be read whole.")
    action: str | None = Field(None, description="replaces or deletes an earlier version; absent for a first sending.")
    replaces: str | None = None
    size: int
    sha1: str
    findings: list[Fault] = Field(default_factory=list)
    links: dict[str, str]


class AnswerOut(Shape):
    """What the sender of a mail is told."""

    wanted: bool = Field(description="The sender asked for a notice.")
    state: str = Field(description="none, due, sent or failed.")
    code: str | None = Field(None, description="processed, or the code of an integration error (900 to 906).")
    at: datetime | None = None


class ReceivedOut(Shape):
    """A mail received."""

    id: str
    kind: str = Field(description="document, message or citizen.")
    state: str = Field(description="new, acknowledged, rejected, or refused by the gateway.")
    received_at: datetime
    mailbox: str
    sender: str = Field(description="MSSanté address; of a citizen, the domain only.")
    trusted: bool = Field(description="The sender's domain is on the white list.")
    match: str = Field(
        description="exact: the patient beyond doubt; doubtful: INS known, traits differ; unknown; none: no usable INS."
    )
    identity: str | None = Field(None, description="The patient, of an exact match or named by a person.")
    thread: str | None = None
    document_count: int = Field(description="How many documents it carries.")
    answer: AnswerOut
    subject: str | None = None
    text: str | None = None
    documents: list[ReceivedDocumentOut] | None = None
    reasons: list[Fault] = Field(default_factory=list)
    links: dict[str, str]


class InboxPage(Shape):
    """A page of mails received, newest first."""

    items: list[ReceivedOut]
    cursor: str | None = Field(None, description="Give it back to read the next page; absent on the last.")


class SettleIn(Shape):
    """A mail handled."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    identity: str | None = Field(None, max_length=40, description="The patient a person recognised (idt_).")


class RejectIn(Shape):
    """A mail that could not be handled."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    code: str = Field(pattern="^90[0-6]$", description="Integration error: 902 unknown patient, 904 INS differs...")
    label: str | None = Field(
        None, max_length=200, description="What went wrong, without a trait; the table's words when absent."
    )


class ThreadItem(Shape):
    """One mail of a conversation."""

    id: str = Field(description="Message, document delivery or mail received, to be followed under that id.")
    direction: str = Field(description="sent or received.")
    at: datetime
    state: str
    sender: str | None = None
    recipients: list[str] | None = None
    subject: str | None = None
    documents: list[str] = Field(description="Ids of documents sent, unique ids of documents received.")
    types: list[str] = Field(description="Type codes of the documents: TLM-DA, TLM-CR...")
    links: dict[str, str]


class ThreadOut(Shape):
    """A conversation: what was sent and received, oldest first."""

    id: str
    audience: str
    identity: str | None = None
    created_at: datetime
    updated_at: datetime
    items: list[ThreadItem]


class TeamIn(Part):
    """A named list of professionals and mailboxes."""

    name: str = Field(min_length=1, max_length=120)
    kind: str = Field("equipe_de_soins", pattern="^(cpts|msp|centre_de_sante|equipe_de_soins|autre)$")
    members: tuple[TeamMember, ...] = Field(min_length=1, max_length=100)


class TeamMember(Part):
    """A member of a team."""

    address: str = Field(min_length=3, max_length=254, pattern=r"^[^\s@]+@[^\s@]+$", description="MSSanté address.")
    kind: str = Field("professional", pattern="^(professional|structure|application)$")
    label: str | None = Field(None, max_length=200, description="Name people know the member by.")
    id: str | None = Field(None, max_length=64, description="PS_IdNat or Struct_IdNat.")


class TeamOut(Shape):
    """A team."""

    id: str
    name: str
    kind: str
    members: list[dict[str, Any]]
    created_at: datetime


TeamIn.model_rebuild()


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """A JSON schema that stands on its own, each reference replaced by what it names."""
    if isinstance(schema, list):
        return [_inlined(one, definitions) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(value, definitions) for name, value in schema.items() if name != "$defs"}


_SCHEMA = MessageIn.model_json_schema()
#: The body of ``POST /v1/messages``, read by hand since it is a stranger's JSON.
MESSAGE_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": _inlined(_SCHEMA, _SCHEMA["$defs"]),
            "example": {
                "documents": [{"id": "doc_01JD8Z0000000000000000000"}],
                "recipients": [{"address": "dr.morel@medecin.formation.mssante.fr", "kind": "professional"}],
                "teams": ["CPTS du Léon"],
                "inReplyTo": "rcv_01JD8Z0000000000000000000",
            },
        }
    },
}
