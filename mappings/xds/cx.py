"""HL7 v2 data types as XDS metadata spells them: CX, XCN, XON, coded specialties.

IHE ITI TF-3 4.2.3.1.7; dmp.md 4.7.
"""

from __future__ import annotations

from mappings.xds.model import Code, Organization, PatientId, Person
from mappings.xds.vocabulary import PROFESSIONAL_AUTHORITY, STRUCTURE_AUTHORITY

__all__ = [
    "format_cx",
    "format_specialty",
    "format_xcn",
    "format_xon",
    "parse_cx",
    "parse_specialty",
    "parse_xcn",
    "parse_xon",
    "person_id_type",
]

# The delimiters of HL7 v2 cannot stand in a component; a name never holds them, and a blank loses nothing.
_CLEAN = str.maketrans({"^": " ", "&": " ", "|": " ", "\n": " ", "\r": " "})


def _clean(text: str) -> str:
    return " ".join(text.translate(_CLEAN).split())


def _parts(text: str, n: int) -> list[str]:
    parts = text.split("^")
    return parts + [""] * (n - len(parts))


def _authority(component: str) -> str:
    # &oid&ISO; some writers double-escape the ampersand.
    bits = component.replace("&amp;", "&").split("&")
    return bits[1] if len(bits) > 1 else bits[0]


def format_cx(patient: PatientId) -> str:
    """Write a patient identifier: ``value^^^&oid&ISO^type``."""
    return f"{_clean(patient.value)}^^^&{patient.authority}&ISO^{patient.id_type}"


def parse_cx(text: str) -> PatientId | None:
    """Read a patient identifier; an effective date after the type is ignored. None when there is no value."""
    parts = _parts(text.strip().strip("'"), 5)
    if not parts[0]:
        return None
    return PatientId(value=parts[0], authority=_authority(parts[3]), id_type=parts[4])


def person_id_type(identifier: str, authority: str = PROFESSIONAL_AUTHORITY) -> str:
    """Say what kind of identifier a professional has: national (IDNPS) or internal to a structure (EI).

    PS_IdNat prefixes: 0 ADELI and 8 RPPS are national, the others are internal to the structure they name.
    """
    if authority != PROFESSIONAL_AUTHORITY:
        return "RI"
    return "IDNPS" if identifier[:1] in ("0", "8") and "/" not in identifier else "EI"


def format_xcn(person: Person) -> str:
    """Write a person or device: ``id^family^given^^^^^^&oid&ISO^nameType^^^idType``."""
    authority = f"&{person.authority}&ISO" if person.authority else ""
    return (
        f"{_clean(person.id)}^{_clean(person.family)}^{_clean(person.given)}^^^^^^{authority}"
        f"^{person.name_type}^^^{person.id_type}"
    )


def parse_xcn(text: str) -> Person | None:
    """Read a person or device; None for an empty text."""
    if not text.strip("^ "):
        return None
    parts = _parts(text, 13)
    return Person(
        id=parts[0],
        family=parts[1].split("&")[0],
        given=parts[2],
        authority=_authority(parts[8]),
        name_type=parts[9],
        id_type=parts[12],
    )


def format_xon(organization: Organization) -> str:
    """Write a structure: ``name^^^^^&oid&ISO^idType^^^id``; components 6, 7 and 10 stay empty without an identifier."""
    if not organization.id:
        return _clean(organization.name)
    authority = organization.authority or STRUCTURE_AUTHORITY
    return f"{_clean(organization.name)}^^^^^&{authority}&ISO^{organization.id_type}^^^{_clean(organization.id)}"


def parse_xon(text: str) -> Organization | None:
    """Read a structure; None for an empty text."""
    if not text.strip("^ "):
        return None
    parts = _parts(text, 10)
    return Organization(name=parts[0], authority=_authority(parts[5]), id_type=parts[6], id=parts[9])


def format_specialty(code: Code) -> str:
    """Write an author's specialty: ``code^label^scheme``."""
    return f"{code.code}^{_clean(code.display)}^{code.scheme}"


def parse_specialty(text: str) -> Code | None:
    """Read an author's specialty; None for an empty text. A plain label is taken as the label."""
    if not text.strip("^ "):
        return None
    if "^" not in text:
        return Code(code="", display=text)
    parts = _parts(text, 3)
    return Code(code=parts[0], display=parts[1], scheme=_authority(parts[2]))
