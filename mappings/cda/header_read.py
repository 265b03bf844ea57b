"""The CDA header of any document, read."""

from __future__ import annotations

from typing import Any

from lxml import etree

from conformance.verdict import Text
from mappings.cda import findings as rules
from mappings.cda.acts_read import acts, consent, encounter, order, replaced
from mappings.cda.errors import NotCda
from mappings.cda.header_parts import unknown_parts
from mappings.cda.node import Reader, every, first, place, squeeze, value_of
from mappings.cda.people_read import UNKNOWN_NAME, addresses, device, name_parts, organization, patient, professional
from mappings.cda.people_read import telecoms as read_telecoms
from mappings.document.header import (
    Authentication,
    DataEnterer,
    Informant,
    Participant,
    Recipient,
)
from mappings.document.people import Author, RelatedPerson
from mappings.document.values import Code

__all__ = ["read_header"]

_Element = etree._Element

LONGEST_TITLE = 255


def _required(reader: Reader, tag: str) -> _Element:
    element = first(reader.root, tag)
    if element is None:
        raise NotCda(
            "CDA-READ-002",
            f"/ClinicalDocument/{tag}",
            Text(f"L'élément {tag} de l'en-tête manque.", f"The header element {tag} is missing."),
        )
    return element


def _patient_role(reader: Reader) -> _Element:
    _required(reader, "recordTarget")
    roles = [role for each in every(reader.root, "recordTarget") for role in every(each, "patientRole")]
    if len(roles) != 1:
        raise NotCda(
            "CDA-READ-003",
            "/ClinicalDocument/recordTarget",
            Text("Le document doit avoir un patient, et un seul.", "The document must have one patient, and only one."),
        )
    return roles[0]


def _created(reader: Reader) -> str:
    element = _required(reader, "effectiveTime")
    created = reader.moment(element)
    if created is None:
        raise NotCda(
            "CDA-READ-002",
            "/ClinicalDocument/effectiveTime",
            Text("La date du document est illisible.", "The date of the document cannot be read."),
        )
    if len(created) <= 10:
        # A date alone (not caught by the official rules): midnight, said as a finding.
        reader.finding(rules.NO_OFFSET, element)
        created = f"{created}{'-01' * ((10 - len(created)) // 3)}T00:00:00{reader.offset}"
    reader.offset = created[-6:]
    return created


def _type(reader: Reader) -> Code:
    document_type = reader.code(_required(reader, "code"))
    if document_type is None:
        raise NotCda("CDA-READ-002", "/ClinicalDocument/code", Text("Le type du document manque.", "No type."))
    return document_type


def read_header(reader: Reader) -> dict[str, Any]:
    """The members of the header, ready for any kind of document.

    Raises :class:`NotCda`, with every fault in ``findings``, when the patient, the date, the author or the document
    type is missing.
    """
    root = reader.root
    log = reader.log
    created = reader.attempt(lambda: _created(reader))
    subject = reader.attempt(lambda: patient(reader, _patient_role(reader)))
    document_type = reader.attempt(lambda: _type(reader))
    authors = reader.attempt(lambda: _authors(reader))
    done = reader.attempt(lambda: acts(reader, created)) if created is not None and authors is not None else None
    reader.refuse()
    assert created is not None  # noqa: S101 - refused otherwise
    assert document_type is not None  # noqa: S101
    title = first(root, "title")
    language = (value_of(first(root, "languageCode"), "code") or "").replace("_", "-")
    confidentiality = value_of(first(root, "confidentialityCode"), "code")
    version = value_of(first(root, "versionNumber")) or ""
    out: dict[str, Any] = {
        "id": reader.identifier(first(root, "id")),
        "set_id": reader.identifier(first(root, "setId")),
        "version_number": int(version) if version.isdigit() and int(version) > 0 else 1,
        "title": _title(reader, title) or document_type.display or document_type.code,
        "type": document_type,
        "created_at": created,
        "language": language if len(language) == 5 else "fr-FR",
        "confidentiality": confidentiality if confidentiality in ("N", "R", "V") else "N",
        "patient": subject,
        "authors": authors,
        "legal_authenticator": _authentication(reader, first(root, "legalAuthenticator")),
        "authenticators": _some(_authentication(reader, each) for each in every(root, "authenticator")),
        "custodian": _custodian(reader),
        "data_enterer": _data_enterer(reader),
        "informants": _some(_informant(reader, each) for each in every(root, "informant")),
        "recipients": _some(_recipient(reader, each) for each in every(root, "informationRecipient")),
        "participants": _some(_participant(reader, each) for each in every(root, "participant")),
        "orders": _some(order(reader, each) for each in every(root, "inFulfillmentOf")),
        "acts": done,
        "replaces": replaced(reader),
        "consents": _some(consent(reader, each) for each in every(root, "authorization")),
        "encounter": encounter(reader, created),
    }
    for name in ("patient", "authors", "custodian", "acts", "encounter"):
        if out[name]:
            log.carried(f"/ClinicalDocument/{_ELEMENTS[name]}", name)
    unknown_parts(reader)
    return out


def _title(reader: Reader, element: _Element | None) -> str | None:
    text = squeeze("".join(element.itertext())) if element is not None else None
    if text is None or element is None or len(text) <= LONGEST_TITLE:
        return text
    reader.log.text_only(place(element), "title", Text("Le titre est abrégé.", "The title is cut short."))
    return text[:LONGEST_TITLE].strip()


_ELEMENTS = {
    "patient": "recordTarget",
    "authors": "author",
    "custodian": "custodian",
    "acts": "documentationOf",
    "encounter": "componentOf",
}


def _some(values: Any) -> tuple[Any, ...]:
    return tuple(value for value in values if value is not None)


# --- Authors and those who answer for the document ------------------------------------------------


def _authors(reader: Reader) -> tuple[Author, ...]:
    out = []
    for element in every(reader.root, "author"):
        assigned = first(element, "assignedAuthor")
        if assigned is None:
            reader.lost(element, "author")
            continue
        machine = device(reader, assigned)
        out.append(
            Author(
                professional=None if machine is not None else professional(reader, assigned),
                device=machine,
                function=reader.code(first(element, "functionCode")),
                time=reader.moment(first(element, "time")),
            )
        )
    if not out:
        raise NotCda("CDA-READ-002", "/ClinicalDocument/author", Text("Pas d'auteur.", "No author."))
    return tuple(out)


def _authentication(reader: Reader, element: _Element | None) -> Authentication | None:
    if element is None or (who := professional(reader, first(element, "assignedEntity"))) is None:
        return None
    return Authentication(professional=who, time=reader.moment(first(element, "time")))


def _custodian(reader: Reader) -> Any:
    element = first(reader.root, "custodian")
    assigned = first(element, "assignedCustodian") if element is not None else None
    if assigned is None:
        return None
    return organization(reader, first(assigned, "representedCustodianOrganization"))


def _data_enterer(reader: Reader) -> DataEnterer | None:
    element = first(reader.root, "dataEnterer")
    if element is None or (who := professional(reader, first(element, "assignedEntity"))) is None:
        return None
    return DataEnterer(professional=who, time=reader.moment(first(element, "time")))


# --- Other persons --------------------------------------------------------------------------------


def _informant(reader: Reader, element: _Element) -> Informant | None:
    if (who := professional(reader, first(element, "assignedEntity"))) is not None:
        return Informant(professional=who)
    entity = first(element, "relatedEntity")
    if entity is None:
        reader.lost(element, "informant")
        return None
    names = name_parts(first(entity, "relatedPerson"))
    related = reader.make(
        RelatedPerson,
        entity,
        relation_class=entity.get("classCode") or "CON",
        relation=reader.code(first(entity, "code")),
        family=names["family"] or UNKNOWN_NAME,
        given=names["given"],
        addresses=addresses(reader, entity),
        telecoms=read_telecoms(reader, entity),
    )
    return Informant(related=related) if related is not None else None


def _recipient(reader: Reader, element: _Element) -> Recipient | None:
    intended = first(element, "intendedRecipient")
    if intended is None:
        reader.lost(element, "informationRecipient")
        return None
    return reader.make(
        Recipient,
        intended,
        id=reader.identifier(first(intended, "id")),
        addresses=addresses(reader, intended),
        telecoms=read_telecoms(reader, intended),
        organization=organization(reader, first(intended, "receivedOrganization")),
        **name_parts(first(intended, "informationRecipient")),
    )


def _participant(reader: Reader, element: _Element) -> Participant | None:
    entity = first(element, "associatedEntity")
    if entity is None:
        reader.lost(element, "participant")
        return None
    made = reader.make(
        Participant,
        element,
        type=element.get("typeCode"),
        function=reader.code(first(element, "functionCode")),
        time=reader.period(first(element, "time")),
        entity_class=entity.get("classCode"),
        id=reader.identifier(first(entity, "id")),
        code=reader.code(first(entity, "code")),
        addresses=addresses(reader, entity),
        telecoms=read_telecoms(reader, entity),
        organization=organization(reader, first(entity, "scopingOrganization")),
        **name_parts(first(entity, "associatedPerson")),
    )
    if made is None:
        reader.lost(element, "participant")
    return made
