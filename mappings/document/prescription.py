"""An e-prescription (CI-SIS eP-MED-DM 2024.01): medicine and device lines, with their marks."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from mappings.document.base import Bytes64, Part
from mappings.document.header import DocumentBase
from mappings.document.medication import Medication, Posology
from mappings.document.values import Code, Concept, Period, Quantity

__all__ = ["DeviceLine", "Line", "LineMarks", "MedicationLine", "Motive", "Prescription", "Substitution"]


class LineMarks(Part):
    """What the prescriber states of a line; false is a statement too, so none is assumed."""

    ald: bool = Field(description="Linked to a long-term illness (ALD), MED-574.")
    work_accident: bool = Field(description="Linked to a work accident or disease, GEN-180.")
    prevention: bool = Field(description="Prevention, GEN-295.")
    not_reimbursable: bool = Field(description="Not reimbursable, GEN-181.")


class MedicationMarks(LineMarks):
    """The marks of a medicine line."""

    off_label: bool = Field(description="Off-label (hors AMM), GEN-179.")
    off_label_reason: str | None = Field(None, max_length=400)


class Substitution(Part):
    """May the pharmacist give a generic instead?"""

    permitted: bool = Field(True, description="True: G (generic allowed); false: N.")
    reason: Literal["MTE", "EFG", "CIF"] | None = Field(
        None, description="Regulatory motive of a refusal: MTE narrow margin, EFG child form, CIF excipient."
    )
    text: str | None = Field(None, max_length=400, description="The motive in words.")

    @model_validator(mode="after")
    def _motive(self) -> Self:
        if not self.permitted and self.reason is None and not self.text:
            raise ValueError("a substitution ban needs its motive")
        return self


class Motive(Part):
    """Why: a problem recorded elsewhere (its id), in words or coded."""

    id: UUID | None = None
    concept: Concept | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.id is None and self.concept is None:
            raise ValueError("a motive needs an id or a concept")
        return self


class MedicationLine(Part):
    """One medicine prescribed."""

    kind: Literal["medication"] = "medication"
    id: UUID | None = Field(None, description="Stable id of the line, what a dispensation points at.")
    medication: Medication
    posology: Posology
    renewals: int | None = Field(None, ge=0, le=99, description="How many renewals; 0 none, absent unknown.")
    quantity: Quantity | None = Field(None, description="Quantity to dispense, EDQM packaging as unit.")
    renewal_period: Period | None = None
    substitution: Substitution = Substitution()
    marks: MedicationMarks
    motives: tuple[Motive, ...] = Field((), max_length=10)
    treatment_plan_item: UUID | None = None
    patient_instruction: str | None = Field(None, max_length=2000)
    dispenser_instruction: str | None = Field(None, max_length=2000)


class DeviceLine(Part):
    """One medical device prescribed."""

    kind: Literal["device"] = "device"
    id: UUID | None = None
    name: str = Field(min_length=1, max_length=400)
    codes: tuple[Code, ...] = Field((), description="LPP (1.2.250.1.215.200.2.1), EMDN (1.2.250.1.213.2.68).")
    period: Period | None = None
    renewals: int | None = Field(None, ge=0, le=99)
    quantity: Quantity | None = None
    rental_duration: Quantity | None = Field(None, description="Rental time, days.")
    marks: LineMarks
    text: str | None = Field(None, max_length=2000, description="Instructions in words.")


Line = Annotated[MedicationLine | DeviceLine, Field(discriminator="kind")]


class Prescription(DocumentBase):
    """A prescription of medicines and devices for one patient."""

    kind: Literal["prescription"] = "prescription"
    type: Code = Code(
        code="57833-6", system="2.16.840.1.113883.6.1", display="Prescription de produits de santé", system_name="LOINC"
    )
    number: str | None = Field(None, max_length=64, description="Number given by the national service; opaque.")
    context_marks: tuple[str, ...] = Field(
        (),
        description="TA_ASIP marks: MED-1096 bizone, MED-1097 exception, MED-1098 secured, MED-1132 large equipment, "
        "MED-1094 home execution, MED-1095 urgent, MED-1159 military affection.",
    )
    lines: tuple[Line, ...] = Field(min_length=1, max_length=200)
    comment: str | None = Field(None, max_length=4000)
    weight: Quantity | None = Field(None, description="kg.")
    height: Quantity | None = Field(None, description="cm.")
    pregnant: bool | None = None
    code_image: Bytes64 | None = Field(None, description="2D code of the printed form, PNG.")
    pdf: Bytes64 | None = Field(None, description="Printed form, PDF/A-1b; made by the gateway when absent.")
