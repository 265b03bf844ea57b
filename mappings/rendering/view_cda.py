"""Any CDA as a view: header data in French words, sections with their narrative as written. Shows what is there."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from mappings.rendering import cda_parts as cda
from mappings.rendering.narrative import Media, decoded, narrative_blocks
from mappings.rendering.view import Fact, Group, Section, View, paragraph
from mappings.rendering.words import date_text
from security.xml import CDA_LIMITS, XmlLimits, parse

__all__ = ["NotCda", "embedded_file", "root_of", "view_of_cda"]

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
    if root.tag != f"{cda.V3}ClinicalDocument":
        raise NotCda("the root is not ClinicalDocument of urn:hl7-org:v3")
    return root


def view_of_cda(root: etree._Element) -> View:
    """What is shown of a CDA: header data, then the narrative of each section, or the embedded text."""
    code = root.find("h:code", cda.NS)
    kind = cda.shown(code)
    title = cda.text(root.find("h:title", cda.NS)) or kind or "Document"
    authors = root.findall("h:author", cda.NS)
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
    first = next(
        (person for a in authors if (person := cda.person(a.find("h:assignedAuthor/h:assignedPerson", cda.NS)))), ""
    )
    return View(
        title=title,
        kind=kind,
        date=cda.moment(cda.value(root.find("h:effectiveTime", cda.NS))),
        language=cda.attr(root.find("h:languageCode", cda.NS), "code") or "fr-FR",
        author=first,
        groups=tuple(group for group in groups if group.facts),
        sections=tuple(_body(root)),
    )


# -- header ---------------------------------------------------------------------------------------------------------

# qualifier of a name part (CI-SIS): BR of birth, SP by marriage, CL used.
_FAMILY = {"BR": "Nom de naissance", "SP": "Nom utilisé", "CL": "Nom utilisé"}
_GIVEN = {"BR": "Premier prénom de naissance", "CL": "Prénom utilisé"}


def _patient(root: etree._Element) -> Iterator[Group]:
    for role in root.findall("h:recordTarget/h:patientRole", cda.NS):
        patient = role.find("h:patient", cda.NS)
        facts: list[Fact] = []
        for name in patient.findall("h:name", cda.NS) if patient is not None else ():
            for family in name.findall("h:family", cda.NS):
                facts += cda.facts((_FAMILY.get(cda.attr(family, "qualifier"), "Nom"), cda.text(family)))
            for given in name.findall("h:given", cda.NS):
                facts += cda.facts((_GIVEN.get(cda.attr(given, "qualifier"), "Prénom(s)"), cda.text(given)))
            if not len(name):
                facts += cda.facts(("Nom", cda.text(name)))
        if patient is not None:
            sex = patient.find("h:administrativeGenderCode", cda.NS)
            words = {"M": "masculin", "F": "féminin", "UN": "indéterminé", "U": "indéterminé"}
            birth = cda.value(patient.find("h:birthTime", cda.NS))
            place = patient.find("h:birthplace/h:place", cda.NS)
            county = cda.text(cda.found(place, "h:addr/h:county"))
            where = cda.person(place) or cda.text(cda.found(place, "h:addr/h:city"))
            facts += cda.facts(
                ("Sexe", words.get(cda.attr(sex, "code"), cda.shown(sex))),
                ("Date de naissance", date_text(cda.moment(birth)) if birth else ""),
                ("Lieu de naissance", " ".join(part for part in (where, county) if part)),
            )
        facts += cda.identifiers(role)
        facts += cda.facts(("Adresse", cda.address(role.find("h:addr", cda.NS))))
        facts += cda.reach(role)
        yield Group("Patient", tuple(facts))
        for guardian in patient.findall("h:guardian", cda.NS) if patient is not None else ():
            yield Group(
                "Représentant",
                (*cda.facts(("", cda.person(guardian.find("h:guardianPerson", cda.NS)))), *cda.reach(guardian)),
            )


def _entity(assigned: etree._Element | None, person: str, organization: str, when: str = "") -> tuple[Fact, ...]:
    if assigned is None:
        return ()
    place = assigned.find(f"h:{organization}", cda.NS)
    device = assigned.find("h:assignedAuthoringDevice", cda.NS)
    names = [cda.text(cda.found(device, f"h:{part}")) for part in ("softwareName", "manufacturerModelName")]
    return (
        *cda.facts(
            ("", cda.person(assigned.find(f"h:{person}", cda.NS)) or " ".join(n for n in names if n)),
            ("", cda.shown(assigned.find("h:code", cda.NS))),
        ),
        *cda.identifiers(assigned),
        *cda.facts(("", cda.text(cda.found(place, "h:name")))),
        *cda.identifiers(place),
        *cda.facts(
            ("Adresse", cda.address(assigned.find("h:addr", cda.NS)) or cda.address(cda.found(place, "h:addr")))
        ),
        *cda.reach(assigned),
        *cda.facts(("le", when)),
    )


def _author(author: etree._Element) -> Group:
    function = cda.shown(author.find("h:functionCode", cda.NS))
    facts = _entity(
        author.find("h:assignedAuthor", cda.NS),
        "assignedPerson",
        "representedOrganization",
        cda.when(author.find("h:time", cda.NS)),
    )
    return Group("Auteur", (*facts, *cda.facts(("Fonction", function))))


def _custodian(root: etree._Element) -> Iterator[Group]:
    place = root.find("h:custodian/h:assignedCustodian/h:representedCustodianOrganization", cda.NS)
    if place is not None:
        yield Group(
            "Conservé par",
            (
                *cda.facts(("", cda.text(place.find("h:name", cda.NS)))),
                *cda.identifiers(place),
                *cda.facts(("Adresse", cda.address(place.find("h:addr", cda.NS)))),
                *cda.reach(place),
            ),
        )


def _signers(root: etree._Element) -> Iterator[Group]:
    for name, label in (("legalAuthenticator", "Responsable"), ("authenticator", "Validé par")):
        for node in root.findall(f"h:{name}", cda.NS):
            facts = _entity(
                node.find("h:assignedEntity", cda.NS),
                "assignedPerson",
                "representedOrganization",
                cda.when(cda.found(node, "h:time")),
            )
            yield Group(label, facts)


def _others(root: etree._Element) -> Iterator[Group]:
    for node in root.findall("h:dataEnterer/h:assignedEntity", cda.NS):
        yield Group("Saisi par", _entity(node, "assignedPerson", "representedOrganization"))
    for informant in root.findall("h:informant", cda.NS):
        related = informant.find("h:relatedEntity", cda.NS)
        if related is not None:
            who = cda.facts(
                ("", cda.person(related.find("h:relatedPerson", cda.NS))),
                ("Lien", cda.shown(cda.found(related, "h:code"))),
            )
            yield Group(_SUBJECTS.get(cda.attr(related, "classCode"), "Informateur"), (*who, *cda.reach(related)))
        else:
            yield Group(
                "Informateur",
                _entity(cda.found(informant, "h:assignedEntity"), "assignedPerson", "representedOrganization"),
            )
    for node in root.findall("h:informationRecipient/h:intendedRecipient", cda.NS):
        place = node.find("h:receivedOrganization", cda.NS)
        names = cda.facts(
            ("", cda.person(node.find("h:informationRecipient", cda.NS))), ("", cda.text(cda.found(place, "h:name")))
        )
        yield Group("Destinataire", (*names, *cda.identifiers(node), *cda.reach(node)))
    for node in root.findall("h:participant", cda.NS):
        function = cda.shown(node.find("h:functionCode", cda.NS))
        label = function or _ROLES.get(cda.attr(node, "typeCode"), "Participant")
        facts = _entity(
            node.find("h:associatedEntity", cda.NS),
            "associatedPerson",
            "scopingOrganization",
            cda.when(node.find("h:time", cda.NS)),
        )
        yield Group(label, facts)


def _acts(root: etree._Element) -> Iterator[Group]:
    events = root.findall("h:documentationOf/h:serviceEvent", cda.NS)
    # Context marks (classCode INFO) say one word each: one group for all.
    marks = [cda.shown(event.find("h:code", cda.NS)) for event in events if cda.attr(event, "classCode") == "INFO"]
    yield Group("Contexte", tuple(cda.facts(*(("", mark) for mark in marks))))
    for event in events:
        if cda.attr(event, "classCode") == "INFO":
            continue
        performer = event.find("h:performer/h:assignedEntity", cda.NS)
        place = cda.text(cda.found(performer, "h:representedOrganization/h:name"))
        yield Group(
            "Acte",
            tuple(
                cda.facts(
                    ("", cda.shown(event.find("h:code", cda.NS))),
                    ("Date", cda.when(event.find("h:effectiveTime", cda.NS))),
                    ("Réalisé par", cda.person(cda.found(performer, "h:assignedPerson"))),
                    ("Structure", place),
                    ("N°", cda.attr(event.find("h:id", cda.NS), "extension")),
                )
            ),
        )
    for order in root.findall("h:inFulfillmentOf/h:order", cda.NS):
        yield Group("Demande", tuple(cda.identifiers(order)))


def _encounter(root: etree._Element) -> Iterator[Group]:
    node = root.find("h:componentOf/h:encompassingEncounter", cda.NS)
    if node is not None:
        facility = node.find("h:location/h:healthCareFacility", cda.NS)
        yield Group(
            "Prise en charge",
            tuple(
                cda.facts(
                    ("", cda.shown(node.find("h:code", cda.NS))),
                    ("Date", cda.when(node.find("h:effectiveTime", cda.NS))),
                    ("Lieu", cda.shown(cda.found(facility, "h:code"))),
                    ("", cda.text(cda.found(facility, "h:location/h:name"))),
                    ("Sortie", cda.shown(node.find("h:dischargeDispositionCode", cda.NS))),
                )
            ),
        )


def _version(root: etree._Element) -> Iterator[Group]:
    replaced = root.find("h:relatedDocument[@typeCode='RPLC']", cda.NS)
    number = cda.value(root.find("h:versionNumber", cda.NS))
    yield Group(
        "Version",
        tuple(
            cda.facts(
                ("", number if number and (number != "1" or replaced is not None) else ""),
                ("", "remplace une version précédente" if replaced is not None else ""),
                ("Confidentialité", _confidentiality(root)),
            )
        ),
    )


def _confidentiality(root: etree._Element) -> str:
    node = root.find("h:confidentialityCode", cda.NS)
    return "" if cda.attr(node, "code") in ("", "N") else cda.shown(node)


# -- body -----------------------------------------------------------------------------------------------------------


def _body(root: etree._Element) -> Iterator[Section]:
    media = _Medias(root)
    for section in root.findall("h:component/h:structuredBody/h:component/h:section", cda.NS):
        yield _section(section, media, 0)
    text = root.find("h:component/h:nonXMLBody/h:text", cda.NS)
    if text is None:
        return
    kind, data = embedded_file(text)
    if kind == "text/plain":
        words = data.decode("utf-8", "replace")
        yield Section("", tuple(paragraph(part) for part in words.replace("\r\n", "\n").split("\n\n") if part.strip()))
    else:
        yield Section("", (paragraph(f"[fichier joint : {kind}, {len(data)} octets]"),))


def _section(node: etree._Element, media: _Medias, depth: int) -> Section:
    text = node.find("h:text", cda.NS)
    title = cda.text(node.find("h:title", cda.NS)) or cda.shown(node.find("h:code", cda.NS))
    inner = tuple(_section(child, media, depth + 1) for child in node.findall("h:component/h:section", cda.NS))
    return Section(title, narrative_blocks(text, media.find) if text is not None else (), inner)


class _Medias:
    """The files of a document by their ID, found once."""

    def __init__(self, root: etree._Element) -> None:
        self._nodes = {node.get("ID"): node for node in root.iter(f"{cda.V3}observationMedia") if node.get("ID")}

    def find(self, identifier: str) -> Media | None:
        node = self._nodes.get(identifier)
        value = cda.found(node, "h:value")
        if value is None:
            return None
        kind, data = embedded_file(value)
        return Media(kind, data) if data else None


def embedded_file(node: etree._Element) -> tuple[str, bytes]:
    """Media type and bytes of an ED value; base64 that does not decode gives no bytes."""
    kind = cda.attr(node, "mediaType") or "text/plain"
    words = "".join(part for part in node.itertext() if isinstance(part, str))
    if cda.attr(node, "representation").upper() != "B64":
        return kind, words.encode()
    return kind, decoded(words) or b""
