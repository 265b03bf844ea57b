"""Canonicals, identifier systems and terminology addresses: those of :mod:`conformance.fhir.names`, their only home."""

from __future__ import annotations

from conformance.fhir.names import (
    CIP,
    CIS,
    EXTENSIONS,
    IDENTIFIERS,
    LOINC,
    NAMES,
    PROFILES,
    SYSTEMS,
    UCUM,
    URI_SYSTEM,
    VERSION,
    extension_name,
    oid_of,
    system_name,
    uri_of,
)

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
