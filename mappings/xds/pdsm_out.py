"""Write registry metadata as PDSm resources: DocumentReference, submission List, ITI-65 Bundle.

The same values as for ebRIM: one derivation from the CDA header, two forms. PDSm 3.1.1; fhir-profiles.md 9.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mappings.xds import vocabulary as v
from mappings.xds.model import Author, DocumentEntry, Organization, Person, Submission, SubmissionSet
from mappings.xds.pdsm_words import (
    EXTENSIONS,
    PDSM,
    PROFILES,
    STATUSES,
    URI,
    coding,
    concept,
    date_time,
    patient_identifier,
    unique_identifier,
)

__all__ = ["document_reference", "provide_bundle", "submission_list"]

_GENDERS: Final = {"M": "male", "F": "female", "U": "unknown"}


class _Contained:
    """The contained resources of one resource: each person and structure once."""

    def __init__(self) -> None:
        self.resources: list[dict[str, Any]] = []
        self._known: dict[object, str] = {}

    def add(self, key: object, prefix: str, resource: dict[str, Any]) -> str:
        if key not in self._known:
            name = f"{prefix}{sum(r['id'].startswith(prefix) for r in self.resources) + 1}"
            self._known[key] = name
            self.resources.append({**resource, "id": name})
        return f"#{self._known[key]}"

    def organization(self, organization: Organization) -> dict[str, str]:
        out: dict[str, Any] = {"resourceType": "Organization"}
        if organization.id:
            out["identifier"] = [
                {
                    "use": "official",
                    "type": {"coding": [{"system": PDSM["id-type"], "code": organization.id_type}]},
                    "system": f"urn:oid:{organization.authority or v.STRUCTURE_AUTHORITY}",
                    "value": organization.id,
                }
            ]
        if organization.name:
            out["name"] = organization.name
        return {"reference": self.add(("org", organization.id, organization.name), "org", out)}

    def person(self, person: Person) -> dict[str, str]:
        out: dict[str, Any] = {"resourceType": "Device" if person.name_type == "U" else "Practitioner"}
        if person.id:
            out["identifier"] = [
                {
                    "use": "official",
                    "type": {"coding": [{"system": PDSM["id-type"], "code": person.id_type}]},
                    "system": f"urn:oid:{person.authority}",
                    "value": person.id,
                }
            ]
        if person.name_type == "U":
            names = ((person.family, "user-friendly-name"), (person.given, "model-name"))
            out["deviceName"] = [{"name": name, "type": kind} for name, kind in names if name]
            return {"reference": self.add(("dev", person.id), "dev", out)}
        if person.family:
            name: dict[str, Any] = {"family": person.family}
            if person.given:
                name["given"] = [person.given]
            out["name"] = [name]
        return {"reference": self.add(("ps", person.id, person.family), "ps", out)}

    def author(self, author: Author) -> dict[str, str]:
        """A role: the person, in a structure, with profession and specialty."""
        if author.person is not None and author.person.name_type == "U":
            return self.person(author.person)
        out: dict[str, Any] = {"resourceType": "PractitionerRole"}
        if author.person is not None:
            out["practitioner"] = self.person(author.person)
        for organization in author.institutions[:1]:
            out["organization"] = self.organization(organization)
        if author.roles:
            out["code"] = [{"text": role} for role in author.roles]
        if author.specialties:
            out["specialty"] = [concept(code) for code in author.specialties]
        key = ("role", author.person and author.person.id, author.institutions and author.institutions[0].id)
        return {"reference": self.add(key, "role", out)}


def _patient(contained: _Contained, entry: DocumentEntry) -> dict[str, str]:
    out: dict[str, Any] = {"resourceType": "Patient"}
    identifiers = [p for p in (entry.patient_id, entry.source_patient_id) if p is not None]
    out["identifier"] = [patient_identifier(p) for p in dict.fromkeys(identifiers)]
    for line in entry.source_patient_info:
        field, _, value = line.partition("|")
        if field == "PID-5":
            family, _, rest = value.partition("^")
            given = rest.partition("^")[0]
            name: dict[str, Any] = {"use": "official", "family": family}
            if given:
                name["given"] = [given]
            out.setdefault("name", []).append(name)
        elif field == "PID-7" and len(value) >= 8:
            out["birthDate"] = date_time(value[:8])
        elif field == "PID-8":
            out["gender"] = _GENDERS.get(value, "unknown")
    return {"reference": contained.add("patient", "pat", out)}


def document_reference(
    entry: DocumentEntry,
    *,
    custodian: Organization,
    attachment_url: str,
    content_type: str = "",
    replaces: str = "",
) -> dict[str, Any]:
    """Write a document entry as a DocumentReference.

    ``custodian`` is the structure of the call's token. ``replaces`` is the reference of the replaced resource. An entry
    of a registry (entryUUID in ``urn:uuid:`` form) gets its ids and version; one to be sent does not.
    """
    contained = _Contained()
    out: dict[str, Any] = {"resourceType": "DocumentReference", "meta": {"profile": [PROFILES["document"]]}}
    subject: dict[str, Any] = {"type": "Patient"}
    if entry.patient_id is not None:
        subject["identifier"] = patient_identifier(entry.patient_id)
    authors = [contained.author(author) for author in entry.authors]
    patient = _patient(contained, entry)
    body: dict[str, Any] = {"masterIdentifier": unique_identifier(entry.unique_id)}
    if entry.entry_uuid.startswith("urn:uuid:"):
        out["id"] = entry.entry_uuid.removeprefix("urn:uuid:")
        if entry.version:
            out["meta"]["versionId"] = entry.version
        body["identifier"] = [_identifier("official", "entryUUID", entry.entry_uuid)]
        if entry.logical_id and entry.logical_id != entry.entry_uuid:
            body["identifier"].append(_identifier("secondary", "logicalId", entry.logical_id))
    if entry.status:
        archived = {"url": EXTENSIONS["archived"], "valueBoolean": entry.status == v.ARCHIVED}
        body["extension"] = [archived]
    body["status"] = STATUSES.get(entry.status, "current")
    if entry.type_code is not None:
        body["type"] = concept(entry.type_code)
    if entry.class_code is not None:
        body["category"] = [concept(entry.class_code)]
    body["subject"] = subject
    body["date"] = date_time(entry.creation_time)
    body["author"] = authors
    if entry.legal_authenticator is not None:
        body["authenticator"] = contained.person(entry.legal_authenticator)
    body["custodian"] = contained.organization(custodian)
    if replaces:
        body["relatesTo"] = [{"code": "replaces", "target": {"reference": replaces}}]
    if entry.comments:
        body["description"] = entry.comments
    body["securityLabel"] = [concept(code) for code in entry.confidentiality]
    body["content"] = [_content(entry, attachment_url, content_type)]
    body["context"] = _context(entry, patient)
    return {**out, "contained": contained.resources, **body}


def _identifier(use: str, kind: str, value: str) -> dict[str, Any]:
    return {
        "use": use,
        "type": {"coding": [{"system": PDSM["identifier-type"], "code": kind}]},
        "system": URI,
        "value": value,
    }


def _content(entry: DocumentEntry, url: str, content_type: str) -> dict[str, Any]:
    attachment: dict[str, Any] = {"contentType": content_type or entry.mime_type}
    if entry.language:
        attachment["language"] = entry.language
    if url:
        attachment["url"] = url
    if entry.size is not None:
        attachment["size"] = entry.size
    if entry.hash:
        # Hexadecimal in XDS, base64 of the same twenty bytes here.
        attachment["hash"] = base64.b64encode(bytes.fromhex(entry.hash)).decode("ascii")
    if entry.title:
        attachment["title"] = entry.title
    if entry.creation_time:
        attachment["creation"] = date_time(entry.creation_time)
    out: dict[str, Any] = {"attachment": attachment}
    if entry.format_code is not None:
        out["format"] = coding(entry.format_code)
    return out


def _context(entry: DocumentEntry, patient: dict[str, str]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if entry.events:
        out["event"] = [concept(code) for code in entry.events]
    period = {
        name: date_time(value)
        for name, value in (("start", entry.service_start_time), ("end", entry.service_stop_time))
        if value
    }
    if period:
        out["period"] = period
    if entry.facility_type is not None:
        out["facilityType"] = concept(entry.facility_type)
    if entry.practice_setting is not None:
        out["practiceSetting"] = concept(entry.practice_setting)
    out["sourcePatientInfo"] = patient
    related = []
    for line in entry.reference_ids:
        parts = line.split("^")
        authority = parts[3].split("&")[1] if len(parts) > 3 and "&" in parts[3] else ""
        value = {"system": f"urn:oid:{authority}", "value": parts[0]} if authority else {"value": parts[0]}
        related.append({"identifier": value})
    if related:
        out["related"] = related
    return out


def submission_list(sent: SubmissionSet, items: Sequence[str]) -> dict[str, Any]:
    """Write a submission set as a List; ``items`` are the references of its documents."""
    contained = _Contained()
    author = sent.authors[0] if sent.authors else Author()
    source: dict[str, Any] = dict(contained.author(author))
    if author.institutions:
        organization = contained.organization(author.institutions[0])
        source["extension"] = [{"url": EXTENSIONS["author-org"], "valueReference": organization}]
    extensions: list[dict[str, Any]] = []
    if sent.content_type is not None:
        extensions.append({"url": EXTENSIONS["designation"], "valueCodeableConcept": concept(sent.content_type)})
    value = {"system": URI, "value": f"urn:oid:{sent.source_id}"}
    extensions.append({"url": EXTENSIONS["source-id"], "valueIdentifier": value})
    out: dict[str, Any] = {"resourceType": "List", "meta": {"profile": [PROFILES["list"]]}}
    identifiers = [unique_identifier(sent.unique_id)]
    if sent.entry_uuid.startswith("urn:uuid:"):
        out["id"] = sent.entry_uuid.removeprefix("urn:uuid:")
        identifiers.append(_identifier("official", "entryUUID", sent.entry_uuid))
    out |= {
        "contained": contained.resources,
        "extension": extensions,
        "identifier": identifiers,
        "status": "current",
        "mode": "working",
    }
    if sent.title:
        out["title"] = sent.title
    out["code"] = {"coding": [{"system": PDSM["list-type"], "code": "submissionset"}]}
    subject: dict[str, Any] = {"type": "Patient"}
    if sent.patient_id is not None:
        subject["identifier"] = patient_identifier(sent.patient_id)
    out["subject"] = subject
    out["date"] = date_time(sent.submission_time)
    out["source"] = source
    if sent.comments:
        out["note"] = [{"text": sent.comments}]
    if items:
        out["entry"] = [{"item": {"reference": item}} for item in items]
    return out


def provide_bundle(
    submission: Submission,
    contents: Mapping[str, bytes],
    *,
    custodian: Organization,
    new_uuid: Callable[[], object],
    replaced: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write an ITI-65 transaction: the List, each DocumentReference with its Binary, and a PATCH for each replaced one.

    ``contents`` gives the bytes by entryUUID of the submission. ``replaced`` gives, by the same, the reference of the
    DocumentReference that an entry replaces (``DocumentReference/12``, or a conditional one by identifier).
    """
    urls = {entry.entry_uuid: f"urn:uuid:{new_uuid()}" for entry in submission.entries}
    binaries = {entry.entry_uuid: f"urn:uuid:{new_uuid()}" for entry in submission.entries}
    made = submission_list(submission.submission_set, list(urls.values()))
    entries = [_post("List", f"urn:uuid:{new_uuid()}", made)]
    patches: list[dict[str, Any]] = []
    blobs: list[dict[str, Any]] = []
    for entry in submission.entries:
        name = entry.entry_uuid
        target = (replaced or {}).get(name, "")
        resource = document_reference(entry, custodian=custodian, attachment_url=binaries[name], replaces=target)
        entries.append(_post("DocumentReference", urls[name], resource))
        if target:
            patches.append(_supersede(target, f"urn:uuid:{new_uuid()}"))
        data = base64.b64encode(contents[name]).decode("ascii")
        binary = {"resourceType": "Binary", "contentType": entry.mime_type, "data": data}
        blobs.append(_post("Binary", binaries[name], binary))
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [PROFILES["bundle"]]},
        "type": "transaction",
        "entry": [*entries, *patches, *blobs],
    }


def _post(kind: str, url: str, resource: dict[str, Any]) -> dict[str, Any]:
    return {"fullUrl": url, "request": {"method": "POST", "url": kind}, "resource": resource}


def _supersede(target: str, url: str) -> dict[str, Any]:
    operation = [
        {"name": "path", "valueString": "DocumentReference.status"},
        {"name": "type", "valueCode": "replace"},
        {"name": "value", "valueCode": "superseded"},
    ]
    resource = {
        "resourceType": "Parameters",
        "meta": {"profile": [PROFILES["patch"]]},
        "parameter": [{"name": "operation", "part": operation}],
    }
    return {"fullUrl": url, "request": {"method": "PATCH", "url": target}, "resource": resource}
