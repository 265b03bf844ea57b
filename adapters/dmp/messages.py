"""The payloads of each transaction, written as bytes: what stands in the SOAP body.

ITI-41, ITI-18, ITI-43, ITI-57 (IHE ITI TF-2); TD0.2 and TD0.3 of the DMP (dmp.md 7, 8, 15.5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from adapters.dmp.mtom import XOP, Part, href_of
from mappings.xds import Submission
from mappings.xds.ebrim import LCM, QUERY, RIM, registry_object_list, submit_objects_request
from mappings.xds.times import dtm

__all__ = [
    "ACTIONS",
    "Action",
    "DocumentRequest",
    "authorization_request",
    "patient_status_request",
    "provide_and_register",
    "retrieve_request",
    "stored_query",
    "update_request",
]

XDS: Final = "urn:ihe:iti:xds-b:2007"
HL7: Final = "urn:hl7-org:v3"


@dataclass(frozen=True, slots=True)
class Action:
    """The WS-Addressing actions of a transaction."""

    request: str
    response: str


#: dmp.md 2.1; the hyphen in the answer of ITI-57 is the standard's.
ACTIONS: Final[Mapping[str, Action]] = {
    "TD0.2": Action("urn:hl7-org:v3:PRPA_IN201307UV02", "urn:hl7-org:v3:PRPA_IN201308UV02"),
    "TD0.3": Action(
        "urn:si-dmp-habilitations:HabilitationsEndPoint:setAuthorization",
        "urn:si-dmp-habilitations:HabilitationsEndPoint:setAuthorizationResponse",
    ),
    "TD0.4": Action(
        "urn:si-dmp-patients:PatientSpecificEndPoint:patientList",
        "urn:si-dmp-patients:PatientSpecificEndPoint:patientListResponse",
    ),
    "ITI-41": Action(
        "urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b", "urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-bResponse"
    ),
    "ITI-18": Action("urn:ihe:iti:2007:RegistryStoredQuery", "urn:ihe:iti:2007:RegistryStoredQueryResponse"),
    "ITI-43": Action("urn:ihe:iti:2007:RetrieveDocumentSet", "urn:ihe:iti:2007:RetrieveDocumentSetResponse"),
    "ITI-57": Action("urn:ihe:iti:2010:UpdateDocumentSet", "urn:ihe:iti:2010:UpdateDocumentSet-Response"),
}

#: IHE ITI TF-1 3.18.4.1.2.3.7; the first six are those whose use by the DMP is confirmed.
QUERIES: Final[Mapping[str, str]] = {
    "FindDocuments": "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d",
    "GetDocuments": "urn:uuid:5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4",
    "FindSubmissionSets": "urn:uuid:f26abbcb-ac74-4422-8a30-edb644bbc1a9",
    "GetAssociations": "urn:uuid:a7ae438b-4bc2-4642-93e9-be891f7bb155",
    "GetDocumentsAndAssociations": "urn:uuid:bab9529a-4a10-40b3-a01f-f68a615d247a",
    "FindDocumentsByReferenceId": "urn:uuid:12941a89-e02e-4be5-967c-ce4bfc8fe492",
    "GetSubmissionSetAndContents": "urn:uuid:e8e3cb2c-e39c-46b9-99e4-c12f57260b83",
}


def provide_and_register(submission: Submission, parts: Sequence[Part]) -> bytes:
    """Write the ITI-41 request: the metadata, then one reference for each part, in the order of the entries."""
    root = etree.Element(
        f"{{{XDS}}}ProvideAndRegisterDocumentSetRequest", nsmap={"xds": XDS, "lcm": LCM, "xop": XOP, None: RIM}
    )
    request = etree.SubElement(root, f"{{{LCM}}}SubmitObjectsRequest")
    registry_object_list(request, submission)
    for entry, part in zip(submission.entries, parts, strict=True):
        document = etree.SubElement(root, f"{{{XDS}}}Document", id=entry.entry_uuid)
        etree.SubElement(document, f"{{{XOP}}}Include", href=href_of(part.content_id))
    return etree.tostring(root)


def update_request(submission: Submission) -> bytes:
    """Write the ITI-57 request: the bare SubmitObjectsRequest."""
    return etree.tostring(submit_objects_request(submission))


def query_string(value: str) -> str:
    """Quote a string for a stored query: single quotes, doubled inside (ITI-18 3.18.4.1.2.3.5)."""
    return "'" + value.replace("'", "''") + "'"


def query_list(values: Iterable[str]) -> str:
    """Write a list for a stored query."""
    return "(" + ",".join(query_string(value) for value in values) + ")"


def stored_query(name: str, slots: Iterable[tuple[str, str]], *, leaf_class: bool = True) -> bytes:
    """Write an ITI-18 request.

    ``slots`` are names (without ``$``) and values already quoted; a name may repeat, which means AND.
    """
    kind = "LeafClass" if leaf_class else "ObjectRef"
    lines = "".join(
        f'<rim:Slot name="${escape(slot)}"><rim:ValueList><rim:Value>{escape(value)}</rim:Value>'
        "</rim:ValueList></rim:Slot>"
        for slot, value in slots
    )
    return (
        f'<query:AdhocQueryRequest xmlns:query="{QUERY}" xmlns:rim="{RIM}">'
        f'<query:ResponseOption returnComposedObjects="true" returnType="{kind}"/>'
        f'<rim:AdhocQuery id="{QUERIES[name]}">{lines}</rim:AdhocQuery></query:AdhocQueryRequest>'
    ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRequest:
    """A document to retrieve: its repository as its entry names it, and its uniqueId."""

    repository_unique_id: str
    document_unique_id: str


def retrieve_request(documents: Iterable[DocumentRequest]) -> bytes:
    """Write an ITI-43 request."""
    lines = "".join(
        f"<xds:DocumentRequest><xds:RepositoryUniqueId>{escape(d.repository_unique_id)}</xds:RepositoryUniqueId>"
        f"<xds:DocumentUniqueId>{escape(d.document_unique_id)}</xds:DocumentUniqueId></xds:DocumentRequest>"
        for d in documents
    )
    return f'<xds:RetrieveDocumentSetRequest xmlns:xds="{XDS}">{lines}</xds:RetrieveDocumentSetRequest>'.encode()


def patient_status_request(
    *,
    patient_value: str,
    patient_authority: str,
    sender_id: str,
    sender_name: str,
    receiver_id: str,
    processing_code: str,
    message_id: str,
    query_id: str,
    now: datetime,
    reason: str = "TEST_EXST",
) -> bytes:
    """Write the TD0.2 request (HL7 v3 PRPA_IN201307UV02). ``message_id`` and ``query_id`` are plain UUIDs."""
    interaction = "PRPA_IN201307UV02"

    def device(kind: str, code: str, root: str, name: str) -> str:
        return (
            f'<{kind} typeCode="{code}"><device classCode="DEV" determinerCode="INSTANCE"><id root={quoteattr(root)}/>'
            f"<softwareName>{escape(name)}</softwareName></device></{kind}>"
        )

    return (
        f'<{interaction} xmlns="{HL7}" ITSVersion="XML_1.0"><id root={quoteattr(sender_id)} '
        f'extension={quoteattr(message_id)}/><creationTime value="{dtm(now)}"/>'
        f'<interactionId root="2.16.840.1.113883.1.6" extension="{interaction}"/>'
        f'<processingCode code={quoteattr(processing_code)}/><processingModeCode code="T"/><acceptAckCode code="AL"/>'
        f"{device('receiver', 'RCV', receiver_id, 'DMP')}{device('sender', 'SND', sender_id, sender_name)}"
        f'<controlActProcess classCode="CACT" moodCode="EVN"><reasonCode code={quoteattr(reason)} '
        f'codeSystem="1.2.250.1.213.1.1.4.11"/><queryByParameter><queryId root={quoteattr(sender_id)} '
        f'extension={quoteattr(query_id)}/><statusCode code="new"/><parameterList><patientIdentifier>'
        f"<value root={quoteattr(patient_authority)} extension={quoteattr(patient_value)}/>"
        f"<semanticsText>Patient.id</semanticsText></patientIdentifier></parameterList></queryByParameter>"
        f"</controlActProcess></{interaction}>"
    ).encode()


HABILITATIONS: Final = "urn:si-dmp-habilitations"


def authorization_request(*, add: bool, treating_doctor: bool = False) -> bytes:
    """Write the TD0.3 request: declare, or remove, the caller's authorisation."""
    role = "<h:role>MEDECIN_TRAITANT</h:role>" if treating_doctor else ""
    action = "AJOUT" if add else "SUPPRESSION"
    return (
        f'<h:setAuthorization xmlns:h="{HABILITATIONS}"><h:action>{action}</h:action>{role}</h:setAuthorization>'
    ).encode()
