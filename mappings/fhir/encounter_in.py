"""The care episode, its place and the documented acts read from FHIR; refuses what it would have to invent."""

from __future__ import annotations

from typing import Any, Final

from conformance.verdict import Text
from mappings.document.header import Act, Encounter
from mappings.document.people import Professional
from mappings.document.values import Code, Period
from mappings.fhir.header_out import ACT_CLASS, PARTICIPATION
from mappings.fhir.names import IDENTIFIERS
from mappings.fhir.node import Node
from mappings.fhir.people_in import People
from mappings.fhir.source import Source, refuse
from mappings.fhir.values_in import address, code, codings, first_code, identifier, is_absent, period

__all__ = ["read_encounter", "read_events"]

_PRESCRIPTION: Final = IDENTIFIERS["prescription"]["system"][8:]
_EXTRA = Text("Le modèle n'a pas de place pour ce participant.", "The model has no place for this participant.")


def read_encounter(source: Source, people: People, node: Node) -> tuple[Encounter, Professional | None]:
    """The care episode, and the performer that a former map put in it."""
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
        raise refuse(
            "FHIR-READ-036",
            f"{node.place}/period",
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
    raise refuse(
        "FHIR-READ-038",
        f"{node.place}/location",
        "Le lieu de la prise en charge et son secteur d'activité manquent : ils ne peuvent pas être inventés.",
        "The place of care and its sector are missing: they cannot be invented.",
        "Ajoutez une Location avec un type de JDV_J02 (SA07...).",
        "Add a Location with a type of JDV_J02 (SA07...).",
    )


def read_events(
    source: Source, people: People, composition: Node, performer: Professional | None, visit: Period
) -> tuple[tuple[Act, ...], str | None]:
    """The documented acts, the principal one first, and the number of the e-prescription they name."""
    numbers: list[str] = []
    events = composition.nodes("event")
    marked = [e for e in events if (m := e.extension("principal-event")) is not None and m.flag("valueBoolean")]
    if not events:
        raise refuse(
            "FHIR-READ-039",
            f"{composition.place}/event",
            "L'évènement documenté manque : il ne peut pas être inventé.",
            "The documented event is missing: it cannot be invented.",
            "Ajoutez Composition.event avec sa période et son exécutant.",
            "Add Composition.event with its period and performer.",
        )
    main = marked[0] if marked else events[0]
    acts = [_act(source, people, main, performer, visit, numbers, principal=True)]
    for event in events:
        if event is main:
            continue
        acts.append(_act(source, people, event, None, None, numbers, principal=False))
    return tuple(acts), next(iter(numbers), None)


def _act(
    source: Source,
    people: People,
    event: Node,
    fallback: Professional | None,
    visit: Period | None,
    numbers: list[str],
    *,
    principal: bool,
) -> Act:
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
    performer = people.professional(node) if node is not None else None
    key = None
    for detail in event.nodes("detail"):
        detail.use("reference", "type", "display")
        given = detail.node("identifier")
        value = identifier(given) if given is not None else None
        if value is None:
            continue
        if principal and value.root == _PRESCRIPTION and value.extension and not numbers:
            numbers.append(value.extension)
        elif key is None:
            key = value
    if principal:
        # Dates and performer were moved to the Encounter in a former map: the event wins, the Encounter helps.
        if when is None or when.start is None:
            when = visit
        performer = performer or fallback
        if performer is None or when is None or when.start is None:
            raise refuse(
                "FHIR-READ-039",
                event.place,
                "L'évènement documenté n'a pas de période ou d'exécutant : ils ne peuvent pas être inventés.",
                "The documented event has no period or no performer: they cannot be invented.",
                "Donnez event.period et l'extension fr-performer-event-extension.",
                "Give event.period and the extension fr-performer-event-extension.",
            )
    return Act(id=key, code=kind, period=when, performer=performer, informative=informative)
