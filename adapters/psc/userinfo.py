"""What Pro Santé Connect says of a practitioner, and the one exercise under which they act.

A person may have several exercises and several activities: the caller chooses, nothing is guessed (ins-identity.md
11.3, dmp.md 6.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from conformance.identifiers import IdentifierError, PsIdNat

__all__ = ["Activity", "AmbiguousSituation", "BadUserinfo", "Professional", "Situation", "read_userinfo"]


class BadUserinfo(Exception):
    """The provider's answer does not say who the practitioner is; ``code`` says what is missing."""

    def __init__(self, code: str, expected: str) -> None:
        self.code = code
        self.expected = expected
        super().__init__(f"{code}: expected {expected}")


class AmbiguousSituation(Exception):
    """The practitioner has several situations, and none was chosen; ``choices`` lists them by structure."""

    def __init__(self, choices: tuple[str, ...]) -> None:
        self.choices = choices
        super().__init__("several situations: " + ", ".join(choices))


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """A place of practice."""

    structure_id: str  #: Struct_IdNat with its prefix, or a technical number
    structure_name: str
    sector: str  #: TRE_R02, ``SA07``
    mode: str  #: ``L`` self-employed, ``S`` employed
    pharmacist_section: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """One exercise at one place: what a VIHF needs."""

    profession: str  #: G15, ``10``
    specialty: str  #: R01, ``SM26``; empty when the profession has none
    family: str
    given: str
    activity: Activity


@dataclass(frozen=True, slots=True, kw_only=True)
class Professional:
    """A practitioner authenticated by Pro Santé Connect."""

    id: str  #: PS_IdNat
    family: str
    given: str
    situations: tuple[Situation, ...]

    @property
    def rpps(self) -> str | None:
        """The RPPS of a person known by it."""
        return self.id[1:] if len(self.id) == 12 and self.id.startswith("8") else None

    def situation(self, structure_id: str | None = None) -> Situation:
        """The situation at a structure, or the only one; raises :class:`AmbiguousSituation` or :class:`BadUserinfo`."""
        fitting = [s for s in self.situations if structure_id in (None, s.activity.structure_id)]
        if len(fitting) == 1:
            return fitting[0]
        if not fitting:
            raise BadUserinfo("PSC-SITUATION-001", "a situation at the structure acted for")
        raise AmbiguousSituation(tuple(sorted({s.activity.structure_id for s in fitting})))


def _structure(activity: Mapping[str, Any]) -> str:
    known = str(activity.get("ancienIdentifiantDeLaStructure") or "")
    if known:
        return known
    for member, prefix in (("numeroFinessSite", "1"), ("numeroSiretSite", "3"), ("numeroSirenSite", "2")):
        if activity.get(member):
            return f"{prefix}{activity[member]}"
    return str(activity.get("identifiantTechniqueDeLaStructure") or "")


def read_userinfo(value: Mapping[str, Any]) -> Professional:
    """Read the userinfo of Pro Santé Connect. Raises :class:`BadUserinfo`, without repeating a value."""
    identifier = str(value.get("SubjectNameID") or value.get("preferred_username") or "")
    try:
        PsIdNat.parse(identifier)
    except IdentifierError as exc:
        raise BadUserinfo("PSC-ID-001", f"SubjectNameID as a national identifier ({exc.code})") from None
    reference = value.get("SubjectRefPro")
    exercises = reference.get("exercices") if isinstance(reference, Mapping) else None
    situations: list[Situation] = []
    for exercise in exercises if isinstance(exercises, list) else []:
        if not isinstance(exercise, Mapping):
            continue
        for activity in exercise.get("activities") or [{}]:
            situations.append(
                Situation(
                    profession=str(exercise.get("codeProfession") or ""),
                    specialty=str(exercise.get("codeSavoirFaire") or ""),
                    family=str(exercise.get("nomDexercice") or value.get("family_name") or ""),
                    given=str(exercise.get("prenomDexercice") or value.get("given_name") or ""),
                    activity=Activity(
                        structure_id=_structure(activity),
                        structure_name=str(activity.get("raisonSocialeSite") or ""),
                        sector=str(activity.get("codeSecteurDactivite") or ""),
                        mode=str(activity.get("codeModeExercice") or ""),
                        pharmacist_section=str(activity.get("codeSectionPharmacien") or ""),
                    ),
                )
            )
    if not situations:
        raise BadUserinfo("PSC-REF-001", "SubjectRefPro with at least one exercise")
    return Professional(
        id=identifier,
        family=str(value.get("family_name") or ""),
        given=str(value.get("given_name") or ""),
        situations=tuple(situations),
    )
