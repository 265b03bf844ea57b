"""Is the person INSi names the person of the record? The comparison of traits, and what each answer permits.

No official text gives a full decision table. Anchors: separators of given names (EXI ID 10), and the DMP requirement
EX_GEN-1230 that only the user may go on when traits differ. The rest is this project's conservative table: no edit
distance, no phonetics, no name used.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from conformance.identity.lexical import NameKind, normalise, spaced
from conformance.identity.traits import Traits, complete_date, first_of_list

__all__ = ["PERMISSIONS", "REASONS", "Comparison", "Match", "Permission", "compare"]


class Match(IntEnum):
    """How close two sets of traits are; the worst trait decides."""

    MATCH_EXACT = 0
    MATCH_EQUIVALENT = 1
    REVIEW = 2
    NO_MATCH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """What may be done with an INSi answer."""

    attended: str  #: when a person sees both sets: ``accept``, ``confirm``, ``recheck_proof`` or ``refuse``
    unattended: str  #: when nobody does: ``accept``, ``hold`` or ``refuse``


PERMISSIONS: Final = {
    Match.MATCH_EXACT: Permission(attended="accept", unattended="accept"),
    # INSi traits then replace the strict traits to the letter (EXI REC 08).
    Match.MATCH_EQUIVALENT: Permission(attended="confirm", unattended="hold"),
    # Only after a new check of the proof by a person, with a recorded reason.
    Match.REVIEW: Permission(attended="recheck_proof", unattended="refuse"),
    Match.NO_MATCH: Permission(attended="refuse", unattended="refuse"),
}

#: Every reason and how grave it is.
REASONS: Final = {
    "BIRTH_NAME_SEPARATORS": Match.MATCH_EQUIVALENT,
    "BIRTH_NAME_DIFFERS": Match.NO_MATCH,
    "FIRST_GIVEN_NAME_SEPARATORS": Match.MATCH_EQUIVALENT,
    "GIVEN_NAME_NOT_FIRST": Match.REVIEW,
    "FIRST_GIVEN_NAME_DIFFERS": Match.NO_MATCH,
    "GIVEN_LIST_SEPARATORS": Match.MATCH_EQUIVALENT,
    "GIVEN_LIST_INCOMPLETE": Match.MATCH_EQUIVALENT,
    "GIVEN_LIST_DIFFERS": Match.REVIEW,
    "SEX_UNDETERMINED": Match.REVIEW,
    "SEX_DIFFERS": Match.NO_MATCH,
    "BIRTH_DATE_COMPLETED": Match.MATCH_EQUIVALENT,
    "BIRTH_YEAR_UNKNOWN": Match.REVIEW,
    "BIRTH_DATE_DIFFERS": Match.NO_MATCH,
    "BIRTH_PLACE_ABSENT_IN_INSI": Match.MATCH_EQUIVALENT,
    "BIRTH_PLACE_TO_COMPLETE": Match.MATCH_EQUIVALENT,
    "BIRTH_PLACE_UNKNOWN_IN_INSI": Match.REVIEW,
    "BIRTH_PLACE_HISTORICAL_CODE": Match.REVIEW,
    "BIRTH_PLACE_DIFFERS": Match.NO_MATCH,
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The verdict, the reasons in the order of the traits, and what may be done."""

    match: Match
    reasons: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """The verdict's word: ``MATCH_EXACT``, ``MATCH_EQUIVALENT``, ``REVIEW`` or ``NO_MATCH``."""
        return self.match.name

    @property
    def attended(self) -> str:
        """What a person who sees both sets may do."""
        return PERMISSIONS[self.match].attended

    @property
    def unattended(self) -> str:
        """What software alone may do; only an exact match is ever accepted."""
        return PERMISSIONS[self.match].unattended


def compare(local: Traits, insi: Traits) -> Comparison:
    """Compare the traits of a record with those INSi returned.

    A missing name, sex or date never matches. INSi often leaves the first given name out: the list then gives it.
    """
    reasons: list[str] = []
    for reason in (
        _birth_name(local.birth_name, insi.birth_name),
        *_given_names(local, insi),
        _sex(local.sex, insi.sex),
        _birth_date(local.birth_date, insi.birth_date),
        _birth_place(local.birth_place, insi.birth_place),
    ):
        if reason is not None:
            reasons.append(reason)
    worst = max((REASONS[r] for r in reasons), default=Match.MATCH_EXACT)
    return Comparison(worst, tuple(reasons))


def _birth_name(local: str, insi: str) -> str | None:
    ours = normalise(local, NameKind.BIRTH_NAME).output
    theirs = normalise(insi, NameKind.BIRTH_NAME).output
    if not ours or not theirs:
        return "BIRTH_NAME_DIFFERS"
    if ours == theirs:
        return None
    return "BIRTH_NAME_SEPARATORS" if spaced(ours) == spaced(theirs) else "BIRTH_NAME_DIFFERS"


def _given_names(local: Traits, insi: Traits) -> tuple[str | None, str | None]:
    theirs = normalise(insi.given_names or insi.first_given_name, NameKind.GIVEN_NAME).output
    held = normalise(local.given_names, NameKind.GIVEN_NAME).output if local.given_names else ""
    first = normalise(local.first_given_name, NameKind.GIVEN_NAME).output or first_of_list(held)
    if not theirs or not first:
        return "FIRST_GIVEN_NAME_DIFFERS", None
    names = spaced(theirs).strip()
    return _first_name(first, theirs, names), _list(held, theirs, names) if held else None


def _first_name(first: str, theirs: str, names: str) -> str | None:
    if first == first_of_list(theirs):
        return None
    words = spaced(first).strip()
    if not words:
        return "FIRST_GIVEN_NAME_DIFFERS"
    if f"{names} ".startswith(f"{words} "):
        return "FIRST_GIVEN_NAME_SEPARATORS"
    return "GIVEN_NAME_NOT_FIRST" if f" {words} " in f" {names} " else "FIRST_GIVEN_NAME_DIFFERS"


def _list(held: str, theirs: str, names: str) -> str | None:
    if held == theirs:
        return None
    words = spaced(held).strip()
    if words == names:
        return "GIVEN_LIST_SEPARATORS"
    return "GIVEN_LIST_INCOMPLETE" if words and names.startswith(f"{words} ") else "GIVEN_LIST_DIFFERS"


def _sex(local: str, insi: str) -> str | None:
    ours, theirs = local.strip().upper(), insi.strip().upper()
    # An unknown never equals an unknown: INSi itself only returns M or F (EF_INS25_04).
    if ours == "I" or theirs == "I":
        return "SEX_UNDETERMINED"
    return None if ours == theirs and ours in ("M", "F") else "SEX_DIFFERS"


def _birth_date(local: str, insi: str) -> str | None:
    if local == insi and len(local) == 10 and local[:4] != "0000" and complete_date(local).output is not None:
        return None
    ours, theirs = complete_date(local), complete_date(insi)
    if ours.code == "BAD_FORMAT" or theirs.code == "BAD_FORMAT":
        return "BIRTH_DATE_DIFFERS"
    if ours.code or theirs.code:
        return "BIRTH_YEAR_UNKNOWN"
    return "BIRTH_DATE_COMPLETED" if ours.output == theirs.output else "BIRTH_DATE_DIFFERS"


_UNKNOWN_PLACE: Final = "99999"
# Country code abroad -> departments of the time before independence.
_COUNTRIES: Final = {
    "99352": ("91", "92", "93", "94"),  # Algeria
    "99350": ("95",),  # Morocco
    "99351": ("96",),  # Tunisia
}
# Department today -> department of old, the three digits of the commune unchanged.
_DEPARTMENTS: Final = {
    **dict.fromkeys(("2A", "2B"), ("20",)),
    **dict.fromkeys(("92", "93", "94", "95"), ("75", "78")),
}


def _birth_place(local: str, insi: str) -> str | None:
    ours, theirs = local.strip().upper(), insi.strip().upper()
    if not theirs:
        return "BIRTH_PLACE_ABSENT_IN_INSI"
    if theirs == _UNKNOWN_PLACE:
        return "BIRTH_PLACE_UNKNOWN_IN_INSI"
    if ours == theirs:
        return None
    if not ours or ours == _UNKNOWN_PLACE:
        return "BIRTH_PLACE_TO_COMPLETE"
    historical = _historical(ours, theirs) or _historical(theirs, ours)
    return "BIRTH_PLACE_HISTORICAL_CODE" if historical else "BIRTH_PLACE_DIFFERS"


def _historical(today: str, old: str) -> bool:
    if len(today) != 5 or len(old) != 5:
        return False
    if today in _COUNTRIES:
        return old[:2] in _COUNTRIES[today]
    return today[2:] == old[2:] and old[:2] in _DEPARTMENTS.get(today[:2], ())
