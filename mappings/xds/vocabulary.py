"""The identifiers and codes of XDS metadata: schemes, association types, statuses, and the dated tables.

IHE ITI TF-3 4.2, Table 4.2.3.1-1 and following; French value sets from the NOS (esante.gouv.fr). The tables are data
files: a new edition is a new file, not a release.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

__all__ = [
    "APPROVED",
    "ARCHIVED",
    "ASSOCIATION_HAS_MEMBER",
    "ASSOCIATION_REPLACES",
    "ASSOCIATION_SIGNS",
    "ASSOCIATION_UPDATE_STATUS",
    "DELETED",
    "DEPRECATED",
    "STABLE_DOCUMENT",
    "VISIBILITY_SCHEME",
    "class_of_type",
    "format_of_media",
    "format_of_model",
    "visibility_code",
]

# --- IHE ITI TF-3 Table 4.1-1: object types, classification and identification schemes -----------------------------
STABLE_DOCUMENT: Final = "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1"
ON_DEMAND_DOCUMENT: Final = "urn:uuid:34268e47-fdf5-41a6-ba33-82133c465248"
SUBMISSION_SET_NODE: Final = "urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd"

ENTRY_AUTHOR: Final = "urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d"
ENTRY_CLASS: Final = "urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a"
ENTRY_TYPE: Final = "urn:uuid:f0306f51-975f-434e-a61c-c59651d33983"
ENTRY_CONFIDENTIALITY: Final = "urn:uuid:f4f85eac-e6cb-4883-b524-f2705394840f"
# A scheme ending in -9fdf87b75cc4 circulates for formatCode; this is IHE's.
ENTRY_FORMAT: Final = "urn:uuid:a09d5840-386c-46f2-b5ad-9c3699a4309d"
ENTRY_FACILITY: Final = "urn:uuid:f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1"
ENTRY_PRACTICE: Final = "urn:uuid:cccf5598-8b07-4b77-a05e-ae952c785ead"
ENTRY_EVENT: Final = "urn:uuid:2c6b8cb7-8b2a-4051-b291-b1ae6a575ef4"
ENTRY_PATIENT_ID: Final = "urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427"
ENTRY_UNIQUE_ID: Final = "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab"

SET_AUTHOR: Final = "urn:uuid:a7058bb9-b4e4-4307-ba5b-e3f0ab85e12d"
SET_CONTENT_TYPE: Final = "urn:uuid:aa543740-bdda-424e-8c96-df4873be8500"
SET_PATIENT_ID: Final = "urn:uuid:6b5aea1a-874d-4603-a4bc-96a0a7b38446"
SET_SOURCE_ID: Final = "urn:uuid:554ac39e-e3fe-47fe-b233-965d2a147832"
SET_UNIQUE_ID: Final = "urn:uuid:96fdda7c-d067-4183-912e-bf5ee74998a8"

REFERENCE_ID_LIST: Final = "urn:ihe:iti:xds:2013:referenceIdList"
REFERENCE_ORDER: Final = "urn:ihe:iti:xds:2013:order"
REFERENCE_ACCESSION: Final = "urn:ihe:iti:xds:2013:accession"

# --- IHE ITI TF-3 4.2.2: associations; 4.2.3.2.2 and TRE_A09: statuses ----------------------------------------------
ASSOCIATION_HAS_MEMBER: Final = "urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember"
ASSOCIATION_REPLACES: Final = "urn:ihe:iti:2007:AssociationType:RPLC"
ASSOCIATION_APPENDS: Final = "urn:ihe:iti:2007:AssociationType:APND"
ASSOCIATION_TRANSFORMS: Final = "urn:ihe:iti:2007:AssociationType:XFRM"
ASSOCIATION_SIGNS: Final = "urn:ihe:iti:2007:AssociationType:signs"
ASSOCIATION_UPDATE_STATUS: Final = "urn:ihe:iti:2010:AssociationType:UpdateAvailabilityStatus"

APPROVED: Final = "urn:oasis:names:tc:ebxml-regrep:StatusType:Approved"
DEPRECATED: Final = "urn:oasis:names:tc:ebxml-regrep:StatusType:Deprecated"
ARCHIVED: Final = "urn:asip:ci-sis:2010:StatusType:Archived"
DELETED: Final = "urn:asip:ci-sis:2010:StatusType:Deleted"

# --- French object identifiers ---------------------------------------------------------------------------------------
CLASS_SCHEME: Final = "1.2.250.1.213.1.1.4.1"  # JDV_J57
LOINC: Final = "2.16.840.1.113883.6.1"
CONFIDENTIALITY_SCHEME: Final = "2.16.840.1.113883.5.25"  # HL7 Confidentiality
VISIBILITY_SCHEME: Final = "1.2.250.1.213.1.1.4.13"  # TRE_A07
CONTENT_TYPE_SCHEME: Final = "1.2.250.1.213.2.2"  # TRE_R209
PROFESSIONAL_AUTHORITY: Final = "1.2.250.1.71.4.2.1"
STRUCTURE_AUTHORITY: Final = "1.2.250.1.71.4.2.2"
PATIENT_SPECIALTY_SCHEME: Final = "1.2.250.1.213.1.1.4.6"  # TRE_A00
#: Authorities that assign the national health identity: NIR, NIA, NIR of test, NIR of demonstration.
INS_AUTHORITIES: Final = frozenset(f"1.2.250.1.213.1.4.{n}" for n in (8, 9, 10, 11))

#: TRE_A07, with the spellings that circulate for the third code (dmp.md 4.5).
_VISIBILITY: Final[Mapping[str, tuple[str, str]]] = {
    "MASQUE_PS": ("MASQUE_PS", "Masqué aux professionnels de santé"),
    "INVISIBLE_PATIENT": ("INVISIBLE_PATIENT", "Non visible par le patient"),
    "INVISIBLE_REPRESENTANTS_LEGAUX": (
        "INVISIBLE_REPRESENTANTS_LEGAUX",
        "Non visible par les représentants légaux du patient",
    ),
    "INVISIBLE_REPRENSANTS_LEGAUX": ("INVISIBLE_REPRESENTANTS_LEGAUX", ""),
    "INVISIBLE_REP_LEGAUX": ("INVISIBLE_REPRESENTANTS_LEGAUX", ""),
}

_DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Format:
    """A format code with its scheme and label."""

    code: str
    scheme: str
    display: str


@functools.cache
def _table(name: str) -> dict[str, Any]:
    data: dict[str, Any] = orjson.loads((_DATA / name).read_bytes())
    return data


@functools.cache
def _classes() -> Mapping[str, tuple[str, str]]:
    table = _table("type-to-class.json")
    labels: dict[str, str] = table["labels"]
    out: dict[str, tuple[str, str]] = {}
    for part in ("types", "assumed"):
        for code, types in table[part].items():
            out.update(dict.fromkeys(types, (code, labels[code])))
    return out


def class_of_type(type_code: str) -> tuple[str, str] | None:
    """Give the class code and label of a document type, or None for a type the table does not know (ASS_X04)."""
    return _classes().get(type_code)


@functools.cache
def _formats(part: str) -> Mapping[str, Format]:
    table = _table("model-to-format.json")
    schemes: dict[str, str] = table["schemes"]
    return {key: Format(row[0], schemes[row[1]], row[2]) for key, row in table[part].items()}


def format_of_media(media_type: str) -> Format | None:
    """Give the format code of an unstructured document by the media type of its body (ASS_A12)."""
    return _formats("media").get(media_type)


def format_of_model(template_ids: list[str]) -> Format:
    """Give the format code of a structured document by its model, among its ``templateId`` roots (ASS_A11)."""
    models = _formats("models")
    for root in reversed(template_ids):
        if (found := models.get(root)) is not None:
            return found
    return models["*"]


def visibility_code(code: str) -> tuple[str, str] | None:
    """Give a visibility code and its label in its right spelling, or None when it is none of TRE_A07."""
    row = _VISIBILITY.get(code)
    return None if row is None else (row[0], _VISIBILITY[row[0]][1])
