"""A dispensation (CI-SIS eDISP-MED 2024.01): what a pharmacy gave, against which prescription lines."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from mappings.document.base import Part
from mappings.document.header import DocumentBase
from mappings.document.medication import Medication, Posology
from mappings.document.people import Identifier
from mappings.document.values import Code, Moment, Quantity

__all__ = ["Dispensation", "DispensedLine", "RefusedLine", "SubstitutionMade"]


class SubstitutionMade(Part):
    """A generic or another product given instead of the one prescribed."""

    reason: str | None = Field(None, max_length=400)


class DispensedLine(Part):
    """One product given."""

    id: UUID | None = None
    completeness: Literal["FFC", "FFP", "RFC", "RFP"] = Field(
        description="FFC first complete, FFP first partial, RFC later complete, RFP later partial."
    )
    medication: Medication
    quantity: Quantity = Field(description="Quantity given, EDQM packaging as unit.")
    dispensed_at: Moment | None = Field(None, description="The document's dispensing time when absent.")
    prescribed_line: UUID | None = Field(None, description="Id of the prescription line answered.")
    changed_posology: Posology | None = None
    substitution: SubstitutionMade | None = Field(None, description="Present when another product was given.")
    patient_instruction: str | None = Field(None, max_length=2000)
    note: str | None = Field(None, max_length=2000, description="The pharmacist's note.")


class RefusedLine(Part):
    """A prescribed line that was not given: a gateway event, absent from the eDISP document."""

    prescribed_line: UUID
    reason: str = Field(min_length=1, max_length=400)


class Dispensation(DocumentBase):
    """What a pharmacy gave for one prescription, in one go."""

    kind: Literal["dispensation"] = "dispensation"
    type: Code = Code(
        code="60593-1", system="2.16.840.1.113883.6.1", display="Dispensation médicamenteuse", system_name="LOINC"
    )
    prescription_id: Identifier | None = Field(None, description="ClinicalDocument/id of the prescription.")
    prescription_number: str | None = Field(None, max_length=64, description="Number of the e-prescription; opaque.")
    lines: tuple[DispensedLine, ...] = Field(min_length=1, max_length=200)
    refused: tuple[RefusedLine, ...] = Field((), max_length=200)
