"""The search parameters of PDSm on DocumentReference (ITI-67), applied to what the registry holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl

from adapters.dmp.simulator.refusals import Refused
from adapters.dmp.simulator.state import Registered
from mappings.xds import Code, DocumentEntry
from mappings.xds import vocabulary as v
from mappings.xds.pdsm_words import STATUSES, coding, date_time

__all__ = ["select"]

_CODES: Final[Mapping[str, Callable[[DocumentEntry], Sequence[Code | None]]]] = {
    "type": lambda e: (e.type_code,),
    "category": lambda e: (e.class_code,),
    "format": lambda e: (e.format_code,),
    "facility": lambda e: (e.facility_type,),
    "setting": lambda e: (e.practice_setting,),
    "event": lambda e: e.events,
    "security-label": lambda e: e.confidentiality,
}
_DATES: Final[Mapping[str, Callable[[DocumentEntry], str]]] = {
    "date": lambda e: e.creation_time,
    "creation": lambda e: e.creation_time,
    "period": lambda e: e.service_start_time,
    "period-start": lambda e: e.service_start_time,
    "period-end": lambda e: e.service_stop_time,
}
_OTHERS: Final = (
    "patient",
    "patient.identifier",
    "status",
    "identifier",
    "isArchived",
    "author",
    "_count",
    "_format",
    "_elements",
)


def select(found: Iterable[Registered], query: str, matricule: str) -> list[Registered]:
    """Keep what matches a form-encoded search. Raises :class:`Refused`: patient and status are mandatory."""
    asked = parse_qsl(query, keep_blank_values=True)
    names = {name for name, _ in asked}
    unknown = names - _CODES.keys() - _DATES.keys() - set(_OTHERS)
    if unknown:
        raise Refused.because("XDSStoredQueryParamNumber", f"paramètre inconnu : {min(unknown)[:40]}")
    if not names & {"patient", "patient.identifier"} or "status" not in names:
        raise Refused.because("XDSStoredQueryMissingParam", "patient.identifier et status sont obligatoires")
    for name, value in asked:
        if name in ("patient", "patient.identifier") and value.rpartition("|")[2] != matricule:
            raise Refused.because("XDSPatientIdDoesNotMatch", "le patient n'est pas celui du jeton")
    return [r for r in found if all(_matches(r.entry, name, value) for name, value in asked)]


def _matches(entry: DocumentEntry, name: str, value: str) -> bool:
    if name in _CODES:
        return any(_token(code, one) for code in _CODES[name](entry) for one in value.split(","))
    if name in _DATES:
        return _dated(date_time(_DATES[name](entry)), value)
    if name == "status":
        return STATUSES.get(entry.status) in value.split(",")
    if name == "identifier":
        wanted = value.rpartition("|")[2].removeprefix("urn:oid:")
        return wanted in (entry.unique_id, entry.entry_uuid)
    if name == "isArchived":
        return (entry.status == v.ARCHIVED) is (value == "true")
    if name == "author":
        wanted = value.rpartition("|")[2]
        return any(a.person is not None and wanted == a.person.id for a in entry.authors)
    return True


def _token(code: Code | None, wanted: str) -> bool:
    if code is None:
        return False
    system, separator, value = wanted.rpartition("|")
    return code.code == value and (not separator or not system or coding(code).get("system") == system)


def _dated(moment: str, value: str) -> bool:
    prefix, bound = (value[:2], value[2:]) if value[:2].isalpha() else ("eq", value)
    # Texts of ISO form compare as the instants they name; the shorter one decides the precision.
    short = moment[: len(bound)]
    return {
        "eq": short == bound,
        "ne": short != bound,
        "ge": short >= bound,
        "gt": short > bound,
        "le": short <= bound,
        "lt": short < bound,
    }.get(prefix, False)
