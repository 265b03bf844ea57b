"""Between plain filters and results, and the metadata of XDS."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from gateway.api.receipts import PARIS
from gateway.api.record_shapes import CodeIn, RecordAuthor, RecordCode, RecordDocument, SearchIn
from gateway.problems import Invalid, rule
from gateway.services.records import Found, SearchFilters
from mappings.xds import Author, Code
from mappings.xds import vocabulary as v
from mappings.xds.times import parse_dtm

__all__ = ["STATUSES", "found_json", "search_filters"]

NO_SYSTEM = rule(
    "API-RECORD-014",
    "Ce code demande son système de codage.",
    "This code needs its coding system.",
    'Donnez {"code": ..., "system": OID}.',
    'Give {"code": ..., "system": OID}.',
)

STATUSES: Final = {
    "current": v.APPROVED,
    "superseded": v.DEPRECATED,
    "archived": v.ARCHIVED,
    "deleted": v.DELETED,
}
_NAMES: Final = {status: name for name, status in STATUSES.items()}
_LOINC: Final = re.compile(r"^\d{1,7}-\d$")
_TYPES: Final = "1.2.250.1.213.1.1.4.12"  # TRE_A05
_SETTINGS: Final = "1.2.250.1.213.1.1.4.9"  # TRE_A01
_SECTORS: Final = "1.2.250.1.71.4.2.4"  # TRE_R02
_IHE_FORMATS: Final = "1.3.6.1.4.1.19376.1.2.3"
_FRENCH_FORMATS: Final = "1.2.250.1.213.1.1.4.2.282"  # TRE_A06


def _type_system(code: str) -> str:
    return v.LOINC if _LOINC.match(code) else _TYPES


def _format_system(code: str) -> str:
    return _FRENCH_FORMATS if code.startswith(("urn:asip:", "urn:ans:")) else _IHE_FORMATS


def search_filters(asked: SearchIn) -> SearchFilters:
    """The filters of XDS for a plain question; raises :class:`Invalid` for a code whose system is not known."""

    def codes(given: Iterable[str | CodeIn], system: object) -> tuple[Code, ...]:
        out = []
        for one in given:
            code = one if isinstance(one, CodeIn) else CodeIn(code=one)
            known = system(code.code) if callable(system) else str(system)
            out.append(Code(code=code.code, scheme=code.system or known))
        return tuple(out)

    def moment(at: datetime | None) -> datetime | None:
        return at if at is None or at.tzinfo else at.replace(tzinfo=PARIS)

    events = codes(asked.events, "")
    faults = [NO_SYSTEM.finding(f"/events/{i}") for i, code in enumerate(events) if not code.scheme]
    if faults:
        raise Invalid(faults, slug="invalid-request")
    return SearchFilters(
        statuses=tuple(STATUSES[name] for name in asked.status) or (v.APPROVED,),
        types=codes(asked.types, _type_system),
        classes=codes(asked.classes, v.CLASS_SCHEME),
        formats=codes(asked.formats, _format_system),
        practice_settings=codes(asked.practice_settings, _SETTINGS),
        facility_types=codes(asked.facility_types, _SECTORS),
        events=(events,) if events else (),
        created_from=moment(asked.created_from),
        created_to=moment(asked.created_to),
        service_from=moment(asked.act_from),
        service_to=moment(asked.act_to),
        author=f"{asked.author}^%" if asked.author else "",
        submitted_from=moment(asked.submitted_from),
        submitted_to=moment(asked.submitted_to),
    )


def _code(code: Code | None) -> RecordCode | None:
    if code is None:
        return None
    return RecordCode(code=code.code, system=code.scheme or None, display=code.display or None)


def _author(author: Author) -> RecordAuthor:
    person = author.person
    # A patient's own document names the patient, by number: it is not repeated here.
    patient = person is not None and person.id_type == "NH"
    return RecordAuthor(
        id=None if person is None or patient else person.id or None,
        name=None if person is None or patient else f"{person.given} {person.family}".strip() or None,
        specialty=next((s.display for s in author.specialties if s.display), None),
        structure=next((o.name for o in author.institutions if o.name), None),
    )


#: What homologation wants a reader to be warned of (EX_3.2-1025).
_NOTICES: Final = {
    "MASQUE_PS": "Document masqué aux professionnels de santé : vous le voyez comme auteur ou médecin traitant.",
    "INVISIBLE_PATIENT": "Le patient ne voit pas encore ce document : ne le lui montrez pas avant la consultation "
    "d'annonce.",
    "INVISIBLE_REPRESENTANTS_LEGAUX": "Les représentants légaux du patient mineur ne doivent pas voir ce document.",
}


def _by_patient(class_code: Code | None, type_code: Code | None) -> bool:
    """Documents of the patient's own (EX_3.1-1040)."""
    if class_code is not None and (class_code.code, class_code.scheme) == ("90", v.CLASS_SCHEME):
        return True
    return type_code is not None and type_code.code.startswith("DOCPAT")


def local_time(dtm: str) -> str | None:
    """A UTC DTM as the clock on the wall shows it (EX_3.1-1070); a date stays a date."""
    at = parse_dtm(dtm)
    if at is None:
        return None
    return at.date().isoformat() if len(dtm) <= 8 else at.astimezone(PARIS).isoformat()


def found_json(found: Found) -> RecordDocument:
    """A document of the record as callers read it."""
    entry = found.entry
    created = parse_dtm(entry.creation_time)
    link = f"/v1/records/documents/{found.handle}"
    visibility = [c.code for c in entry.confidentiality if v.visibility_code(c.code) is not None]
    return RecordDocument(
        id=found.handle,
        unique_id=entry.unique_id,
        status=_NAMES.get(entry.status, "current"),
        title=entry.title or None,
        type=_code(entry.type_code),
        class_=_code(entry.class_code),
        format=_code(entry.format_code),
        media_type=entry.mime_type,
        size=entry.size,
        created_at=created.astimezone(PARIS) if created else None,
        act_from=local_time(entry.service_start_time),
        act_to=local_time(entry.service_stop_time),
        authors=[_author(a) for a in entry.authors],
        by_patient=_by_patient(entry.class_code, entry.type_code),
        visibility=visibility,
        notices=[_NOTICES[code] for code in visibility if code in _NOTICES],
        comments=entry.comments or None,
        version=entry.version or None,
        fed_here=found.fed_here,
        links={"self": link},
    )
