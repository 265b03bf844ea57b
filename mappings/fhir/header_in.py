"""The header of a document Bundle as the members of a hub document; refuses what it would have to invent."""

from __future__ import annotations

from typing import Any

from conformance.verdict import Rule, Severity, Text
from mappings.document.header import (
    Authentication,
    Replaced,
    Visibility,
)
from mappings.document.people import Author
from mappings.fhir.encounter_in import read_encounter, read_events
from mappings.fhir.errors import UnreadableBundle
from mappings.fhir.header_out import VISIBILITY
from mappings.fhir.names import oid_of
from mappings.fhir.node import Node
from mappings.fhir.participations_in import Orders, read_participations
from mappings.fhir.patient_in import read_patient
from mappings.fhir.people_in import People
from mappings.fhir.source import Source, refuse
from mappings.fhir.values_in import first_code, identifier, moment
from mappings.xds.vocabulary import visibility_code

__all__ = ["Header", "read_header"]

NOT_FIRST = Rule(
    code="FHIR-READ-004",
    message=Text("La Composition n'est pas la première entrée.", "The Composition is not the first entry."),
    fix=Text("Placez la Composition en premier.", "Put the Composition first."),
    source="HL7 FHIR R4, Bundle bdl-11",
    severity=Severity.WARNING,
)
NO_IDENTIFIER = Rule(
    code="FHIR-READ-005",
    message=Text("Le Bundle n'a pas d'identifiant de document.", "The Bundle has no document identifier."),
    fix=Text("Donnez Bundle.identifier.", "Give Bundle.identifier."),
    source="HL7 FHIR R4, Bundle bdl-9",
    severity=Severity.WARNING,
)
_LINK = Text("Seul le remplacement (replaces) d'un document est repris.", "Only the replacement of a document is kept.")
_EXTRA = Text("Le modèle n'a pas de place pour ce participant.", "The model has no place for this participant.")


class Header:
    """What the header says: members of the document, what only some kinds use, and the Composition to go on from."""

    def __init__(self, composition: Node, patient: Node, people: People) -> None:
        self.composition = composition
        self.patient_node = patient
        self.people = people
        self.members: dict[str, Any] = {}
        self.number: str | None = None  #: number of the e-prescription, from the events
        self.orders: Orders = []  #: each request answered and its ServiceRequest
        self.tags: list[tuple[str, str, str | None]] = []  #: system, code, display


def _composition(source: Source) -> Node:
    found = source.of_kind("Composition")
    if len(found) != 1:
        raise refuse(
            "FHIR-READ-003",
            "/entry",
            "Un document a exactement une Composition.",
            "A document has exactly one Composition.",
            "Envoyez un Bundle document avec sa Composition en premier.",
            "Send a document Bundle with its Composition first.",
            found=str(len(found)),
            expected="1",
        )
    if source.resources[0] is not found[0]:
        source.findings.append(NOT_FIRST.finding(found[0].place))
    source.use(found[0])
    return found[0]


def _missing(place: str, code_: str, fr: str, en: str, fix_fr: str, fix_en: str) -> UnreadableBundle:
    return refuse(code_, place, fr, en, fix_fr, fix_en)


def _patient(source: Source, composition: Node) -> Node:
    found = source.of_kind("Patient")
    if len(found) > 1:
        raise refuse(
            "FHIR-READ-030",
            found[1].place,
            "Ce document porte sur deux patients.",
            "This document is about two patients.",
            "Un document ne concerne qu'un patient : retirez l'autre.",
            "A document is about one patient: remove the other.",
            found=str(len(found)),
            expected="1",
        )
    node = source.resolve(composition, "subject", required=True)
    if node is None or node.kind != "Patient":
        raise _missing(
            f"{composition.place}/subject",
            "FHIR-READ-035",
            "Le document ne désigne pas son patient.",
            "The document does not name its patient.",
            "Référencez la ressource Patient du Bundle dans Composition.subject.",
            "Refer to the Patient of the Bundle in Composition.subject.",
        )
    return node


def read_header(source: Source) -> Header:
    """Read the Composition, the Patient and every resource of the header.

    Faults of independent parts are gathered in the source. Raises :class:`UnreadableBundle` when there is no
    Composition or no patient.
    """
    composition = _composition(source)
    people = People(source)
    header = Header(composition, _patient(source, composition), people)
    source.same_patient(header.patient_node)
    members = header.members
    place = composition.place
    gather = source.gather

    with gather(lambda: header.patient_node.place):
        members["patient"] = read_patient(source, header.patient_node)
    with gather(lambda: place):
        _identity(source, header)
    with gather(lambda: f"{place}/author"):
        members["authors"] = _authors(source, header)
    with gather(lambda: f"{place}/attester"):
        _attesters(source, header)
    with gather(lambda: f"{place}/custodian"):
        keeper = source.resolve(composition, "custodian", required=True)
        if keeper is not None:
            members["custodian"] = people.organization(keeper)
    with gather(lambda: f"{place}/extension"):
        held, header.orders = read_participations(source, people, composition)
        members.update(held)
    visit: Node | None = None
    with gather(lambda: f"{place}/encounter"):
        visit = source.resolve(composition, "encounter", required=True)
        if visit is None:
            raise _missing(
                f"{place}/encounter",
                "FHIR-READ-036",
                "La prise en charge (Encounter) manque : elle ne peut pas être inventée.",
                "The Encounter is missing: it cannot be invented.",
                "Ajoutez un Encounter avec sa période et son lieu.",
                "Add an Encounter with its period and location.",
            )
        members["encounter"], performer = read_encounter(source, people, visit)
        visit_period = members["encounter"].period
    with gather(lambda: f"{place}/event"):
        if visit is not None and "encounter" in members:
            members["acts"], header.number = read_events(source, people, composition, performer, visit_period)
        else:
            composition.use("event")
    return header


def _identity(source: Source, header: Header) -> None:
    composition, members = header.composition, header.members
    bundle_id = source.root.node("identifier")
    source.root.use("timestamp", "total", "link", "signature")
    members["id"] = identifier(bundle_id) if bundle_id is not None else None
    if members["id"] is None:
        source.findings.append(NO_IDENTIFIER.finding("/identifier"))
    set_id = composition.node("identifier")
    members["set_id"] = identifier(set_id) if set_id is not None else None
    members["title"] = composition.text("title")
    kind = first_code(composition, "type")
    if kind is not None:
        members["type"] = kind
    members["language"] = composition.text("language") or source.root.text("language") or "fr-FR"
    members["confidentiality"] = composition.text("confidentiality") or "N"
    when = moment(composition, "date")
    stamp = moment(source.root, "timestamp")
    if when and len(when) < 16 and stamp and stamp.startswith(when):
        when = stamp  # a date alone has no offset: the instant of the Bundle is more precise and agrees
    members["created_at"] = source.date = when
    composition.use("status", "category")
    header.tags = composition.tags()
    meta = composition.value.get("meta")
    hidden = set()
    labels = meta.get("security") if type(meta) is dict else None
    for label in labels if type(labels) is list else ():
        if type(label) is dict and oid_of(str(label.get("system"))) == VISIBILITY:
            known = visibility_code(str(label.get("code")))
            if known is not None:
                hidden.add(known[0])
    members["visibility"] = Visibility(
        masked_from_professionals="MASQUE_PS" in hidden,
        hidden_from_patient="INVISIBLE_PATIENT" in hidden,
        hidden_from_guardians="INVISIBLE_REPRESENTANTS_LEGAUX" in hidden,
    )


def _authors(source: Source, header: Header) -> tuple[Author, ...]:
    composition, people = header.composition, header.people
    authors = []
    items = composition.nodes("author")
    for (place, _, node), item in zip(source.resolve_all(composition, "author"), items, strict=True):
        item.use("reference", "type", "identifier", "display")
        time = item.extension("author-time")
        when = moment(time, "valueDateTime") if time is not None else None
        if node is None:
            raise _missing(
                place,
                "FHIR-READ-037",
                "L'auteur n'est pas dans le Bundle.",
                "The author is not in the Bundle.",
                "Ajoutez son PractitionerRole.",
                "Add its PractitionerRole.",
            )
        source.authors.add(id(node))
        if node.kind == "Device":
            authors.append(Author(device=people.device(node), time=when))
        elif node.kind in ("PractitionerRole", "Practitioner"):
            professional = people.professional(node)
            authors.append(Author(professional=professional, function=people.person(node).get("function"), time=when))
        else:
            source.log.lost(place, f"author {node.kind}", _EXTRA)
    if not authors:
        raise _missing(
            f"{composition.place}/author",
            "FHIR-READ-037",
            "Le document n'a pas d'auteur professionnel ni de dispositif auteur.",
            "The document has no professional author nor authoring device.",
            "Désignez un PractitionerRole ou un Device.",
            "Refer to a PractitionerRole or a Device.",
        )
    return tuple(authors)


def _attesters(source: Source, header: Header) -> None:
    composition, people = header.composition, header.people
    others = []
    for item in composition.nodes("attester"):
        mode, when = item.text("mode"), moment(item, "time")
        node = source.resolve(item, "party", required=True)
        if node is None or mode not in ("legal", "professional") or node.kind == "Patient":
            item.use(*item.value)
            source.log.lost(item.place, f"attester {mode}", _EXTRA)
            continue
        signed = Authentication(professional=people.professional(node), time=when)
        if mode == "legal" and "legal_authenticator" not in header.members:
            header.members["legal_authenticator"] = signed
        else:
            others.append(signed)
    header.members["authenticators"] = tuple(others)
    for item in composition.nodes("relatesTo"):
        target = item.node("targetIdentifier")
        if item.text("code") == "replaces" and target is not None and (key := identifier(target)) is not None:
            header.members["replaces"] = Replaced(id=key)
        else:
            item.use(*item.value)
            source.log.lost(item.place, "Composition.relatesTo", _LINK)
