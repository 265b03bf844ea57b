"""What the simulated DMP remembers: patients, entries with their versions, sets, documents, authorisations.

Safe from any thread. Documents are kept up to a number of bytes, then the oldest contents are let go; entries stay.
"""

from __future__ import annotations

import re
import threading
import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from mappings.xds import Association, DocumentEntry, PatientId, SubmissionSet
from mappings.xds import vocabulary as v

__all__ = ["Patient", "Registered", "State"]

REPOSITORY: Final = "1.2.250.1.213.4.1.1.1.2"
_TEST_AUTHORITY: Final = "1.2.250.1.213.1.4.10"
_MATRICULE: Final = re.compile(r"^[1-478]\d{4}(\d{2}|2[AB])\d{6}\d{2}$")


@dataclass(slots=True, kw_only=True)
class Patient:
    """A patient as the DMP knows it."""

    matricule: str = field(repr=False)
    state: Literal["active", "closed", "none"] = "active"
    closing_reason: str = ""
    treating_doctor: str = field(default="", repr=False)  #: PS_IdNat
    #: PS_IdNat or Struct_IdNat -> VALIDE, EXPIRE, INTERDIT
    authorizations: dict[str, str] = field(default_factory=dict, repr=False)
    #: since when, of authorisations given here
    authorized_at: dict[str, datetime] = field(default_factory=dict, repr=False)
    allows_break_glass: bool = True
    birth_date: str = ""  #: YYYYMMDD, known of minors
    mon_espace_sante: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A document entry in the registry: one version of it."""

    entry: DocumentEntry  #: with entryUUID, lid, version, status
    set_unique_id: str
    owner_person: str = field(repr=False)  #: NameID of who fed it
    owner_structure: str
    sequence: int


class State:
    """Registry and repository in one."""

    def __init__(self, *, keep_bytes: int = 256 * 1024 * 1024) -> None:
        self.lock = threading.RLock()
        self._keep_bytes = keep_bytes
        self._bytes = 0
        self._kept: deque[str] = deque()
        self._documents: dict[str, bytes] = {}
        self._patients: dict[str, Patient] = {}
        self._entries: dict[str, Registered] = {}
        self._by_unique_id: dict[str, list[str]] = {}
        self._by_patient: dict[str, list[str]] = {}
        self._by_lid: dict[str, list[str]] = {}
        self.sets: dict[str, tuple[SubmissionSet, str]] = {}  #: by uniqueId, with the entryUUID given
        self.associations: list[Association] = []
        self._sequence = 0
        self.seed()

    # --- patients ----------------------------------------------------------------------------------------------------

    def seed(self) -> None:
        """Load the published test identities."""
        data = orjson.loads((Path(__file__).parent / "data" / "patients.json").read_bytes())
        for row in data["patients"]:
            self.add_patient(Patient(**{k: val for k, val in row.items() if k != "note"}))

    def reset_patients(self) -> None:
        """Forget every patient but the published ones."""
        with self.lock:
            self._patients.clear()
            self.seed()

    def add_patient(self, patient: Patient) -> None:
        """Add or replace a patient."""
        with self.lock:
            self._patients[patient.matricule] = patient

    def patient(self, identifier: PatientId) -> Patient | None:
        """The patient of an INS, or None without a DMP.

        Any well-formed matricule of the test authority has an active DMP unless said otherwise.
        """
        if identifier.authority != _TEST_AUTHORITY or not _right(identifier.value):
            return None
        with self.lock:
            known = self._patients.get(identifier.value)
            if known is None:
                known = self._patients[identifier.value] = Patient(matricule=identifier.value)
            return None if known.state == "none" else known

    def patients(self) -> list[Patient]:
        """Every patient known."""
        with self.lock:
            return list(self._patients.values())

    # --- documents ---------------------------------------------------------------------------------------------------

    def document(self, unique_id: str) -> bytes | None:
        """The bytes of a document, None when unknown or let go."""
        with self.lock:
            return self._documents.get(unique_id)

    def _keep(self, unique_id: str, content: bytes) -> None:
        if unique_id not in self._documents:
            self._kept.append(unique_id)
        self._bytes += len(content) - len(self._documents.get(unique_id, b""))
        self._documents[unique_id] = content
        while self._bytes > self._keep_bytes and len(self._kept) > 1:
            self._bytes -= len(self._documents.pop(self._kept.popleft()))

    # --- entries -----------------------------------------------------------------------------------------------------

    def entries(self) -> list[Registered]:
        """All entries, all versions, in the order they came."""
        with self.lock:
            return list(self._entries.values())

    def entry(self, entry_uuid: str) -> Registered | None:
        """One version of an entry."""
        with self.lock:
            return self._entries.get(entry_uuid)

    def of_unique_id(self, unique_id: str) -> list[Registered]:
        """All versions of a document's entry, oldest first."""
        with self.lock:
            return [self._entries[e] for e in self._by_unique_id.get(unique_id, ())]

    def of_patient(self, matricule: str) -> list[Registered]:
        """All entries of a patient."""
        with self.lock:
            return [self._entries[e] for e in self._by_patient.get(matricule, ())]

    def current(self, logical_id: str) -> Registered | None:
        """The newest version of an entry by its logical id."""
        with self.lock:
            versions = self._by_lid.get(logical_id)
            return self._entries[versions[-1]] if versions else None

    def register(
        self,
        submitted: SubmissionSet,
        entries: Iterable[tuple[DocumentEntry, bytes | None]],
        associations: Iterable[Association],
        *,
        person: str,
        structure: str,
    ) -> dict[str, str]:
        """Register a set; gives the entryUUID of each symbolic id. Everything was checked before."""
        with self.lock:
            names: dict[str, str] = {submitted.entry_uuid: _new()}
            self.sets[submitted.unique_id] = (submitted, names[submitted.entry_uuid])
            for entry, content in entries:
                names[entry.entry_uuid] = self._add(entry, content, submitted.unique_id, person, structure)
            for link in associations:
                made = replace(
                    link,
                    source=names.get(link.source, link.source),
                    target=names.get(link.target, link.target),
                    entry_uuid=_new(),
                )
                self.associations.append(made)
                if link.kind == v.ASSOCIATION_REPLACES:
                    self.set_status(link.target, v.DEPRECATED)
            return names

    def _add(self, entry: DocumentEntry, content: bytes | None, set_id: str, person: str, structure: str) -> str:
        identifier = _new()
        lid = entry.logical_id or identifier
        self._sequence += 1
        stored = replace(
            entry,
            entry_uuid=identifier,
            logical_id=lid,
            version=str(len(self._by_lid.get(lid, ())) + 1),
            status=v.APPROVED,
            repository_unique_id=REPOSITORY,
        )
        if content is not None:
            self._keep(entry.unique_id, content)
        self._entries[identifier] = Registered(
            entry=stored, set_unique_id=set_id, owner_person=person, owner_structure=structure, sequence=self._sequence
        )
        self._by_unique_id.setdefault(entry.unique_id, []).append(identifier)
        self._by_lid.setdefault(lid, []).append(identifier)
        if entry.patient_id is not None:
            self._by_patient.setdefault(entry.patient_id.value, []).append(identifier)
        return identifier

    def update(self, previous: Registered, entry: DocumentEntry, set_id: str) -> str:
        """Add a new version of an entry; the previous one becomes deprecated."""
        with self.lock:
            self.set_status(previous.entry.entry_uuid, v.DEPRECATED)
            identifier = self._add(
                replace(entry, logical_id=previous.entry.logical_id),
                None,
                set_id,
                previous.owner_person,
                previous.owner_structure,
            )
            self.set_status(identifier, previous.entry.status)
            return identifier

    def set_status(self, entry_uuid: str, status: str) -> None:
        """Change the availability status of one version."""
        with self.lock:
            known = self._entries.get(entry_uuid)
            if known is not None:
                self._entries[entry_uuid] = replace(known, entry=replace(known.entry, status=status))

    def clear(self) -> None:
        """Forget documents and entries; patients stay."""
        with self.lock:
            for table in (
                self._documents,
                self._entries,
                self._by_unique_id,
                self._by_patient,
                self._by_lid,
                self.sets,
            ):
                table.clear()
            self._kept.clear()
            self.associations.clear()
            self._bytes = 0


def _new() -> str:
    return f"urn:uuid:{uuid.uuid4()}"


def _right(matricule: str) -> bool:
    if not _MATRICULE.match(matricule):
        return False
    digits = matricule[:13].replace("2A", "19", 1) if matricule[5:7] == "2A" else matricule[:13]
    digits = digits.replace("2B", "18", 1) if matricule[5:7] == "2B" else digits
    return digits.isdigit() and 97 - int(digits) % 97 == int(matricule[13:])


def entry_json(registered: Registered) -> dict[str, Any]:
    """An entry as the simulator's interface shows it: no identity of the patient."""
    entry = registered.entry
    return {
        "entryUuid": entry.entry_uuid,
        "logicalId": entry.logical_id,
        "version": entry.version,
        "status": entry.status.rpartition(":")[2],
        "uniqueId": entry.unique_id,
        "submissionSet": registered.set_unique_id,
        "class": entry.class_code.code if entry.class_code else None,
        "type": entry.type_code.code if entry.type_code else None,
        "format": entry.format_code.code if entry.format_code else None,
        "confidentiality": [code.code for code in entry.confidentiality],
        "title": entry.title,
        "creationTime": entry.creation_time,
        "hash": entry.hash,
        "size": entry.size,
        "structure": registered.owner_structure,
    }
