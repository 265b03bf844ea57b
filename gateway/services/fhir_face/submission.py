"""A PDSm submission read: its documents as the gateway takes them in, or every fault found. Pure, run in the pool."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from conformance.verdict import Finding, Severity
from gateway.problems import rule
from gateway.services.fhir_face.rules import (
    check_bundle,
    check_fiche,
    dicts,
    kind_of,
    member,
    resource_of,
    same_target,
    target_of,
    text,
)
from gateway.services.fhir_face.words import found
from gateway.services.intake import Form
from mappings.xds import DocumentEntry, document_entry
from mappings.xds import vocabulary as v
from mappings.xds.pdsm_in import read_document_reference, read_list
from mappings.xds.pdsm_words import code_of
from security import json
from security.errors import UnsafeInput
from security.xml import CDA_LIMITS, parse

__all__ = ["Fiche", "Submitted", "coherent", "read_published", "read_transaction"]

UNREADABLE = rule(
    "PDSM-JSON-001",
    "Le contenu n'est pas une ressource FHIR lisible.",
    "The content is not a readable FHIR resource.",
    "Envoyez du JSON bien formé, en UTF-8.",
    "Send well-formed JSON, in UTF-8.",
    "FHIR R4",
)

#: Content types a document may come in, and the form each is read as.
_FORMS: Final[Mapping[str, Form]] = {
    "text/xml": "cda",
    "application/xml": "cda",
    "application/hl7-cda+xml": "cda",
    "application/fhir+json": "fhir",
}
_G15: Final = "1.2.250.1.71.1.2.7"
_R01: Final = "1.2.250.1.71.4.2.5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fiche:
    """One document of a submission."""

    index: int  #: of its entry in the Bundle
    entry: DocumentEntry
    body: bytes = field(repr=False)
    form: Form
    replaces: str  #: reference, or ``urn:oid:`` of the document; empty when nothing is replaced
    visibility: tuple[str, ...]
    author: dict[str, Any] | None = field(default=None, repr=False)  #: its first author, described


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A submission read, or refused: then ``findings`` holds errors and nothing else is to be used."""

    findings: tuple[Finding, ...] = ()
    fiches: tuple[Fiche, ...] = ()
    order: tuple[tuple[str, int], ...] = ()  #: kind of each entry, and the number of the fiche it goes with
    sender: dict[str, Any] | None = field(default=None, repr=False)  #: who sends, described as an actor
    unreadable: bool = False

    @property
    def refused(self) -> bool:
        """True when an error was found."""
        return any(f.severity is Severity.ERROR for f in self.findings)


def _load(body: bytes) -> dict[str, Any] | Submitted:
    try:
        value = json.loads(body, max_bytes=len(body) + 1)
    except UnsafeInput as exc:
        return Submitted(findings=(UNREADABLE.finding("", found=exc.code, expected=exc.expected),), unreadable=True)
    if not isinstance(value, dict):
        return Submitted(findings=(UNREADABLE.finding("", expected="un objet"),), unreadable=True)
    return value


def read_transaction(body: bytes, structure: str) -> Submitted:
    """Read an ITI-65 transaction for a structure (Struct_IdNat)."""
    bundle = _load(body)
    if isinstance(bundle, Submitted):
        return bundle
    findings = list(check_bundle(bundle, structure))
    if any(f.code == "PDSM-BDL-007" for f in findings):
        return Submitted(findings=tuple(findings))
    entries = dicts(bundle.get("entry"))
    resources = [resource_of(e) for e in entries]
    binaries = {
        text(e.get("fullUrl")): (i, r)
        for i, (e, r) in enumerate(zip(entries, resources, strict=True))
        if kind_of(r) == "Binary"
    }
    fiches: list[Fiche] = []
    numbers: dict[str, int] = {}
    for index, resource in enumerate(resources):
        if kind_of(resource) != "DocumentReference":
            continue
        url = text(member(next(iter(dicts(resource.get("content"))), {}), "attachment", "url"))
        name = next((n for n in binaries if url and (n == url or n.endswith(url.removeprefix("Binary/")))), "")
        data, at = None, f"/entry/{index}/resource/content/0/attachment"
        if name:
            at = f"/entry/{binaries[name][0]}/resource/data"
            data = binaries[name][1].get("data")
        numbers[name] = len(fiches)
        fiche, faults = _fiche(resource, index, data, at, f"/entry/{index}/resource")
        findings += faults
        if fiche is not None:
            fiches.append(fiche)
    sets = [r for r in resources if kind_of(r) == "List"]
    sender = _sender(sets[0]) if len(sets) == 1 else None
    if sets and (sender is None or sender["structure"] != structure):
        index = resources.index(sets[0])
        findings.append(found("PDSM-SRC-001").finding(f"/entry/{index}/resource/source"))
    return Submitted(
        findings=tuple(findings),
        fiches=tuple(fiches),
        order=_order(entries, resources, fiches, numbers),
        sender=sender,
    )


def _order(
    entries: list[dict[str, Any]], resources: list[dict[str, Any]], fiches: list[Fiche], numbers: Mapping[str, int]
) -> tuple[tuple[str, int], ...]:
    by_index = {fiche.index: number for number, fiche in enumerate(fiches)}
    out: list[tuple[str, int]] = []
    for index, (entry, resource) in enumerate(zip(entries, resources, strict=True)):
        kind = kind_of(resource)
        number = by_index.get(index, 0)
        if kind == "Binary":
            number = numbers.get(text(entry.get("fullUrl")), 0)
        elif kind == "Parameters":
            url = text(member(entry, "request", "url"))
            number = next((n for n, f in enumerate(fiches) if same_target(url, f.replaces)), 0)
        out.append((kind, number))
    return tuple(out)


def read_published(body: bytes, structure: str) -> Submitted:
    """Read an ITI-105 DocumentReference, its document in ``attachment.data``."""
    resource = _load(body)
    if isinstance(resource, Submitted):
        return resource
    if kind_of(resource) != "DocumentReference":
        return Submitted(findings=(UNREADABLE.finding("/resourceType", expected="DocumentReference"),), unreadable=True)
    findings = list(check_fiche(resource, "", structure, published=True))
    attachment = member(next(iter(dicts(resource.get("content"))), {}), "attachment")
    data = member(attachment, "data")
    fiche, faults = _fiche(resource, 0, data, "/content/0/attachment/data", "", published=True)
    sender = fiche.author if fiche is not None else None
    return Submitted(
        findings=(*findings, *faults),
        fiches=(fiche,) if fiche is not None else (),
        order=(("DocumentReference", 0),),
        sender=sender,
    )


def _fiche(
    resource: dict[str, Any], index: int, data: Any, at: str, place: str, *, published: bool = False
) -> tuple[Fiche | None, list[Finding]]:
    """One fiche with its document; hash and size are those of the decoded bytes (fhir-profiles.md 9.2-4)."""
    attachment = member(next(iter(dicts(resource.get("content"))), {}), "attachment") or {}
    try:
        content = base64.b64decode("".join(text(data).split()), validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if not content:
        return None, [found("PDSM-ATT-004").finding(at)] if data is not None or published else []
    faults: list[Finding] = []
    digest = hashlib.sha1(content, usedforsecurity=False).digest()
    if attachment.get("hash") and attachment["hash"] != base64.b64encode(digest).decode("ascii"):
        faults.append(found("PDSM-ATT-005").finding(f"{place}/content/0/attachment/hash"))
    size = attachment.get("size")
    if size is not None and size != len(content):
        faults.append(
            found("PDSM-ATT-006").finding(
                f"{place}/content/0/attachment/size", found=str(size)[:20], expected=str(len(content))
            )
        )
    form = _FORMS.get(text(attachment.get("contentType")).partition(";")[0].strip().lower())
    if form is None:
        faults.append(
            found("PDSM-ATT-007").finding(
                f"{place}/content/0/attachment/contentType", found=text(attachment.get("contentType"))[:60]
            )
        )
        return None, faults
    entry = read_document_reference(resource, entry_uuid=f"fiche-{index}")
    labels = {known[0] for c in entry.confidentiality if (known := v.visibility_code(c.code)) is not None}
    fiche = Fiche(
        index=index,
        entry=entry,
        body=content,
        form=form,
        replaces=target_of(resource),
        visibility=tuple(sorted(labels)),
        author=_described(resource, next(iter(dicts(resource.get("author"))), {})),
    )
    return fiche, faults


# --- who sends ---------------------------------------------------------------------------------------------------


def _sender(listed: dict[str, Any]) -> dict[str, Any] | None:
    return _described(listed, listed.get("source")) if read_list(listed).authors else None


def _described(owner: dict[str, Any], reference: Any) -> dict[str, Any] | None:
    """The professional behind a reference, as :func:`gateway.services.intake.describe_actor` describes one."""
    inside = {f"#{text(c.get('id'))}": c for c in dicts(owner.get("contained"))}
    role = inside.get(text(member(reference, "reference")), {})
    person = inside.get(text(member(role.get("practitioner"), "reference")), {})
    place = inside.get(text(member(role.get("organization"), "reference")), {})
    identifier = next(iter(dicts(person.get("identifier"))), {})
    structure = next(iter(dicts(place.get("identifier"))), {})
    if kind_of(role) != "PractitionerRole" or not text(identifier.get("value")) or not text(structure.get("value")):
        return None
    name = next(iter(dicts(person.get("name"))), {})
    given = name.get("given")
    codes = [c for one in dicts(role.get("code")) if (c := code_of(one)) is not None]
    skills = [c for one in dicts(role.get("specialty")) if (c := code_of(one)) is not None]
    joined = next((c for c in skills if c.code.startswith("G15_")), None)
    profession = next((c for c in codes if c.scheme == _G15), None)
    skill = next((c for c in skills if c.scheme == _R01), None)
    specialty = None
    if joined is not None:
        specialty = {"code": joined.code, "display": joined.display, "system": joined.scheme}
    elif profession is not None:
        code = f"G15_{profession.code}" + (f"/{skill.code}" if skill is not None else "")
        labels = [profession.display, skill.display if skill is not None else ""]
        specialty = {"code": code, "display": " - ".join(filter(None, labels)), "system": "1.2.250.1.213.1.1.4.5"}
    return {
        "id": text(identifier.get("value")),
        "family": text(name.get("family")),
        "given": text(given[0]) if isinstance(given, list) and given else "",
        "specialty": specialty,
        "structure": text(structure.get("value")),
        "structureName": text(place.get("name")) or None,
        "function": next((text(c.get("text")) for c in dicts(role.get("code")) if c.get("text")), None),
    }


# --- the fiche and its document ----------------------------------------------------------------------------------


def coherent(fiche: Fiche, cda: bytes, place: str) -> list[Finding]:
    """Compare a fiche with the header of its document (fhir-profiles.md 9.2-6, 9.2-7)."""
    entry = fiche.entry
    derived = document_entry(parse(cda, CDA_LIMITS), cda)
    rule_of = found("PDSM-CDA-001")

    def code(value: Any) -> str:
        return "" if value is None else value.code

    out: list[Finding] = []
    for name, said, held in (
        ("masterIdentifier", entry.unique_id, derived.unique_id),
        ("type", code(entry.type_code), code(derived.type_code)),
        ("content/0/format", code(entry.format_code), code(derived.format_code)),
        ("content/0/attachment/creation", entry.creation_time, derived.creation_time),
        ("content/0/attachment/language", entry.language, derived.language),
        ("context/facilityType", code(entry.facility_type), code(derived.facility_type)),
        ("context/practiceSetting", code(entry.practice_setting), code(derived.practice_setting)),
    ):
        if said and held and said != held:
            out.append(rule_of.finding(f"{place}/{name}", found=said[:80], expected=held[:80]))
    mine, its = entry.patient_id, derived.patient_id
    if mine is not None and its is not None and (mine.value, mine.authority) != (its.value, its.authority):
        out.append(found("PDSM-PAT-001").finding(f"{place}/subject"))
    return out
