"""FHIR data types as hub values: tolerant of both families of addresses, of ``urn:oid:`` and of missing displays."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from conformance.verdict import Text
from mappings.document.people import Identifier
from mappings.document.values import Address, Code, Concept, Period, Quantity, QuantityRange, Ratio, Telecom
from mappings.fhir.errors import UnreadableBundle
from mappings.fhir.names import EXTENSIONS, NAMES, UCUM, URI_SYSTEM, oid_of, system_name
from mappings.fhir.node import Node, wrong_type
from mappings.fhir.values_out import annotation
from mappings.loss import LossLog

__all__ = [
    "address",
    "code",
    "codings",
    "concept",
    "first_code",
    "identifier",
    "identifier_value",
    "is_absent",
    "moment",
    "period",
    "quantity",
    "quantity_range",
    "ratio",
    "telecom",
    "uuid_of",
]

EDQM: Final = "0.4.0.127.0.16.1.1.2.1"
_FRACTION: Final = re.compile(r"(T\d{2}:\d{2}:\d{2})\.\d+")
_OID: Final = re.compile(r"[0-2](\.(0|[1-9]\d*))+\Z")
_UNKNOWN_SYSTEM = Text(
    "Cette terminologie n'a pas d'OID connu : seul le libellé est repris.",
    "This terminology has no known OID: only its words are kept.",
)
_NO_LABEL = Text(
    "Ce code est d'une terminologie inconnue et n'a pas de libellé.",
    "This code is of an unknown terminology and has no label.",
)
_USE: Final = {"home": "H", "work": "WP", "temp": "TMP"}
_TELECOM_USE: Final = {"home": "H", "work": "WP", "mobile": "MC"}
_ABSENT: Final = EXTENSIONS["data-absent"]
#: Systems of numbers that the hub holds with their prefix: system -> (authority, prefix by length).
_NUMBERS: Final[dict[str, tuple[str, dict[int, str]]]] = {}
for _name, _root, _prefixes in (
    ("rpps", "1.2.250.1.71.4.2.1", {11: "8"}),
    ("finess", "1.2.250.1.71.4.2.2", {9: "1"}),
    ("siren", "1.2.250.1.71.4.2.2", {9: "2", 14: "3"}),
    ("rpps-rank", "1.2.250.1.71.4.2.2", {13: "4", 14: "4"}),
):
    for _system in (NAMES["identifiers"][_name]["system"], *NAMES["identifiers"][_name].get("aliases", ())):
        _NUMBERS[_system] = (_root, _prefixes)


def is_absent(value: object) -> str | None:
    """The reason given by a data-absent-reason extension, None when there is none."""
    if type(value) is not dict:
        return None
    extensions = value.get("extension")
    if type(extensions) is not list:
        return None
    for extension in extensions:
        if type(extension) is dict and extension.get("url") == _ABSENT:
            reason = extension.get("valueCode")
            return reason if isinstance(reason, str) else "unknown"
    return None


def moment(node: Node, key: str) -> str | None:
    """A date, dateTime or instant; a fraction of a second is dropped (CI-SIS TS has none)."""
    value = node.text(key)
    return _FRACTION.sub(r"\1", value) if value and "." in value else value


def code(value: Any, place: str) -> Code | None:
    """A Coding of a terminology that has an OID; None for another one or for no code."""
    if type(value) is not dict:
        raise wrong_type(place, "object")
    system, symbol, display = value.get("system"), value.get("code"), value.get("display")
    for given in (system, symbol, display):
        if given is not None and type(given) is not str:
            raise wrong_type(place, "string")
    if not symbol or not system:
        return None
    oid = oid_of(system, symbol)
    if oid is None or not _OID.match(oid):
        return None
    return Code(code=symbol, system=oid, display=display or None, system_name=system_name(oid))


def codings(value: Any, place: str) -> list[Any]:
    """The codings of a CodeableConcept."""
    if type(value) is not dict:
        raise wrong_type(place, "object")
    found = value.get("coding", [])
    if type(found) is not list:
        raise wrong_type(f"{place}/coding", "array")
    return found


def concept(log: LossLog, node: Node, key: str) -> Concept | None:
    """A CodeableConcept; None when absent or when it holds nothing a person could read."""
    value = node.raw(key)
    return None if value is None else concept_of(log, value, f"{node.place}/{key}")


def concept_of(log: LossLog, value: Any, place: str) -> Concept | None:
    """A CodeableConcept given as a value."""
    found = codings(value, place)
    text = value.get("text")
    if text is not None and type(text) is not str:
        raise wrong_type(f"{place}/text", "string")
    text = (text or "").strip() or None
    known: list[Code] = []
    empty_first = bool(found) and is_absent(found[0]) is not None
    words: str | None = None
    for i, item in enumerate(found):
        read = code(item, f"{place}/coding/{i}")
        if read is not None:
            known.append(read)
            continue
        symbol, display = item.get("code"), item.get("display")
        if symbol or display:
            words = words or display
            reason = _UNKNOWN_SYSTEM if display or text else _NO_LABEL
            log.text_only(f"{place}/coding/{i}", "Coding", reason)
            words = words or symbol
    if not known and not text:
        text = words
    if not known and not text:
        return None
    if empty_first:
        return Concept(translations=tuple(known), text=text)
    return Concept(code=known[0] if known else None, translations=tuple(known[1:]), text=text)


def first_code(node: Node, key: str) -> Code | None:
    """The first coding of a CodeableConcept that has a known terminology; its text as label when it has none."""
    value = node.raw(key)
    if value is None:
        return None
    place = f"{node.place}/{key}"
    for i, item in enumerate(codings(value, place)):
        if (read := code(item, f"{place}/coding/{i}")) is not None:
            return read
    return None


def _quantity(value: Any, place: str) -> Quantity | None:
    if type(value) is not dict:
        raise wrong_type(place, "object")
    amount = value.get("value")
    if amount is None:
        return None
    if type(amount) not in (int, float, Decimal):
        raise wrong_type(f"{place}/value", "number")
    if value.get("comparator"):
        raise UnreadableBundle(
            "FHIR-READ-022",
            place,
            Text("Une quantité avec comparateur ne peut pas être reprise.", "A quantity with a comparator cannot be."),
            Text("Donnez une valeur exacte ou un texte.", "Give an exact value or a text."),
        )
    number = amount if type(amount) is Decimal else Decimal(repr(amount) if type(amount) is float else amount)
    unit, system, symbol = value.get("unit"), value.get("system"), value.get("code")
    for given in (unit, system, symbol):
        if given is not None and type(given) is not str:
            raise wrong_type(place, "string")
    if symbol and (system == UCUM or (system and oid_of(system) == EDQM)):
        return Quantity(value=number, unit=symbol, display=unit or None)
    words = unit or symbol
    if not words:
        return Quantity(value=number)
    if words.startswith("{") and words.endswith("}"):
        return Quantity(value=number, unit=words)
    return Quantity(value=number, unit=annotation(words), display=words)


def quantity(node: Node, key: str) -> Quantity | None:
    """A Quantity; a unit known only in words becomes an annotation (``{comprimé}``)."""
    value = node.raw(key)
    return None if value is None else _quantity(value, f"{node.place}/{key}")


def _two(node: Node, key: str, first: str, second: str) -> tuple[Quantity, Quantity] | None:
    """Two quantities of one value; None when either is missing."""
    value = node.raw(key)
    if value is None:
        return None
    place = f"{node.place}/{key}"
    if type(value) is not dict:
        raise wrong_type(place, "object")
    one, other = value.get(first), value.get(second)
    if one is None or other is None:
        return None
    left, right = _quantity(one, f"{place}/{first}"), _quantity(other, f"{place}/{second}")
    return (left, right) if left and right else None


def quantity_range(node: Node, key: str) -> QuantityRange | None:
    """A Range with both ends; None when one is missing."""
    found = _two(node, key, "low", "high")
    return None if found is None else QuantityRange(low=found[0], high=found[1])


def ratio(node: Node, key: str) -> Ratio | None:
    """A Ratio with both terms; None when one is missing."""
    found = _two(node, key, "numerator", "denominator")
    return None if found is None else Ratio(numerator=found[0], denominator=found[1])


def period(node: Node, key: str) -> Period | None:
    """A Period; None when absent or without any end."""
    found = node.node(key)
    if found is None:
        return None
    found.use("extension")
    start, end = moment(found, "start"), moment(found, "end")
    return Period(start=start, end=end) if start or end else None


def uuid_of(value: str) -> UUID | None:
    """The UUID of an identifier value, with or without ``urn:uuid:``."""
    try:
        return UUID(value.removeprefix("urn:uuid:"))
    except ValueError:
        return None


def identifier_value(system: str | None, value: str | None) -> Identifier | None:
    """An Identifier of the hub from a system and a value; None when the authority has no OID.

    A UUID alone is the OID ``2.25.<its number>`` (X.667); RPPS, FINESS, SIREN and SIRET get back their prefix.
    """
    if not value:
        return None
    if not system or system == URI_SYSTEM:
        if value.startswith("urn:oid:") and _OID.match(value[8:]):
            return Identifier(root=value[8:])
        if (key := uuid_of(value)) is not None:
            return Identifier(root=f"2.25.{key.int}")
        return None
    if system.startswith("urn:oid:"):
        return Identifier(root=system[8:], extension=value) if _OID.match(system[8:]) else None
    known = _NUMBERS.get(system.rstrip("/"))
    if known is None or (prefix := known[1].get(len(value))) is None:
        return None
    return Identifier(root=known[0], extension=prefix + value)


def identifier(node: Node) -> Identifier | None:
    """An Identifier."""
    node.use("type", "use", "period", "assigner", "extension")
    return identifier_value(node.text("system"), node.text("value"))


def address(node: Node) -> Address | None:
    """An Address; None when it says nothing."""
    use = _USE.get(node.text("use") or "")
    if use == "H":
        preferred = node.extension("preferred")
        if preferred is not None and preferred.flag("valueBoolean"):
            use = "HP"
        other = node.extension("address-use")
        if other is not None and other.text("valueCode") == "HV":
            use = "HV"
    lines = node.texts("line")
    text = node.text("text")
    if not lines and text:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 7:
        lines = [*lines[:6], " ".join(lines[6:])]
    node.use("type", "period")
    city, postal, country = node.text("city"), node.text("postalCode"), node.text("country")
    if not (lines or city or postal or country or use):
        return None
    return Address(use=use, lines=tuple(lines), postal_code=postal, city=city, country=country)


def telecom(node: Node) -> Telecom | None:
    """A ContactPoint; None when it cannot be called or written to."""
    system, value, use = node.text("system"), node.text("value"), node.text("use")
    node.use("rank", "period", "extension")
    if not value:
        return None
    purpose = _TELECOM_USE.get(use or "")
    bare = re.sub(r"\s+", "", value)
    if system in ("phone", "sms", "pager"):
        return Telecom(
            value=bare if bare.startswith("tel:") else f"tel:{bare}", use="PG" if system == "pager" else purpose
        )
    if system == "fax":
        return Telecom(value=bare if bare.startswith("fax:") else f"fax:{bare}", use=purpose)
    if system == "email":
        return Telecom(value=bare if bare.startswith("mailto:") else f"mailto:{bare}", use=purpose)
    if re.match(r"(tel|fax|mailto|http|https|ftp|mllp):\S", bare):
        return Telecom(value=bare, use=purpose)
    return None
