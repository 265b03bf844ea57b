"""What every document says about itself before its content: the parts of a CI-SIS header."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from mappings.document.base import Part
from mappings.document.people import Author, Identifier, Organization, Patient, Professional, RelatedPerson
from mappings.document.values import Address, Code, Moment, Period, Telecom

__all__ = [
    "Act",
    "Authentication",
    "Consent",
    "DataEnterer",
    "DocumentBase",
    "Encounter",
    "Informant",
    "Order",
    "Participant",
    "Recipient",
    "Replaced",
    "Visibility",
]

OID = r"^[0-2](\.(0|[1-9]\d*))+$"


class Authentication(Part):
    """Who takes responsibility for the content, and when."""

    professional: Professional
    time: Moment | None = Field(None, description="When signed; the document's date when absent.")


class DataEnterer(Part):
    """Who typed the document for its author."""

    professional: Professional
    time: Moment | None = None


class Informant(Part):
    """Who gave information: a professional or someone near the patient."""

    professional: Professional | None = None
    related: RelatedPerson | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.professional is None) == (self.related is None):
            raise ValueError("an informant is a professional or a related person, one of the two")
        return self


class Recipient(Part):
    """To whom the document was written."""

    id: Identifier | None = Field(None, description="PS_IdNat.")
    family: str | None = Field(None, max_length=100)
    given: str | None = Field(None, max_length=100)
    prefix: str | None = Field(None, pattern="^(M|MME)$")
    suffix: str | None = Field(None, pattern="^(DR|PR|MC|MG|PC|PG)$")
    addresses: tuple[Address, ...] = ()
    telecoms: tuple[Telecom, ...] = Field((), description="mailto: for a secure mailbox.")
    organization: Organization | None = None


class Participant(Part):
    """Another person who took part: regular doctor, replaced prescriber, wished pharmacist..."""

    type: str = Field(pattern="^(REF|REFB|INF|RESP|PRF|CON|VRF)$", description="JDV_J144 participation type.")
    function: Code | None = Field(None, description="JDV_J47 (PCP, CORRE, ES-PREF...).")
    time: Period | None = Field(None, description="When; unknown when absent.")
    entity_class: str = Field("PROV", pattern="^(PROV|AGNT)$", description="PROV health professional, AGNT other.")
    id: Identifier | None = None
    code: Code | None = Field(None, description="JDV_J01.")
    family: str | None = Field(None, max_length=100)
    given: str | None = Field(None, max_length=100)
    prefix: str | None = Field(None, pattern="^(M|MME)$")
    suffix: str | None = Field(None, pattern="^(DR|PR|MC|MG|PC|PG)$")
    addresses: tuple[Address, ...] = ()
    telecoms: tuple[Telecom, ...] = ()
    organization: Organization | None = None


class Order(Part):
    """A request this document answers (inFulfillmentOf)."""

    id: Identifier
    accession_number: Identifier | None = Field(None, description="DICOM accession number, for imaging.")


class Act(Part):
    """The care act documented: the first is the main one and has a period and a performer."""

    id: Identifier | None = None
    code: Code | None = Field(None, description="What was done (LOINC, CCAM, TA_ASIP...).")
    period: Period | None = None
    performer: Professional | None = Field(
        None, description="Who did it; its structure carries the practice setting (JDV_J04)."
    )
    informative: bool = Field(False, description="A context mark (classCode INFO), not an act done.")


class Encounter(Part):
    """The meeting or stay during which the act took place."""

    id: Identifier | None = None
    code: Code | None = Field(None, description="JDV_J142 (AMB, IMP, EMER, HH, VR...).")
    period: Period
    facility: Code = Field(description="Activity sector of the place, JDV_J02 (SA07 single practice...).")
    location_name: str | None = Field(None, max_length=200)
    location_address: Address | None = None
    discharge_disposition: Code | None = None
    responsible: Professional | None = None
    participants: tuple[tuple[str, Professional], ...] = Field((), description="JDV_J140 type and who.")


class Consent(Part):
    """An authorisation of the patient kept with the document (non-opposition to reuse...)."""

    code: Code
    id: Identifier | None = None


class Replaced(Part):
    """The document version that this one replaces (RPLC)."""

    id: Identifier = Field(description="ClinicalDocument/id of the former version.")
    version_number: int | None = Field(None, ge=1)


class Visibility(Part):
    """Who must not see the document in the DMP (TRE_A07)."""

    masked_from_professionals: bool = Field(False, description="MASQUE_PS.")
    hidden_from_patient: bool = Field(False, description="INVISIBLE_PATIENT, until an announcement consultation.")
    hidden_from_guardians: bool = Field(False, description="INVISIBLE_REPRESENTANTS_LEGAUX, a minor's secret.")

    @property
    def codes(self) -> frozenset[str]:
        """The TRE_A07 codes that apply."""
        pairs = (
            (self.masked_from_professionals, "MASQUE_PS"),
            (self.hidden_from_patient, "INVISIBLE_PATIENT"),
            (self.hidden_from_guardians, "INVISIBLE_REPRESENTANTS_LEGAUX"),
        )
        return frozenset(code for wanted, code in pairs if wanted)


class DocumentBase(Part):
    """The header common to every kind of document."""

    schema_version: str = Field("1.0", pattern=r"^1\.\d+$", description="Version of this format.")
    id: Identifier | None = Field(
        None, description="Unique id of this version; an OID in root alone. Given by the gateway when absent."
    )
    set_id: Identifier | None = Field(
        None, description="Constant over versions; the id of the first version when absent."
    )
    version_number: int = Field(1, ge=1, le=9999)
    replaces: Replaced | None = None
    title: str = Field(min_length=1, max_length=255)
    type: Code = Field(description="Document type, JDV_J07.")
    created_at: Moment = Field(description="When this version was made, with its offset.")
    language: str = Field("fr-FR", pattern="^[a-z]{2}-[A-Z]{2}$")
    confidentiality: str = Field("N", pattern="^[NRV]$", description="HL7 confidentiality.")
    visibility: Visibility = Visibility()
    patient: Patient
    authors: tuple[Author, ...] = Field(min_length=1, max_length=20)
    legal_authenticator: Authentication | None = Field(None, description="The first professional author when absent.")
    authenticators: tuple[Authentication, ...] = ()
    custodian: Organization | None = Field(
        None, description="Who keeps the original; the author's structure when absent."
    )
    data_enterer: DataEnterer | None = None
    informants: tuple[Informant, ...] = ()
    recipients: tuple[Recipient, ...] = ()
    participants: tuple[Participant, ...] = ()
    orders: tuple[Order, ...] = ()
    acts: tuple[Act, ...] = Field(min_length=1, max_length=50, description="Acts documented, the main one first.")
    encounter: Encounter
    consents: tuple[Consent, ...] = ()

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if len(self.created_at) < 16:
            raise ValueError("createdAt needs a time and an offset")
        main = self.acts[0]
        if main.period is None or main.period.start is None:
            raise ValueError("the main act needs a period with its start")
        if main.performer is None:
            raise ValueError("the main act needs a performer")
        return self

    @property
    def first_professional(self) -> Professional | None:
        """The first author who is a person."""
        return next((a.professional for a in self.authors if a.professional), None)
