"""The JSON that callers read: receipts, history, problems, counts. Members are camelCase, times RFC 3339."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

__all__ = [
    "CountRow",
    "Counts",
    "DeliveryOut",
    "DocumentPage",
    "Fault",
    "HistoryRow",
    "IdentityEventIn",
    "IdentityOut",
    "Outcome",
    "PendingIdentity",
    "ProblemOut",
    "Receipt",
    "RecipientOut",
    "TokenOut",
    "WebhookIn",
    "WebhookOut",
]


class Shape(BaseModel):
    """A camelCase JSON object."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)


class Fault(Shape):
    """One fault of a refused request, or one warning of an accepted one."""

    severity: str
    code: str = Field(description="Stable code, the same in every language.")
    location: str = Field(description="JSON pointer or XPath in what was sent.")
    message: str
    fix: str | None = Field(None, description="What to do.")
    found: str | None = None
    expected: str | None = None
    line: int | None = None
    help: str | None = None


class ProblemOut(Shape):
    """RFC 9457 problem: why a request was refused, with every fault found."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    faults: list[Fault] = []


class Outcome(Shape):
    """How a delivery ended, with the remote service's own code and words kept apart."""

    code: str
    original_code: str | None = None
    original_text: str | None = None
    cause: str
    fix: str


class RecipientOut(Shape):
    """What became of a mail at one recipient."""

    id: str
    address: str = Field(description="MSSanté address; of a citizen, the domain only.")
    class_: str = Field(alias="class", description="ps, bal_org, bal_app or citizen.")
    confidence: str | None = Field(
        None,
        description="Of an address found in the directory: place (the person, there), person, or structure.",
    )
    state: str = Field(description="pending, submitted, delivered, read, failed or unknown.")
    at: datetime | None = None
    code: str | None = None
    original_code: str | None = None
    original_text: str | None = None
    cause: str | None = None


class DeliveryOut(Shape):
    """A delivery of a document to one destination."""

    id: str
    to: str = Field(description="dmp or mss.")
    action: str = Field("feed", description="feed, or a change of what was fed: delete, mask, unmask, visible...")
    state: str
    reason: str | None = None
    cause: str | None = None
    fix: str | None = None
    recipients: int | None = None
    recipient_states: list[RecipientOut] | None = Field(None, description="Of mail: each recipient.")
    thread: str | None = Field(None, description="Of mail that left: its conversation.")
    attempts: int = 0
    next_attempt_at: datetime | None = None
    expires_at: datetime | None = None
    outcome: Outcome | None = None
    reference: str | None = Field(None, description="What the destination calls it: entryUUID, Message-ID.")


class HistoryRow(Shape):
    """One change of state."""

    at: datetime
    subject: str = Field(description="document, message, delivery or recipient.")
    id: str
    from_: str | None = Field(None, alias="from")
    to: str
    code: str | None = None
    cause: str | None = None
    by: str


class Receipt(Shape):
    """What the gateway took in charge, and where it stands."""

    id: str
    state: str
    kind: str
    unique_id: str
    received_at: datetime
    purged_at: datetime | None = Field(None, description="When its contents were erased, at the end of retention.")
    deliveries: list[DeliveryOut]
    loss: dict[str, int]
    warnings: list[Fault] = []
    links: dict[str, str]
    history: list[HistoryRow] | None = None
    ledger_head: dict[str, Any] | None = Field(
        None, description="Last signed head of the structure's ledger: whoever keeps it can show a rewritten history."
    )


class DocumentPage(Shape):
    """A page of documents, newest first."""

    items: list[Receipt]
    cursor: str | None = Field(None, description="Give it back to read the next page; absent on the last.")


class CountRow(Shape):
    """A count for one combination of the dimensions asked."""

    service: str = Field(description="What is counted: dmp.document, mss.message...")
    by: dict[str, str | None]
    count: int | None = Field(description="Null where the cell is too small to be shown to an auditor.")


class Counts(Shape):
    """Counts of the ledger, unsealed tail included."""

    rows: list[CountRow]
    total: int = Field(description="Of what is shown, all services together.")
    unsealed: int = Field(description="Entries counted that are not sealed yet (under a second old).")
    withheld: int = Field(0, description="Cells not shown: crossed counts under the small-cell limit.")


class IdentityOut(Shape):
    """A patient's identity as the gateway holds it: its status, never its traits."""

    id: str
    status: str
    attributes: list[str]
    has_ins: bool
    checked_at: datetime | None = None
    missing: list[str] = Field(description="What is missing for a qualified identity: ins, proof.")
    released: int | None = Field(None, description="Deliveries this call let go.")


class PendingIdentity(Shape):
    """A patient whose documents wait."""

    id: str
    status: str
    missing: list[str]
    documents: int
    oldest: datetime
    cause: str | None = None
    fix: str | None = None


class IdentityEventIn(Shape):
    """Something a person did or learnt about a patient's identity."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    event: str = Field(
        description="INSI_FOUND_ACCEPTED (INSi is asked, and a person accepts its answer), PROOF_HIGH_CHECKED, "
        "PROOF_LOW_CHECKED, SET_DOUTEUX, CLEAR_DOUTEUX, SET_HOMONYME, CLEAR_HOMONYME, SET_FICTIF, STRICT_TRAIT_EDITED, "
        "OPPOSED."
    )
    matricule: str | None = Field(
        None,
        pattern="^[0-9A-Za-z]{15}$",
        description="With INSI_FOUND_ACCEPTED, the number that was shown to the person: INSi must give it again.",
    )
    reason: str | None = Field(
        None,
        min_length=3,
        max_length=300,
        description="With INSI_FOUND_ACCEPTED of an answer to be reviewed: why it is this patient. Kept, sealed.",
    )
    proof: str | None = Field(None, description="Document shown: CN, PA, CS, AV... for a proof.")
    opposition: str | None = Field(
        None,
        pattern="^(dmp|mss|mss_citizen)$",
        description="With OPPOSED, what the patient refuses: the DMP, mail to professionals (mss), mail to themselves "
        "(mss_citizen).",
    )


class WebhookIn(Shape):
    """Where to tell the end of deliveries."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    url: str = Field(max_length=500, description="https address.")
    tenant: str | None = None


class WebhookOut(Shape):
    """A registered webhook; the secret is shown once."""

    id: str
    url: str
    secret: str | None = None


class TokenOut(BaseModel):
    """An access token (RFC 6749 5.1)."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - the name of the scheme
    expires_in: int
    scope: str


class TokenError(BaseModel):
    """Why no access token is given (RFC 6749 5.2)."""

    error: str
    error_description: str


def words(pair: dict[str, Any] | None, language: str) -> str:
    """The sentence of one language out of a stored pair."""
    if not pair:
        return ""
    return str(pair.get("en" if language == "en" else "fr") or "")
