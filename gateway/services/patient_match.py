"""Whom a received document is about: filed by itself on full equality only, never on a doubtful match (mss.md 7.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from conformance.identifiers import check_matricule
from gateway import identities
from gateway.identities import Identity
from gateway.vault import Vault
from mappings.document.people import Ins, Patient
from mappings.xds.vocabulary import INS_AUTHORITIES

if TYPE_CHECKING:
    from adapters.mss.documents import Traits
    from adapters.mss.unpack import PatientKey

__all__ = ["Match", "match_patient"]

_SEX = {"M": "M", "F": "F", "I": "U"}  # of the hub, as the header's PID-8 writes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """How sure it is whom a document is about."""

    kind: str  #: ``exact``; ``doubtful``: the INS is known, the rest differs; ``unknown``; ``none``: no usable INS
    identity: str | None = None  #: the local file, of an exact match only


def match_patient(connection: Connection, vault: Vault, tenant: str, patient: PatientKey, *, environment: str) -> Match:
    """Match by INS, then require birth name, first given name, birth date and sex to be equal.

    One qualified local file must remain: several files for one number, or a file whose identity is in doubt, are left
    to a person. A test number never matches outside the test environment.
    """
    number = patient.identifier
    if number is None or number.authority not in INS_AUTHORITIES:
        return Match(kind="none")
    if not check_matricule(number.value, number.authority, environment).ok:
        return Match(kind="none")
    found = identities.with_ins(connection, vault, tenant, Ins(value=number.value, authority=number.authority))
    if not found:
        return Match(kind="unknown")
    if len(found) == 1 and _sure(found[0]) and _same(found[0].patient, patient.traits):
        return Match(kind="exact", identity=found[0].id)
    return Match(kind="doubtful")


def _sure(identity: Identity) -> bool:
    return identity.qualified and "homonyme" not in identity.patient.attributes


def _same(patient: Patient, traits: Traits) -> bool:
    return traits.complete and (
        _plain(patient.birth_name),
        _plain(patient.first_given_name or ""),
        patient.birth_date.replace("-", ""),
        _SEX[str(patient.sex)],
    ) == (_plain(traits.family), _plain(traits.given), traits.birth_date, traits.sex)


def _plain(name: str) -> str:
    """Case and runs of spaces are of no meaning in a name of the INS base; everything else is."""
    return " ".join(name.upper().split())
