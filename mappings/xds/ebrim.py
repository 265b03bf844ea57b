"""Write registry metadata as ebRIM 3.0 elements, in the order the schema asks for.

OASIS ebRIM 3.0 ``rim.xsd``; IHE ITI TF-3 4.2. Inside an object: Slot*, Name, Description, VersionInfo,
Classification*, ExternalIdentifier*.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from lxml import etree

from mappings.xds import vocabulary as v
from mappings.xds.cx import format_cx, format_specialty, format_xcn, format_xon
from mappings.xds.model import Association, Author, Code, DocumentEntry, Submission, SubmissionSet

__all__ = [
    "LCM",
    "QUERY",
    "RIM",
    "RS",
    "registry_object_list",
    "submit_objects_request",
    "write_association",
    "write_entry",
    "write_submission_set",
    "xdm_metadata",
]

LCM: Final = "urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0"
RIM: Final = "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"
RS: Final = "urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0"
QUERY: Final = "urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0"

_R: Final = f"{{{RIM}}}"
_SLOT: Final = _R + "Slot"
_VALUES: Final = _R + "ValueList"
_VALUE: Final = _R + "Value"
_NAME: Final = _R + "Name"
_DESCRIPTION: Final = _R + "Description"
_STRING: Final = _R + "LocalizedString"
_CLASSIFICATION: Final = _R + "Classification"
_IDENTIFIER: Final = _R + "ExternalIdentifier"

_sub = etree.SubElement


def _slot(parent: etree._Element, name: str, values: Iterable[str]) -> None:
    values = [value for value in values if value]
    if not values:
        return
    listed = _sub(_sub(parent, _SLOT, name=name), _VALUES)
    for value in values:
        _sub(listed, _VALUE).text = value


def _string(parent: etree._Element, tag: str, value: str) -> None:
    if value:
        _sub(_sub(parent, tag), _STRING, value=value)


class _Ids:
    """Unique ids for the inner objects of one object."""

    __slots__ = ("_count", "_owner")

    def __init__(self, owner: str) -> None:
        # Once registered the owner is a urn:uuid, which may not be extended: inner ids stay symbolic.
        self._owner = owner.rpartition(":")[2]
        self._count = 0

    def next(self) -> str:
        self._count += 1
        return f"{self._owner}-{self._count}"


def _coded(parent: etree._Element, owner: str, scheme: str, code: Code | None, ids: _Ids) -> None:
    if code is None:
        return
    node = _sub(
        parent,
        _CLASSIFICATION,
        id=ids.next(),
        classificationScheme=scheme,
        classifiedObject=owner,
        nodeRepresentation=code.code,
    )
    _slot(node, "codingScheme", (code.scheme,))
    _string(node, _NAME, code.display or code.code)


def _author(parent: etree._Element, owner: str, scheme: str, author: Author, ids: _Ids) -> None:
    node = _sub(
        parent,
        _CLASSIFICATION,
        id=ids.next(),
        classificationScheme=scheme,
        classifiedObject=owner,
        nodeRepresentation="",
    )
    if author.person is not None:
        _slot(node, "authorPerson", (format_xcn(author.person),))
    _slot(node, "authorInstitution", [format_xon(organization) for organization in author.institutions])
    _slot(node, "authorRole", author.roles)
    _slot(node, "authorSpecialty", [format_specialty(code) for code in author.specialties])


def _identifier(parent: etree._Element, owner: str, scheme: str, name: str, value: str, ids: _Ids) -> None:
    if not value:
        return
    node = _sub(parent, _IDENTIFIER, id=ids.next(), registryObject=owner, identificationScheme=scheme, value=value)
    _string(node, _NAME, name)


def write_submission_set(parent: etree._Element, sent: SubmissionSet) -> etree._Element:
    """Write a submission set as a RegistryPackage, its marking classification inside."""
    owner = sent.entry_uuid
    ids = _Ids(owner)
    node = _sub(parent, _R + "RegistryPackage", id=owner)
    if sent.status:
        node.set("status", sent.status)
    _slot(node, "submissionTime", (sent.submission_time,))
    _slot(node, "intendedRecipient", sent.intended_recipients)
    _string(node, _NAME, sent.title)
    _string(node, _DESCRIPTION, sent.comments)
    for author in sent.authors:
        _author(node, owner, v.SET_AUTHOR, author, ids)
    _coded(node, owner, v.SET_CONTENT_TYPE, sent.content_type, ids)
    _sub(node, _CLASSIFICATION, id=ids.next(), classificationNode=v.SUBMISSION_SET_NODE, classifiedObject=owner)
    patient = "" if sent.patient_id is None else format_cx(sent.patient_id)
    _identifier(node, owner, v.SET_PATIENT_ID, "XDSSubmissionSet.patientId", patient, ids)
    _identifier(node, owner, v.SET_SOURCE_ID, "XDSSubmissionSet.sourceId", sent.source_id, ids)
    _identifier(node, owner, v.SET_UNIQUE_ID, "XDSSubmissionSet.uniqueId", sent.unique_id, ids)
    return node


def write_entry(parent: etree._Element, entry: DocumentEntry) -> etree._Element:
    """Write a document entry as an ExtrinsicObject."""
    owner = entry.entry_uuid
    ids = _Ids(owner)
    node = _sub(parent, _R + "ExtrinsicObject", id=owner, mimeType=entry.mime_type, objectType=entry.object_type)
    if entry.logical_id:
        node.set("lid", entry.logical_id)
    if entry.status:
        node.set("status", entry.status)
    _slot(node, "creationTime", (entry.creation_time,))
    _slot(node, "languageCode", (entry.language,))
    if entry.legal_authenticator is not None:
        _slot(node, "legalAuthenticator", (format_xcn(entry.legal_authenticator),))
    _slot(node, "serviceStartTime", (entry.service_start_time,))
    _slot(node, "serviceStopTime", (entry.service_stop_time,))
    if entry.source_patient_id is not None:
        _slot(node, "sourcePatientId", (format_cx(entry.source_patient_id),))
    _slot(node, "sourcePatientInfo", entry.source_patient_info)
    _slot(node, "hash", (entry.hash,))
    if entry.size is not None:
        _slot(node, "size", (str(entry.size),))
    _slot(node, "URI", (entry.uri,))
    _slot(node, "repositoryUniqueId", (entry.repository_unique_id,))
    _slot(node, v.REFERENCE_ID_LIST, entry.reference_ids)
    _string(node, _NAME, entry.title)
    _string(node, _DESCRIPTION, entry.comments)
    if entry.version:
        _sub(node, _R + "VersionInfo", versionName=entry.version)
    for author in entry.authors:
        _author(node, owner, v.ENTRY_AUTHOR, author, ids)
    _coded(node, owner, v.ENTRY_CLASS, entry.class_code, ids)
    _coded(node, owner, v.ENTRY_TYPE, entry.type_code, ids)
    for code in entry.confidentiality:
        _coded(node, owner, v.ENTRY_CONFIDENTIALITY, code, ids)
    _coded(node, owner, v.ENTRY_FORMAT, entry.format_code, ids)
    _coded(node, owner, v.ENTRY_FACILITY, entry.facility_type, ids)
    _coded(node, owner, v.ENTRY_PRACTICE, entry.practice_setting, ids)
    for event in entry.events:
        _coded(node, owner, v.ENTRY_EVENT, event, ids)
    patient = "" if entry.patient_id is None else format_cx(entry.patient_id)
    _identifier(node, owner, v.ENTRY_PATIENT_ID, "XDSDocumentEntry.patientId", patient, ids)
    _identifier(node, owner, v.ENTRY_UNIQUE_ID, "XDSDocumentEntry.uniqueId", entry.unique_id, ids)
    return node


def write_association(parent: etree._Element, link: Association, number: int = 1) -> etree._Element:
    """Write an association; ``number`` makes its symbolic id when it has none."""
    node = _sub(
        parent,
        _R + "Association",
        id=link.entry_uuid or f"Association{number:02d}",
        associationType=link.kind,
        sourceObject=link.source,
        targetObject=link.target,
    )
    _slot(node, "SubmissionSetStatus", (link.submission_set_status,))
    _slot(node, "PreviousVersion", (link.previous_version,))
    _slot(node, "OriginalStatus", (link.original_status,))
    _slot(node, "NewStatus", (link.new_status,))
    return node


def registry_object_list(parent: etree._Element, submission: Submission) -> etree._Element:
    """Write a whole submission as a RegistryObjectList."""
    listed = _sub(parent, _R + "RegistryObjectList")
    write_submission_set(listed, submission.submission_set)
    for entry in submission.entries:
        write_entry(listed, entry)
    for number, link in enumerate(submission.associations, start=1):
        write_association(listed, link, number)
    return listed


def submit_objects_request(submission: Submission) -> etree._Element:
    """Write the ``lcm:SubmitObjectsRequest`` of a submission (ITI-41 and ITI-57 carry it, XDM is it)."""
    root = etree.Element(f"{{{LCM}}}SubmitObjectsRequest", nsmap={"lcm": LCM, None: RIM})
    registry_object_list(root, submission)
    return root


def xdm_metadata(submission: Submission) -> bytes:
    """Write METADATA.XML of an IHE XDM set: the bare request, without envelope (mss.md 6.1)."""
    return etree.tostring(submit_objects_request(submission), xml_declaration=True, encoding="UTF-8")
