"""Persons and organisations of a CDA header, read."""

from __future__ import annotations

from typing import Any

from lxml import etree

from conformance.verdict import Text
from mappings.cda import findings as rules
from mappings.cda.build import SDTC
from mappings.cda.errors import NotCda
from mappings.cda.node import Reader, every, first, place, squeeze, value_of
from mappings.document.people import (
    Device,
    Identifier,
    IdentityStatus,
    Ins,
    Organization,
    Patient,
    Professional,
    RelatedPerson,
    Sex,
)
from mappings.document.values import Address, Telecom

__all__ = ["UNKNOWN_NAME", "addresses", "device", "name_parts", "organization", "patient", "professional", "telecoms"]

_Element = etree._Element

#: Written in place of a name that the source does not give.
UNKNOWN_NAME = "(non renseigné)"
#: INS authorities: NIR, NIA, test, demonstration.
INS_ROOTS = frozenset({"1.2.250.1.213.1.4.8", "1.2.250.1.213.1.4.9", "1.2.250.1.213.1.4.10", "1.2.250.1.213.1.4.11"})
SEXES = {"M": Sex.MALE, "F": Sex.FEMALE}

#: Parts of an address that make its lines, in the order of a French envelope; the street is one line.
_BEFORE = ("unitID", "additionalLocator")
_STREET = ("houseNumber", "houseNumberNumeric", "streetNameType", "streetName")
_AFTER = ("precinct", "postBox")


def addresses(reader: Reader, parent: _Element) -> tuple[Address, ...]:
    """The postal addresses of a person or a structure."""
    found = (_address(reader, each) for each in every(parent, "addr") if each.get("nullFlavor") is None)
    return tuple(each for each in found if each is not None)


def _address(reader: Reader, element: _Element) -> Address | None:
    parts: dict[str, str] = {}
    lines: list[str] = []
    for child in element:
        if not isinstance(child.tag, str) or (text := squeeze(child.text)) is None:
            continue
        name = child.tag.rpartition("}")[2]
        if name == "streetAddressLine":
            lines.append(text)
        else:
            parts[name] = f"{parts[name]} {text}" if name in parts else text
    lines += [parts[name] for name in _BEFORE if name in parts]
    street = " ".join(parts[name] for name in _STREET if name in parts)
    if street:
        lines.append(street)
    lines += [parts[name] for name in _AFTER if name in parts]
    if not lines and (text := squeeze(element.text)):
        lines.append(text)
    for name in ("state", "county"):
        if name in parts:
            reader.lost(element, name)
    out = reader.make(
        Address,
        element,
        use=element.get("use"),
        lines=tuple(lines[:7]),
        postal_code=parts.get("postalCode"),
        city=parts.get("city"),
        country=parts.get("country"),
    )
    return out if out is not None and (out.lines or out.city or out.postal_code or out.country) else None


def telecoms(reader: Reader, parent: _Element) -> tuple[Telecom, ...]:
    """The telephone numbers and mail addresses."""
    out = []
    for each in every(parent, "telecom"):
        value = each.get("value")
        if value is None or each.get("nullFlavor") is not None:
            continue
        made = reader.make(Telecom, each, value="".join(value.split()), use=each.get("use"))
        if made is not None:
            out.append(made)
    return tuple(out)


def name_parts(parent: _Element | None) -> dict[str, str | None]:
    """Family, given, prefix and suffix of a person's ``name`` (given to ``parent``, the person)."""
    name = first(parent, "name") if parent is not None else None
    if name is None:
        return {"family": None, "given": None, "prefix": None, "suffix": None}
    texts = {tag: squeeze(_text(first(name, tag))) for tag in ("family", "given", "prefix", "suffix")}
    if texts["family"] is None:
        texts["family"] = squeeze(name.text)
    return texts


def _text(element: _Element | None) -> str | None:
    return element.text if element is not None else None


def organization(reader: Reader, element: _Element | None) -> Organization | None:
    """A care structure."""
    if element is None:
        return None
    name = first(element, "name")
    return reader.make(
        Organization,
        element,
        id=reader.identifier(first(element, "id")),
        name=squeeze(name.text) if name is not None else None,
        practice_setting=reader.code(first(element, "standardIndustryClassCode")),
        addresses=addresses(reader, element),
        telecoms=telecoms(reader, element),
    )


def professional(
    reader: Reader, element: _Element | None, *, person: str = "assignedPerson", owner: str = "representedOrganization"
) -> Professional | None:
    """A professional acting for a structure (assignedEntity, assignedAuthor)."""
    if element is None:
        return None
    names = name_parts(first(element, person))
    if names["family"] is None:
        reader.finding(rules.UNKNOWN_PERSON, element)
        names["family"] = UNKNOWN_NAME
    return reader.make(
        Professional,
        element,
        id=reader.identifier(first(element, "id")) or Identifier(root="2.25.0"),
        specialty=reader.code(first(element, "code")),
        organization=organization(reader, first(element, owner)),
        addresses=addresses(reader, element),
        telecoms=telecoms(reader, element),
        **names,
    )


def device(reader: Reader, element: _Element) -> Device | None:
    """Software or a machine that is an author."""
    machine = first(element, "assignedAuthoringDevice")
    if machine is None:
        return None
    model = squeeze(_text(first(machine, "manufacturerModelName")))
    software = squeeze(_text(first(machine, "softwareName")))
    return reader.make(
        Device,
        element,
        id=reader.identifier(first(element, "id")) or Identifier(root="2.25.0"),
        manufacturer_model=model or software or UNKNOWN_NAME,
        software=software or model or UNKNOWN_NAME,
        code=reader.code(first(element, "code")),
        organization=organization(reader, first(element, "representedOrganization")),
    )


# --- The patient ----------------------------------------------------------------------------------


def _names(name: _Element | None) -> dict[str, Any]:
    """The names of the patient by qualifier: BR birth, CL used; SP (older documents) is read as CL."""
    out: dict[str, Any] = {
        "birth_name": None,
        "first_given_name": None,
        "given_names": None,
        "used_name": None,
        "used_given_name": None,
    }
    if name is None:
        return out
    families: list[str] = []
    for each in every(name, "family"):
        if (text := squeeze(each.text)) is None:
            continue
        qualifier = each.get("qualifier")
        if qualifier == "BR":
            out["birth_name"] = text
        elif qualifier in ("CL", "SP"):
            out["used_name"] = text
        else:
            families.append(text)
    if out["birth_name"] is None:
        out["birth_name"] = families[0] if families else out["used_name"]
    for each in every(name, "given"):
        if (text := squeeze(each.text)) is None:
            continue
        qualifier = each.get("qualifier")
        if qualifier == "BR":
            out["first_given_name"] = text
        elif qualifier in ("CL", "SP"):
            out["used_given_name"] = text
        else:
            out["given_names"] = f"{out['given_names']} {text}" if out["given_names"] else text
    return out


def _birth_place(person: _Element) -> tuple[str | None, str | None]:
    birthplace = first(person, "birthplace")
    where = first(birthplace, "place") if birthplace is not None else None
    if where is None:
        return None, None
    address = first(where, "addr")
    county = squeeze(_text(first(address, "county"))) if address is not None else None
    return county, squeeze(_text(first(where, "name")))


def _guardian(reader: Reader, person: _Element) -> RelatedPerson | None:
    element = first(person, "guardian")
    if element is None:
        return None
    guard = first(element, "guardianPerson")
    if guard is None:
        reader.lost(element, "guardianOrganization")
        return None
    names = name_parts(guard)
    return reader.make(
        RelatedPerson,
        element,
        relation_class="GUARD",
        relation=reader.code(first(element, "code")),
        family=names["family"] or UNKNOWN_NAME,
        given=names["given"],
        addresses=addresses(reader, element),
        telecoms=telecoms(reader, element),
    )


def _refuse(element: _Element, what: Text) -> NotCda:
    return NotCda("CDA-READ-003", place(element), what)


def patient(reader: Reader, role: _Element) -> Patient:
    """The patient. Raises :class:`NotCda` without a name or a birth date, which the header rules impose."""
    person = first(role, "patient")
    if person is None:
        raise _refuse(role, Text("Le patient n'est pas décrit.", "The patient is not described."))
    ins: Ins | None = None
    identifiers: list[Identifier] = []
    for each in every(role, "id"):
        root, extension = each.get("root"), each.get("extension")
        if root in INS_ROOTS and extension:
            ins = Ins(value=extension, authority=root)
        elif (found := reader.identifier(each)) is not None:
            identifiers.append(found)
    fields = _names(first(person, "name"))
    fields["birth_place"], fields["birth_place_name"] = _birth_place(person)
    birth = reader.moment(first(person, "birthTime"))
    if birth is None or fields["birth_name"] is None:
        raise _refuse(
            person, Text("Le nom ou la date de naissance manque.", "The birth name or the birth date is missing.")
        )
    prefix = f"{{{SDTC}}}"
    dead = value_of(person.find(prefix + "deceasedInd"))
    order = value_of(person.find(prefix + "multipleBirthOrderNumber"))
    made = reader.make(
        Patient,
        role,
        ins=ins,
        identifiers=tuple(identifiers),
        # The INS stands in a CDA only when the identity is qualified (CI-SIS structuration minimale, recordTarget).
        status=IdentityStatus.QUALIFIED if ins is not None else IdentityStatus.PROVISIONAL,
        sex=SEXES.get(value_of(first(person, "administrativeGenderCode"), "code") or "", Sex.UNDETERMINED),
        birth_date=birth,
        deceased=dead == "true" if dead is not None else None,
        deceased_at=reader.moment(person.find(prefix + "deceasedTime")),
        multiple_birth_order=int(order) if order is not None and order.isdigit() else None,
        addresses=addresses(reader, role),
        telecoms=telecoms(reader, role),
        guardian=_guardian(reader, person),
        **fields,
    )
    if made is None:
        raise _refuse(person, Text("Le patient est illisible.", "The patient cannot be read."))
    return made
