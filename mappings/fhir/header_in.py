"""The header of a document Bundle as the members of a hub document; refuses what it would have to invent."""

from __future__ import annotations

from typing import Any, Final

from conformance.verdict import Rule, Severity, Text
from mappings.document.header import (
    Act,
    Authentication,
    Consent,
    DataEnterer,
    Encounter,
    Informant,
    Order,
    Participant,
    Recipient,
    Replaced,
    Visibility,
)
from mappings.document.people import Author
from mappings.document.values import Code, Period
from mappings.fhir.errors import UnreadableBundle
from mappings.fhir.header_out import ACT_CLASS, PARTICIPATION, VISIBILITY
from mappings.fhir.names import IDENTIFIERS, oid_of
from mappings.fhir.node import Node
from mappings.fhir.people_in import People
from mappings.fhir.source import Source, refuse
from mappings.fhir.values_in import address, code, codings, first_code, identifier, is_absent, moment, period
from mappings.xds.vocabulary import visibility_code

__all__ = ["Header", "read_header"]

_PRESCRIPTION: Final = IDENTIFIERS["prescription"]["system"][8:]
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
        self.orders: list[tuple[Order | None, Node]] = []  #: each request answered and its ServiceRequest
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
        members["patient"] = people.patient(header.patient_node)
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
        _extensions(source, header)
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
        members["encounter"], performer = _encounter(source, header, visit)
        visit_period = members["encounter"].period
    with gather(lambda: f"{place}/event"):
        if visit is not None and "encounter" in members:
            members["acts"] = _events(source, header, performer, visit_period)
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


def _extensions(source: Source, header: Header) -> None:
    composition, people, members = header.composition, header.people, header.members
    version = composition.extension("version")
    if version is not None:
        text = version.text("valueString") or str(version.raw("valueInteger") or "")
        members["version_number"] = int(text) if text.isdecimal() else text
    enterer = composition.extension("data-enterer")
    if enterer is not None:
        party, _, time = _party(source, enterer)
        if party is not None:
            start = time.start if time is not None else None
            members["data_enterer"] = DataEnterer(professional=people.professional(party), time=start)
    informants = []
    for item in composition.extensions("informant"):
        party, _, _ = _party(source, item)
        if party is None or party.kind == "Patient":
            source.log.lost(item.place, "informant", _EXTRA)
        elif party.kind == "RelatedPerson":
            informants.append(Informant(related=people.related(party)))
        else:
            informants.append(Informant(professional=people.professional(party)))
    members["informants"] = tuple(informants)
    recipients = []
    for item in composition.extensions("recipient"):
        party, _, _ = _party(source, item)
        if party is None or party.kind not in ("PractitionerRole", "Practitioner", "Organization"):
            source.log.lost(item.place, "recipient", _EXTRA)
            continue
        said = people.person(party)
        kept = ("id", "family", "given", "prefix", "suffix", "organization", "addresses", "telecoms")
        recipients.append(Recipient(**{k: said[k] for k in kept if said.get(k) is not None}))
    members["recipients"] = tuple(recipients)
    members["participants"] = tuple(_participants(source, header))
    consents = []
    for item in composition.extensions("consent"):
        node = source.resolve(item, "valueReference")
        if node is not None:
            consents.append(_consent(node))
    members["consents"] = tuple(c for c in consents if c is not None)
    for item in composition.extensions("based-on"):
        node = source.resolve(item, "valueReference")
        if node is not None:
            header.orders.append((_order(node), node))
    members["orders"] = tuple(order for order, _ in header.orders if order is not None)


def _party(source: Source, item: Node) -> tuple[Node | None, dict[str, Any], Any]:
    """The party of a participation, its coded parts, and its time."""
    plain = source.resolve(item, "valueReference")
    if plain is not None:
        return plain, {}, None  # the European extension of a recipient is a plain reference
    parts = item.parts()
    party = next((source.resolve(p, "valueReference") for p in parts.get("party", ())), None)
    coded: dict[str, Any] = {}
    for name in ("type", "function"):
        for part in parts.get(name, ()):
            coded.setdefault(name, first_code(part, "valueCodeableConcept"))
    time = None
    for part in parts.get("time", ()):
        time = period(part, "valuePeriod")
        if time is None and (instant := moment(part, "valueDateTime")) is not None:
            time = Period(start=instant)
    return party, coded, time


def _participants(source: Source, header: Header) -> list[Participant]:
    people = header.people
    out = []
    for item in header.composition.extensions("participant"):
        party, coded, time = _party(source, item)
        if party is None or party.kind not in ("PractitionerRole", "Practitioner", "Organization"):
            source.log.lost(item.place, "participant", _EXTRA)
            continue
        said = people.person(party)
        kept = ("id", "family", "given", "prefix", "suffix", "organization", "addresses", "telecoms", "entity_class")
        members = {k: said[k] for k in kept if said.get(k) is not None}
        kind: Code | None = coded.get("type")
        out.append(
            Participant(
                type=kind.code if kind else "",
                function=coded.get("function"),
                time=time,
                code=said.get("specialty"),
                **members,
            )
        )
    return out


def _consent(node: Node) -> Consent | None:
    key = next((k for k in map(identifier, node.nodes("identifier")) if k is not None), None)
    kinds = node.nodes("category")
    node.use("status", "scope", "patient", "policyRule")
    for kind in kinds:
        kind.use("text")
        for i, item in enumerate(codings(kind.value, kind.place)):
            kind.use("coding")
            if (read := code(item, f"{kind.place}/coding/{i}")) is not None:
                return Consent(code=read, id=key)
    return None


def _order(node: Node) -> Order | None:
    keys = []
    accession = None
    for item in node.nodes("identifier"):
        types = item.raw("type")
        symbols = [c.get("code") for c in codings(types, item.place) if type(c) is dict] if types else []
        value = identifier(item)
        if value is not None and "ACSN" in symbols:
            accession = value
        elif value is not None:
            keys.append(value)
    node.use("status", "intent", "subject")
    return Order(id=keys[0], accession_number=accession) if keys else None


def _encounter(source: Source, header: Header, node: Node) -> tuple[Encounter, Any]:
    people = header.people
    key = next((k for k in map(identifier, node.nodes("identifier")) if k is not None), None)
    raw = node.raw("class")
    kind = code(raw, f"{node.place}/class") if raw is not None else None
    node.use("status", "subject")
    responsible = performer = None
    participants = []
    for item in node.nodes("participant"):
        types = item.nodes("type")
        symbol = ""
        for one in types:
            one.use("text", "coding")
            for i, c in enumerate(codings(one.value, one.place)):
                read = code(c, f"{one.place}/coding/{i}")
                if read is not None and read.system == PARTICIPATION:
                    symbol = read.code
        who = source.resolve(item, "individual")
        if who is None or who.kind not in ("PractitionerRole", "Practitioner"):
            source.log.lost(item.place, "Encounter.participant", _EXTRA)
            continue
        professional = people.professional(who)
        if symbol == "PPRF" and responsible is None:
            responsible = professional
        elif symbol == "PRF" and performer is None:
            performer = professional
        else:
            participants.append((symbol or "PART", professional))
    when = period(node, "period")
    if when is None and is_absent(node.value.get("period")) is not None:
        when = Period()  # said to be unknown, which is not the same as left out
    ending = node.node("hospitalization")
    disposition = first_code(ending, "dischargeDisposition") if ending is not None else None
    facility, name, where = _location(source, node)
    if when is None:
        raise _missing(
            f"{node.place}/period",
            "FHIR-READ-036",
            "La prise en charge n'a pas de période : elle ne peut pas être inventée.",
            "The Encounter has no period: it cannot be invented.",
            "Donnez Encounter.period.",
            "Give Encounter.period.",
        )
    made = Encounter(
        id=key,
        code=kind,
        period=when,
        facility=facility,
        location_name=name,
        location_address=where,
        discharge_disposition=disposition,
        responsible=responsible,
        participants=tuple(participants),
    )
    return made, performer


def _location(source: Source, node: Node) -> tuple[Code, str | None, Any]:
    for item in node.nodes("location"):
        item.use("status")
        where = source.resolve(item, "location", required=True)
        if where is None:
            continue
        for kind in where.nodes("type"):
            kind.use("text", "coding")
            for i, one in enumerate(codings(kind.value, kind.place)):
                facility = code(one, f"{kind.place}/coding/{i}")
                if facility is not None:
                    postal = where.node("address")
                    where.use("status", "mode")
                    return facility, where.text("name"), address(postal) if postal is not None else None
    raise _missing(
        f"{node.place}/location",
        "FHIR-READ-038",
        "Le lieu de la prise en charge et son secteur d'activité manquent : ils ne peuvent pas être inventés.",
        "The place of care and its sector are missing: they cannot be invented.",
        "Ajoutez une Location avec un type de JDV_J02 (SA07...).",
        "Add a Location with a type of JDV_J02 (SA07...).",
    )


def _events(source: Source, header: Header, performer: Any, visit: Any) -> tuple[Act, ...]:
    events = header.composition.nodes("event")
    marked = [e for e in events if (m := e.extension("principal-event")) is not None and m.flag("valueBoolean")]
    if not events:
        raise _missing(
            f"{header.composition.place}/event",
            "FHIR-READ-039",
            "L'évènement documenté manque : il ne peut pas être inventé.",
            "The documented event is missing: it cannot be invented.",
            "Ajoutez Composition.event avec sa période et son exécutant.",
            "Add Composition.event with its period and performer.",
        )
    main = marked[0] if marked else events[0]
    acts = [_act(source, header, main, performer, visit, principal=True)]
    for event in events:
        if event is main:
            continue
        acts.append(_act(source, header, event, None, None, principal=False))
    return tuple(acts)


def _act(source: Source, header: Header, event: Node, fallback: Any, visit: Any, *, principal: bool) -> Act:
    kind: Code | None = None
    informative = False
    for item in event.nodes("code"):
        item.use("text", "coding")
        for i, one in enumerate(codings(item.value, item.place)):
            read = code(one, f"{item.place}/coding/{i}")
            if read is not None and read.system == ACT_CLASS:
                informative = read.code == "INFO"
            elif read is not None and kind is None:
                kind = read
    when = period(event, "period")
    who = event.extension("event-performer")
    node = source.resolve(who, "valueReference", required=True) if who is not None else None
    performer = header.people.professional(node) if node is not None else None
    key = None
    for detail in event.nodes("detail"):
        detail.use("reference", "type", "display")
        given = detail.node("identifier")
        value = identifier(given) if given is not None else None
        if value is None:
            continue
        if principal and value.root == _PRESCRIPTION and header.number is None:
            header.number = value.extension
        elif key is None:
            key = value
    if principal:
        # Dates and performer were moved to the Encounter in a former map: the event wins, the Encounter helps.
        if when is None or when.start is None:
            when = visit
        performer = performer or fallback
        if performer is None or when is None or when.start is None:
            raise _missing(
                event.place,
                "FHIR-READ-039",
                "L'évènement documenté n'a pas de période ou d'exécutant : ils ne peuvent pas être inventés.",
                "The documented event has no period or no performer: they cannot be invented.",
                "Donnez event.period et l'extension fr-performer-event-extension.",
                "Give event.period and the extension fr-performer-event-extension.",
            )
    return Act(id=key, code=kind, period=when, performer=performer, informative=informative)
