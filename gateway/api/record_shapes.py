"""The JSON of records: what callers ask and read about a patient's DMP."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from gateway.api.shapes import Shape
from mappings.document.people import Professional

__all__ = [
    "AuthorizationIn",
    "ChangeIn",
    "CodeIn",
    "PatientIn",
    "RecordDocument",
    "RecordPage",
    "SearchIn",
    "SessionIn",
    "SessionOut",
    "StatusIn",
    "StatusOut",
    "schema_of",
]


class Asked(Shape):
    """A question; a member nobody knows is refused rather than ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class InsIn(Asked):
    """A national health identity."""

    value: str = Field(min_length=1, max_length=20, description="Matricule with its key: 15 characters.")
    authority: str = Field(max_length=64, description="OID of the authority; 1.2.250.1.213.1.4.10 in tests.")


class PatientIn(Asked):
    """The patient whose record is asked about: the INS, and the traits known, which are checked together."""

    ins: InsIn
    birth_name: str | None = Field(None, max_length=100)
    first_given_name: str | None = Field(None, max_length=100)
    given_names: str | None = Field(None, max_length=200)
    sex: str | None = Field(None, max_length=1, description="M or F.")
    birth_date: str | None = Field(None, max_length=10, description="YYYY-MM-DD.")
    birth_place: str | None = Field(None, max_length=5, description="INSEE code of the place of birth.")


class SessionIn(Asked):
    """A professional who will consult."""

    actor: Professional | None = Field(
        None, description="The professional, where the settings let the calling software declare one (tests)."
    )
    method: Literal["cps", "e-cps"] = Field("e-cps", description="How the professional logged in, when declared.")
    authenticated_at: datetime | None = Field(None, description="When they logged in, when declared.")
    profession: str | None = Field(
        None, max_length=20, description="Exercise chosen (10, or 10/SM54), when Pro Santé Connect gives several."
    )


class SessionOut(Shape):
    """A session; its text goes into the header Passerelle-Actor-Session."""

    session: str
    actor: str = Field(description="PS_IdNat of the professional.")
    method: str
    expires_at: datetime


class StatusIn(Asked):
    """Whose record is asked about."""

    patient: PatientIn
    actor: Professional | None = Field(None, description="Who asks, when there is no session.")


class StatusOut(Shape):
    """What the DMP says of a patient's record; nothing of the identity it repeats."""

    dmp: str = Field(description="active, closed, none or unknown.")
    may_feed: bool
    may_consult: bool = Field(description="The record is active and the professional authorised.")
    authorization: str | None = Field(None, description="VALIDE, EXPIRE, INTERDIT, NON_EXISTE.")
    treating_doctor: bool
    mon_espace_sante: bool | None = None
    web_account: bool | None = None
    closing_reason: str | None = None


class AuthorizationIn(Asked):
    """A change of the professional's own authorisation on a record, at their explicit request."""

    patient: PatientIn
    action: Literal["add", "remove"]
    treating_doctor: bool = Field(False, description="As treating doctor.")


class CodeIn(Asked):
    """A code with its system, when the plain code does not say it."""

    code: str = Field(max_length=80)
    system: str = Field("", max_length=64, description="OID of the coding scheme.")


class SearchIn(Asked):
    """What to look for; every filter is optional, those given must all hold, values of one filter are alternatives."""

    patient: PatientIn
    status: list[Literal["current", "superseded", "archived", "deleted"]] = Field(["current"], max_length=4)
    types: list[str | CodeIn] = Field([], max_length=50, description="Document types (LOINC, TRE_A05).")
    classes: list[str | CodeIn] = Field([], max_length=20, description="Document classes (TRE_A03).")
    formats: list[str | CodeIn] = Field([], max_length=50, description="Format codes.")
    practice_settings: list[str | CodeIn] = Field([], max_length=20)
    facility_types: list[str | CodeIn] = Field([], max_length=20)
    events: list[str | CodeIn] = Field([], max_length=20, description="Acts; each needs its system.")
    author: str | None = Field(None, max_length=64, description="PS_IdNat of the author.")
    created_from: datetime | None = None
    created_to: datetime | None = None
    act_from: datetime | None = Field(None, description="Start of the act at or after.")
    act_to: datetime | None = None
    submitted_from: datetime | None = Field(None, description="Fed at or after: other filters are then applied here.")
    submitted_to: datetime | None = None
    unique_ids: list[str] = Field([], max_length=100, description="The documents' own identifiers; no other filter.")
    purpose: Literal["normal", "bris_de_glace", "centre_15"] = Field("normal", description="Mode of access.")
    limit: int = Field(50, ge=1, le=500)
    cursor: str | None = Field(None, max_length=40)


class RecordAuthor(Shape):
    """Who wrote a document."""

    id: str | None = None
    name: str | None = None
    specialty: str | None = None
    structure: str | None = None


class RecordCode(Shape):
    """A code of the registry."""

    code: str
    system: str | None = None
    display: str | None = None


class RecordDocument(Shape):
    """A document of a record."""

    id: str = Field(description="Handle: serves this program and this professional, for a time.")
    unique_id: str
    status: str = Field(description="current, superseded, archived or deleted.")
    title: str | None = None
    type: RecordCode | None = None
    class_: RecordCode | None = Field(None, alias="class")
    format: RecordCode | None = None
    media_type: str
    size: int | None = None
    created_at: datetime | None = None
    act_from: str | None = Field(None, description="Start of the act; a date alone when no time is known.")
    act_to: str | None = None
    authors: list[RecordAuthor]
    by_patient: bool = Field(description="Put in by the patient, not by a professional (class 90, or type DOCPAT...).")
    visibility: list[str] = Field(description="MASQUE_PS, INVISIBLE_PATIENT... : to be shown to the reader.")
    notices: list[str] = Field(description="What the reader must be warned of before showing the document, in words.")
    comments: str | None = None
    version: str | None = None
    fed_here: str | None = Field(None, description="Id of the document, when this gateway fed it.")
    links: dict[str, str]


class RecordPage(Shape):
    """Documents found, the newest act first."""

    items: list[RecordDocument]
    total: int
    cursor: str | None = Field(None, description="Send it back to read the next page; absent on the last.")


class ChangeIn(Asked):
    """A change of a document of the record."""

    action: Literal["mask", "unmask", "visible", "visible_to_representatives", "archive", "unarchive"]


def schema_of(model: type[Shape]) -> dict[str, Any]:
    """The request body of a route, for the interface description; definitions stand where they are used."""
    whole = model.model_json_schema(by_alias=True)
    schema = _inlined(whole, whole.pop("$defs", {}))
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _inlined(value: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        name = str(value.get("$ref", "")).removeprefix("#/$defs/")
        if name in definitions:
            return _inlined({**definitions[name], **{k: v for k, v in value.items() if k != "$ref"}}, definitions)
        return {key: _inlined(one, definitions) for key, one in value.items()}
    return [_inlined(one, definitions) for one in value] if isinstance(value, list) else value
