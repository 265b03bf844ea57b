"""A FHIR R4 Bundle as a view: who and when from the resources, sections with their narrative as written."""

from __future__ import annotations

import html.entities
import re
from collections.abc import Iterator
from typing import Any

from mappings.rendering.narrative import Block, narrative_blocks
from mappings.rendering.view import Fact, Group, Section, View, bullets, paragraph
from mappings.rendering.words import date_text, moment_text, person_name
from security.errors import UnsafeInput
from security.xml import XmlLimits, parse

__all__ = ["NotBundle", "view_of_bundle"]

Resource = dict[str, Any]

_INS = {
    "urn:oid:1.2.250.1.213.1.4.8": "INS (NIR)",
    "urn:oid:1.2.250.1.213.1.4.9": "INS (NIA)",
    "urn:oid:1.2.250.1.213.1.4.10": "INS (NIR de test)",
    "urn:oid:1.2.250.1.213.1.4.11": "INS (NIR de démonstration)",
}
_SEX = {"male": "masculin", "female": "féminin", "other": "autre", "unknown": "indéterminé"}
_EMPTY = {
    "nilknown": "Aucun élément connu",
    "notasked": "Non demandé",
    "withheld": "Information non communiquée",
    "unavailable": "Information non disponible",
    "notstarted": "Non commencé",
    "closed": "Clos",
}
#: Resources that are who and where, not what.
_BACKGROUND = frozenset(
    {"Patient", "Practitioner", "PractitionerRole", "Organization", "Location", "Device", "Encounter"}
)
_KINDS = {
    "MedicationRequest": "Médicament prescrit",
    "MedicationDispense": "Médicament délivré",
    "MedicationStatement": "Traitement",
    "Medication": "Médicament",
    "Condition": "Problème",
    "AllergyIntolerance": "Allergie",
    "Observation": "Observation",
    "Procedure": "Acte",
    "Immunization": "Vaccination",
    "DiagnosticReport": "Compte rendu",
    "DocumentReference": "Document",
    "DeviceRequest": "Dispositif prescrit",
}
#: A narrative is a small page.
_LIMITS = XmlLimits(max_bytes=2 * 1024 * 1024, max_elements=50_000)
_MAX_DEPTH = 20
_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]{1,31});")


class NotBundle(ValueError):
    """The value is not a FHIR Bundle."""


def view_of_bundle(bundle: Resource) -> View:
    """What is shown of a Bundle: a document's sections, or the resources of another kind of Bundle.

    Raises :class:`NotBundle`.
    """
    return _Reader(bundle).view()


def _dict(value: Any) -> Resource:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _str(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _concept(value: Any) -> str:
    concept = _dict(value)
    codings = [_dict(coding) for coding in _list(concept.get("coding"))]
    return _str(concept.get("text")) or next(
        (w for c in codings if (w := _str(c.get("display")) or _str(c.get("code")))), ""
    )


def _human_name(value: Any) -> str:
    name = _dict(value)
    family, given = _str(name.get("family")), " ".join(_str(part) for part in _list(name.get("given")))
    if not family and not given:
        return _str(name.get("text"))
    prefix = next((_str(p) for p in _list(name.get("prefix"))), "")
    words = person_name(family, given)
    return f"{prefix} {words}" if prefix else words


def _address(value: Any) -> str:
    address = _dict(value)
    town = " ".join(part for key in ("postalCode", "city") if (part := _str(address.get(key))))
    lines = [_str(line) for line in _list(address.get("line"))]
    return ", ".join(part for part in (*lines, town, _str(address.get("country"))) if part) or _str(address.get("text"))


def _reach(resource: Resource) -> list[Fact]:
    words = {"phone": "Tél.", "fax": "Fax", "email": "Courriel", "sms": "SMS"}
    return [
        Fact(words.get(_str(item.get("system")), ""), value)
        for item in map(_dict, _list(resource.get("telecom")))
        if (value := _str(item.get("value")))
    ]


def _facts(*pairs: tuple[str, str]) -> list[Fact]:
    return [Fact(label, value) for label, value in pairs if value]


class _Reader:
    def __init__(self, bundle: Resource) -> None:
        entries = [_dict(entry) for entry in _list(_dict(bundle).get("entry"))]
        self._by_url: dict[str, Resource] = {}
        for entry in entries:
            resource = _dict(entry.get("resource"))
            if url := _str(entry.get("fullUrl")):
                self._by_url.setdefault(url, resource)
            if (kind := _str(resource.get("resourceType"))) and (ident := _str(resource.get("id"))):
                self._by_url.setdefault(f"{kind}/{ident}", resource)
        if _dict(bundle).get("resourceType") != "Bundle":
            raise NotBundle("expected a FHIR Bundle")
        self._resources = [_dict(entry.get("resource")) for entry in entries]
        # A Bundle that is no document has no Composition: its resources are shown one after the other.
        self._composition = next((r for r in self._resources if r.get("resourceType") == "Composition"), {})

    def _target(self, reference: Any) -> Resource:
        url = _str(_dict(reference).get("reference"))
        if url in self._by_url:
            return self._by_url[url]
        # An absolute URL may stand for a relative one: the last two segments are kind and id.
        return self._by_url.get("/".join(url.split("/")[-2:]), {})

    def view(self) -> View:
        top = self._composition
        kind = _concept(top.get("type"))
        authors = [self._person("Auteur", ref) for ref in _list(top.get("author"))]
        groups = [
            self._patient(self._subject()),
            *authors,
            self._person("Conservé par", top.get("custodian")),
            *self._attesters(),
            *self._events(),
            self._encounter(),
        ]
        status = _str(top.get("status"))
        notices = {"preliminary": "Document provisoire", "entered-in-error": "Document enregistré par erreur"}
        return View(
            title=_str(top.get("title")) or kind or "Document",
            kind=kind,
            date=_str(top.get("date")),
            language=_str(top.get("language")) or "fr-FR",
            author=next((f.value for g in authors for f in g.facts if not f.label), ""),
            groups=tuple(group for group in groups if group.facts),
            sections=tuple(self._sections(top, 0) if top else self._resource_sections()),
            notices=(notices[status],) if status in notices else (),
        )

    def _subject(self) -> Resource:
        if self._composition:
            return self._target(self._composition.get("subject"))
        return next((r for r in self._resources if r.get("resourceType") == "Patient"), {})

    # -- who --------------------------------------------------------------------------------------------------------

    def _patient(self, patient: Resource) -> Group:
        facts: list[Fact] = []
        for name in map(_dict, _list(patient.get("name"))):
            label = {"official": "Nom de naissance", "usual": "Nom utilisé"}.get(_str(name.get("use")), "Nom")
            given = " ".join(_str(part) for part in _list(name.get("given")))
            facts += _facts((label, _str(name.get("family")) or _str(name.get("text"))), ("Prénom(s)", given))
        birth = _str(patient.get("birthDate"))
        facts += _facts(
            ("Sexe", _SEX.get(_str(patient.get("gender")), "")),
            ("Date de naissance", date_text(birth) if birth else ""),
        )
        for identifier in map(_dict, _list(patient.get("identifier"))):
            label = _INS.get(_str(identifier.get("system")), "Identifiant")
            facts += _facts((label, _str(identifier.get("value"))))
        facts += _facts(("Adresse", next((a for x in _list(patient.get("address")) if (a := _address(x))), "")))
        return Group("Patient", (*facts, *_reach(patient)))

    def _person(self, label: str, reference: Any, when: str = "") -> Group:
        resource = self._target(reference)
        facts: list[Fact] = []
        if resource.get("resourceType") == "PractitionerRole":
            person = self._target(resource.get("practitioner"))
            place = self._target(resource.get("organization"))
            specialty = [_concept(c) for key in ("code", "specialty") for c in _list(resource.get(key))]
            facts += self._named(person, resource.get("practitioner"))
            facts += [Fact("", words) for words in dict.fromkeys(specialty) if words]
            facts += self._named(place, resource.get("organization"))
            facts += _reach(resource) or _reach(person) or _reach(place)
        elif resource:
            facts += self._named(resource, reference)
            facts += _reach(resource)
        else:
            facts += _facts(("", _str(_dict(reference).get("display"))))
        return Group(label, (*facts, *_facts(("le", when))))

    def _named(self, resource: Resource, reference: Any) -> list[Fact]:
        name = resource.get("name")
        words = _str(name) or next((n for x in _list(name) if (n := _human_name(x))), "")
        if resource.get("resourceType") == "Device":
            words = next((_str(_dict(d).get("name")) for d in _list(resource.get("deviceName"))), "")
        facts = _facts(("", words or _str(_dict(reference).get("display"))))
        for identifier in map(_dict, _list(resource.get("identifier"))):
            kinds = [_str(_dict(c).get("code")) for c in _list(_dict(identifier.get("type")).get("coding"))]
            label = next((k for k in kinds if k in ("RPPS", "ADELI", "FINESS", "FINEJ", "FINEG", "SIREN", "SIRET")), "")
            label = {"FINEJ": "FINESS", "FINEG": "FINESS"}.get(label, label) or "N°"
            facts += _facts((label, _str(identifier.get("value"))))
        return facts

    def _attesters(self) -> Iterator[Group]:
        for attester in map(_dict, _list(self._composition.get("attester"))):
            label = "Responsable" if attester.get("mode") == "legal" else "Validé par"
            time = _str(attester.get("time"))
            yield self._person(label, attester.get("party"), moment_text(time) if time else "")

    def _events(self) -> Iterator[Group]:
        for event in map(_dict, _list(self._composition.get("event"))):
            words = [_concept(code) for code in _list(event.get("code"))]
            yield Group(
                "Acte", tuple(_facts(("", ", ".join(w for w in words if w)), ("Date", _period(event.get("period")))))
            )

    def _encounter(self) -> Group:
        encounter = self._target(self._composition.get("encounter"))
        klass = _dict(encounter.get("class"))
        words = _str(klass.get("display")) or _str(klass.get("code"))
        return Group("Prise en charge", tuple(_facts(("", words), ("Date", _period(encounter.get("period"))))))

    # -- what -------------------------------------------------------------------------------------------------------

    def _sections(self, parent: Resource, depth: int) -> Iterator[Section]:
        if depth >= _MAX_DEPTH:
            return
        for section in map(_dict, _list(parent.get("section"))):
            title = _str(section.get("title")) or _concept(section.get("code"))
            blocks = _narrative(section.get("text")) or self._entries(section)
            if not blocks and (reason := section.get("emptyReason")):
                codes = [_str(_dict(c).get("code")) for c in _list(_dict(reason).get("coding"))]
                words = next((_EMPTY[c] for c in codes if c in _EMPTY), "") or _concept(reason)
                blocks = (paragraph(words),) if words else ()
            yield Section(title, blocks, tuple(self._sections(section, depth + 1)))

    def _resource_sections(self) -> Iterator[Section]:
        for resource in self._resources:
            kind = _str(resource.get("resourceType"))
            if kind in _BACKGROUND:
                continue
            name = _called(resource) or self._medicine(resource)
            words = [_str(_dict(dosage).get("text")) for dosage in _list(resource.get("dosageInstruction"))]
            blocks = _narrative(resource.get("text")) or tuple(paragraph(text) for text in words if text)
            yield Section(" – ".join(part for part in (_KINDS.get(kind, kind), name) if part), blocks)

    def _medicine(self, resource: Resource) -> str:
        target = self._target(resource.get("medicationReference"))
        return _called(target) or _str(_dict(resource.get("medicationReference")).get("display"))

    def _entries(self, section: Resource) -> tuple[Block, ...]:
        """What stands for a missing narrative: that of each entry, else what it is called."""
        blocks: list[Block] = []
        names: list[str] = []
        for reference in _list(section.get("entry")):
            resource = self._target(reference)
            own = _narrative(resource.get("text"))
            if own:
                blocks += own
            elif words := _called(resource) or _str(_dict(reference).get("display")):
                names.append(words)
        return (*blocks, *((bullets(*names),) if names else ()))


def _called(resource: Resource) -> str:
    for key in ("code", "medicationCodeableConcept", "vaccineCode", "type"):
        if words := _concept(resource.get(key)):
            return words
    return ""


def _period(value: Any) -> str:
    period = _dict(value)
    start, end = _str(period.get("start")), _str(period.get("end"))
    if start and end:
        return f"du {moment_text(start)} au {moment_text(end)}"
    return f"à partir du {moment_text(start)}" if start else f"jusqu'au {moment_text(end)}" if end else ""


def _narrative(text: Any) -> tuple[Block, ...]:
    div = _str(_dict(text).get("div"))
    if not div:
        return ()
    # Named entities of HTML are no XML: written as the characters they stand for (the five of XML stay).
    div = _ENTITY.sub(_character, div)
    try:
        return narrative_blocks(parse(div.encode(), _LIMITS))
    except UnsafeInput:
        return (paragraph("[narratif illisible : XHTML mal formé ou refusé]"),)


def _character(match: re.Match[str]) -> str:
    name = match[1]
    if name in ("amp", "lt", "gt", "quot", "apos"):
        return match[0]
    return html.entities.html5.get(f"{name};", match[0].replace("&", "&amp;"))
