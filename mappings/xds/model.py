"""Registry metadata as values: what XDS calls document entry, submission set and association.

The names are those of IHE ITI TF-3 4.2.3, in snake case. Everything may be absent on reading, since other registries
leave much out; :mod:`mappings.xds.check` says what must be there on sending.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mappings.xds.vocabulary import STABLE_DOCUMENT

__all__ = [
    "Association",
    "Author",
    "Code",
    "DocumentEntry",
    "Organization",
    "PatientId",
    "Person",
    "RegistryObjects",
    "Submission",
    "SubmissionSet",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A coded value: code, coding scheme, label."""

    code: str
    scheme: str = ""
    display: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientId:
    """An identifier of a patient (HL7 CX): the INS (``NH``) or a local number (``PI``)."""

    value: str = field(repr=False)
    authority: str  #: OID of who assigned it
    id_type: str = "NH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person, or a device, by national or local identifier and name (HL7 XCN)."""

    # A patient may be the author: no trait in a repr.
    id: str = field(default="", repr=False)
    family: str = field(default="", repr=False)
    given: str = field(default="", repr=False)
    authority: str = ""  #: OID
    name_type: str = "D"  #: D for a person, U for a device
    id_type: str = "IDNPS"  #: IDNPS national, EI internal to a structure, RI device, NH patient


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """A structure by national identifier and name (HL7 XON)."""

    name: str = ""
    id: str = ""
    authority: str = ""  #: OID
    id_type: str = "IDNST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who wrote a document, or who sends a set: person, structures, roles, specialties."""

    person: Person | None = None
    institutions: tuple[Organization, ...] = ()
    roles: tuple[str, ...] = ()  #: plain labels
    specialties: tuple[Code, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentEntry:
    """What the registry knows of one document (IHE ITI TF-3 4.2.3.2)."""

    entry_uuid: str  #: symbolic in a request, ``urn:uuid:`` once registered
    unique_id: str = ""
    patient_id: PatientId | None = None
    source_patient_id: PatientId | None = None
    #: ``PID-n|value`` lines
    source_patient_info: tuple[str, ...] = field(default=(), repr=False)
    mime_type: str = "text/xml"
    object_type: str = STABLE_DOCUMENT
    title: str = ""
    comments: str = ""
    class_code: Code | None = None
    type_code: Code | None = None
    format_code: Code | None = None
    confidentiality: tuple[Code, ...] = ()
    facility_type: Code | None = None
    practice_setting: Code | None = None
    events: tuple[Code, ...] = ()
    authors: tuple[Author, ...] = ()
    legal_authenticator: Person | None = None
    creation_time: str = ""  #: UTC, ``YYYYMMDDhhmmss``
    service_start_time: str = ""  #: UTC
    service_stop_time: str = ""  #: UTC
    language: str = ""
    hash: str = ""  #: SHA-1 of the exact bytes, 40 hexadecimal digits
    size: int | None = None  #: bytes
    uri: str = ""  #: XDM only, relative to METADATA.XML
    repository_unique_id: str = ""
    reference_ids: tuple[str, ...] = ()  #: CXi
    logical_id: str = ""  #: ``lid``, given by the registry
    version: str = ""  #: ``VersionInfo/@versionName``, given by the registry
    status: str = ""  #: availabilityStatus, given by the registry


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionSet:
    """One sending: who sends, when, for whom (IHE ITI TF-3 4.2.3.3)."""

    entry_uuid: str = "SubmissionSet01"
    unique_id: str = ""
    source_id: str = ""  #: OID of the sending system
    patient_id: PatientId | None = None
    submission_time: str = ""  #: UTC, ``YYYYMMDDhhmmss``
    title: str = ""
    comments: str = ""
    authors: tuple[Author, ...] = ()
    content_type: Code | None = None
    intended_recipients: tuple[str, ...] = ()  #: XON|XCN|XTN, XDM and XDR only
    status: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Association:
    """A link between two registry objects, by their entryUUID or symbolic id (IHE ITI TF-3 4.2.2)."""

    kind: str  #: the association type URN
    source: str
    target: str
    submission_set_status: str = ""  #: ``Original`` or ``Reference``, on HasMember only
    previous_version: str = ""  #: on HasMember of a metadata update
    original_status: str = ""  #: on UpdateAvailabilityStatus
    new_status: str = ""  #: on UpdateAvailabilityStatus
    entry_uuid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A submission set with its document entries and its associations."""

    submission_set: SubmissionSet
    entries: tuple[DocumentEntry, ...] = ()
    associations: tuple[Association, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryObjects:
    """What was read of a ``RegistryObjectList``, whoever wrote it."""

    submission_sets: tuple[SubmissionSet, ...] = ()
    entries: tuple[DocumentEntry, ...] = ()
    associations: tuple[Association, ...] = ()
    references: tuple[str, ...] = ()  #: ids of the ``ObjectRef``
    #: other objects, by local name (folders, for instance)
    others: tuple[str, ...] = ()

    def submission(self) -> Submission:
        """The one submission; raises ValueError unless there is exactly one submission set."""
        if len(self.submission_sets) != 1:
            raise ValueError(f"{len(self.submission_sets)} submission sets, expected one")
        return Submission(submission_set=self.submission_sets[0], entries=self.entries, associations=self.associations)
