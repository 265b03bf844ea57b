"""Searches in a record (TD3.1a): plain filters in, document entries out.

By attributes is one stored query; by date of submission takes three, since XDS has no such filter (dmp.md 8.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from adapters.dmp.messages import query_list, query_string
from mappings.xds import Code, DocumentEntry, PatientId
from mappings.xds import vocabulary as v
from mappings.xds.cx import format_cx, format_xcn
from mappings.xds.times import dtm

__all__ = ["BATCH", "SearchFilters", "batches", "matches", "set_slots", "slots"]

#: How many documents are asked for at once (SEL-MP-037 as quoted).
BATCH: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFilters:
    """What to look for; empty means no filter. Several codes of one kind mean OR."""

    statuses: tuple[str, ...] = (v.APPROVED,)
    classes: tuple[Code, ...] = ()
    types: tuple[Code, ...] = ()
    formats: tuple[Code, ...] = ()
    practice_settings: tuple[Code, ...] = ()
    facility_types: tuple[Code, ...] = ()
    confidentiality: tuple[Code, ...] = ()
    #: AND between groups, OR inside one
    events: tuple[tuple[Code, ...], ...] = ()
    created_from: datetime | None = None
    created_to: datetime | None = None
    service_from: datetime | None = None  #: start of the act
    service_to: datetime | None = None
    author: str = ""  #: LIKE pattern on the XCN, ``%`` for any text
    submitted_from: datetime | None = None
    submitted_to: datetime | None = None

    @property
    def by_submission(self) -> bool:
        """True when the date of submission matters: other queries are needed."""
        return self.submitted_from is not None or self.submitted_to is not None


def _codes(codes: Sequence[Code]) -> str:
    return query_list(f"{code.code}^^{code.scheme}" for code in codes)


def slots(filters: SearchFilters, patient: PatientId) -> list[tuple[str, str]]:
    """Give the parameters of FindDocuments."""
    prefix = "XDSDocumentEntry"
    out = [
        (prefix + "PatientId", query_string(format_cx(patient))),
        (prefix + "Status", query_list(filters.statuses)),
    ]
    for name, codes in (
        ("ClassCode", filters.classes),
        ("TypeCode", filters.types),
        ("FormatCode", filters.formats),
        ("PracticeSettingCode", filters.practice_settings),
        ("HealthcareFacilityTypeCode", filters.facility_types),
        ("ConfidentialityCode", filters.confidentiality),
    ):
        if codes:
            out.append((prefix + name, _codes(codes)))
    out += [(prefix + "EventCodeList", _codes(group)) for group in filters.events if group]
    for name, moment in (
        ("CreationTimeFrom", filters.created_from),
        ("CreationTimeTo", filters.created_to),
        ("ServiceStartTimeFrom", filters.service_from),
        ("ServiceStartTimeTo", filters.service_to),
    ):
        if moment is not None:
            out.append((prefix + name, dtm(moment)))
    if filters.author:
        out.append((prefix + "AuthorPerson", query_list([filters.author])))
    return out


def set_slots(filters: SearchFilters, patient: PatientId) -> list[tuple[str, str]]:
    """Give the parameters of FindSubmissionSets."""
    prefix = "XDSSubmissionSet"
    out = [
        (prefix + "PatientId", query_string(format_cx(patient))),
        (prefix + "Status", query_list([v.APPROVED])),
    ]
    if filters.submitted_from is not None:
        out.append((prefix + "SubmissionTimeFrom", dtm(filters.submitted_from)))
    if filters.submitted_to is not None:
        out.append((prefix + "SubmissionTimeTo", dtm(filters.submitted_to)))
    return out


def matches(filters: SearchFilters, entry: DocumentEntry) -> bool:
    """Say whether an entry is what FindDocuments would give; for entries found by the date of their submission."""
    if entry.status not in filters.statuses:
        return False
    for wanted, held in (
        (filters.classes, (entry.class_code,)),
        (filters.types, (entry.type_code,)),
        (filters.formats, (entry.format_code,)),
        (filters.practice_settings, (entry.practice_setting,)),
        (filters.facility_types, (entry.facility_type,)),
        (filters.confidentiality, entry.confidentiality),
        *((group, entry.events) for group in filters.events),
    ):
        if wanted and not {(c.code, c.scheme) for c in wanted} & {(c.code, c.scheme) for c in held if c is not None}:
            return False
    for start, stop, moment in (
        (filters.created_from, filters.created_to, entry.creation_time),
        (filters.service_from, filters.service_to, entry.service_start_time),
    ):
        # Times of unequal precision compare as texts padded with zeros: from inclusive, to exclusive (ITI-18).
        at = moment.ljust(14, "0")
        if (start is not None and at < dtm(start)) or (stop is not None and at >= dtm(stop)):
            return False
    if filters.author:
        start_of = filters.author.rstrip("%")
        return any(a.person is not None and format_xcn(a.person).startswith(start_of) for a in entry.authors)
    return True


def batches(values: Sequence[str], size: int = BATCH) -> list[Sequence[str]]:
    """Cut a list into pieces that the DMP takes."""
    return [values[i : i + size] for i in range(0, len(values), size)]
