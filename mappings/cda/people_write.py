"""Persons and organisations of a CDA header: patient, professionals, structures, addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mappings.cda.build import SDTC, code, hl7, ii, null, sub, text_element
from mappings.cda.tree import Element, sub_element
from mappings.document.people import Identifier, Organization, Patient, Professional, RelatedPerson, Sex
from mappings.document.values import Address, Code, Telecom

__all__ = [
    "address_parts",
    "addresses",
    "assigned",
    "organization",
    "patient_role",
    "person_name",
    "telecoms",
]


GENDER = "2.16.840.1.113883.5.1"
#: JDV_J143_AdministrativeGender (1.2.250.1.213.1.1.5.590).
GENDERS = {Sex.MALE: ("M", "Masculin"), Sex.FEMALE: ("F", "Féminin"), Sex.UNDETERMINED: ("UN", "Indéterminé")}

_STREET = re.compile(r"\d")


def address_parts(address: Address) -> list[tuple[str, str]]:
    """The elements of an address (AD), without free text (CI-SIS structuration minimale: lines or parts, not both).

    Lines alone stay lines. Beside a postal code, a city or a country they become parts, each at most once: the street
    is the first line that starts with a number, or the last line; what comes before is unit and building, what comes
    after is place and post box (AFNOR XPZ 10-011).
    """
    if not (address.postal_code or address.city or address.country):
        return [("streetAddressLine", line) for line in address.lines]
    lines = address.lines
    parts: list[tuple[str, str]] = []
    if lines:
        street = next((i for i, line in enumerate(lines) if _STREET.match(line)), len(lines) - 1)
        before, after = list(lines[:street]), list(lines[street + 1 :])
        # More lines than there are parts: the farthest share one.
        if len(before) > 2:
            before = [", ".join(before[:-1]), before[-1]]
        if len(after) > 2:
            after = [after[0], ", ".join(after[1:])]
        parts += zip(("unitID", "additionalLocator")[2 - len(before) :], before, strict=True)
        parts.append(("streetName", lines[street]))
        parts += zip(("precinct", "postBox"), after, strict=False)
    if address.postal_code:
        parts.append(("postalCode", address.postal_code))
    if address.city:
        parts.append(("city", address.city))
    if address.country:
        parts.append(("country", address.country))
    return parts


def addresses(parent: Element, values: Iterable[Address], *, required: bool = False, limit: int = 99) -> None:
    """Add postal addresses, each once (CI-SIS refuses equal ones under one parent); NAV when one is required."""
    seen: set[tuple[tuple[str, str], ...]] = set()
    for value in values:
        parts = tuple(address_parts(value))
        if not parts or parts in seen or len(seen) == limit:
            continue
        seen.add(parts)
        element = sub(parent, "addr", **({"use": value.use} if value.use else {}))
        for name, text in parts:
            text_element(element, name, text)
    if required and not seen:
        null(parent, "addr", "NAV")


def telecoms(parent: Element, values: Iterable[Telecom], *, required: bool = False, limit: int = 99) -> None:
    """Add telephone numbers and mail addresses, each once; NAV when one is required."""
    seen: set[tuple[str, str | None]] = set()
    for value in values:
        if (key := (value.value, value.use)) in seen or len(seen) == limit:
            continue
        seen.add(key)
        sub(parent, "telecom", **({"value": value.value, "use": value.use} if value.use else {"value": value.value}))
    if required and not seen:
        null(parent, "telecom", "NAV")


def person_name(
    parent: Element, family: str, given: str | None, prefix: str | None = None, suffix: str | None = None
) -> Element:
    """Add the name of a person other than the patient."""
    name = sub(parent, "name")
    for tag, text in (("prefix", prefix), ("given", given), ("family", family), ("suffix", suffix)):
        if text:
            text_element(name, tag, text)
    return name


def organization(parent: Element, tag: str, value: Organization, *, setting: bool = True, limit: int = 99) -> Element:
    """Add an organisation; ``setting`` tells whether its practice setting may be said there, ``limit`` how many
    telecoms and addresses."""
    element = sub(parent, tag)
    if value.id is not None:
        ii(element, value.id)
    if value.name is not None:
        text_element(element, "name", value.name)
    telecoms(element, value.telecoms, limit=limit)
    addresses(element, value.addresses, limit=limit)
    if setting and value.practice_setting is not None:
        code(element, value.practice_setting, "standardIndustryClassCode")
    return element


def assigned(
    parent: Element,
    value: Professional,
    *,
    tag: str = "assignedEntity",
    person: str = "assignedPerson",
    organization_tag: str = "representedOrganization",
) -> Element:
    """Add a professional: identifier, specialty, addresses, name, structure."""
    element = sub(parent, tag)
    ii(element, value.id)
    if value.specialty is not None:
        code(element, value.specialty)
    addresses(element, value.addresses)
    telecoms(element, value.telecoms)
    person_name(sub(element, person), value.family, value.given, value.prefix, value.suffix)
    if value.organization is not None:
        organization(element, organization_tag, value.organization)
    return element


# --- The patient ----------------------------------------------------------------------------------


def _identifiers(patient: Patient) -> list[Identifier]:
    out = []
    # The INS leaves only when the identity is qualified (RNIV; CI-SIS structuration minimale, recordTarget).
    if patient.qualified and patient.ins is not None:
        out.append(Identifier(root=patient.ins.authority, extension=patient.ins.value))
    out += [each for each in patient.identifiers if each.extension is not None]
    return list(dict.fromkeys(out))


def _guardian(parent: Element, guardian: RelatedPerson) -> None:
    element = sub(parent, "guardian")
    if guardian.relation is not None:
        code(element, guardian.relation)
    addresses(element, guardian.addresses)
    telecoms(element, guardian.telecoms)
    person_name(sub(element, "guardianPerson"), guardian.family, guardian.given)


def patient_role(parent: Element, patient: Patient, *, contact_required: bool = False) -> None:
    """Add ``patientRole``: INS when qualified, else the local identifiers alone; traits; contact.

    ``contact_required`` writes a nullFlavor for an absent address or telecom (eP-MED-DM section 2).
    """
    role = sub(parent, "patientRole")
    for identifier in _identifiers(patient):
        ii(role, identifier)
    addresses(role, patient.addresses, required=contact_required)
    telecoms(role, patient.telecoms, required=contact_required)
    person = sub(role, "patient", classCode="PSN")
    name = sub(person, "name")
    text_element(name, "family", patient.birth_name, qualifier="BR")
    if patient.given_names is not None:
        text_element(name, "given", patient.given_names)
    if patient.first_given_name is not None:
        text_element(name, "given", patient.first_given_name, qualifier="BR")
    if patient.used_name is not None:
        text_element(name, "family", patient.used_name, qualifier="CL")
    if patient.used_given_name is not None:
        text_element(name, "given", patient.used_given_name, qualifier="CL")
    value, label = GENDERS[patient.sex]
    code(person, Code(code=value, system=GENDER, display=label), "administrativeGenderCode")
    sub(person, "birthTime", value=hl7(patient.birth_date))
    _sdtc(person, patient)
    if patient.guardian is not None:
        _guardian(person, patient.guardian)
    if patient.birth_place is not None or patient.birth_place_name is not None:
        place = sub(sub(person, "birthplace"), "place")
        if patient.birth_place_name is not None:
            text_element(place, "name", patient.birth_place_name)
        if patient.birth_place is not None:
            text_element(sub(place, "addr"), "county", patient.birth_place)


def _sdtc(person: Element, patient: Patient) -> None:
    """Add the extensions of HL7 SDTC: death and multiple birth."""
    prefix = f"{{{SDTC}}}"
    deceased = patient.deceased if patient.deceased is not None or patient.deceased_at is None else True
    if deceased is not None:
        sub_element(person, prefix + "deceasedInd", {"value": "true" if deceased else "false"})
    if patient.deceased_at is not None:
        sub_element(person, prefix + "deceasedTime", {"value": hl7(patient.deceased_at)})
    if patient.multiple_birth_order is not None:
        sub_element(person, prefix + "multipleBirthInd", {"value": "true"})
        sub_element(person, prefix + "multipleBirthOrderNumber", {"value": str(patient.multiple_birth_order)})
