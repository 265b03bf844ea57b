"""Any other structured document as a document Bundle: its sections, their words, the entries of known families."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mappings.document.other import OtherDocument, OtherEntry, OtherSection
from mappings.fhir import clinical_out, observations_out
from mappings.fhir.bundle_out import BundleOut
from mappings.fhir.markup_out import xhtml_of
from mappings.fhir.names import URI_SYSTEM
from mappings.fhir.narrative_out import narrative, paragraphs
from mappings.fhir.values_out import Json, code_concept, date_time

__all__ = ["ENTRIES", "other_sections", "other_tags"]

#: Element id of the sub-section that holds the entries of a section that has sub-sections too (comp-4: one or other).
ENTRIES: Final = "entrees"
_NO_WORDS: Final = "Cette section n'a pas de texte."

_WRITERS: Final[dict[str, Callable[[BundleOut, str, Any], Json]]] = {
    "problem": lambda out, place, v: clinical_out.condition(out, place, v, past=False),
    "allergy": clinical_out.allergy,
    "procedure": lambda out, place, v: clinical_out.procedure(out, place, v, {}),
    "treatment": lambda out, place, v: clinical_out.treatment(out, place, v, {}),
    "immunization": clinical_out.immunization,
    "device": clinical_out.used_device,
    "lifestyle": observations_out.lifestyle,
    "family": clinical_out.family,
    "vital_signs": observations_out.vital_signs,
    "pregnancy": observations_out.pregnancy,
    "result": observations_out.result,
    "results": observations_out.result_group,
}


def other_tags(document: OtherDocument) -> list[Json]:
    """The templates the document claims, kept as tags."""
    return [
        {"system": f"urn:oid:{t.root}", "code": t.extension}
        if t.extension
        else {"system": URI_SYSTEM, "code": f"urn:oid:{t.root}"}
        for t in document.templates
    ]


def other_sections(out: BundleOut, document: OtherDocument) -> list[Json]:
    """The sections, in order."""
    return [_section(out, f"/sections/{i}", document, s) for i, s in enumerate(document.sections)]


def _text(section: OtherSection) -> Json:
    inside = xhtml_of(section.markup) if section.markup else None
    if inside is not None and inside.strip():
        return narrative(inside, generated=False)
    if section.text:
        return narrative(paragraphs(section.text), generated=False)
    return _no_words()


def _no_words() -> Json:
    return narrative(f"<p>{_NO_WORDS}</p>") | {"status": "empty"}


def _section(out: BundleOut, place: str, document: OtherDocument, section: OtherSection) -> Json:
    made: Json = {"id": str(section.id)} if section.id else {}
    if section.title:
        made["title"] = section.title
    code = code_concept(section.code) if section.code else {}
    if section.templates:
        templates = [{"system": URI_SYSTEM, "code": f"urn:oid:{oid}"} for oid in section.templates]
        code.setdefault("coding", []).extend(templates)
    if code:
        made["code"] = code
    made["text"] = _text(section)
    out.log.carried(place, "section")
    entries = [_entry(out, f"{place}/entries/{i}", entry) for i, entry in enumerate(section.entries)]
    entries += [
        _attachment(out, f"{place}/attachments/{i}", document, attached)
        for i, attached in enumerate(section.attachments)
    ]
    children = [_section(out, f"{place}/sections/{i}", document, child) for i, child in enumerate(section.sections)]
    if entries and children:
        held = {
            "id": ENTRIES,
            "title": "Éléments structurés",
            "text": narrative(f"<p>{_NO_WORDS}</p>") | {"status": "empty"},
        }
        if "code" in made:
            held["code"] = made["code"]
        children.insert(0, held | {"entry": entries})
    elif entries:
        made["entry"] = entries
    if children:
        made["section"] = children
    return made


def _entry(out: BundleOut, place: str, entry: OtherEntry) -> Json:
    name, value = next((n, v) for n in type(entry).model_fields if (v := getattr(entry, n)) is not None)
    return _WRITERS[name](out, f"{place}/{name if name != 'vital_signs' else 'vitalSigns'}", value)


def _attachment(out: BundleOut, place: str, document: OtherDocument, value: Any) -> Json:
    return out.add(
        "DocumentReference",
        place,
        {
            "status": "current",
            "subject": out.patient,
            "date": date_time(document.created_at),
            "content": [
                {
                    "attachment": {
                        "id": value.anchor,
                        "contentType": value.media_type,
                        "data": out.file(value.content),
                        "title": value.anchor,
                    }
                }
            ],
        },
        "document-reference",
    )
