"""Which elements of a header the reader carries: the others are named in the loss report."""

from __future__ import annotations

from mappings.cda.node import Reader

__all__ = ["unknown_parts"]

_PERSON = "name"
_ORGANIZATION = "id name telecom addr standardIndustryClassCode"
_ASSIGNED = "id code addr telecom assignedPerson representedOrganization"

#: Children that are read, by parent. A parent that is not listed has no structure of its own below (names, addresses).
CARRIED = {
    parent: frozenset(children.split())
    for parent, children in {
        "ClinicalDocument": "realmCode typeId templateId id code title effectiveTime confidentialityCode languageCode "
        "setId versionNumber recordTarget author dataEnterer informant custodian informationRecipient "
        "legalAuthenticator authenticator participant inFulfillmentOf documentationOf relatedDocument authorization "
        "componentOf component",
        "recordTarget": "patientRole",
        "patientRole": "id addr telecom patient",
        "patient": "name administrativeGenderCode birthTime deceasedInd deceasedTime multipleBirthInd "
        "multipleBirthOrderNumber guardian birthplace",
        "guardian": "code addr telecom guardianPerson",
        "author": "functionCode time assignedAuthor",
        "assignedAuthor": f"{_ASSIGNED} assignedAuthoringDevice",
        "assignedAuthoringDevice": "manufacturerModelName softwareName",
        "assignedEntity": _ASSIGNED,
        "assignedPerson": _PERSON,
        "representedOrganization": _ORGANIZATION,
        "dataEnterer": "time assignedEntity",
        "informant": "assignedEntity relatedEntity",
        "relatedEntity": "code addr telecom relatedPerson",
        "relatedPerson": _PERSON,
        "custodian": "assignedCustodian",
        "assignedCustodian": "representedCustodianOrganization",
        "representedCustodianOrganization": "id name telecom addr",
        "informationRecipient": "intendedRecipient name",
        "intendedRecipient": "id addr telecom informationRecipient receivedOrganization",
        "receivedOrganization": _ORGANIZATION,
        "legalAuthenticator": "time signatureCode assignedEntity",
        "authenticator": "time signatureCode assignedEntity",
        "participant": "functionCode time associatedEntity",
        "associatedEntity": "id code addr telecom associatedPerson scopingOrganization",
        "associatedPerson": _PERSON,
        "scopingOrganization": _ORGANIZATION,
        "inFulfillmentOf": "order",
        "order": "id accessionNumber",
        "documentationOf": "serviceEvent",
        "serviceEvent": "id code effectiveTime performer",
        "performer": "assignedEntity",
        "authorization": "consent",
        "consent": "id code statusCode",
        "componentOf": "encompassingEncounter",
        "encompassingEncounter": "id code effectiveTime dischargeDispositionCode responsibleParty encounterParticipant "
        "location",
        "responsibleParty": "assignedEntity",
        "encounterParticipant": "assignedEntity",
        "healthCareFacility": "code location",
    }.items()
}
#: Elements of which only the first is read, by parent.
SINGLE = {
    "patient": ("name",),
    "serviceEvent": ("performer",),
    "assignedEntity": ("id",),
    "assignedAuthor": ("id",),
    "encompassingEncounter": ("id",),
    "representedOrganization": ("id", "name"),
    "scopingOrganization": ("id", "name"),
    "receivedOrganization": ("id", "name"),
    "associatedEntity": ("id",),
    "intendedRecipient": ("id",),
}


def unknown_parts(reader: Reader) -> None:
    """Report every element of the header that is not read."""
    stack = [reader.root]
    while stack:
        parent = stack.pop()
        name = str(parent.tag).rpartition("}")[2]
        carried = CARRIED[name]
        single = SINGLE.get(name, ())
        seen = set()
        for child in parent.iterchildren("{*}*"):
            tag = str(child.tag).rpartition("}")[2]
            if tag not in carried:
                reader.lost(child, tag)
                continue
            if tag in single:
                if tag in seen:
                    reader.lost(child, tag)
                    continue
                seen.add(tag)
            if tag in CARRIED and tag != "component" and child.get("nullFlavor") is None:
                # ``informationRecipient`` is both an element of the document and the person in it.
                stack.append(child)
