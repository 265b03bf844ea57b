"""Any other structured document: its sections as they are, and the entries whose family is known.

A laboratory report, an imaging report, a vaccination note or a liaison letter keeps its sections and its words; what
programs may use of its entries is beside.
"""

from __future__ import annotations

from typing import Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from mappings.document.base import Bytes64, Part
from mappings.document.header import DocumentBase
from mappings.document.people import Identifier
from mappings.document.summary import (
    Allergy,
    FamilyMember,
    Immunization,
    LifestyleObservation,
    PregnancyObservation,
    Problem,
    Procedure,
    Result,
    ResultGroup,
    Treatment,
    UsedDevice,
    VitalSigns,
)
from mappings.document.values import Code

__all__ = ["Attachment", "OtherDocument", "OtherEntry", "OtherSection"]


class Attachment(Part):
    """A file shown by the narrative of a section: an image, a PDF."""

    anchor: str = Field(min_length=1, max_length=200, description="ID by which the narrative shows it.")
    media_type: str = Field(pattern=r"^[a-z]+/[A-Za-z0-9.+-]+$", max_length=100)
    content: Bytes64


class OtherEntry(Part):
    """An entry of a known family: exactly one of them."""

    problem: Problem | None = None
    allergy: Allergy | None = None
    procedure: Procedure | None = None
    treatment: Treatment | None = None
    immunization: Immunization | None = None
    device: UsedDevice | None = None
    lifestyle: LifestyleObservation | None = None
    family: FamilyMember | None = None
    vital_signs: VitalSigns | None = None
    pregnancy: PregnancyObservation | None = None
    result: Result | None = None
    results: ResultGroup | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(getattr(self, name) is not None for name in type(self).model_fields) != 1:
            raise ValueError("an entry is of exactly one family")
        return self

    @property
    def content(self) -> Part:
        """The entry itself, whatever its family."""
        found: Part = next(value for name in type(self).model_fields if (value := getattr(self, name)) is not None)
        return found


class OtherSection(Part):
    """A section: its title, its words, its entries, its sub-sections."""

    id: UUID | None = None
    templates: tuple[str, ...] = Field((), max_length=30, description="OIDs of the templates it claims to follow.")
    code: Code | None = Field(None, description="What it is about (LOINC...).")
    title: str | None = Field(None, max_length=400)
    text: str | None = Field(None, max_length=500_000, description="Its words, a line for each paragraph or row.")
    markup: str | None = Field(
        None,
        max_length=2_000_000,
        description="Its words as written: the CDA narrative block, an XML text element of urn:hl7-org:v3.",
    )
    attachments: tuple[Attachment, ...] = Field((), max_length=50)
    entries: tuple[OtherEntry, ...] = Field((), max_length=5000)
    sections: tuple[OtherSection, ...] = Field((), max_length=200)


class OtherDocument(DocumentBase):
    """A structured document of any other kind."""

    kind: Literal["other"] = "other"
    templates: tuple[Identifier, ...] = Field(
        (), max_length=30, description="Templates the document claims to follow, each with its version."
    )
    sections: tuple[OtherSection, ...] = Field(min_length=1, max_length=200)
