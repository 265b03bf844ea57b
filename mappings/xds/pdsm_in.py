"""Read PDSm resources as registry metadata, whoever wrote them.

Nothing is refused here: what a resource does not say stays empty, and :mod:`mappings.xds.check` names it. What cannot
be followed (an ITI-65 Bundle whose references lead nowhere) raises :class:`NotPdsm` with its place.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mappings.xds import vocabulary as v
from mappings.xds.model import Association, Author, Code, DocumentEntry, Organization, PatientId, Person, Submission
from mappings.xds.model import SubmissionSet as Set
from mappings.xds.pdsm_words import EXTENSIONS, code_of, dtm_of, patient_of, unique_id_of

__all__ = ["NotPdsm", "Provided", "read_document_reference", "read_list", "read_provide_bundle"]

_STATUSES: Final = {"current": v.APPROVED, "superseded": v.DEPRECATED, "entered-in-error": v.DELETED}


class NotPdsm(Exception):
    """The resource is not what PDSm asks for, at a place (JSON pointer)."""

    def __init__(self, code: str, location: str, expected: str) -> None:
        self.code = code
        self.location = location
        self.expected = expected
        super().__init__(f"{code} at {location}: expected {expected}")


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


class _Inside:
    """The contained resources of one resource."""

    def __init__(self, resource: Mapping[str, Any]) -> None:
        self._by_id = {_text(c.get("id")): c for c in _dicts(resource.get("contained"))}

    def get(self, reference: Any) -> dict[str, Any]:
        name = _text(reference.get("reference")) if isinstance(reference, dict) else ""
        return self._by_id.get(name.removeprefix("#"), {}) if name.startswith("#") else {}


def _first_identifier(resource: Mapping[str, Any]) -> tuple[str, str, str]:
    for identifier in _dicts(resource.get("identifier")):
        kind = code_of(identifier.get("type"))
        system = _text(identifier.get("system")).removeprefix("urn:oid:")
        return _text(identifier.get("value")), system, kind.code if kind else ""
    return "", "", ""


def _person(resource: Mapping[str, Any]) -> Person | None:
    if not resource:
        return None
    value, authority, kind = _first_identifier(resource)
    if resource.get("resourceType") == "Device":
        names = {_text(n.get("type")): _text(n.get("name")) for n in _dicts(resource.get("deviceName"))}
        return Person(
            id=value,
            family=names.get("user-friendly-name", ""),
            given=names.get("model-name", ""),
            authority=authority,
            name_type="U",
            id_type=kind or "RI",
        )
    name = next(iter(_dicts(resource.get("name"))), {})
    given = name.get("given")
    return Person(
        id=value,
        family=_text(name.get("family")),
        given=_text(given[0]) if isinstance(given, list) and given else "",
        authority=authority,
        id_type=kind or "IDNPS",
    )


def _organization(resource: Mapping[str, Any]) -> Organization | None:
    if not resource:
        return None
    value, authority, kind = _first_identifier(resource)
    return Organization(name=_text(resource.get("name")), id=value, authority=authority, id_type=kind or "IDNST")


def _author(reference: Any, inside: _Inside) -> Author | None:
    resource = inside.get(reference)
    if not resource:
        return None
    if resource.get("resourceType") != "PractitionerRole":
        return Author(person=_person(resource))
    organization = _organization(inside.get(resource.get("organization")))
    codes = _dicts(resource.get("code"))
    return Author(
        person=_person(inside.get(resource.get("practitioner"))),
        institutions=(organization,) if organization is not None else (),
        roles=tuple(_text(c.get("text")) for c in codes if c.get("text")),
        specialties=tuple(c for one in _dicts(resource.get("specialty")) if (c := code_of(one)) is not None),
    )


def _codes(value: Any) -> tuple[Code, ...]:
    return tuple(c for one in _dicts(value) if (c := code_of(one)) is not None)


def _label(code: Code) -> Code:
    row = v.visibility_code(code.code)
    # Visibility comes under two spellings of its address, and N under it too.
    if row is not None:
        return Code(code=row[0], scheme=v.VISIBILITY_SCHEME, display=code.display or row[1])
    if code.code in ("N", "R", "V"):
        return Code(code=code.code, scheme=v.CONFIDENTIALITY_SCHEME, display=code.display or "")
    return code


def _info(patient: Mapping[str, Any]) -> tuple[str, ...]:
    lines: list[str] = []
    for name in _dicts(patient.get("name")):
        given = name.get("given")
        first = _text(given[0]) if isinstance(given, list) and given else ""
        if name.get("family"):
            lines.append(f"PID-5|{_clean(_text(name['family']))}^{_clean(first)}^^^^^L")
    if patient.get("birthDate"):
        lines.append(f"PID-7|{dtm_of(patient['birthDate'])}")
    if patient.get("gender"):
        code = {"male": "M", "female": "F"}.get(_text(patient["gender"]), "U")
        lines.append(f"PID-8|{code}")
    return tuple(lines)


def _clean(text: str) -> str:
    return text.replace("^", " ").replace("&", " ").replace("|", " ")


def _hash(value: Any) -> str:
    try:
        return base64.b64decode(_text(value), validate=True).hex()
    except (binascii.Error, ValueError):
        return ""


def read_document_reference(resource: Mapping[str, Any], *, entry_uuid: str = "") -> DocumentEntry:
    """Read a DocumentReference as a document entry; ``entry_uuid`` names it when it has no id of a registry."""
    inside = _Inside(resource)
    content = next(iter(_dicts(resource.get("content"))), {})
    attachment = _dict(content.get("attachment"))
    context = _dict(resource.get("context"))
    period = _dict(context.get("period"))
    patient = inside.get(context.get("sourcePatientInfo"))
    subject = _dict(resource.get("subject"))
    identifiers = {
        kind.code: _text(i.get("value"))
        for i in _dicts(resource.get("identifier"))
        if (kind := code_of(i.get("type"))) is not None
    }
    known = identifiers.get("entryUUID") or (f"urn:uuid:{resource['id']}" if resource.get("id") else entry_uuid)
    authors = resource.get("author")
    size = attachment.get("size")
    return DocumentEntry(
        entry_uuid=known,
        unique_id=unique_id_of(resource.get("masterIdentifier")),
        patient_id=patient_of(subject.get("identifier")),
        source_patient_id=_source(patient) or patient_of(subject.get("identifier")),
        source_patient_info=_info(patient),
        mime_type=_text(attachment.get("contentType")),
        title=_text(attachment.get("title")),
        comments=_text(resource.get("description")),
        class_code=next(iter(_codes(resource.get("category"))), None),
        type_code=code_of(resource.get("type")),
        format_code=code_of(content.get("format")),
        confidentiality=tuple(_label(c) for c in _codes(resource.get("securityLabel"))),
        facility_type=code_of(context.get("facilityType")),
        practice_setting=code_of(context.get("practiceSetting")),
        events=_codes(context.get("event")),
        authors=tuple(a for one in _dicts(authors) if (a := _author(one, inside)) is not None),
        legal_authenticator=_authenticator(resource.get("authenticator"), inside),
        creation_time=dtm_of(attachment.get("creation") or resource.get("date")),
        service_start_time=dtm_of(period.get("start")),
        service_stop_time=dtm_of(period.get("end")),
        language=_text(attachment.get("language")),
        hash=_hash(attachment.get("hash")),
        size=size if isinstance(size, int) and not isinstance(size, bool) else None,
        logical_id=identifiers.get("logicalId", ""),
        version=_text(_dict(resource.get("meta")).get("versionId")),
        status=v.ARCHIVED if _archived(resource) else _STATUSES.get(_text(resource.get("status")), ""),
    )


def _authenticator(reference: Any, inside: _Inside) -> Person | None:
    resource = inside.get(reference)
    if resource.get("resourceType") == "PractitionerRole":
        resource = inside.get(resource.get("practitioner"))
    return _person(resource)


def _source(patient: Mapping[str, Any]) -> PatientId | None:
    found = [p for one in _dicts(patient.get("identifier")) if (p := patient_of(one)) is not None]
    return next((p for p in found if p.id_type == "PI"), found[0] if found else None)


def _archived(resource: Mapping[str, Any]) -> bool:
    return any(
        e.get("url") == EXTENSIONS["archived"] and e.get("valueBoolean") is True
        for e in _dicts(resource.get("extension"))
    )


def read_list(resource: Mapping[str, Any], *, entry_uuid: str = "SubmissionSet01") -> Set:
    """Read a submission List as a submission set."""
    inside = _Inside(resource)
    extensions = {_text(e.get("url")): e for e in _dicts(resource.get("extension"))}
    source_id = extensions.get(EXTENSIONS["source-id"], {}).get("valueIdentifier")
    subject = _dict(resource.get("subject"))
    author = _author(resource.get("source"), inside)
    unique = next(
        (
            unique_id_of(i)
            for i in _dicts(resource.get("identifier"))
            if (kind := code_of(i.get("type"))) is None or kind.code == "uniqueId"
        ),
        "",
    )
    return Set(
        entry_uuid=f"urn:uuid:{resource['id']}" if resource.get("id") else entry_uuid,
        unique_id=unique,
        source_id=unique_id_of(source_id),
        patient_id=patient_of(subject.get("identifier")),
        submission_time=dtm_of(resource.get("date")),
        title=_text(resource.get("title")),
        comments=" ".join(_text(n.get("text")) for n in _dicts(resource.get("note"))),
        authors=(author,) if author is not None else (),
        content_type=code_of(extensions.get(EXTENSIONS["designation"], {}).get("valueCodeableConcept")),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Provided:
    """What an ITI-65 Bundle holds."""

    submission: Submission
    contents: Mapping[str, bytes] = field(repr=False)  #: by entryUUID (the fullUrl)
    replaced: Mapping[str, str]  #: entryUUID -> reference of the resource it replaces
    order: tuple[str, ...]  #: kind of each entry, in order: the answer has one for each


def _entries(bundle: Mapping[str, Any]) -> Iterator[tuple[int, str, str, str, dict[str, Any]]]:
    for index, entry in enumerate(_dicts(bundle.get("entry"))):
        resource = entry.get("resource")
        if not isinstance(resource, dict):
            raise NotPdsm("PDSM-ENTRY-001", f"/entry/{index}/resource", "a resource")
        request = _dict(entry.get("request"))
        yield index, _text(entry.get("fullUrl")), _text(request.get("method")), _text(request.get("url")), resource


def read_provide_bundle(bundle: Mapping[str, Any]) -> Provided:
    """Read an ITI-65 transaction and follow its references. Raises :class:`NotPdsm` (fhir-profiles.md 9.2)."""
    if bundle.get("resourceType") != "Bundle" or bundle.get("type") != "transaction":
        raise NotPdsm("PDSM-BUNDLE-001", "/type", "a Bundle of type transaction")
    lists: list[tuple[str, dict[str, Any]]] = []
    documents: dict[str, tuple[int, dict[str, Any]]] = {}
    binaries: dict[str, bytes] = {}
    patches: list[tuple[int, str]] = []
    order: list[str] = []
    for index, url, method, target, resource in _entries(bundle):
        kind = _text(resource.get("resourceType"))
        order.append(kind)
        if kind == "Parameters" and method == "PATCH":
            patches.append((index, target))
            continue
        if method != "POST":
            raise NotPdsm("PDSM-ENTRY-002", f"/entry/{index}/request/method", "POST, or PATCH of Parameters")
        # Some writers spell urn:uuid: otherwise; what counts is that references lead there.
        if not url.startswith("urn:"):
            raise NotPdsm("PDSM-ENTRY-003", f"/entry/{index}/fullUrl", "a URN (urn:uuid:)")
        if kind == "List":
            code = code_of(resource.get("code"))
            if code is None or code.code != "submissionset":
                raise NotPdsm("PDSM-ENTRY-004", f"/entry/{index}/resource/code", "submissionset")
            lists.append((url, resource))
        elif kind == "DocumentReference":
            documents[url] = (index, resource)
        elif kind == "Binary":
            binaries[url] = _binary(resource, index)
        elif kind != "Patient":
            raise NotPdsm("PDSM-ENTRY-005", f"/entry/{index}", "List, DocumentReference, Binary, Parameters, Patient")
    if len(lists) != 1 or not documents:
        raise NotPdsm("PDSM-BUNDLE-002", "/entry", "one submission List, one DocumentReference at least")
    list_url, listed = lists[0]
    return _followed(list_url, listed, documents, binaries, patches, tuple(order))


def _binary(resource: Mapping[str, Any], index: int) -> bytes:
    try:
        return base64.b64decode("".join(_text(resource.get("data")).split()), validate=True)
    except (binascii.Error, ValueError):
        raise NotPdsm("PDSM-BINARY-001", f"/entry/{index}/resource/data", "base64") from None


def _followed(
    list_url: str,
    listed: dict[str, Any],
    documents: Mapping[str, tuple[int, dict[str, Any]]],
    binaries: Mapping[str, bytes],
    patches: list[tuple[int, str]],
    order: tuple[str, ...],
) -> Provided:
    sent = read_list(listed, entry_uuid=list_url)
    items = [_text(_dict(e.get("item")).get("reference")) for e in _dicts(listed.get("entry")) if e.get("item")]
    links = [
        Association(
            kind=v.ASSOCIATION_HAS_MEMBER,
            source=sent.entry_uuid,
            target=item,
            submission_set_status="Original" if item in documents else "Reference",
        )
        for item in items
    ]
    entries: list[DocumentEntry] = []
    contents: dict[str, bytes] = {}
    replaced: dict[str, str] = {}
    used: set[str] = set()
    for url, (index, resource) in documents.items():
        place = f"/entry/{index}/resource"
        if url not in items:
            raise NotPdsm("PDSM-LIST-001", f"{place}", "every DocumentReference in the List")
        entry = read_document_reference(resource, entry_uuid=url)
        binary = _attachment(resource, binaries, place)
        used.add(binary)
        entries.append(entry)
        contents[entry.entry_uuid] = binaries[binary]
        for related in _dicts(resource.get("relatesTo")):
            if related.get("code") == "replaces":
                replaced[entry.entry_uuid] = _text(_dict(related.get("target")).get("reference"))
    if set(binaries) - used:
        raise NotPdsm("PDSM-BINARY-002", "/entry", "no Binary without its DocumentReference")
    for index, target in patches:
        if target not in replaced.values():
            raise NotPdsm("PDSM-PATCH-001", f"/entry/{index}/request/url", "a PATCH of what is replaced, and no other")
    return Provided(
        submission=Submission(submission_set=sent, entries=tuple(entries), associations=tuple(links)),
        contents=contents,
        replaced=replaced,
        order=order,
    )


def _attachment(resource: Mapping[str, Any], binaries: Mapping[str, bytes], place: str) -> str:
    contents = _dicts(resource.get("content"))
    attachment = contents[0].get("attachment") if len(contents) == 1 else None
    url = _text(attachment.get("url")) if isinstance(attachment, dict) else ""
    for name in binaries:
        if url == name or (url.startswith("Binary/") and name.endswith(url.removeprefix("Binary/"))):
            return name
    raise NotPdsm("PDSM-ATTACHMENT-001", f"{place}/content/0/attachment/url", "the fullUrl of a Binary of the Bundle")
