"""Canonicals, identifier systems and terminology addresses: one dated data file, read once.

Draft canonicals of the French guides have moved once already; nothing outside ``data/names.json`` spells one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import orjson

__all__ = [
    "CIP",
    "CIS",
    "EXTENSIONS",
    "IDENTIFIERS",
    "LOINC",
    "NAMES",
    "PROFILES",
    "SYSTEMS",
    "UCUM",
    "URI_SYSTEM",
    "VERSION",
    "extension_name",
    "oid_of",
    "system_name",
    "uri_of",
]

NAMES: Final[dict[str, Any]] = orjson.loads((Path(__file__).parent / "data" / "names.json").read_bytes())
VERSION: Final[str] = NAMES["version"]

#: Profile canonicals by their short name.
PROFILES: Final[dict[str, str]] = NAMES["profiles"]
#: Extension canonicals by their short name.
EXTENSIONS: Final[dict[str, str]] = NAMES["extensions"]
#: Identifier systems by their short name: system, type code, use.
IDENTIFIERS: Final[dict[str, dict[str, Any]]] = NAMES["identifiers"]
#: Code systems that have no OID in the hub model.
SYSTEMS: Final[dict[str, str]] = NAMES["systems"]

CIS: Final = "1.2.250.1.213.2.3.1"
CIP: Final = "1.2.250.1.213.2.3.2"
LOINC: Final = "2.16.840.1.113883.6.1"
UCUM: Final = "http://unitsofmeasure.org"
URI_SYSTEM: Final[str] = IDENTIFIERS["uri"]["system"]

_URI_OF: Final[dict[str, str]] = {}
_OID_OF: Final[dict[str, str]] = {}
_NAME_OF: Final[dict[str, str]] = {}
for _row in NAMES["terminologies"]:
    _URI_OF[_row["oid"]] = _row["uri"]
    _NAME_OF[_row["oid"]] = _row["name"]
    for _uri in (_row["uri"], *_row.get("aliases", ())):
        _OID_OF.setdefault(_uri.rstrip("/"), _row["oid"])
_BDPM: Final = _URI_OF[CIS]

_EXTENSION_NAME: Final[dict[str, str]] = {url: name for name, url in EXTENSIONS.items()}
for _name, _urls in NAMES["extensionAliases"].items():
    for _url in _urls:
        _EXTENSION_NAME[_url] = _name


def uri_of(oid: str, code: str = "") -> str:
    """The address by which FHIR names a terminology, ``urn:oid:`` when none is known.

    One address holds CIS and CIP, told apart by their length (8 and 13 digits): a code of another length keeps the OID.
    """
    if (oid == CIS and not (len(code) == 8 and code.isdecimal())) or (
        oid == CIP and not (len(code) == 13 and code.isdecimal())
    ):
        return f"urn:oid:{oid}"
    return _URI_OF.get(oid) or f"urn:oid:{oid}"


def oid_of(uri: str, code: str = "") -> str | None:
    """The OID of a terminology, from any of its addresses or ``urn:oid:``; None when it has none that we know."""
    if uri.startswith("urn:oid:"):
        return uri[8:]
    uri = uri.rstrip("/")
    if uri == _BDPM:
        return CIP if len(code) == 13 else CIS
    return _OID_OF.get(uri)


def system_name(oid: str) -> str | None:
    """The name of a terminology for readers."""
    return _NAME_OF.get(oid)


def extension_name(url: str) -> str | None:
    """The short name of an extension, from its canonical or a former one."""
    return _EXTENSION_NAME.get(url)
