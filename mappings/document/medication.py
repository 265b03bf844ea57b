"""Medicines and how to take them, for treatments, prescriptions and dispensations alike."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mappings.document.base import Part
from mappings.document.values import Code, Concept, Moment, Period, Quantity, QuantityRange, Ratio

__all__ = [
    "AfterEvent",
    "Dosage",
    "Every",
    "Ingredient",
    "Medication",
    "Package",
    "Posology",
    "PosologyMode",
    "Timing",
]

CIS = "1.2.250.1.213.2.3.1"
CIP = "1.2.250.1.213.2.3.2"
UCD = "1.2.250.1.213.2.62"
MV = "1.2.250.1.213.2.59"
ATC = "2.16.840.1.113883.6.73"


class Ingredient(Part):
    """An active substance and how much of it."""

    code: Code | None = Field(None, description="SMS or another substance code.")
    name: str | None = Field(None, max_length=200)
    strength: Ratio | None = Field(None, description="Amount of substance for an amount of product.")


class Package(Part):
    """The box or bottle, and what it holds."""

    code: Code | None = Field(None, description="CIP13.")
    name: str | None = Field(None, max_length=200)
    container: Code | None = Field(None, description="EDQM packaging (30009000 box).")
    capacity: Quantity | None = None


class Medication(Part):
    """A medicine: specialty (CIS), presentation (CIP), UCD, virtual medicine (MV), or a preparation in words."""

    name: str | None = Field(None, min_length=1, max_length=400, description="What is written on the line.")
    codes: tuple[Code, ...] = Field((), description="CIS, CIP13, UCD13, MV...: one meaning, several terminologies.")
    atc: Code | None = Field(None, description="ATC class.")
    form: Code | None = Field(None, description="EDQM pharmaceutical form.")
    ingredients: tuple[Ingredient, ...] = ()
    package: Package | None = None
    preparation: str | None = Field(None, max_length=4000, description="Magistral preparation: the formula in words.")
    lot_number: str | None = Field(None, max_length=60)
    expires_on: Moment | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.name or self.codes or self.preparation):
            raise ValueError("a medicine needs a code, a name or a formula")
        return self

    def code(self, system: str) -> Code | None:
        """The code in one terminology, by its OID."""
        return next((c for c in self.codes if c.system == system), None)

    @property
    def label(self) -> str:
        """What a person reads."""
        return self.name or self.preparation or self.codes[0].display or self.codes[0].code


class PosologyMode(StrEnum):
    """The five dosing modes of IHE PCC, French use (CI-SIS eP-MED-DM 4.1)."""

    NORMAL = "normal"
    TAPERED = "tapered"
    SPLIT = "split"
    CONDITIONAL = "conditional"
    COMBINATION = "combination"


class Every(Part):
    """At a regular interval: every 8 h; or at times of day (PIVL_TS)."""

    kind: Literal["every"] = "every"
    period: Quantity | None = Field(None, description="Interval, a time unit of UCUM (h, d, wk, mo).")
    at: Moment | None = Field(None, description="Instant of one of the intakes, which fixes the time of day (phase).")
    text: str | None = Field(None, max_length=400, description="The frequency in words.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.period is None and self.at is None:
            raise ValueError("an interval needs a period or an instant")
        return self


class AfterEvent(Part):
    """Tied to an event of the day: before breakfast, at bedtime (EIVL_TS)."""

    kind: Literal["event"] = "event"
    event: str = Field(
        pattern="^(AC|ACD|ACM|ACV|C|CD|CM|CV|HS|IC|ICD|ICM|ICV|PC|PCD|PCM|PCV|WAKE)$", description="HL7 TimingEvent."
    )
    offset: Quantity | None = Field(None, description="How long before or after, a time unit.")
    text: str | None = Field(None, max_length=400)


Timing = Annotated[Every | AfterEvent, Field(discriminator="kind")]


class Dosage(Part):
    """How much, how, when: one structured instruction."""

    sequence: int | None = Field(None, ge=1, le=99, description="Rank among the steps of a posology that has several.")
    period: Period | None = Field(None, description="From when to when.")
    duration: Quantity | None = Field(None, description="For how long, when the dates are not known.")
    timing: tuple[Timing, ...] = Field((), max_length=12, description="When; several combine.")
    route: Code | None = Field(None, description="EDQM route (20053000 oral).")
    site: Concept | None = Field(None, description="Where on the body, SNOMED CT.")
    dose: QuantityRange | None = None
    rate: QuantityRange | None = None
    maximum: Ratio | None = Field(None, description="Not more than: 4 for 1 d.")
    condition: str | None = Field(None, max_length=1000, description="Only if: en cas de douleur.")
    text: str | None = Field(None, max_length=2000, description="This step in words.")

    @model_validator(mode="after")
    def _one_extent(self) -> Self:
        if self.period is not None and self.duration is not None:
            raise ValueError("give the period or the duration, not both")
        return self


class Posology(Part):
    """The whole instruction of a line: its words always, its structure when known."""

    mode: PosologyMode = PosologyMode.NORMAL
    deferred_start: bool = Field(False, description="Starts later, at a moment not known yet.")
    text: str | None = Field(
        None, max_length=4000, description="The sentence people read; made from the structure when absent."
    )
    dosage: Dosage | None = Field(
        None, description="The instruction of the line itself; absent when only words are known."
    )
    steps: tuple[Dosage, ...] = Field(
        (), max_length=50, description="Subordinate instructions of the other modes, in order."
    )

    @model_validator(mode="after")
    def _steps_agree(self) -> Self:
        if self.mode is PosologyMode.NORMAL and self.steps:
            raise ValueError("a normal posology has no subordinate step")
        if self.mode is not PosologyMode.NORMAL and not self.steps:
            raise ValueError("this posology mode needs its steps")
        if self.dosage is None and not self.steps and not self.text:
            raise ValueError("a posology needs words or a structure")
        return self

    @property
    def structured(self) -> bool:
        """True when the instruction is more than words."""
        return self.dosage is not None or bool(self.steps)

    def unsaid_unit(self, medication: Medication) -> bool:
        """True when a dose is a number alone and nothing says of what: no unit, no word, no form of the medicine."""
        if medication.form is not None:
            return False
        doses = (each.dose for each in (self.dosage, *self.steps) if each is not None)
        return any(dose is not None and dose.low.unit == "1" and not dose.low.display for dose in doses)
