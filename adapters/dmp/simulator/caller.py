"""Who calls the simulated DMP: the assertion verified, its attributes complete, its rights as the matrix gives them.

Every rule of dmp.md 6.2 and 6.5 that a sender can break; the matrix of 1.4 is a data file.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson
from cryptography import x509
from cryptography.x509.oid import NameOID
from lxml import etree

from adapters.dmp.simulator.refusals import SoapFault
from adapters.dmp.simulator.state import Patient, Registered
from mappings.xds import PatientId
from mappings.xds.cx import parse_cx
from security import vihf
from security.keyring import attribute_values
from security.vihf_verify import TrustPolicy, VerifiedVihf, VihfRefused, verify_vihf

__all__ = ["Caller", "CallerPolicy", "Doorman", "allowed"]

_DOCTOR: Final = "10"
_PHARMACIST: Final = "21"
_G15: Final = "1.2.250.1.71.1.2.7"
_G16: Final = "1.2.250.1.71.1.2.8"
_SECTOR: Final = re.compile(r"^[A-Z]{2}\d{2}\^1\.2\.250\.1\.71\.4\.2\.4$")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerPolicy:
    """Whom the simulated DMP lets in."""

    trust: TrustPolicy
    #: structure of the assertion -> structure of the certificate, for legal and geographic entities (EG, EJ)
    structure_pairs: Mapping[str, str] = field(default_factory=dict)
    versions: frozenset[str] = frozenset({"3.0", "4.0"})
    refuse_replays: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A verified caller."""

    assertion: VerifiedVihf = field(repr=False)
    mode: str
    purpose: str
    person: str = field(repr=False)
    structure: str
    profession: vihf.Coded
    specialty: vihf.Coded | None
    patient: PatientId | None = field(repr=False)
    secret_connection: bool

    def column(self, patient: Patient | None) -> str:
        """The column of the rights matrix this caller stands in, for a patient."""
        if self.mode == "INDIRECTE":
            return "structure"
        if self.profession.system not in (_G15, _G16):
            return "staff"
        if patient is not None and patient.treating_doctor and patient.treating_doctor == self.person:
            return "treating"
        # Only the direct matrix has a column for occupational doctors.
        if (
            self.mode == "DIRECTE"
            and self.specialty is not None
            and self.specialty.code in _rights()["occupational_specialties"]
        ):
            return "occupational"
        return "doctor" if self.profession.code == _DOCTOR else "cps"


@functools.cache
def _rights() -> dict[str, Any]:
    data: dict[str, Any] = orjson.loads((Path(__file__).parent / "data" / "rights.json").read_bytes())
    return data


def allowed(caller: Caller, right: str, patient: Patient | None, target: Registered | None = None) -> bool:
    """Say whether the matrix gives a caller a right on a record, or on one document of it."""
    rights = _rights()
    column = caller.column(patient)
    cells = rights[caller.mode].get(right, {}).get(column)
    if cells is None:
        return False
    order = rights["columns"][column]
    cell = cells.split()[order.index(caller.purpose)]
    own = target is not None and _owns(caller, target)
    same_structure = target is not None and target.owner_structure == caller.structure
    patient_allows = patient is not None and patient.allows_break_glass
    return {
        "y": True,
        "n": False,
        "own": own,
        "structure": target is None or same_structure,
        "allowed": patient_allows,
        "own_or_allowed": own or patient_allows,
    }[cell]


def _owns(caller: Caller, target: Registered) -> bool:
    authors = {a.person.id for a in target.entry.authors if a.person is not None}
    return caller.person in authors or target.owner_person == caller.person


class Doorman:
    """Verifies assertions; remembers their ids, since each serves once."""

    def __init__(self, policy: CallerPolicy) -> None:
        self.policy = policy
        self._lock = threading.Lock()
        self._seen: dict[str, datetime] = {}

    def admit(self, message: etree._Element, tls_certificate: bytes | None, now: datetime) -> Caller:
        """Give the caller of a message. Raises :class:`SoapFault`."""
        try:
            verified = verify_vihf(message, self.policy.trust, now=now)
        except VihfRefused as exc:
            subcode = "DMPInvalidCertificate" if exc.code.startswith("VIHF-CERTIFICATE") else "DMPInvalidVIHF"
            raise SoapFault("Sender", subcode, str(exc)) from None
        self._once(verified, now)
        return self._caller(verified, tls_certificate)

    def _once(self, verified: VerifiedVihf, now: datetime) -> None:
        if not self.policy.refuse_replays:
            return
        horizon = now - self.policy.trust.max_age - 2 * self.policy.trust.skew
        with self._lock:
            if verified.assertion_id in self._seen:
                raise _invalid("VIHF-REPLAY", "l'assertion a déjà servi")
            self._seen[verified.assertion_id] = now
            if len(self._seen) > 20_000:
                self._seen = {key: at for key, at in self._seen.items() if at > horizon}

    def _caller(self, verified: VerifiedVihf, tls_certificate: bytes | None) -> Caller:
        a = verified.attributes
        for name in (
            vihf.VERSION,
            vihf.STRUCTURE,
            vihf.SECTOR,
            vihf.RESOURCE_URN,
            vihf.LPS_NAME,
            vihf.LPS_VERSION,
            vihf.LPS_HOMOLOGATION,
        ):
            if not a.get(name):
                raise _invalid("VIHF-ATTRIBUTE", f"attribut absent : {name}")
        mode = verified.mode
        if mode not in ("DIRECTE", "INDIRECTE", "INDIRECTE_RENFORCEE"):
            raise _invalid("VIHF-MODE", "Authentification_mode absent ou inconnu")
        if a[vihf.VERSION] not in self.policy.versions:
            raise _invalid("VIHF-VERSION", "VIHF_Version inconnue")
        if a[vihf.RESOURCE_URN] != "urn:dmp":
            raise _invalid("VIHF-RESOURCE", "Ressource_URN n'est pas urn:dmp")
        if not _SECTOR.match(a[vihf.SECTOR]):
            raise _invalid("VIHF-SECTOR", "Secteur_Activite mal formé")
        if mode != "DIRECTE" and not a.get(vihf.SUBJECT_ID):
            raise _invalid("VIHF-SUBJECT", "subject-id absent")
        if not verified.name_id:
            raise _invalid("VIHF-NAMEID", "NameID absent")
        if verified.authn_instant is None or verified.authn_instant > verified.issue_instant + timedelta(seconds=60):
            raise _invalid("VIHF-AUTHN", "AuthnInstant absent ou postérieur à l'émission")
        if not verified.authn_context or (mode == "INDIRECTE_RENFORCEE") != (verified.authn_declaration is not None):
            raise _invalid("VIHF-AUTHN", "AuthnContext incomplet, ou AuthnContextDecl hors de l'AIR")
        profession, specialty = _roles(verified)
        purpose = verified.purpose
        if (
            purpose is None
            or purpose.system != "1.2.250.1.213.1.1.4.248"
            or purpose.code not in ("normal", "bris_de_glace", "centre_15")
        ):
            raise _invalid("VIHF-PURPOSE", "PurposeOfUse absent ou inconnu")
        secret = a.get(vihf.CONFIDENTIALITY, "")
        if secret and secret != vihf.MINOR_CONNECTION:
            raise _invalid("VIHF-CONFIDENTIALITY", "confidentiality-code inconnu")
        if mode != "DIRECTE":
            self._structure(a[vihf.STRUCTURE], verified, tls_certificate)
        _issuer(verified)
        return Caller(
            assertion=verified,
            mode=mode,
            purpose=purpose.code,
            person=verified.name_id,
            structure=a[vihf.STRUCTURE],
            profession=profession,
            specialty=specialty,
            patient=parse_cx(a.get(vihf.RESOURCE_ID, "")),
            secret_connection=bool(secret),
        )

    def _structure(self, structure: str, verified: VerifiedVihf, tls_certificate: bytes | None) -> None:
        expected = self.policy.structure_pairs.get(structure, structure)
        if expected not in attribute_values(verified.certificate.subject, NameOID.ORGANIZATIONAL_UNIT_NAME):
            raise SoapFault("Sender", "DMPInvalidVIHF", "VIHF-STRUCTURE: la structure n'est pas celle du certificat")
        if tls_certificate is None:
            raise SoapFault("Sender", "DMPInvalidCertificate", "TLS: aucun certificat client")
        tls = x509.load_der_x509_certificate(tls_certificate)
        if expected not in attribute_values(tls.subject, NameOID.ORGANIZATIONAL_UNIT_NAME):
            raise SoapFault("Sender", "DMPInvalidCertificate", "TLS: certificat d'une autre structure")


def _invalid(code: str, reason: str) -> SoapFault:
    return SoapFault("Sender", "DMPInvalidVIHF", f"{code}: {reason}")


def _roles(verified: VerifiedVihf) -> tuple[vihf.Coded, vihf.Coded | None]:
    if not 1 <= len(verified.roles) <= 2:
        raise _invalid("VIHF-ROLE", "un ou deux rôles attendus")
    first = verified.roles[0]
    second = verified.roles[1] if len(verified.roles) == 2 else None
    if not first.code or not first.system:
        raise _invalid("VIHF-ROLE", "rôle incomplet")
    if first.system == _G15 and first.code in (_DOCTOR, _PHARMACIST) and second is None:
        raise _invalid("VIHF-SPECIALTY", "spécialité obligatoire pour les médecins et les pharmaciens")
    return first, second


_ESCAPED: Final = re.compile(r"\\([0-9A-Fa-f]{2}|.)")


def dn_parts(text: str) -> frozenset[tuple[str, str]]:
    """Split a distinguished name into its attributes, whatever their order and blanks."""
    parts: set[tuple[str, str]] = set()
    for piece in re.split(r"(?<!\\)[,+]", text):
        name, separator, value = piece.strip().partition("=")
        if separator:
            clean = _ESCAPED.sub(
                lambda m: m.group(1) if len(m.group(1)) == 1 else chr(int(m.group(1), 16)), value.strip()
            )
            parts.add((name.strip().upper(), clean.strip()))
    return frozenset(parts)


def _issuer(verified: VerifiedVihf) -> None:
    subject = verified.certificate.subject
    if dn_parts(verified.issuer) != dn_parts(subject.rfc4514_string()):
        raise _invalid("VIHF-ISSUER", "Issuer n'est pas le sujet du certificat")
