"""A medical summary: VSM 2023.01 or its successor, the French patient summary IPS-FR 2024.01."""

from __future__ import annotations

from enum import StrEnum
from typing import Generic, Literal, Self, TypeVar
from uuid import UUID

from pydantic import Field, model_validator

from mappings.document.base import Bytes64, Part
from mappings.document.header import DocumentBase
from mappings.document.medication import Medication, Posology
from mappings.document.prescription import Motive
from mappings.document.values import Code, Concept, Moment, Period, Quantity

__all__ = [
    "Absence",
    "Allergy",
    "AttachedDocument",
    "CarePlanItem",
    "FamilyCondition",
    "FamilyMember",
    "FunctionalAssessment",
    "Immunization",
    "LifestyleObservation",
    "MedicalSummary",
    "PregnancyObservation",
    "Problem",
    "Procedure",
    "Reaction",
    "Result",
    "Section",
    "Treatment",
    "UsedDevice",
    "Value",
    "VitalSign",
    "VitalSigns",
]

T = TypeVar("T")


class Absence(StrEnum):
    """Why a section is empty: nothing known to exist, or nothing is known."""

    NONE_KNOWN = "none-known"
    NO_INFORMATION = "no-information"


class Section(Part, Generic[T]):
    """A section of entries, or the statement that there are none, or words alone."""

    entries: tuple[T, ...] = Field((), max_length=2000)
    absence: Absence | None = Field(None, description="Said in words and code when there is no entry.")
    text: str | None = Field(None, max_length=20000, description="Words beside or instead of the entries.")

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.entries and self.absence:
            raise ValueError("a section with entries cannot say that there are none")
        if not self.entries and self.absence is None and not self.text:
            raise ValueError("a section needs entries, words, or the statement that there are none")
        return self


class Value(Part):
    """The value of an observation: exactly one of the four."""

    quantity: Quantity | None = None
    concept: Concept | None = None
    boolean: bool | None = None
    text: str | None = Field(None, min_length=1, max_length=4000)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(v is not None for v in (self.quantity, self.concept, self.boolean, self.text)) != 1:
            raise ValueError("a value is a quantity, a concept, a boolean or a text, exactly one")
        return self


class Problem(Part):
    """A disease, symptom or finding, active or past."""

    id: UUID | None = None
    category: Code = Field(
        Code(
            code="282291009",
            system="2.16.840.1.113883.6.96",
            display="interprétation diagnostique",
            system_name="SNOMED CT",
        ),
        description="Kind of problem, JDV_ProblemCodes.",
    )
    concept: Concept = Field(description="What it is (CIM-10...).")
    period: Period = Field(Period(), description="Onset, and end when over.")
    act_status: Literal["active", "suspended", "aborted", "completed"] = "active"
    severity: Code | None = Field(None, description="JDV_SeveriteObservation.")
    clinical_status: Code | None = Field(None, description="JDV_HL7_ConditionClinical: active, remission, resolved...")
    health_status: Code | None = Field(None, description="JDV_HealthStatusCodes.")
    certainty: Literal["unconfirmed", "confirmed", "refuted"] | None = None
    comment: str | None = Field(None, max_length=4000)


class Procedure(Part):
    """An act done or planned."""

    id: UUID | None = None
    concept: Concept = Field(description="What was done (CCAM...).")
    performed: Moment | None = None
    status: Literal["completed", "active", "aborted", "cancelled"] = "completed"
    planned: bool = Field(False, description="An intention (INT), not an act done.")
    reasons: tuple[Motive, ...] = Field((), max_length=10)
    comment: str | None = Field(None, max_length=4000)


class Reaction(Part):
    """How an allergy showed itself."""

    concept: Concept
    onset: Moment | None = None
    severity: Code | None = None


class Allergy(Part):
    """An allergy, intolerance or hypersensitivity."""

    id: UUID | None = None
    type: Code = Field(
        Code(code="609328004", system="2.16.840.1.113883.6.96", display="allergie", system_name="SNOMED CT"),
        description="JDV_TypeEvenementIndesirablePrevisible, SNOMED CT.",
    )
    agent: Concept = Field(description="The substance or product.")
    period: Period = Period()
    act_status: Literal["active", "suspended", "aborted", "completed"] = "active"
    reactions: tuple[Reaction, ...] = Field((), max_length=20)
    severity: Code | None = None
    clinical_status: Literal["active", "inactive", "resolved"] | None = None
    certainty: Literal["unconfirmed", "confirmed", "refuted"] | None = None
    criticality: Literal["low", "high", "unable-to-assess"] | None = None
    comment: str | None = Field(None, max_length=4000)


class LifestyleObservation(Part):
    """A habit: tobacco, alcohol, exercise..."""

    id: UUID | None = None
    code: Code = Field(description="JDV_SocialHistoryCodes (72166-2 smoking status...).")
    observed_at: Moment | None = Field(None, description="Absent when not known.")
    value: Value


class FamilyCondition(Part):
    """A disease of a relative."""

    id: UUID | None = None
    category: Code = Code(code="64572001", system="2.16.840.1.113883.6.96", display="maladie", system_name="SNOMED CT")
    concept: Concept
    onset: Moment | None = None


class FamilyMember(Part):
    """A relative and their diseases."""

    relation: Code | None = Field(None, description="HL7 RoleCode (FTH, MTH, BRO...).")
    conditions: tuple[FamilyCondition, ...] = Field(min_length=1, max_length=50)


class Treatment(Part):
    """A long-term treatment."""

    id: UUID | None = None
    medication: Medication
    posology: Posology
    period: Period | None = Field(None, description="Since when, until when.")
    reasons: tuple[Motive, ...] = Field((), max_length=10)
    patient_instruction: str | None = Field(None, max_length=2000)


class Immunization(Part):
    """A vaccine given."""

    id: UUID | None = None
    act: Literal["IMMUNIZ", "INITIMMUNIZ", "BOOSTER"] = "IMMUNIZ"
    vaccine: Medication
    given_at: Moment | None = None
    rank: int | None = Field(None, ge=1, le=99, description="Rank of the dose.")
    dose: Quantity | None = None
    route: Code | None = Field(None, description="JDV_ImmunizationRouteCodes.")
    site: Code | None = Field(None, description="JDV_ImmunizationApproachSiteCode.")


class UsedDevice(Part):
    """A medical device used by or implanted in the patient."""

    id: UUID | None = None
    concept: Concept
    period: Period | None = None


class VitalSign(Part):
    """One measure."""

    id: UUID | None = None
    code: Code = Field(description="LOINC, JDV_SignesVitaux (29463-7 weight, 8302-2 height...).")
    quantity: Quantity
    observed_at: Moment | None = None
    interpretation: Code | None = None


class VitalSigns(Part):
    """Measures taken together."""

    id: UUID | None = None
    observed_at: Moment
    signs: tuple[VitalSign, ...] = Field(min_length=1, max_length=50)


class Result(Part):
    """A result of an examination."""

    id: UUID | None = None
    code: Code = Field(description="LOINC.")
    observed_at: Moment | None = None
    value: Value
    interpretation: Code | None = None


class ResultGroup(Part):
    """Results of one kind of examination (IPS-FR organizer 1.2.250.1.213.1.1.3.208)."""

    id: UUID | None = None
    code: Code = Field(description="26436-6 laboratory, 18748-4 imaging, 26438-2, 27898-6, 26435-8.")
    observed_at: Moment | None = None
    results: tuple[Result, ...] = Field(min_length=1, max_length=500)


class FunctionalAssessment(Part):
    """A measure of what the person can do (scale, score)."""

    id: UUID | None = None
    code: Code
    observed_at: Moment | None = Field(None, description="Absent when not known.")
    value: Value


class CarePlanItem(Part):
    """Something planned: an act, an examination, a meeting."""

    id: UUID | None = None
    concept: Concept
    planned_for: Moment | None = None
    mood: Literal["INT", "ARQ", "PRMS", "PRP", "RQO", "GOL"] = "INT"


class PregnancyObservation(Part):
    """A fact about a pregnancy (LOINC 11449-6 pregnancy status...)."""

    id: UUID | None = None
    code: Code
    observed_at: Moment | None = Field(None, description="Absent when not known.")
    value: Value


class AttachedDocument(Part):
    """A document joined to the summary: written advance directives, an insurance certificate."""

    type: Code | None = Field(None, description="What it is (LOINC, TA_ASIP).")
    title: str | None = Field(None, min_length=1, max_length=255)
    media_type: str = Field("application/pdf", pattern=r"^[a-z]+/[a-z0-9.+-]+$", max_length=100)
    content: Bytes64

    @property
    def label(self) -> str:
        """What people read."""
        if self.title:
            return self.title
        return (self.type.display or self.type.code) if self.type is not None else "Document joint"


class MedicalSummary(DocumentBase):
    """The medical summary of a patient, by the regular doctor."""

    kind: Literal["medical_summary"] = "medical_summary"
    type: Code = Code(code="SYNTH", system="1.2.250.1.213.1.1.4.12", display="Synthèse")
    profile: Literal["VSM-2023.01", "IPS-FR-2024.01"] = "VSM-2023.01"
    problems: Section[Problem] | None = Field(None, description="Active problems.")
    history: Section[Problem] | None = Field(None, description="Past problems.")
    procedures: Section[Procedure] | None = Field(None, description="Surgical history and acts.")
    allergies: Section[Allergy] | None = None
    lifestyle: Section[LifestyleObservation] | None = None
    occupational_risks: str | None = Field(None, max_length=20000)
    family_history: Section[FamilyMember] | None = None
    vigilance: str | None = Field(None, max_length=20000, description="Points of vigilance, in words.")
    treatments: Section[Treatment] | None = Field(None, description="Long-term treatments.")
    immunizations: Section[Immunization] | None = None
    devices: Section[UsedDevice] | None = None
    vital_signs: Section[VitalSigns] | None = None
    results: Section[ResultGroup] | None = Field(None, description="IPS-FR only.")
    functional_status: Section[FunctionalAssessment] | None = None
    care_plan: Section[CarePlanItem] | None = None
    pregnancies: Section[PregnancyObservation] | None = None
    advance_directives: str | None = Field(None, max_length=20000)
    attachments: tuple[AttachedDocument, ...] = Field((), max_length=20, description="Documents joined to it.")
    pdf: Bytes64 | None = Field(None, description="Copy of the document as PDF/A-1b.")
