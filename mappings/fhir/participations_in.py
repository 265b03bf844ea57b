"""Those who took part in a document, its consents and the requests it answers, read from the Composition."""

from __future__ import annotations

from typing import Any

from conformance.verdict import Text
from mappings.document.header import Consent, DataEnterer, Informant, Order, Participant, Recipient
from mappings.document.values import Code, Period
from mappings.fhir.node import Node
from mappings.fhir.patient_in import read_related
from mappings.fhir.people_in import People
from mappings.fhir.source import Source
from mappings.fhir.values_in import code, codings, first_code, identifier, moment, period

__all__ = ["Orders", "read_participations"]

Orders = list[tuple[Order | None, Node]]

_EXTRA = Text("Le modèle n'a pas de place pour ce participant.", "The model has no place for this participant.")


def read_participations(source: Source, people: People, composition: Node) -> tuple[dict[str, Any], Orders]:
    """The members of a document that extensions of its Composition hold, and each request with its resource."""
    members: dict[str, Any] = {}
    orders: Orders = []
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
            informants.append(Informant(related=read_related(source, party)))
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
    members["participants"] = tuple(_participants(source, people, composition))
    consents = []
    for item in composition.extensions("consent"):
        node = source.resolve(item, "valueReference")
        if node is not None:
            consents.append(_consent(node))
    members["consents"] = tuple(c for c in consents if c is not None)
    for item in composition.extensions("based-on"):
        node = source.resolve(item, "valueReference")
        if node is not None:
            orders.append((_order(node), node))
    members["orders"] = tuple(order for order, _ in orders if order is not None)
    return members, orders


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


def _participants(source: Source, people: People, composition: Node) -> list[Participant]:
    out = []
    for item in composition.extensions("participant"):
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
