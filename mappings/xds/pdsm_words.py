"""Words shared by both directions between registry metadata and PDSm: canonicals, systems, dates, identifiers.

PDSm 3.1.1 (French MHD); code systems by the addresses of :mod:`mappings.fhir.names` and of ``data/pdsm.json``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import orjson

from mappings.fhir.names import oid_of, uri_of
from mappings.xds import vocabulary as v
from mappings.xds.model import Code, PatientId
from mappings.xds.times import utc_dtm

__all__ = [
    "EXTENSIONS",
    "PDSM",
    "PROFILES",
    "code_of",
    "coding",
    "concept",
    "date_time",
    "dtm_of",
    "patient_identifier",
]

PDSM: Final[dict[str, Any]] = orjson.loads((Path(__file__).parent / "data" / "pdsm.json").read_bytes())
PROFILES: Final[dict[str, str]] = PDSM["profiles"]
EXTENSIONS: Final[dict[str, str]] = PDSM["extensions"]
_SYSTEMS: Final[dict[str, str]] = PDSM["systems"]
_OIDS: Final = {uri: oid for oid, uri in _SYSTEMS.items()}
URI: Final = "urn:ietf:rfc:3986"

#: availabilityStatus <-> DocumentReference.status; archived is an extension.
STATUSES: Final = {
    v.APPROVED: "current",
    v.ARCHIVED: "current",
    v.DEPRECATED: "superseded",
    v.DELETED: "entered-in-error",
    "": "current",
}


def coding(code: Code) -> dict[str, Any]:
    """Write a code as a Coding."""
    out: dict[str, Any] = {}
    if code.scheme:
        if code.scheme in _SYSTEMS:
            out["system"] = _SYSTEMS[code.scheme]
        else:
            # ASTM, URN and the like are no OIDs.
            out["system"] = uri_of(code.scheme) if code.scheme[:1].isdigit() else f"urn:{code.scheme.lower()}"
    out["code"] = code.code
    if code.display:
        out["display"] = code.display
    return out


def concept(code: Code) -> dict[str, Any]:
    """Write a code as a CodeableConcept."""
    return {"coding": [coding(code)]}


def code_of(value: Any) -> Code | None:
    """Read the first coding of a Coding or a CodeableConcept; None without a code."""
    if isinstance(value, dict) and isinstance(value.get("coding"), list) and value["coding"]:
        value = value["coding"][0]
    if not isinstance(value, dict) or not isinstance(value.get("code"), str):
        return None
    system = value.get("system", "")
    scheme = ""
    if isinstance(system, str) and system:
        scheme = _OIDS.get(system) or oid_of(system) or system.removeprefix("urn:oid:")
    display = value.get("display")
    return Code(code=value["code"], scheme=scheme, display=display if isinstance(display, str) else "")


def date_time(dtm: str) -> str:
    """Write a UTC DTM as a FHIR dateTime of the same precision; to the minute it gains zero seconds."""
    date = "-".join(filter(None, (dtm[:4], dtm[4:6], dtm[6:8])))
    if len(dtm) <= 8:
        return date
    return f"{date}T{dtm[8:10]}:{dtm[10:12] or '00'}:{dtm[12:14] or '00'}Z"


def dtm_of(value: Any) -> str:
    """Read a FHIR dateTime as a UTC DTM; empty when it is none."""
    if not isinstance(value, str):
        return ""
    date, _, time = value.partition("T")
    digits = date.replace("-", "")
    if not time:
        return utc_dtm(digits)
    zone = "+0000"
    for sign in "+-":
        if sign in time:
            time, _, offset = time.partition(sign)
            zone = sign + offset.replace(":", "")
    clock = time.rstrip("Z").partition(".")[0].replace(":", "")
    return utc_dtm(digits + clock + zone)


def unique_identifier(unique_id: str) -> dict[str, Any]:
    """Write a uniqueId: ``urn:oid:``, or its root as system when it has an extension, which that cannot hold."""
    root, separator, extension = unique_id.partition("^")
    out: dict[str, Any] = {
        "use": "usual",
        "type": {"coding": [{"system": PDSM["identifier-type"], "code": "uniqueId"}]},
    }
    if separator:
        return {**out, "system": f"urn:oid:{root}", "value": extension}
    return {**out, "system": URI, "value": f"urn:oid:{root}"}


def unique_id_of(identifier: Any) -> str:
    """Read a uniqueId; empty when it is none."""
    if not isinstance(identifier, dict) or not isinstance(identifier.get("value"), str):
        return ""
    system, value = identifier.get("system"), identifier["value"]
    if system == URI or not isinstance(system, str):
        return str(value.removeprefix("urn:oid:"))
    return f"{system.removeprefix('urn:oid:')}^{value}"


def patient_identifier(patient: PatientId) -> dict[str, Any]:
    """Write an INS, or a local number, as an Identifier."""
    kind = PDSM["ins-types"].get(patient.authority)
    out: dict[str, Any] = {"use": "official" if kind else "usual"}
    system = PDSM["id-type"] if kind else "http://terminology.hl7.org/CodeSystem/v2-0203"
    out["type"] = {"coding": [{"system": system, "code": kind or "PI"}]}
    return {**out, "system": f"urn:oid:{patient.authority}", "value": patient.value}


def patient_of(identifier: Any) -> PatientId | None:
    """Read an Identifier as a patient's; None when it is none."""
    if not isinstance(identifier, dict):
        return None
    system, value = identifier.get("system"), identifier.get("value")
    if not isinstance(system, str) or not isinstance(value, str):
        return None
    authority = system.removeprefix("urn:oid:")
    return PatientId(value=value, authority=authority, id_type="NH" if authority in v.INS_AUTHORITIES else "PI")
