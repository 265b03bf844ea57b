"""The strict traits of a person (RNIV), first-name coherence, and dates that are not quite dates."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from conformance.identity.lexical import NameKind, Normalised, normalise, spaced

__all__ = [
    "BirthDate",
    "NameKind",
    "Normalised",
    "Traits",
    "complete_date",
    "first_name_coherent",
    "first_of_list",
    "normalise",
    "spaced",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """The strict traits, as held by a record or returned by INSi; an empty text is a trait not known.

    ``repr`` shows none of them.
    """

    birth_name: str = ""
    first_given_name: str = ""  #: first birth given name
    given_names: str = ""  #: all birth given names, space separated; compound ones keep their hyphen
    sex: str = ""  #: ``M``, ``F`` or ``I`` (undetermined; INSi never returns it)
    birth_date: str = ""  #: ``YYYY-MM-DD``, perhaps with zeros
    birth_place: str = ""  #: COG code

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Traits:
        """Build from a mapping of the six names. Raises ``TypeError`` on a value that is not a text or None."""
        texts = [values.get(name) for name in _NAMES]
        for text in texts:
            if text is not None and not isinstance(text, str):
                raise TypeError("a trait must be a text")
        birth_name, first, given, sex, date, place = (text or "" for text in texts)
        return cls(
            birth_name=birth_name,
            first_given_name=first,
            given_names=given,
            sex=sex,
            birth_date=date,
            birth_place=place,
        )

    def as_dict(self) -> dict[str, str]:
        """The six traits by name."""
        return {name: getattr(self, name) for name in _NAMES}

    def __repr__(self) -> str:
        return f"Traits({', '.join(name for name in _NAMES if getattr(self, name))})"


_NAMES: Final = ("birth_name", "first_given_name", "given_names", "sex", "birth_date", "birth_place")


def first_name_coherent(first_given_name: str, given_names: str) -> bool:
    """True when the first given name is the beginning of the list, on a word boundary (EXI ID 10).

    Hyphens and apostrophes count as spaces; an empty first name is never coherent.
    """
    first = spaced(normalise(first_given_name, NameKind.GIVEN_NAME).output).strip()
    names = spaced(normalise(given_names, NameKind.GIVEN_NAME).output).strip()
    return bool(first) and (names == first or names.startswith(first + " "))


def first_of_list(given_names: str) -> str:
    """The first name of a list of given names, hyphen kept."""
    return given_names.split(" ", 1)[0] if given_names else ""


class BirthDate(NamedTuple):
    """A birth date as the health identity stores it."""

    output: str | None  #: ``YYYY-MM-DD``, None when no date can be told
    estimated: bool  #: completed by rule: must carry the uncertain marker (EXI ID 11 and 12)
    code: str | None  #: ``BAD_FORMAT`` or ``BIRTH_YEAR_UNKNOWN``


_DATE: Final = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")
_BAD_FORMAT: Final = BirthDate(None, False, "BAD_FORMAT")
# A person chooses a year that suits the announced age: nothing can be completed by rule.
_YEAR_UNKNOWN: Final = BirthDate(None, True, "BIRTH_YEAR_UNKNOWN")


def complete_date(value: str) -> BirthDate:
    """Complete a birth date that INSi or a record gives in part (EXI ID 11, EXI PP 19).

    Year and month: first of the month. Year and day: that day of January. Year alone: 31 December. A day that does not
    exist counts as unknown, a month above 12 makes month and day unknown.
    """
    match = _DATE.fullmatch(value.strip())
    if match is None:
        return _BAD_FORMAT
    year_text = match[1]
    year, month, day = int(year_text), int(match[2] or 0), int(match[3] or 0)
    if year == 0:
        return _YEAR_UNKNOWN
    if month > 12:
        month = day = 0
    if day and day > (monthrange(year, month or 1)[1]):
        day = 0
    if month and day:
        return BirthDate(f"{year_text}-{month:02d}-{day:02d}", False, None)
    if month:
        return BirthDate(f"{year_text}-{month:02d}-01", True, None)
    if day:
        return BirthDate(f"{year_text}-01-{day:02d}", True, None)
    return BirthDate(f"{year_text}-12-31", True, None)
