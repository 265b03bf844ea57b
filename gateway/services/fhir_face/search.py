"""The search parameters of PDSm, as filters of the registry and as a sieve on what it gives (PDSm 3.1.1, ITI-66/67)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl

from adapters.dmp.search import SearchFilters
from conformance.verdict import Finding
from gateway.problems import rule
from mappings.xds import Code, DocumentEntry, PatientId, SubmissionSet
from mappings.xds import vocabulary as v
from mappings.xds.pdsm_words import STATUSES, code_of, coding, date_time

__all__ = ["PATIENT_PARAMETERS", "Asked", "BadSearch", "read_search"]

MISSING = rule(
    "PDSM-FIND-001",
    "Un paramètre obligatoire de la recherche manque.",
    "A mandatory parameter of the search is missing.",
    "Donnez patient.identifier (urn:oid:...|matricule) et status.",
    "Give patient.identifier (urn:oid:...|matricule) and status.",
    "IHE MHD ITI-67",
)
UNKNOWN = rule(
    "PDSM-FIND-002",
    "Ce paramètre de recherche n'est pas connu.",
    "This search parameter is not known.",
    "Voyez les paramètres dans /fhir/metadata.",
    "See the parameters in /fhir/metadata.",
    "PDSm 3.1.1",
)
BAD_VALUE = rule(
    "PDSM-FIND-003",
    "La valeur de ce paramètre n'a pas la forme attendue.",
    "The value of this parameter has not the expected form.",
    "Corrigez la valeur.",
    "Mend the value.",
    "FHIR R4 search",
)

#: Parameters that name a patient: never in a URL.
PATIENT_PARAMETERS: Final = frozenset(
    {"patient", "patient.identifier", "patient:identifier", "subject", "subject.identifier", "subject:identifier"}
)
_BY_IDENTIFIER: Final = ("patient.identifier", "patient:identifier")
_PAPERWORK: Final = frozenset({"_format", "_count", "_pretty", "_summary"})

_CODES: Final[Mapping[str, tuple[str, Callable[[DocumentEntry], Sequence[Code | None]]]]] = {
    "type": ("types", lambda e: (e.type_code,)),
    "category": ("classes", lambda e: (e.class_code,)),
    "format": ("formats", lambda e: (e.format_code,)),
    "facility": ("facility_types", lambda e: (e.facility_type,)),
    "setting": ("practice_settings", lambda e: (e.practice_setting,)),
    "security-label": ("confidentiality", lambda e: e.confidentiality),
    "event": ("events", lambda e: e.events),
}
_DATES: Final[Mapping[str, Callable[[DocumentEntry], str]]] = {
    "date": lambda e: e.creation_time,
    "creation": lambda e: e.creation_time,
    "period": lambda e: e.service_start_time,
    "period-start": lambda e: e.service_start_time,
    "period-end": lambda e: e.service_stop_time,
}
_DOCUMENT: Final = frozenset({*_CODES, *_DATES, "status", "identifier", "isArchived", "author"})
_LIST: Final = frozenset(
    {"code", "status", "date", "identifier", "designationType", "sourceId", "source", "title", "isArchived"}
)


class BadSearch(Exception):
    """A search that cannot be done, with every fault."""

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings
        super().__init__(", ".join(f.code for f in findings))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A search read."""

    patient: PatientId
    parameters: tuple[tuple[str, str], ...] = field(repr=False)
    filters: SearchFilters
    unique_ids: tuple[str, ...] = ()
    summary: bool = False  #: only the count is wanted

    def documents(self, entries: Iterable[DocumentEntry]) -> list[DocumentEntry]:
        """What matches every parameter, those the registry has no filter for included."""
        return [e for e in entries if all(_matches(e, name, value) for name, value in self.parameters)]

    def sets(self, sets: Iterable[SubmissionSet]) -> list[SubmissionSet]:
        """The submission sets that match every parameter."""
        return [s for s in sets if all(_set_matches(s, name, value) for name, value in self.parameters)]


def read_search(body: bytes, query: str, *, lists: bool = False) -> Asked:
    """Read a form-encoded search and what stood in the URL; raises :class:`BadSearch`."""
    try:
        text = body.decode("utf-8")
        asked = [
            *parse_qsl(query, keep_blank_values=True, max_num_fields=100),
            *parse_qsl(text, keep_blank_values=True, max_num_fields=100),
        ]
    except ValueError:
        raise BadSearch([BAD_VALUE.finding("", expected="application/x-www-form-urlencoded")]) from None
    known = _LIST if lists else _DOCUMENT
    faults = [
        UNKNOWN.finding(name[:40])
        for name in dict.fromkeys(n for n, _ in asked)
        if name not in known | PATIENT_PARAMETERS | _PAPERWORK
    ]
    names = {name for name, _ in asked}
    patients = [_patient(value) for name, value in asked if name in _BY_IDENTIFIER]
    if not patients or "status" not in names or (lists and "code" not in names):
        wanted = "patient.identifier, status" + (", code" if lists else "")
        faults.append(MISSING.finding("", expected=wanted))
    patient = patients[0] if patients else None
    if patients and (patient is None or len(set(patients)) > 1):
        faults.append(BAD_VALUE.finding("patient.identifier", expected="urn:oid:<OID de l'INS>|<matricule>"))
    kept = tuple((name, value) for name, value in asked if name in known)
    faults += [
        BAD_VALUE.finding(name, expected="[eq|ne|gt|ge|lt|le]AAAA-MM-JJ[Thh:mm:ss+hh:mm]")
        for name, value in kept
        if (name in _DATES or name == "date") and _interval(value) is None
    ]
    if faults or patient is None:
        raise BadSearch(faults)
    unique_ids = tuple(
        one.rpartition("|")[2].removeprefix("urn:oid:")
        for name, value in kept
        if name == "identifier"
        for one in value.split(",")
    )
    return Asked(
        patient=patient,
        parameters=kept,
        filters=_filters(kept) if not lists else _set_filters(kept),
        unique_ids=unique_ids if not any(u.startswith("urn:uuid:") for u in unique_ids) else (),
        summary=any((n, x) in (("_count", "0"), ("_summary", "count")) for n, x in asked),
    )


def _patient(value: str) -> PatientId | None:
    system, _, number = value.partition("|")
    authority = system.removeprefix("urn:oid:")
    if not number or authority not in v.INS_AUTHORITIES:
        return None
    return PatientId(value=number.strip().upper(), authority=authority, id_type="NH")


def _filters(parameters: Iterable[tuple[str, str]]) -> SearchFilters:
    """What the registry can filter by itself; the rest is sieved afterwards."""
    filters: dict[str, object] = {"statuses": (v.APPROVED, v.ARCHIVED)}
    events: list[tuple[Code, ...]] = []
    for name, value in parameters:
        if name == "status":
            wanted = value.split(",")
            filters["statuses"] = tuple(s for s, word in STATUSES.items() if s and word in wanted and s != v.DELETED)
        elif name in _CODES:
            codes = [_token(one) for one in value.split(",")]
            # A code without its system is no filter of the registry.
            if all(code is not None and code.scheme for code in codes):
                group = tuple(code for code in codes if code is not None)
                if name == "event":
                    events.append(group)
                else:
                    filters.setdefault(_CODES[name][0], group)
        elif name in ("date", "creation", "period", "period-start") and (span := _interval(value)) is not None:
            kind = "created" if name in ("date", "creation") else "service"
            if span[0] is not None:
                filters.setdefault(f"{kind}_from", span[0])
            if span[1] is not None:
                filters.setdefault(f"{kind}_to", span[1])
    return SearchFilters(events=tuple(events), **filters)  # type: ignore[arg-type]


def _set_filters(parameters: Iterable[tuple[str, str]]) -> SearchFilters:
    spans = [span for name, value in parameters if name == "date" and (span := _interval(value)) is not None]
    starts = [s for s, _ in spans if s is not None]
    ends = [e for _, e in spans if e is not None]
    return SearchFilters(submitted_from=max(starts, default=None), submitted_to=min(ends, default=None))


def _token(value: str) -> Code | None:
    system, separator, code = value.rpartition("|")
    return code_of({"system": system, "code": code} if separator else {"code": code})


def _interval(value: str) -> tuple[datetime | None, datetime | None] | None:
    """The instants a date parameter allows, from inclusive, to exclusive; None when it is no date."""
    prefix, text = (value[:2], value[2:]) if value[:2].isalpha() else ("eq", value)
    span = _span(text)
    if span is None or prefix not in ("eq", "ne", "gt", "ge", "lt", "le"):
        return None
    start, end = span
    return {
        "eq": (start, end),
        "ne": (None, None),
        "gt": (end, None),
        "ge": (start, None),
        "lt": (None, start),
        "le": (None, end),
    }[prefix]


def _span(text: str) -> tuple[datetime, datetime] | None:
    """A date or an instant as the span of time it names."""
    try:
        if len(text) == 4:
            start = datetime(int(text), 1, 1, tzinfo=UTC)
            return start, datetime(int(text) + 1, 1, 1, tzinfo=UTC)
        if len(text) == 7:
            year, month = int(text[:4]), int(text[5:])
            start = datetime(year, month, 1, tzinfo=UTC)
            return start, datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        if len(text) == 10:
            start = datetime.fromisoformat(text).replace(tzinfo=UTC)
            return start, start + timedelta(days=1)
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment, moment + timedelta(seconds=1)


def _matches(entry: DocumentEntry, name: str, value: str) -> bool:
    wanted = value.split(",")
    if name in _CODES:
        return any(_is(code, one) for code in _CODES[name][1](entry) for one in wanted)
    if name in _DATES:
        return _dated(_DATES[name](entry), value)
    if name == "status":
        return STATUSES.get(entry.status, "current") in wanted
    if name == "identifier":
        named = {one.rpartition("|")[2].removeprefix("urn:oid:") for one in wanted}
        return bool(named & {entry.unique_id, entry.entry_uuid})
    if name == "isArchived":
        return (entry.status == v.ARCHIVED) is (value == "true")
    if name == "author":
        ids = {one.rpartition("|")[2] for one in wanted}
        return any(a.person is not None and a.person.id in ids for a in entry.authors)
    return True


def _set_matches(sent: SubmissionSet, name: str, value: str) -> bool:
    wanted = value.split(",")
    if name == "code":
        return any(one.rpartition("|")[2] == "submissionset" for one in wanted)
    if name == "date":
        return _dated(sent.submission_time, value)
    if name == "status":
        return "current" in wanted
    if name == "identifier":
        named = {one.rpartition("|")[2].removeprefix("urn:oid:") for one in wanted}
        return bool(named & {sent.unique_id, sent.entry_uuid})
    if name == "designationType":
        return any(_is(sent.content_type, one) for one in wanted)
    if name == "sourceId":
        return sent.source_id in {one.rpartition("|")[2].removeprefix("urn:oid:") for one in wanted}
    if name == "source":
        ids = {one.rpartition("|")[2] for one in wanted}
        return any(a.person is not None and a.person.id in ids for a in sent.authors)
    if name == "title":
        return sent.title.casefold().startswith(value.casefold())
    return not (name == "isArchived" and value == "true")


def _is(code: Code | None, wanted: str) -> bool:
    if code is None:
        return False
    system, separator, value = wanted.rpartition("|")
    if code.code != value:
        return False
    return not separator or not system or coding(code).get("system") == system or code.scheme == _scheme(system)


def _scheme(system: str) -> str:
    code = code_of({"system": system, "code": "x"})
    return code.scheme if code is not None else ""


def _dated(dtm: str, value: str) -> bool:
    """True when the span a time of the registry names meets the one asked for (FHIR R4 search, date)."""
    asked = _interval(value)
    held = _span(date_time(dtm)) if dtm else None
    if asked is None or held is None:
        return False
    if value.startswith("ne"):
        other = _span(value[2:])
        return other is None or held[0] < other[0] or held[1] > other[1]
    start, end = asked
    return (start is None or held[1] > start) and (end is None or held[0] < end)
