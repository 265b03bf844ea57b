"""Acts, links to other documents, consents and encounter of a CDA header, read."""

from __future__ import annotations

from lxml import etree

from conformance.verdict import Text
from mappings.cda import findings as rules
from mappings.cda.errors import NotCda
from mappings.cda.node import Reader, every, first, squeeze, value_of
from mappings.cda.people_read import addresses, professional
from mappings.cda.tree import ACCESSION
from mappings.document.header import Act, Consent, Encounter, Order, Replaced
from mappings.document.people import Professional
from mappings.document.values import Code, Period

__all__ = ["acts", "consent", "encounter", "order", "replaced"]

_Element = etree._Element

#: Facility written when the source names none (JDV_J02 has no such code): the reader says so.
UNKNOWN_FACILITY = Code(code="UNK", system="2.16.840.1.113883.5.1008", display="non renseigné")


def order(reader: Reader, element: _Element) -> Order | None:
    """A request the document answers."""
    found = first(element, "order")
    identifier = reader.identifier(first(found, "id")) if found is not None else None
    if found is None or identifier is None:
        reader.lost(element, "inFulfillmentOf")
        return None
    return Order(id=identifier, accession_number=reader.identifier(found.find(f"{{{ACCESSION}}}accessionNumber")))


def acts(reader: Reader, created: str) -> tuple[Act, ...]:
    """The acts documented, the main one first."""
    out: list[Act] = []
    for element in every(reader.root, "documentationOf"):
        event = first(element, "serviceEvent")
        if event is None:
            reader.lost(element, "documentationOf")
            continue
        performer = first(event, "performer")
        out.append(
            Act(
                id=reader.identifier(first(event, "id")),
                code=reader.code(first(event, "code")),
                period=reader.period(first(event, "effectiveTime")),
                performer=professional(reader, first(performer, "assignedEntity")) if performer is not None else None,
                informative=event.get("classCode") == "INFO",
            )
        )
    return _whole(reader, out, created)


def _whole(reader: Reader, found: list[Act], created: str) -> tuple[Act, ...]:
    """The acts with a main one that has a start and a performer, as the hub imposes: what the source lacks is taken
    from its date and its author, and said."""
    main = found[0] if found else Act()
    performer = main.performer or _first_professional(reader)
    period = main.period if main.period is not None and main.period.start is not None else None
    if period is None or main.performer is None:
        element = first(reader.root, "documentationOf")
        reader.finding(rules.UNUSABLE_VALUE, element if element is not None else reader.root)
        end = main.period.end if main.period is not None else None
        period = period or reader.make(Period, reader.root, start=created, end=end) or Period(start=created)
        main = main.model_copy(update={"period": period, "performer": performer})
    return (main, *found[1:])


def _first_professional(reader: Reader) -> Professional | None:
    for element in every(reader.root, "author"):
        assigned = first(element, "assignedAuthor")
        if assigned is not None and first(assigned, "assignedPerson") is not None:
            return professional(reader, assigned)
    legal = first(reader.root, "legalAuthenticator")
    found = professional(reader, first(legal, "assignedEntity")) if legal is not None else None
    if found is None:
        raise NotCda(
            "CDA-READ-002",
            "/ClinicalDocument/documentationOf",
            Text("Personne n'a réalisé l'acte documenté.", "Nobody performed the act documented."),
        )
    return found


def replaced(reader: Reader) -> Replaced | None:
    """The version that the document replaces."""
    out: Replaced | None = None
    for element in every(reader.root, "relatedDocument"):
        parent = first(element, "parentDocument")
        identifier = reader.identifier(first(parent, "id")) if parent is not None else None
        if element.get("typeCode") != "RPLC" or identifier is None or out is not None:
            reader.lost(element, f"relatedDocument {element.get('typeCode') or ''}".strip())
            continue
        number = value_of(first(parent, "versionNumber")) if parent is not None else None
        out = reader.make(
            Replaced, element, id=identifier, version_number=int(number) if number and number.isdigit() else None
        )
    return out


def consent(reader: Reader, element: _Element) -> Consent | None:
    """An authorisation kept with the document."""
    found = first(element, "consent")
    code = reader.code(first(found, "code")) if found is not None else None
    if found is None or code is None:
        reader.lost(element, "authorization")
        return None
    return Consent(code=code, id=reader.identifier(first(found, "id")))


def encounter(reader: Reader, created: str) -> Encounter:
    """The meeting during which the act took place."""
    component = first(reader.root, "componentOf")
    element = first(component, "encompassingEncounter") if component is not None else None
    if element is None:
        reader.finding(rules.UNUSABLE_VALUE, reader.root)
        return Encounter(period=Period(start=created), facility=UNKNOWN_FACILITY)
    location = first(element, "location")
    facility = first(location, "healthCareFacility") if location is not None else None
    sector = reader.code(first(facility, "code")) if facility is not None else None
    if sector is None:
        reader.finding(rules.UNUSABLE_VALUE, element)
    where = first(facility, "location") if facility is not None else None
    name = first(where, "name") if where is not None else None
    found = addresses(reader, where) if where is not None else ()
    responsible = first(element, "responsibleParty")
    participants = []
    for each in every(element, "encounterParticipant"):
        if (who := professional(reader, first(each, "assignedEntity"))) is not None:
            participants.append((each.get("typeCode") or "CON", who))
    made = reader.make(
        Encounter,
        element,
        id=reader.identifier(first(element, "id")),
        code=reader.code(first(element, "code")),
        period=reader.period(first(element, "effectiveTime")) or Period(),
        facility=sector or UNKNOWN_FACILITY,
        location_name=squeeze(name.text) if name is not None else None,
        location_address=found[0] if found else None,
        discharge_disposition=reader.code(first(element, "dischargeDispositionCode")),
        responsible=professional(reader, first(responsible, "assignedEntity")) if responsible is not None else None,
        participants=tuple(participants),
    )
    return made or Encounter(period=Period(), facility=sector or UNKNOWN_FACILITY)
