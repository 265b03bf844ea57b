"""Who calls the DMP: one person in one structure, as the assertion and the submission set must both say it.

The author of the set must be the user of the VIHF, and its institution the structure of the VIHF (dmp.md 6.5): both
are made from this one value.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mappings.xds import Author, Code, Organization, PatientId, Person
from mappings.xds.cx import format_cx, person_id_type
from mappings.xds.vocabulary import PROFESSIONAL_AUTHORITY, STRUCTURE_AUTHORITY
from security.vihf import Coded, Mode, Purpose, Software, VihfClaims

__all__ = ["Actor"]

_G15 = "1.2.250.1.71.1.2.7"
_SECTOR = "1.2.250.1.71.4.2.4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A user of the practice's software, and the structure the call is made for."""

    id: str  #: PS_IdNat (``8`` + RPPS), or ``3<FINESS>/<internal>``
    family: str
    given: str
    profession: Coded  #: G15, such as ``10`` for a doctor
    specialty: Coded | None = None  #: R01 (G05 for pharmacists); the DMP wants it of doctors and pharmacists
    structure_id: str  #: Struct_IdNat, ``1`` + FINESS
    structure_name: str
    sector: str = "SA07"  #: TRE_R02
    role: str = ""  #: plain label, such as ``Médecin traitant``
    authn_instant: datetime  #: login in the practice's software
    authn_context: str = "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"
    authn_declaration: str | None = None  #: AIR only

    def author(self) -> Author:
        """The author of a submission set, as XDS metadata."""
        code = f"{self.profession.system_name or 'G15'}_{self.profession.code}"
        display = self.profession.display
        if self.specialty is not None:
            code += f"/{self.specialty.code}"
            display = f"{display} - {self.specialty.display}" if self.specialty.display else display
        return Author(
            person=Person(
                id=self.id,
                family=self.family,
                given=self.given,
                authority=PROFESSIONAL_AUTHORITY,
                id_type=person_id_type(self.id),
            ),
            institutions=(Organization(name=self.structure_name, id=self.structure_id, authority=STRUCTURE_AUTHORITY),),
            roles=(self.role,) if self.role else (),
            # TRE_A02 joins profession and specialty; other tables (A00, R85) keep their own code and scheme.
            specialties=(
                Code(code=code, display=display, scheme="1.2.250.1.213.1.1.4.5")
                if self.profession.system == _G15
                else Code(code=self.profession.code, display=self.profession.display, scheme=self.profession.system),
            ),
        )

    def claims(
        self,
        mode: Mode,
        software: Software,
        *,
        patient: PatientId | None,
        purpose: Purpose = Purpose.NORMAL,
        secret_connection: bool = False,
    ) -> VihfClaims:
        """What the VIHF of one call says."""
        return VihfClaims(
            mode=mode,
            name_id=self.id,
            subject_name=f"{self.given} {self.family}".strip(),
            structure_id=self.structure_id,
            sector=f"{self.sector}^{_SECTOR}",
            roles=(self.profession,) if self.specialty is None else (self.profession, self.specialty),
            software=software,
            authn_instant=self.authn_instant,
            authn_context=self.authn_context,
            authn_declaration=self.authn_declaration,
            patient=None if patient is None else format_cx(patient),
            purpose=purpose,
            secret_connection=secret_connection,
        )
