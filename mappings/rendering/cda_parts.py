"""Bricks of a CDA header in French words: moments, names, addresses, identifiers, coded values."""

from __future__ import annotations

import re

from lxml import etree

from mappings.document.values import Telecom
from mappings.rendering.view import Fact
from mappings.rendering.words import moment_text, person_name, telecom_text

__all__ = [
    "NS",
    "V3",
    "address",
    "attr",
    "facts",
    "found",
    "identifiers",
    "moment",
    "person",
    "reach",
    "shown",
    "text",
    "value",
    "when",
]

NS = {"h": "urn:hl7-org:v3"}
V3 = "{urn:hl7-org:v3}"
_TS = re.compile(r"(\d{4})(\d{2})?(\d{2})?(?:(\d{2})(\d{2})(?:\d{2}(?:\.\d+)?)?)?([+-]\d{4})?\Z")
_NULLS = {"UNK": "inconnu", "NASK": "non demandé", "ASKU": "demandé, inconnu", "NAV": "non disponible", "MSK": "masqué"}

# Authorities of a patient's identifier (INS referential).
_INS = {
    "1.2.250.1.213.1.4.8": "INS (NIR)",
    "1.2.250.1.213.1.4.9": "INS (NIA)",
    "1.2.250.1.213.1.4.10": "INS (NIR de test)",
    "1.2.250.1.213.1.4.11": "INS (NIR de démonstration)",
}


def attr(node: etree._Element | None, name: str) -> str:
    """An attribute without surrounding spaces; empty when there is none."""
    return (node.get(name) or "").strip() if node is not None else ""


def value(node: etree._Element | None) -> str:
    """The ``value`` attribute."""
    return attr(node, "value")


def text(node: etree._Element | None) -> str:
    """The words of an element, spaces collapsed."""
    return " ".join("".join(t for t in node.itertext() if isinstance(t, str)).split()) if node is not None else ""


def moment(ts: str) -> str:
    """An HL7 TS as ISO 8601; what is not one stays as it is."""
    match = _TS.match(ts)
    if match is None:
        return ts
    out = "-".join(part for part in match.groups()[:3] if part)
    if match[4]:
        zone = f"{match[6][:3]}:{match[6][3:]}" if match[6] else ""
        out += f"T{match[4]}:{match[5]}{zone}"
    return out


def when(node: etree._Element | None) -> str:
    """A TS or IVL_TS in words."""
    if node is None:
        return ""
    if value(node):
        return moment_text(moment(value(node)))
    low, high = value(node.find("h:low", NS)), value(node.find("h:high", NS))
    if low and high:
        return f"du {moment_text(moment(low))} au {moment_text(moment(high))}"
    if low:
        return f"à partir du {moment_text(moment(low))}"
    return f"jusqu'au {moment_text(moment(high))}" if high else ""


def shown(node: etree._Element | None) -> str:
    """A coded value in words: its label, its original text, else its code."""
    if node is None:
        return ""
    words = attr(node, "displayName") or text(node.find("h:originalText", NS)) or attr(node, "code")
    if not words:
        translation = node.find("h:translation", NS)
        words = attr(translation, "displayName") or attr(translation, "code")
    return words or _NULLS.get(attr(node, "nullFlavor"), "")


def full_name(node: etree._Element | None) -> str:
    """A person's name from its parts, or as it stands."""
    if node is None:
        return ""
    families = [text(f) for f in node.findall("h:family", NS)]
    if not families:
        return text(node)
    given = " ".join(text(g) for g in node.findall("h:given", NS))
    return person_name(" ".join(families), given, part_text(node, "prefix").upper(), part_text(node, "suffix").upper())


def part_text(node: etree._Element, name: str) -> str:
    return text(node.find(f"h:{name}", NS))


def person(node: etree._Element | None) -> str:
    """The name of a person element."""
    return full_name(node.find("h:name", NS)) if node is not None else ""


def address(node: etree._Element | None) -> str:
    """An address on one line; empty when it is null."""
    if node is None or node.get("nullFlavor"):
        return ""
    street = [text(part) for part in node.findall("h:streetAddressLine", NS)]
    if not street:
        names = ("houseNumber", "streetNameType", "streetName", "additionalLocator", "unitID", "postBox", "precinct")
        line = " ".join(part for name in names if (part := part_text(node, name)))
        street = [line] if line else []
    town = " ".join(part for name in ("postalCode", "city") if (part := part_text(node, name)))
    parts = [*street, *([town] if town else []), *([c] if (c := part_text(node, "country")) else [])]
    return ", ".join(parts) or text(node)


def reach(parent: etree._Element | None) -> list[Fact]:
    """The ways to reach someone, each with its label."""
    out: list[Fact] = []
    for node in parent.findall("h:telecom", NS) if parent is not None else ():
        uri = value(node)
        if not uri:
            continue
        known = re.match(r"(tel|fax|mailto|http|https):\S+\Z", uri)
        words = telecom_text(Telecom.model_construct(value=uri)) if known else uri
        label, _, rest = words.partition("\u00a0")
        out.append(Fact(label, rest) if rest else Fact("", words))
    return out


def identifiers(parent: etree._Element | None) -> list[Fact]:
    """The identifiers that a person can use: INS, RPPS, FINESS, local ones."""
    out: list[Fact] = []
    for node in parent.findall("h:id", NS) if parent is not None else ():
        root, extension = attr(node, "root"), attr(node, "extension")
        if not extension:
            continue
        if root in _INS:
            out.append(Fact(_INS[root], extension))
        elif root == "1.2.250.1.71.4.2.1" and len(extension) == 12 and extension[0] == "8":
            out.append(Fact("RPPS", extension[1:]))
        elif root == "1.2.250.1.71.4.2.2" and extension[0] in "123":
            out.append(Fact({"1": "FINESS", "2": "SIREN", "3": "SIRET"}[extension[0]], extension[1:]))
        elif root in ("1.2.250.1.71.4.2.1", "1.2.250.1.71.4.2.2"):
            out.append(Fact("N° national", extension))
        else:
            out.append(Fact("Identifiant", extension))
    return out


def facts(*pairs: tuple[str, str]) -> list[Fact]:
    """The pairs that have a value, as facts."""
    return [Fact(label, value) for label, value in pairs if value]


def found(node: etree._Element | None, path: str) -> etree._Element | None:
    """The element at a path under another that may be absent."""
    return node.find(path, NS) if node is not None else None
