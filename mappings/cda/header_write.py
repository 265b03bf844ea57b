"""The CDA header of any document, in the order of the CI-SIS "structuration minimale" (header section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mappings.cda.build import Builder, code, hl7, ii, ivl_ts, root_element, sub, text_element, ts
from mappings.cda.missing import keeper
from mappings.cda.people_write import addresses, assigned, organization, patient_role, person_name, telecoms
from mappings.cda.tree import ACCESSION, Element, sub_element
from mappings.document.header import Act, Authentication, DocumentBase, Encounter, Informant, Participant, Recipient
from mappings.document.people import Author, Device, Identifier
from mappings.document.values import Code

__all__ = ["HeaderPlan", "main_act_code", "write_header"]


HL7_FRANCE = "2.16.840.1.113883.2.8.2.1"
CI_SIS = "1.2.250.1.213.1.1.1.1"
#: Confidentiality labels (2.16.840.1.113883.5.25).
CONFIDENTIALITY = {"N": "Normal", "R": "Restreint", "V": "Très restreint"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderPlan:
    """What a kind of document adds to the common header."""

    templates: Sequence[tuple[str, str | None]]  #: templateId root and extension, after the two common ones
    act_code: Code | None = None  #: code of the main act when the document has none
    act_id: Identifier | None = None  #: identifier written first in the main act (number of the prescription)
    acts: Sequence[Act] = ()  #: acts written after the main one and before the document's own secondary acts
    orders: Sequence[Identifier] = ()  #: orders fulfilled, before the document's own
    document_type: Code | None = None  #: type imposed by the kind, in place of the document's
    contact_required: bool = False  #: an absent patient address or telecom is written as a nullFlavor


def main_act_code(document: DocumentBase, plan: HeaderPlan) -> Code:
    """The code of the main act: the document's, else that of its kind, else the document type."""
    return document.acts[0].code or plan.act_code or plan.document_type or document.type


def write_header(document: DocumentBase, plan: HeaderPlan) -> Builder:
    """Start a CDA: root, then every element of the header. The body is to be added to ``builder.root``.

    The document lacks nothing that :func:`mappings.cda.missing.missing` names.
    """
    document_id, set_id = document.id, document.set_id
    assert document_id is not None  # noqa: S101 - told to the type checker
    assert set_id is not None  # noqa: S101
    root = root_element("ClinicalDocument")
    builder = Builder(document_id=document_id, root=root, created_at=document.created_at)
    sub(root, "realmCode", code="FR")
    sub(root, "typeId", root="2.16.840.1.113883.1.3", extension="POCD_HD000040")
    sub(root, "templateId", root=HL7_FRANCE)
    sub(root, "templateId", root=CI_SIS)
    for oid, extension in plan.templates:
        sub(root, "templateId", **({"root": oid, "extension": extension} if extension else {"root": oid}))
    ii(root, document_id)
    code(root, plan.document_type or document.type)
    text_element(root, "title", document.title)
    sub(root, "effectiveTime", value=hl7(document.created_at))
    confidentiality = document.confidentiality
    code(
        root,
        Code(code=confidentiality, system="2.16.840.1.113883.5.25", display=CONFIDENTIALITY[confidentiality]),
        "confidentialityCode",
    )
    sub(root, "languageCode", code=document.language)
    ii(root, set_id, "setId")
    sub(root, "versionNumber", value=str(document.version_number))
    patient_role(sub(root, "recordTarget"), document.patient, contact_required=plan.contact_required)
    for author in document.authors:
        _author(root, author, document.created_at)
    if document.data_enterer is not None:
        enterer = sub(root, "dataEnterer")
        ts(enterer, "time", document.data_enterer.time, unknown=None)
        assigned(enterer, document.data_enterer.professional)
    for informant in document.informants:
        _informant(root, informant)
    _custodian(root, document)
    for recipient in document.recipients:
        _recipient(root, recipient)
    _authenticators(root, document)
    for participant in document.participants:
        _participant(root, participant)
    _orders(root, document, plan)
    _acts(root, document, plan)
    if document.replaces is not None:
        parent = sub(sub(root, "relatedDocument", typeCode="RPLC"), "parentDocument")
        ii(parent, document.replaces.id)
        if document.replaces.version_number is not None:
            sub(parent, "versionNumber", value=str(document.replaces.version_number))
    for consent in document.consents:
        element = sub(sub(root, "authorization"), "consent")
        if consent.id is not None:
            ii(element, consent.id)
        code(element, consent.code)
        sub(element, "statusCode", code="completed")
    _encounter(root, document.encounter)
    return builder


# --- Authors and those who answer for the document ------------------------------------------------


def _author(root: Element, author: Author, created: str) -> None:
    element = sub(root, "author")
    if author.function is not None:
        code(element, author.function, "functionCode")
    ts(element, "time", author.time or created)
    if author.professional is not None:
        assigned(element, author.professional, tag="assignedAuthor")
    elif author.device is not None:
        _device(element, author.device)


def _device(parent: Element, device: Device) -> None:
    element = sub(parent, "assignedAuthor")
    ii(element, device.id)
    if device.code is not None:
        code(element, device.code)
    machine = sub(element, "assignedAuthoringDevice")
    text_element(machine, "manufacturerModelName", device.manufacturer_model)
    text_element(machine, "softwareName", device.software)
    if device.organization is not None:
        organization(element, "representedOrganization", device.organization)


def _authentication(root: Element, tag: str, value: Authentication, created: str) -> None:
    element = sub(root, tag)
    ts(element, "time", value.time or created)
    sub(element, "signatureCode", code="S")
    assigned(element, value.professional)


def _authenticators(root: Element, document: DocumentBase) -> None:
    legal = document.legal_authenticator
    if legal is None:
        professional = document.first_professional
        assert professional is not None  # noqa: S101 - said missing otherwise
        legal = Authentication(professional=professional)
    _authentication(root, "legalAuthenticator", legal, document.created_at)
    for other in document.authenticators:
        _authentication(root, "authenticator", other, document.created_at)


def _custodian(root: Element, document: DocumentBase) -> None:
    custodian = keeper(document)
    assert custodian is not None  # noqa: S101 - said missing otherwise
    # CI-SIS header section 6: one telecom, one address, no practice setting.
    organization(
        sub(sub(root, "custodian"), "assignedCustodian"),
        "representedCustodianOrganization",
        custodian,
        setting=False,
        limit=1,
    )


# --- Other persons --------------------------------------------------------------------------------


def _informant(root: Element, informant: Informant) -> None:
    element = sub(root, "informant")
    if informant.professional is not None:
        assigned(element, informant.professional)
        return
    if (related := informant.related) is None:
        return
    # JDV of relatedEntity: ECON, NOK, CON, CAREGIVER, PAT. A guardian who informs is an informant.
    kind = "CON" if related.relation_class == "GUARD" else related.relation_class
    entity = sub(element, "relatedEntity", classCode=kind)
    if related.relation is not None:
        code(entity, related.relation)
    addresses(entity, related.addresses)
    telecoms(entity, related.telecoms)
    person_name(sub(entity, "relatedPerson"), related.family, related.given)


def _recipient(root: Element, recipient: Recipient) -> None:
    element = sub(sub(root, "informationRecipient"), "intendedRecipient")
    if recipient.id is not None:
        ii(element, recipient.id)
    addresses(element, recipient.addresses)
    telecoms(element, recipient.telecoms)
    if recipient.family is not None:
        person = sub(element, "informationRecipient")
        person_name(person, recipient.family, recipient.given, recipient.prefix, recipient.suffix)
    if recipient.organization is not None:
        organization(element, "receivedOrganization", recipient.organization, setting=False)


def _participant(root: Element, participant: Participant) -> None:
    element = sub(root, "participant", typeCode=participant.type)
    if participant.function is not None:
        code(element, participant.function, "functionCode")
    ivl_ts(element, "time", participant.time)
    entity = sub(element, "associatedEntity", classCode=participant.entity_class)
    if participant.id is not None:
        ii(entity, participant.id)
    if participant.code is not None:
        code(entity, participant.code)
    addresses(entity, participant.addresses)
    telecoms(entity, participant.telecoms)
    if participant.family is not None:
        person = sub(entity, "associatedPerson")
        person_name(person, participant.family, participant.given, participant.prefix, participant.suffix)
    if participant.organization is not None:
        organization(entity, "scopingOrganization", participant.organization)


# --- Acts and encounter ---------------------------------------------------------------------------


def _orders(root: Element, document: DocumentBase, plan: HeaderPlan) -> None:
    for identifier in plan.orders:
        ii(sub(sub(root, "inFulfillmentOf"), "order"), identifier)
    for order in document.orders:
        element = sub(sub(root, "inFulfillmentOf"), "order")
        ii(element, order.id)
        if (accession := order.accession_number) is not None:
            attributes = {"root": accession.root, **({"extension": accession.extension} if accession.extension else {})}
            sub_element(element, f"{{{ACCESSION}}}accessionNumber", attributes)


def _acts(root: Element, document: DocumentBase, plan: HeaderPlan) -> None:
    main, *others = document.acts
    event = _event(root, main)
    if plan.act_id is not None:
        ii(event, plan.act_id)
    if main.id is not None:
        ii(event, main.id)
    code(event, main_act_code(document, plan))
    # eP-MED-DM section 2: the validity of a prescription has both ends; elsewhere an unknown end is left out.
    ivl_ts(event, "effectiveTime", main.period, high="UNK" if plan.contact_required else None)
    _performer(event, main)
    for act in (*plan.acts, *others):
        event = _event(root, act)
        if act.id is not None:
            ii(event, act.id)
        if act.code is not None:
            code(event, act.code)
        ivl_ts(event, "effectiveTime", act.period, unknown=None)
        _performer(event, act)


def _event(root: Element, act: Act) -> Element:
    return sub(sub(root, "documentationOf"), "serviceEvent", classCode="INFO" if act.informative else "ACT")


def _performer(event: Element, act: Act) -> None:
    if act.performer is not None:
        assigned(sub(event, "performer", typeCode="PRF"), act.performer)


def _encounter(root: Element, encounter: Encounter) -> None:
    element = sub(sub(root, "componentOf"), "encompassingEncounter")
    if encounter.id is not None:
        ii(element, encounter.id)
    if encounter.code is not None:
        code(element, encounter.code)
    ivl_ts(element, "effectiveTime", encounter.period)
    if encounter.discharge_disposition is not None:
        code(element, encounter.discharge_disposition, "dischargeDispositionCode")
    if encounter.responsible is not None:
        assigned(sub(element, "responsibleParty"), encounter.responsible)
    for kind, professional in encounter.participants:
        assigned(sub(element, "encounterParticipant", typeCode=kind), professional)
    facility = sub(sub(element, "location"), "healthCareFacility")
    code(facility, encounter.facility)
    if encounter.location_name is not None or encounter.location_address is not None:
        place = sub(facility, "location")
        if encounter.location_name is not None:
            text_element(place, "name", encounter.location_name)
        if encounter.location_address is not None:
            addresses(place, (encounter.location_address,))
