"""Read an IHE XDM archive in memory and verify it as a whole before anything reaches the caller (``mss.md`` 6.5, 7.3).

One fault refuses the archive: an entry is never skipped. What only deserves attention comes as a warning.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lxml import etree

from adapters.mss.documents import MailDocument, Traits, read_document
from adapters.mss.rules import MailRefused, refuse, rule
from conformance.verdict import Finding
from mappings.xds.model import DocumentEntry, PatientId, RegistryObjects, SubmissionSet
from mappings.xds.read import read_objects
from mappings.xds.vocabulary import ASSOCIATION_HAS_MEMBER
from security.errors import UnsafeInput
from security.xml import XmlLimits, parse
from security.zip import ZipLimits, read_archive

__all__ = ["XDM_LIMITS", "PatientKey", "ReceivedDocument", "ReceivedPackage", "read_package"]

#: mss.md 7.3
XDM_LIMITS = ZipLimits()
_METADATA_LIMITS = XmlLimits(max_bytes=4 * 1024 * 1024, max_elements=50_000, max_depth=40)
_METADATA = re.compile(r"(?P<lead>[^/]+/)?(?P<folder>IHE_XDM/[^/]+)/METADATA\.XML", re.IGNORECASE)
_REQUEST = "{urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0}SubmitObjectsRequest"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientKey:
    """What a received document says of its patient, to match with the local record; never to be logged."""

    identifier: PatientId | None = field(
        default=None, repr=False
    )  #: patientId of METADATA.XML, which decides (ECO.2.1.2)
    traits: Traits = field(default_factory=Traits)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedDocument:
    """One verified document of an archive."""

    path: str  #: its place in the archive
    data: bytes = field(repr=False)
    sha1: str
    metadata: DocumentEntry = field(repr=False)  #: as METADATA.XML states it
    document: MailDocument = field(repr=False)  #: as the CDA itself states it
    action: str = ""  #: ``C`` replaces, ``D`` deletes, empty for a first sending

    @property
    def unique_id(self) -> str:
        return self.document.entry.unique_id

    @property
    def size(self) -> int:
        return len(self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedPackage:
    """An archive that passed every check."""

    documents: tuple[ReceivedDocument, ...]
    submission_sets: tuple[SubmissionSet, ...] = field(repr=False)
    patient: PatientKey
    warnings: tuple[Finding, ...] = ()
    sha256: str = ""  #: of the whole archive, to recognise it again


def read_package(data: bytes, *, limits: ZipLimits = XDM_LIMITS, accept_rooted_uri: bool = False) -> ReceivedPackage:
    """Read and verify an archive.

    ``accept_rooted_uri`` also takes, from peers known for it, a URI written from ``IHE_XDM`` downwards. Raises
    :class:`MailRefused` with every fault found: MSS-XDM-001 to 012, MSS-PAT-007.
    """
    try:
        entries = read_archive(data, limits)
    except UnsafeInput as exc:
        raise refuse("MSS-XDM-001", found=f"{exc.code} {exc.found}".strip(), expected=exc.expected or None) from exc
    if any(name.lower().endswith(".zip") for name in entries):
        raise refuse("MSS-XDM-001", found="archive imbriquée")
    sets = [(name, match) for name in entries if (match := _METADATA.fullmatch(name))]
    if not sets:
        raise refuse("MSS-XDM-002", expected="IHE_XDM/SUBSET01/METADATA.XML")
    reader = _Reader(entries, accept_rooted_uri)
    for name, match in sets:
        if match["lead"]:
            reader.findings.append(rule("MSS-XDM-013"))
        reader.read_set(name)
    reader.check_one_patient()
    refused = [f for f in reader.findings if f.severity == "error"]
    if refused:
        raise MailRefused(reader.findings)
    first = reader.documents[0]
    return ReceivedPackage(
        documents=tuple(reader.documents),
        submission_sets=tuple(reader.sets),
        patient=PatientKey(
            identifier=first.metadata.patient_id or first.document.entry.patient_id, traits=first.document.traits
        ),
        warnings=tuple(reader.findings),
        sha256=hashlib.sha256(data).hexdigest(),
    )


class _Reader:
    def __init__(self, entries: Mapping[str, bytes], accept_rooted_uri: bool) -> None:
        self._entries = entries
        self._rooted = accept_rooted_uri
        self.findings: list[Finding] = []
        self.documents: list[ReceivedDocument] = []
        self.sets: list[SubmissionSet] = []

    def read_set(self, name: str) -> None:
        """Read one METADATA.XML and the documents it announces."""
        try:
            root = parse(self._entries[name], _METADATA_LIMITS)
        except UnsafeInput as exc:
            self.findings.append(rule("MSS-XDM-003", name, found=exc.code))
            return
        if root.tag != _REQUEST:
            self.findings.append(rule("MSS-XDM-003", name, found="autre racine", expected="SubmitObjectsRequest"))
            return
        objects = read_objects(root)
        if len(objects.submission_sets) != 1:
            found = f"{len(objects.submission_sets)} lots"
            self.findings.append(rule("MSS-XDM-003", name, found=found, expected="un lot"))
            return
        self._check_members(objects, name)
        self.sets.append(objects.submission_sets[0])
        if not objects.entries:
            self.findings.append(rule("MSS-XDM-012", name))
        actions = _actions(root)
        for entry in objects.entries:
            self._read_document(entry, name, actions.get(entry.entry_uuid, ""))

    def _check_members(self, objects: RegistryObjects, name: str) -> None:
        the_set = objects.submission_sets[0].entry_uuid
        known = {e.entry_uuid for e in objects.entries}
        members = [a for a in objects.associations if a.kind.endswith(":HasMember") or a.kind == "HasMember"]
        targets = [a.target for a in members if a.source == the_set]
        # Folders have members too, and are members: France has none, so what concerns them is not judged.
        for association in members if not objects.others else ():
            if association.source != the_set or association.target not in known:
                self.findings.append(
                    rule("MSS-XDM-003", name, found="association vers un objet absent", expected=ASSOCIATION_HAS_MEMBER)
                )
        for entry in objects.entries:
            if targets.count(entry.entry_uuid) != 1:
                self.findings.append(
                    rule(
                        "MSS-XDM-003",
                        name,
                        found=f"{targets.count(entry.entry_uuid)} HasMember",
                        expected="un HasMember",
                    )
                )

    def _resolve(self, uri: str, name: str) -> str | None:
        """The entry a URI names, relative to the folder of METADATA.XML; ``..`` is refused outright (6.4)."""
        if not uri or ".." in uri or "\\" in uri or ":" in uri or uri.startswith("/") or "\x00" in uri:
            return None
        path = f"{name.rpartition('/')[0]}/{uri}"
        if path in self._entries:
            return path
        # Packages made for file systems that ignore letter case announce DOC.TXT and hold doc.txt.
        alike = [name for name in self._entries if name.casefold() == path.casefold()]
        if len(alike) == 1:
            return alike[0]
        if self._rooted:
            path = f"{name.rpartition('/')[0]}/{uri.rpartition('/')[2]}"
            return path if path in self._entries else None
        return None

    def _read_document(self, entry: DocumentEntry, name: str, action: str) -> None:
        path = self._resolve(entry.uri, name)
        if path is None:
            self.findings.append(rule("MSS-XDM-004", name, expected="un fichier de l'archive"))
            return
        data = self._entries[path]
        sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        faults: list[Finding] = []
        if entry.hash.lower() != sha1:
            faults.append(rule("MSS-XDM-005", path, found=entry.hash.lower()[:40] or "absente", expected=sha1))
        if entry.size != len(data):
            faults.append(rule("MSS-XDM-006", path, found=str(entry.size), expected=str(len(data))))
        try:
            document = read_document(data, uri=entry.uri, entry_uuid=entry.entry_uuid)
        except MailRefused as refused:
            self.findings += [*faults, *(f.at(path) for f in refused.findings)]
            return
        faults += self._coherence(entry, document, path)
        self.findings += faults
        self.documents.append(
            ReceivedDocument(path=path, data=data, sha1=sha1, metadata=entry, document=document, action=action)
        )

    def _coherence(self, entry: DocumentEntry, document: MailDocument, path: str) -> list[Finding]:
        """Compare what METADATA.XML says with what the CDA says (6.5); R2 members may be absent."""
        faults = []
        if entry.unique_id != document.entry.unique_id:
            faults.append(rule("MSS-XDM-008", path))
        stated = entry.patient_id
        if stated is not None and (stated.value.upper(), stated.authority) not in {
            (p.value.upper(), p.authority) for p in document.patient_ids
        }:
            faults.append(rule("MSS-XDM-009", path))
        traits = Traits.of(entry)
        if entry.source_patient_info and _differ(traits, document.traits):
            faults.append(rule("MSS-XDM-009", path))
        if entry.type_code is not None and document.code != entry.type_code.code:
            faults.append(rule("MSS-XDM-010", path, found=entry.type_code.code, expected=document.code))
        return faults

    def check_one_patient(self) -> None:
        """All patient identifiers of the archive are one (ECO.2.1.1), and so are the traits of the documents."""
        stated = {(p.value.upper(), p.authority) for p in self._patients() if p is not None}
        traits = {
            (d.document.traits.family.upper(), d.document.traits.given.upper(), d.document.traits.birth_date)
            for d in self.documents
        }
        if len(stated) > 1 or len(traits) > 1:
            self.findings.append(rule("MSS-PAT-007"))

    def _patients(self) -> list[PatientId | None]:
        return [*(s.patient_id for s in self.sets), *(d.metadata.patient_id for d in self.documents)]


def _differ(stated: Traits, own: Traits) -> bool:
    """True when two sets of traits contradict each other; what one side does not say contradicts nothing."""
    pairs = (
        (stated.family.upper(), own.family.upper()),
        (stated.given.upper(), own.given.upper()),
        (stated.birth_date, own.birth_date),
        (stated.sex, own.sex),
    )
    return any(a and b and a != b for a, b in pairs)


def _actions(root: etree._Element) -> dict[str, str]:
    """The extra metadata ``action`` of each document: its exact name is not public, so any Slot that ends so (4.6)."""
    rim = "{urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0}"
    out: dict[str, str] = {}
    for slot in root.iter(f"{rim}Slot"):
        owner = slot.getparent()
        if owner is None or owner.tag != f"{rim}ExtrinsicObject" or not slot.get("name", "").lower().endswith("action"):
            continue
        value = slot.findtext(f"{rim}ValueList/{rim}Value", "").strip().upper()
        if value in ("C", "D"):
            out[owner.get("id", "")] = value
    return out
