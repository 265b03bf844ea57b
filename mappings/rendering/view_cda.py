"""Any CDA as a view: header data in French words, sections with their narrative as written. Shows what is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from mappings.rendering.narrative import Media, decoded, narrative_blocks
from mappings.rendering.view import Fact, Group, Section, View, paragraph
from mappings.rendering.words import date_text, moment_text, person_name, telecom_text
from security.xml import CDA_LIMITS, XmlLimits, parse

__all__ = ["NotCda", "embedded_file", "root_of", "view_of_cda"]

NS = {"h": "urn:hl7-org:v3"}
_V3 = "{urn:hl7-org:v3}"
_TS = re.compile(r"(\d{4})(\d{2})?(\d{2})?(?:(\d{2})(\d{2})(?:\d{2}(?:\.\d+)?)?)?([+-]\d{4})?\Z")
_NULLS = {"UNK": "inconnu", "NASK": "non demandé", "ASKU": "demandé, inconnu", "NAV": "non disponible", "MSK": "masqué"}

# Authorities of a patient's identifier (INS referential).
_INS = {
    "1.2.250.1.213.1.4.8": "INS (NIR)",
    "1.2.250.1.213.1.4.9": "INS (NIA)",
    "1.2.250.1.213.1.4.10": "INS (NIR de test)",
    "1.2.250.1.213.1.4.11": "INS (NIR de démonstration)",
}
# JDV_J144 participation types, in words.
_ROLES = {
    "REF": "Prescripteur",
    "REFB": "Adressé par",
    "INF": "Participant",
    "RESP": "Responsable",
    "PRF": "Exécutant souhaité",
    "CON": "Consultant",
    "VRF": "Vérificateur",
}
_SUBJECTS = {"CTM": "Contact", "ECON": "Contact d'urgence", "GUAR": "Représentant"}


class NotCda(ValueError):
    """The document is XML but not a CDA: its root is not ``ClinicalDocument`` of ``urn:hl7-org:v3``."""


def root_of(data: bytes, limits: XmlLimits = CDA_LIMITS) -> etree._Element:
    """The root of a CDA.

    Raises :class:`NotCda`, and what :func:`security.xml.parse` raises.
    """
    root = parse(data, limits)
    if root.tag != f"{_V3}ClinicalDocument":
        raise NotCda("the root is not ClinicalDocument of urn:hl7-org:v3")
    return root


def view_of_cda(root: etree._Element) -> View:
    """What is shown of a CDA: header data, then the narrative of each section, or the embedded text."""
    code = root.find("h:code", NS)
    kind = _shown(code)
    title = _text(root.find("h:title", NS)) or kind or "Document"
    authors = root.findall("h:author", NS)
    groups = [
        *_patient(root),
        *(_author(author) for author in authors),
        *_custodian(root),
        *_signers(root),
        *_others(root),
        *_acts(root),
        *_encounter(root),
        *_version(root),
    ]
    first = next((person for a in authors if (person := _person(a.find("h:assignedAuthor/h:assignedPerson", NS)))), "")
    return View(
        title=title,
        kind=kind,
        date=_moment(_value(root.find("h:effectiveTime", NS))),
        language=_attr(root.find("h:languageCode", NS), "code") or "fr-FR",
        author=first,
        groups=tuple(group for group in groups if group.facts),
        sections=tuple(_body(root)),
    )


# -- bricks ---------------------------------------------------------------------------------------------------------


def _attr(node: etree._Element | None, name: str) -> str:
    return (node.get(name) or "").strip() if node is not None else ""


def _value(node: etree._Element | None) -> str:
    return _attr(node, "value")


def _text(node: etree._Element | None) -> str:
    return " ".join("".join(t for t in node.itertext() if isinstance(t, str)).split()) if node is not None else ""


def _moment(ts: str) -> str:
    """An HL7 TS as ISO 8601; what is not one stays as it is."""
    match = _TS.match(ts)
    if match is None:
        return ts
    out = "-".join(part for part in match.groups()[:3] if part)
    if match[4]:
        zone = f"{match[6][:3]}:{match[6][3:]}" if match[6] else ""
        out += f"T{match[4]}:{match[5]}{zone}"
    return out


def _when(node: etree._Element | None) -> str:
    """A TS or IVL_TS in words."""
    if node is None:
        return ""
    if _value(node):
        return moment_text(_moment(_value(node)))
    low, high = _value(node.find("h:low", NS)), _value(node.find("h:high", NS))
    if low and high:
        return f"du {moment_text(_moment(low))} au {moment_text(_moment(high))}"
    if low:
        return f"à partir du {moment_text(_moment(low))}"
    return f"jusqu'au {moment_text(_moment(high))}" if high else ""


def _shown(node: etree._Element | None) -> str:
    """A coded value in words: its label, its original text, else its code."""
    if node is None:
        return ""
    words = _attr(node, "displayName") or _text(node.find("h:originalText", NS)) or _attr(node, "code")
    if not words:
        translation = node.find("h:translation", NS)
        words = _attr(translation, "displayName") or _attr(translation, "code")
    return words or _NULLS.get(_attr(node, "nullFlavor"), "")


def _named(node: etree._Element | None) -> str:
    """A person's name from its parts, or as it stands."""
    if node is None:
        return ""
    families = [_text(f) for f in node.findall("h:family", NS)]
    if not families:
        return _text(node)
    given = " ".join(_text(g) for g in node.findall("h:given", NS))
    return person_name(
        " ".join(families), given, _attr_text(node, "prefix").upper(), _attr_text(node, "suffix").upper()
    )


def _attr_text(node: etree._Element, name: str) -> str:
    return _text(node.find(f"h:{name}", NS))


def _person(node: etree._Element | None) -> str:
    return _named(node.find("h:name", NS)) if node is not None else ""


def _address(node: etree._Element | None) -> str:
    if node is None or node.get("nullFlavor"):
        return ""
    street = [_text(part) for part in node.findall("h:streetAddressLine", NS)]
    if not street:
        names = ("houseNumber", "streetNameType", "streetName", "additionalLocator", "unitID", "postBox", "precinct")
        line = " ".join(part for name in names if (part := _attr_text(node, name)))
        street = [line] if line else []
    town = " ".join(part for name in ("postalCode", "city") if (part := _attr_text(node, name)))
    parts = [*street, *([town] if town else []), *([c] if (c := _attr_text(node, "country")) else [])]
    return ", ".join(parts) or _text(node)


def _reach(parent: etree._Element | None) -> list[Fact]:
    from mappings.document.values import Telecom

    facts = []
    for node in parent.findall("h:telecom", NS) if parent is not None else ():
        value = _value(node)
        if not value:
            continue
        known = re.match(r"(tel|fax|mailto|http|https):\S+\Z", value)
        words = telecom_text(Telecom.model_construct(value=value)) if known else value
        label, _, rest = words.partition("\u00a0")
        facts.append(Fact(label, rest) if rest else Fact("", words))
    return facts


def _identifiers(parent: etree._Element | None) -> list[Fact]:
    facts = []
    for node in parent.findall("h:id", NS) if parent is not None else ():
        root, extension = _attr(node, "root"), _attr(node, "extension")
        if not extension:
            continue
        if root in _INS:
            facts.append(Fact(_INS[root], extension))
        elif root == "1.2.250.1.71.4.2.1" and len(extension) == 12 and extension[0] == "8":
            facts.append(Fact("RPPS", extension[1:]))
        elif root == "1.2.250.1.71.4.2.2" and extension[0] in "123":
            facts.append(Fact({"1": "FINESS", "2": "SIREN", "3": "SIRET"}[extension[0]], extension[1:]))
        elif root in ("1.2.250.1.71.4.2.1", "1.2.250.1.71.4.2.2"):
            facts.append(Fact("N° national", extension))
        else:
            facts.append(Fact("Identifiant", extension))
    return facts


def _facts(*pairs: tuple[str, str]) -> list[Fact]:
    return [Fact(label, value) for label, value in pairs if value]


# -- header ---------------------------------------------------------------------------------------------------------

# qualifier of a name part (CI-SIS): BR of birth, SP by marriage, CL used.
_FAMILY = {"BR": "Nom de naissance", "SP": "Nom utilisé", "CL": "Nom utilisé"}
_GIVEN = {"BR": "Premier prénom de naissance", "CL": "Prénom utilisé"}


def _patient(root: etree._Element) -> Iterator[Group]:
    for role in root.findall("h:recordTarget/h:patientRole", NS):
        patient = role.find("h:patient", NS)
        facts: list[Fact] = []
        for name in patient.findall("h:name", NS) if patient is not None else ():
            for family in name.findall("h:family", NS):
                facts += _facts((_FAMILY.get(_attr(family, "qualifier"), "Nom"), _text(family)))
            for given in name.findall("h:given", NS):
                facts += _facts((_GIVEN.get(_attr(given, "qualifier"), "Prénom(s)"), _text(given)))
            if not len(name):
                facts += _facts(("Nom", _text(name)))
        if patient is not None:
            sex = patient.find("h:administrativeGenderCode", NS)
            words = {"M": "masculin", "F": "féminin", "UN": "indéterminé", "U": "indéterminé"}
            birth = _value(patient.find("h:birthTime", NS))
            place = patient.find("h:birthplace/h:place", NS)
            county = _text(_in(place, "h:addr/h:county"))
            where = _person(place) or _text(_in(place, "h:addr/h:city"))
            facts += _facts(
                ("Sexe", words.get(_attr(sex, "code"), _shown(sex))),
                ("Date de naissance", date_text(_moment(birth)) if birth else ""),
                ("Lieu de naissance", " ".join(part for part in (where, county) if part)),
            )
        facts += _identifiers(role)
        facts += _facts(("Adresse", _address(role.find("h:addr", NS))))
        facts += _reach(role)
        yield Group("Patient", tuple(facts))
        for guardian in patient.findall("h:guardian", NS) if patient is not None else ():
            yield Group(
                "Représentant",
                (*_facts(("", _person(guardian.find("h:guardianPerson", NS)))), *_reach(guardian)),
            )


def _entity(assigned: etree._Element | None, person: str, organization: str, when: str = "") -> tuple[Fact, ...]:
    if assigned is None:
        return ()
    place = assigned.find(f"h:{organization}", NS)
    device = assigned.find("h:assignedAuthoringDevice", NS)
    names = [_text(_in(device, f"h:{part}")) for part in ("softwareName", "manufacturerModelName")]
    return (
        *_facts(
            ("", _person(assigned.find(f"h:{person}", NS)) or " ".join(n for n in names if n)),
            ("", _shown(assigned.find("h:code", NS))),
        ),
        *_identifiers(assigned),
        *_facts(("", _text(_in(place, "h:name")))),
        *_identifiers(place),
        *_facts(("Adresse", _address(assigned.find("h:addr", NS)) or _address(_in(place, "h:addr")))),
        *_reach(assigned),
        *_facts(("le", when)),
    )


def _in(node: etree._Element | None, path: str) -> etree._Element | None:
    return node.find(path, NS) if node is not None else None


def _author(author: etree._Element) -> Group:
    function = _shown(author.find("h:functionCode", NS))
    facts = _entity(
        author.find("h:assignedAuthor", NS),
        "assignedPerson",
        "representedOrganization",
        _when(author.find("h:time", NS)),
    )
    return Group("Auteur", (*facts, *_facts(("Fonction", function))))


def _custodian(root: etree._Element) -> Iterator[Group]:
    place = root.find("h:custodian/h:assignedCustodian/h:representedCustodianOrganization", NS)
    if place is not None:
        yield Group(
            "Conservé par",
            (
                *_facts(("", _text(place.find("h:name", NS)))),
                *_identifiers(place),
                *_facts(("Adresse", _address(place.find("h:addr", NS)))),
                *_reach(place),
            ),
        )


def _signers(root: etree._Element) -> Iterator[Group]:
    for name, label in (("legalAuthenticator", "Responsable"), ("authenticator", "Validé par")):
        for node in root.findall(f"h:{name}", NS):
            facts = _entity(
                node.find("h:assignedEntity", NS),
                "assignedPerson",
                "representedOrganization",
                _when(_in(node, "h:time")),
            )
            yield Group(label, facts)


def _others(root: etree._Element) -> Iterator[Group]:
    for node in root.findall("h:dataEnterer/h:assignedEntity", NS):
        yield Group("Saisi par", _entity(node, "assignedPerson", "representedOrganization"))
    for informant in root.findall("h:informant", NS):
        related = informant.find("h:relatedEntity", NS)
        if related is not None:
            who = _facts(("", _person(related.find("h:relatedPerson", NS))), ("Lien", _shown(_in(related, "h:code"))))
            yield Group(_SUBJECTS.get(_attr(related, "classCode"), "Informateur"), (*who, *_reach(related)))
        else:
            yield Group(
                "Informateur", _entity(_in(informant, "h:assignedEntity"), "assignedPerson", "representedOrganization")
            )
    for node in root.findall("h:informationRecipient/h:intendedRecipient", NS):
        place = node.find("h:receivedOrganization", NS)
        names = _facts(("", _person(node.find("h:informationRecipient", NS))), ("", _text(_in(place, "h:name"))))
        yield Group("Destinataire", (*names, *_identifiers(node), *_reach(node)))
    for node in root.findall("h:participant", NS):
        function = _shown(node.find("h:functionCode", NS))
        label = function or _ROLES.get(_attr(node, "typeCode"), "Participant")
        facts = _entity(
            node.find("h:associatedEntity", NS),
            "associatedPerson",
            "scopingOrganization",
            _when(node.find("h:time", NS)),
        )
        yield Group(label, facts)


def _acts(root: etree._Element) -> Iterator[Group]:
    events = root.findall("h:documentationOf/h:serviceEvent", NS)
    # Context marks (classCode INFO) say one word each: one group for all.
    marks = [_shown(event.find("h:code", NS)) for event in events if _attr(event, "classCode") == "INFO"]
    yield Group("Contexte", tuple(_facts(*(("", mark) for mark in marks))))
    for event in events:
        if _attr(event, "classCode") == "INFO":
            continue
        performer = event.find("h:performer/h:assignedEntity", NS)
        place = _text(_in(performer, "h:representedOrganization/h:name"))
        yield Group(
            "Acte",
            tuple(
                _facts(
                    ("", _shown(event.find("h:code", NS))),
                    ("Date", _when(event.find("h:effectiveTime", NS))),
                    ("Réalisé par", _person(_in(performer, "h:assignedPerson"))),
                    ("Structure", place),
                    ("N°", _attr(event.find("h:id", NS), "extension")),
                )
            ),
        )
    for order in root.findall("h:inFulfillmentOf/h:order", NS):
        yield Group("Demande", tuple(_identifiers(order)))


def _encounter(root: etree._Element) -> Iterator[Group]:
    node = root.find("h:componentOf/h:encompassingEncounter", NS)
    if node is not None:
        facility = node.find("h:location/h:healthCareFacility", NS)
        yield Group(
            "Prise en charge",
            tuple(
                _facts(
                    ("", _shown(node.find("h:code", NS))),
                    ("Date", _when(node.find("h:effectiveTime", NS))),
                    ("Lieu", _shown(_in(facility, "h:code"))),
                    ("", _text(_in(facility, "h:location/h:name"))),
                    ("Sortie", _shown(node.find("h:dischargeDispositionCode", NS))),
                )
            ),
        )


def _version(root: etree._Element) -> Iterator[Group]:
    replaced = root.find("h:relatedDocument[@typeCode='RPLC']", NS)
    number = _value(root.find("h:versionNumber", NS))
    yield Group(
        "Version",
        tuple(
            _facts(
                ("", number if number and (number != "1" or replaced is not None) else ""),
                ("", "remplace une version précédente" if replaced is not None else ""),
                ("Confidentialité", _confidentiality(root)),
            )
        ),
    )


def _confidentiality(root: etree._Element) -> str:
    node = root.find("h:confidentialityCode", NS)
    return "" if _attr(node, "code") in ("", "N") else _shown(node)


# -- body -----------------------------------------------------------------------------------------------------------


def _body(root: etree._Element) -> Iterator[Section]:
    media = _Medias(root)
    for section in root.findall("h:component/h:structuredBody/h:component/h:section", NS):
        yield _section(section, media, 0)
    text = root.find("h:component/h:nonXMLBody/h:text", NS)
    if text is None:
        return
    kind, data = embedded_file(text)
    if kind == "text/plain":
        words = data.decode("utf-8", "replace")
        yield Section("", tuple(paragraph(part) for part in words.replace("\r\n", "\n").split("\n\n") if part.strip()))
    else:
        yield Section("", (paragraph(f"[fichier joint : {kind}, {len(data)} octets]"),))


def _section(node: etree._Element, media: _Medias, depth: int) -> Section:
    text = node.find("h:text", NS)
    title = _text(node.find("h:title", NS)) or _shown(node.find("h:code", NS))
    inner = tuple(_section(child, media, depth + 1) for child in node.findall("h:component/h:section", NS))
    return Section(title, narrative_blocks(text, media.find) if text is not None else (), inner)


class _Medias:
    """The files of a document by their ID, found once."""

    def __init__(self, root: etree._Element) -> None:
        self._nodes = {node.get("ID"): node for node in root.iter(f"{_V3}observationMedia") if node.get("ID")}

    def find(self, identifier: str) -> Media | None:
        node = self._nodes.get(identifier)
        value = _in(node, "h:value")
        if value is None:
            return None
        kind, data = embedded_file(value)
        return Media(kind, data) if data else None


def embedded_file(node: etree._Element) -> tuple[str, bytes]:
    """Media type and bytes of an ED value; base64 that does not decode gives no bytes."""
    kind = _attr(node, "mediaType") or "text/plain"
    words = "".join(part for part in node.itertext() if isinstance(part, str))
    if _attr(node, "representation").upper() != "B64":
        return kind, words.encode()
    return kind, decoded(words) or b""
