"""Hub values as FHIR data types (mapping table, section 1)."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import orjson

from mappings.document.people import Identifier
from mappings.document.values import (
    Address,
    Code,
    Concept,
    Moment,
    Period,
    Quantity,
    QuantityRange,
    Ratio,
    Telecom,
)
from mappings.fhir.names import EXTENSIONS, IDENTIFIERS, SYSTEMS, UCUM, URI_SYSTEM, uri_of
from mappings.rendering.words import table

__all__ = [
    "Json",
    "absent",
    "address",
    "annotation",
    "code_concept",
    "coding",
    "concept",
    "date_time",
    "extension",
    "identifier",
    "national_identifiers",
    "number",
    "period",
    "plain_spaces",
    "quantity",
    "quantity_range",
    "ratio",
    "spell",
    "telecom",
    "typed",
    "uuid_identifier",
]

Json = dict[str, Any]

EDQM: Final = uri_of("0.4.0.127.0.16.1.1.2.1")
_EDQM_CODE: Final = re.compile(r"[0-9]{8}\Z")
_ADDRESS_USE: Final = {"H": "home", "HP": "home", "HV": "home", "WP": "work", "TMP": "temp"}
_TELECOM_USE: Final = {
    "H": "home",
    "HP": "home",
    "HV": "home",
    "WP": "work",
    "DIR": "work",
    "PUB": "work",
    "MC": "mobile",
}
_SCHEMES: Final = {"tel": "phone", "fax": "fax", "mailto": "email"}
_IDENTIFIER_TYPE: Final = SYSTEMS["identifier-type"]


# R4 string: [ \r\n\t\S]+, hence no no-break, thin or line-separating space, no vertical tab.
_SPACES: Final = re.compile("[\x0b\x0c\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_SPACE_BYTES: Final = re.compile(
    rb"\\u000b|\\f|\xc2[\x85\xa0]|\xe1\x9a\x80|\xe2\x80[\x80-\x8a\xa8\xa9\xaf]|\xe2\x81\x9f|\xe3\x80\x80"
)

#: A file shorter than this is looked through as the rest; characters by which a longer one is found.
_WORTH: Final = 4096
_KNOWN_BY: Final = 64


def plain_spaces(text: str) -> str:
    """A text with plain spaces only, as an R4 string wants them."""
    return _SPACES.sub(" ", text)


def spell(value: Any, files: Sequence[str] = ()) -> Any:
    """A value with plain spaces in every text; the value itself, unwalked, when it has no other.

    ``files``, in base 64, hold no space: where the first of them stands, then the next, nothing is looked for.
    """
    data = orjson.dumps(value)
    looked = 0
    for file in files:
        text = file.encode("ascii")
        at = data.find(text[:_KNOWN_BY], looked) if len(text) > _WORTH else -1
        if at >= 0 and data.startswith(text, at):
            if _SPACE_BYTES.search(data, looked, at):
                return _spelled(value)
            looked = at + len(text)
    return _spelled(value) if _SPACE_BYTES.search(data, looked) else value


def _spelled(value: Any) -> Any:
    if type(value) is str:
        return _SPACES.sub(" ", value)
    if type(value) is dict:
        return {key: _spelled(item) for key, item in value.items()}
    if type(value) is list:
        return [_spelled(item) for item in value]
    return value


def extension(name: str, **value: Any) -> Json:
    """An extension by its short name, with its value (``valueBoolean=True``) or its parts (``extension=[...]``)."""
    return {"url": EXTENSIONS[name], **value}


def absent(reason: str = "unknown") -> Json:
    """What stands for a value that is missing: the data-absent-reason extension."""
    return {"extension": [{"url": EXTENSIONS["data-absent"], "valueCode": reason}]}


def date_time(value: Moment) -> str:
    """A dateTime; FHIR wants the seconds as soon as there is an hour (R4 datatypes, dateTime)."""
    return f"{value[:16]}:00{value[16:]}" if len(value) > 10 and value[16] != ":" else value


def coding(code: Code) -> Json:
    """A Coding."""
    out = {"system": uri_of(code.system, code.code), "code": code.code}
    if code.display:
        out["display"] = code.display
    return out


def code_concept(code: Code) -> Json:
    """A CodeableConcept of one code."""
    return {"coding": [coding(code)]}


def concept(value: Concept) -> Json:
    """A CodeableConcept: the main code first, then the translations, and the clinician's words."""
    out: Json = {}
    if value.code is not None:
        out["coding"] = [coding(value.code), *map(coding, value.translations)]
    elif value.translations:
        # Which coding is the main one must survive: an empty first coding says that there is none.
        out["coding"] = [absent("not-applicable"), *map(coding, value.translations)]
    if value.text:
        out["text"] = value.text
    return out


def typed(system: str, code: str, **more: Any) -> Json:
    """A CodeableConcept of a bare code."""
    return {"coding": [{"system": system, "code": code}], **more}


def number(value: Decimal) -> int | float:
    """A JSON number."""
    whole = int(value)
    return whole if whole == value else float(value)


@functools.cache
def _known_annotations() -> dict[str, str]:
    """French words of units that are only words in UCUM too: ``comprimé`` is ``{tablet}``."""
    known: dict[str, str] = {}
    for unit, (one, many) in table()["words"].items():
        if unit.startswith("{"):
            known.setdefault(one, unit)
            known.setdefault(many, unit)
    return known


def annotation(words: str) -> str:
    """The UCUM annotation for a unit known in words: that of CI-SIS (``{tablet}``), else the words themselves."""
    words = words.strip()
    return _known_annotations().get(words) or "{" + re.sub(r"[\s{}]+", "_", words) + "}"


def quantity(value: Quantity) -> Json:
    """A Quantity: UCUM and EDQM units coded, ``{tablet}`` and the like as the words of the unit."""
    out: Json = {"value": number(value.value)}
    unit, display = value.unit, value.display
    if unit.startswith("{") and unit.endswith("}"):
        # A unit that is only words: {tablet} (CI-SIS) has no code in UCUM that software may compute with.
        out["unit"] = display if display and annotation(display) == unit else unit
        return out
    if display:
        out["unit"] = display
    out["system"] = EDQM if _EDQM_CODE.match(unit) else UCUM
    out["code"] = unit
    return out


def quantity_range(value: QuantityRange) -> Json:
    """A Range, low and high even when the same (fr-medication-request-document: both 1..1)."""
    return {"low": quantity(value.low), "high": quantity(value.high)}


def ratio(value: Ratio) -> Json:
    """A Ratio."""
    return {"numerator": quantity(value.numerator), "denominator": quantity(value.denominator)}


def period(value: Period) -> Json:
    """A Period; empty when neither end is known."""
    out: Json = {}
    if value.start:
        out["start"] = date_time(value.start)
    if value.end:
        out["end"] = date_time(value.end)
    return out


def identifier(value: Identifier) -> Json:
    """An Identifier: authority as system, or the OID itself as a URI when it says all."""
    if value.extension is None:
        return {"system": URI_SYSTEM, "value": f"urn:oid:{value.root}"}
    return {"system": f"urn:oid:{value.root}", "value": value.extension}


def uuid_identifier(value: object) -> Json:
    """An Identifier that is a UUID."""
    return {"system": URI_SYSTEM, "value": f"urn:uuid:{value}"}


def _national(name: str, value: str) -> Json:
    row = IDENTIFIERS[name]
    out: Json = {"type": typed(_IDENTIFIER_TYPE, row["type"]), "system": row["system"], "value": value}
    return {"use": row["use"], **out} if "use" in row else out


_PROFESSIONAL_OID: Final = IDENTIFIERS["professional"]["system"][8:]
_STRUCTURE_OID: Final = IDENTIFIERS["structure"]["system"][8:]
#: First character of the national structure identifier, length of the number, its own system (fhir-profiles 2).
_STRUCTURES: Final = {"1": (9, "finess"), "2": (9, "siren"), "3": (14, "siret"), "4": (14, "rpps-rank")}


def national_identifiers(value: Identifier) -> list[Json]:
    """The identifiers of a professional or structure: the national one with its prefix, then the number alone."""
    text = value.extension
    if text is None:
        return [identifier(value)]
    if value.root == _PROFESSIONAL_OID:
        out = [_national("professional", text)]
        if len(text) == 12 and text[0] == "8" and text.isdecimal():
            out.append(_national("rpps", text[1:]))
        return out
    if value.root == _STRUCTURE_OID:
        out = [_national("structure", text)]
        length, name = _STRUCTURES.get(text[:1], (0, ""))
        if name and len(text) == length + 1:
            out.append(_national(name, text[1:]))
        return out
    return [identifier(value)]


def address(value: Address) -> Json:
    """An Address; empty when nothing is known."""
    out: Json = {}
    extensions = []
    if value.use:
        out["use"] = _ADDRESS_USE[value.use]
        if value.use == "HP":
            extensions.append(extension("preferred", valueBoolean=True))
        elif value.use == "HV":
            extensions.append(extension("address-use", valueCode="HV"))
    if extensions:
        out["extension"] = extensions
    if lines := [line for line in value.lines if line]:
        out["line"] = lines
    if value.city:
        out["city"] = value.city
    if value.postal_code:
        out["postalCode"] = value.postal_code
    if value.country:
        out["country"] = value.country
    return out


def telecom(value: Telecom) -> Json:
    """A ContactPoint."""
    scheme, _, rest = value.value.partition(":")
    system = _SCHEMES.get(scheme)
    out = {"system": system, "value": rest} if system else {"system": "url", "value": value.value}
    if value.use == "PG" and system == "phone":
        out["system"] = "pager"
    elif value.use in _TELECOM_USE:
        out["use"] = _TELECOM_USE[value.use]
    return out
