"""Who a document is about and who made it: patient with INS, professionals, structures."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from mappings.document.base import Part
from mappings.document.values import Address, Code, Concept, Moment, Telecom

__all__ = [
    "Author",
    "Device",
    "Identifier",
    "IdentityStatus",
    "Ins",
    "Organization",
    "Patient",
    "Professional",
    "RelatedPerson",
    "Sex",
]


class Identifier(Part):
    """An identifier in the words of HL7: who assigned it, and its value."""

    root: str = Field(
        pattern=r"^[0-2](\.(0|[1-9]\d*))+$", max_length=128, description="OID of the assigning authority."
    )
    extension: str | None = Field(
        None, min_length=1, max_length=64, description="The value; absent when the OID says all."
    )


class IdentityStatus(StrEnum):
    """The four exclusive statuses of an identity (RNIV 1, EXI SI 07)."""

    PROVISIONAL = "provisoire"
    RETRIEVED = "recuperee"
    VALIDATED = "validee"
    QUALIFIED = "qualifiee"


class Sex(StrEnum):
    """Administrative sex; ``I`` is undetermined (UN in CDA, unknown in FHIR)."""

    MALE = "M"
    FEMALE = "F"
    UNDETERMINED = "I"


class Ins(Part):
    """The national health identity: a matricule never travels without its authority."""

    value: str = Field(description="15 characters, the key included.", examples=["279035121518989"])
    authority: str = Field(
        description="OID of the assigning authority: 1.2.250.1.213.1.4.8 NIR, .9 NIA, .10 test, .11 demonstration.",
        examples=["1.2.250.1.213.1.4.10"],
    )


class RelatedPerson(Part):
    """Someone near the patient: guardian, contact, trusted person, informant."""

    relation_class: str = Field("CON", pattern="^(ECON|NOK|CON|CAREGIVER|PAT|GUARD)$", description="HL7 role class.")
    relation: Code | None = Field(None, description="Kinship or role, JDV_J11_RelationPatient.")
    family: str = Field(min_length=1, max_length=100)
    given: str | None = Field(None, max_length=100)
    addresses: tuple[Address, ...] = ()
    telecoms: tuple[Telecom, ...] = ()


class Patient(Part):
    """The person the document is about: traits, INS when known, local identifiers, and how sure the identity is."""

    ins: Ins | None = Field(
        None, description="National health identity; sent outside only when the status is qualified."
    )
    identifiers: tuple[Identifier, ...] = Field(
        (), description="Local identifiers (IPP), each with the OID of its owner."
    )
    status: IdentityStatus = Field(IdentityStatus.PROVISIONAL, description="Identity status (RNIV).")
    attributes: tuple[str, ...] = Field((), description="homonyme, douteux, fictif (RNIV).")
    ins_checked_on: Moment | None = Field(None, description="Date of the INSi call that gave or confirmed the INS.")
    proof: str | None = Field(
        None, max_length=10, description="Identity proof shown: CN, PA, CS, AV... (FR Core table)."
    )
    birth_name: str = Field(min_length=1, max_length=100, description="Birth name, as held by the sender.")
    first_given_name: str | None = Field(None, min_length=1, max_length=100, description="First birth given name.")
    given_names: str | None = Field(
        None, min_length=1, max_length=100, description="All birth given names of the civil record, space separated."
    )
    used_name: str | None = Field(None, min_length=1, max_length=100, description="Name used, when another.")
    used_given_name: str | None = Field(
        None, min_length=1, max_length=100, description="Given name used, when another."
    )
    sex: Sex
    birth_date: Moment = Field(description="Birth date, completed by the INS rules when incomplete.")
    birth_place: str | None = Field(
        None, pattern=r"^[0-9][0-9AB][0-9]{3}$", description="COG code at birth: commune, or 99 and the country."
    )
    birth_place_name: str | None = Field(None, max_length=100, description="Name of the birth place, for readers.")
    deceased: bool | None = None
    deceased_at: Moment | None = None
    multiple_birth_order: int | None = Field(None, ge=1, le=20)
    addresses: tuple[Address, ...] = ()
    telecoms: tuple[Telecom, ...] = ()
    guardian: RelatedPerson | None = None

    @property
    def qualified(self) -> bool:
        """True when the INS may leave: qualified status, an INS, and no attribute that locks it."""
        return (
            self.status is IdentityStatus.QUALIFIED
            and self.ins is not None
            and not {"douteux", "fictif"} & set(self.attributes)
        )


class Organization(Part):
    """A care structure: practice, pharmacy, hospital, laboratory."""

    id: Identifier | None = Field(
        None,
        description="Struct_IdNat, root 1.2.250.1.71.4.2.2: 1+FINESS, 3+SIRET...",
        examples=[{"root": "1.2.250.1.71.4.2.2", "extension": "1290099886"}],
    )
    name: str | None = Field(None, min_length=1, max_length=200)
    practice_setting: Code | None = Field(None, description="Cadre d'exercice, JDV_J04 (AMBULATOIRE...).")
    addresses: tuple[Address, ...] = ()
    telecoms: tuple[Telecom, ...] = ()


class Professional(Part):
    """A professional acting for a structure."""

    id: Identifier = Field(
        description="PS_IdNat, root 1.2.250.1.71.4.2.1: 8+RPPS.",
        examples=[{"root": "1.2.250.1.71.4.2.1", "extension": "899700218896"}],
    )
    family: str = Field(min_length=1, max_length=100)
    given: str | None = Field(None, max_length=100)
    prefix: str | None = Field(None, pattern="^(M|MME)$", description="Civility, JDV_J245.")
    suffix: str | None = Field(None, pattern="^(DR|PR|MC|MG|PC|PG)$", description="Title, JDV_J246.")
    specialty: Code | None = Field(None, description="Profession and specialty, JDV_J01 (G15_10/SM54).")
    organization: Organization | None = None
    addresses: tuple[Address, ...] = ()
    telecoms: tuple[Telecom, ...] = ()


class Device(Part):
    """Software or a machine that wrote the document by itself."""

    id: Identifier
    manufacturer_model: str = Field(min_length=1, max_length=200, description="manufacturerModelName.")
    software: str = Field(min_length=1, max_length=200, description="softwareName.")
    code: Code | None = Field(None, description="JDV_J01: DISPOSITIF, AUTOMATE...")
    organization: Organization | None = None


class Author(Part):
    """Who wrote the content, and when: a professional or a device."""

    professional: Professional | None = None
    device: Device | None = None
    function: Code | None = Field(None, description="Function for this patient, JDV_J47 (PCP regular doctor...).")
    time: Moment | None = Field(None, description="When the author wrote; the document's date when absent.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.professional is None) == (self.device is None):
            raise ValueError("an author is a professional or a device, one of the two")
        return self

    @property
    def label(self) -> Concept | None:
        """Profession and specialty as a concept, when known."""
        code = self.professional.specialty if self.professional else self.device.code if self.device else None
        return Concept(code=code) if code else None
