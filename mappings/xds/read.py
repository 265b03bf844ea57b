"""Read registry metadata from ebRIM 3.0, whoever wrote it.

Tolerant about form: prefixes, loose classifications, missing names, order of slots. What was read is as it was written;
judging it is for :mod:`mappings.xds.check`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from lxml import etree

from mappings.xds import vocabulary as v
from mappings.xds.cx import parse_cx, parse_specialty, parse_xcn, parse_xon
from mappings.xds.ebrim import RIM
from mappings.xds.model import Association, Author, Code, DocumentEntry, RegistryObjects, SubmissionSet

__all__ = ["read_objects"]

_R: Final = f"{{{RIM}}}"
_Classified = dict[str, list[etree._Element]]


def read_objects(container: etree._Element) -> RegistryObjects:
    """Read all registry objects below an element: a RegistryObjectList, a request, a query answer, an envelope."""
    listed = container if container.tag == _R + "RegistryObjectList" else container.find(f".//{_R}RegistryObjectList")
    if listed is None:
        return RegistryObjects()
    loose: _Classified = {}
    marked: set[str] = set()
    identifiers: _Classified = {}
    for node in listed:
        if node.tag == _R + "Classification":
            owner = node.get("classifiedObject", "")
            if node.get("classificationNode") == v.SUBMISSION_SET_NODE:
                marked.add(owner)
            else:
                loose.setdefault(owner, []).append(node)
        elif node.tag == _R + "ExternalIdentifier":
            identifiers.setdefault(node.get("registryObject", ""), []).append(node)
    sets: list[SubmissionSet] = []
    entries: list[DocumentEntry] = []
    links: list[Association] = []
    references: list[str] = []
    others: list[str] = []
    for node in listed:
        if not isinstance(node.tag, str):
            continue
        name = node.tag.rpartition("}")[2]
        owner = node.get("id", "")
        if name == "ExtrinsicObject":
            entries.append(_entry(node, loose.get(owner, []), identifiers.get(owner, [])))
        elif name == "RegistryPackage":
            inside = any(
                child.get("classificationNode") == v.SUBMISSION_SET_NODE
                for child in node.iterfind(_R + "Classification")
            )
            if inside or owner in marked:
                sets.append(_submission_set(node, loose.get(owner, []), identifiers.get(owner, [])))
            else:
                others.append(name)
        elif name == "Association":
            links.append(_association(node))
        elif name == "ObjectRef":
            references.append(owner)
        elif name not in ("Classification", "ExternalIdentifier"):
            others.append(name)
    return RegistryObjects(
        submission_sets=tuple(sets),
        entries=tuple(entries),
        associations=tuple(links),
        references=tuple(references),
        others=tuple(others),
    )


def _slots(node: etree._Element) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for slot in node.iterfind(_R + "Slot"):
        values = [(value.text or "").strip() for value in slot.iterfind(f"{_R}ValueList/{_R}Value")]
        out.setdefault(slot.get("name", ""), []).extend(value for value in values if value)
    return out


def _string(node: etree._Element, part: str) -> str:
    found = node.find(f"{_R}{part}/{_R}LocalizedString")
    return "" if found is None else found.get("value", "")


def _code(node: etree._Element) -> Code:
    scheme = _slots(node).get("codingScheme", [""])
    return Code(
        code=node.get("nodeRepresentation", ""), scheme=scheme[0] if scheme else "", display=_string(node, "Name")
    )


def _author(node: etree._Element) -> Author:
    slots = _slots(node)
    people = [p for text in slots.get("authorPerson", []) if (p := parse_xcn(text)) is not None]
    return Author(
        person=people[0] if people else None,
        institutions=tuple(o for text in slots.get("authorInstitution", []) if (o := parse_xon(text)) is not None),
        roles=tuple(slots.get("authorRole", [])),
        specialties=tuple(c for text in slots.get("authorSpecialty", []) if (c := parse_specialty(text)) is not None),
    )


def _first(slots: dict[str, list[str]], name: str) -> str:
    values = slots.get(name)
    return values[0] if values else ""


def _classifications(node: etree._Element, loose: list[etree._Element]) -> Iterator[tuple[str, etree._Element]]:
    for child in (*node.iterfind(_R + "Classification"), *loose):
        yield child.get("classificationScheme", "").strip(), child


def _identifiers(node: etree._Element, loose: list[etree._Element]) -> dict[str, str]:
    return {
        child.get("identificationScheme", "").strip(): child.get("value", "")
        for child in (*node.iterfind(_R + "ExternalIdentifier"), *loose)
    }


def _entry(node: etree._Element, loose: list[etree._Element], identifiers: list[etree._Element]) -> DocumentEntry:
    slots = _slots(node)
    codes: dict[str, list[Code]] = {}
    authors: list[Author] = []
    for scheme, child in _classifications(node, loose):
        if scheme == v.ENTRY_AUTHOR:
            authors.append(_author(child))
        else:
            codes.setdefault(scheme, []).append(_code(child))
    ids = _identifiers(node, identifiers)
    size = _first(slots, "size")
    version = node.find(_R + "VersionInfo")

    def one(scheme: str) -> Code | None:
        found = codes.get(scheme)
        return found[0] if found else None

    return DocumentEntry(
        entry_uuid=node.get("id", ""),
        unique_id=ids.get(v.ENTRY_UNIQUE_ID, ""),
        patient_id=parse_cx(ids.get(v.ENTRY_PATIENT_ID, "")),
        source_patient_id=parse_cx(_first(slots, "sourcePatientId")),
        source_patient_info=tuple(slots.get("sourcePatientInfo", [])),
        mime_type=node.get("mimeType", ""),
        object_type=node.get("objectType", ""),
        title=_string(node, "Name"),
        comments=_string(node, "Description"),
        class_code=one(v.ENTRY_CLASS),
        type_code=one(v.ENTRY_TYPE),
        format_code=one(v.ENTRY_FORMAT),
        confidentiality=tuple(_visible(code) for code in codes.get(v.ENTRY_CONFIDENTIALITY, [])),
        facility_type=one(v.ENTRY_FACILITY),
        practice_setting=one(v.ENTRY_PRACTICE),
        events=tuple(codes.get(v.ENTRY_EVENT, [])),
        authors=tuple(authors),
        legal_authenticator=parse_xcn(_first(slots, "legalAuthenticator")),
        creation_time=_first(slots, "creationTime"),
        service_start_time=_first(slots, "serviceStartTime"),
        service_stop_time=_first(slots, "serviceStopTime"),
        language=_first(slots, "languageCode"),
        hash=_first(slots, "hash").lower(),
        size=int(size) if size.isdigit() and len(size) < 16 else None,
        uri=_first(slots, "URI"),
        repository_unique_id=_first(slots, "repositoryUniqueId"),
        reference_ids=tuple(slots.get(v.REFERENCE_ID_LIST, [])),
        logical_id=node.get("lid", ""),
        version="" if version is None else version.get("versionName", ""),
        status=node.get("status", ""),
    )


def _visible(code: Code) -> Code:
    """The code in its right spelling: two others circulate for INVISIBLE_REPRESENTANTS_LEGAUX."""
    row = v.visibility_code(code.code)
    return code if row is None else replace(code, code=row[0])


def _submission_set(
    node: etree._Element, loose: list[etree._Element], identifiers: list[etree._Element]
) -> SubmissionSet:
    slots = _slots(node)
    authors: list[Author] = []
    content: Code | None = None
    for scheme, child in _classifications(node, loose):
        if scheme == v.SET_AUTHOR:
            authors.append(_author(child))
        elif scheme == v.SET_CONTENT_TYPE:
            content = content or _code(child)
    ids = _identifiers(node, identifiers)
    return SubmissionSet(
        entry_uuid=node.get("id", ""),
        unique_id=ids.get(v.SET_UNIQUE_ID, ""),
        source_id=ids.get(v.SET_SOURCE_ID, ""),
        patient_id=parse_cx(ids.get(v.SET_PATIENT_ID, "")),
        submission_time=_first(slots, "submissionTime"),
        title=_string(node, "Name"),
        comments=_string(node, "Description"),
        authors=tuple(authors),
        content_type=content,
        intended_recipients=tuple(slots.get("intendedRecipient", [])),
        status=node.get("status", ""),
    )


def _association(node: etree._Element) -> Association:
    slots = _slots(node)
    return Association(
        kind=node.get("associationType", ""),
        source=node.get("sourceObject", ""),
        target=node.get("targetObject", ""),
        submission_set_status=_first(slots, "SubmissionSetStatus"),
        previous_version=_first(slots, "PreviousVersion"),
        original_status=_first(slots, "OriginalStatus"),
        new_status=_first(slots, "NewStatus"),
        entry_uuid=node.get("id", ""),
    )
