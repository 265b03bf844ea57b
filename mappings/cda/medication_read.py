"""A medicine, read: ``manufacturedProduct`` of a treatment, a prescription line or a dispensation."""

from __future__ import annotations

from lxml import etree

from mappings.cda.build import PHARM
from mappings.cda.node import Reader, first, local, squeeze
from mappings.document.medication import Ingredient, Medication, Package
from mappings.document.values import Ratio

__all__ = ["labelled", "medication", "product_anchor"]

_Element = etree._Element
_P = f"{{{PHARM}}}"
_PHARM_NAMES = frozenset({"formCode", "expirationTime", "asContent", "asSpecializedKind", "ingredient"})
_V3_NAMES = frozenset({"templateId", "code", "name", "lotNumberText"})


def _material(parent: _Element | None, tag: str) -> _Element | None:
    holder = first(parent, tag) if parent is not None else None
    made = first(holder, "manufacturedProduct") if holder is not None else None
    return first(made, "manufacturedMaterial") if made is not None else None


def product_anchor(reader: Reader, entry: _Element, tag: str = "consumable") -> str | None:
    """The ID of the product's label in the narrative: a text that points there has no words of its own."""
    material = _material(entry, tag)
    coded = first(material, "code") if material is not None else None
    return reader.anchor(first(coded, "originalText")) if coded is not None else None


def medication(reader: Reader, entry: _Element, tag: str = "consumable") -> Medication | None:
    """The product of an entry (``consumable`` or ``product``); None when it says nothing (nullFlavor NA)."""
    material = _material(entry, tag)
    if material is None:
        return None
    coded = first(material, "code")
    codes = []
    words = None
    if coded is not None:
        original = first(coded, "originalText")
        words = reader.words(original) or reader.near(original)
        if (main := reader.code(coded)) is not None:
            codes.append(main)
        codes += reader.translations(coded)
    named = first(material, "name")
    name = squeeze(named.text) if named is not None else None
    # A magistral preparation: no code (NA), its formula in words (eP-MED-DM 4.3).
    preparation = words if coded is not None and coded.get("nullFlavor") == "NA" else None
    if preparation is None:
        name = name or words
    if not (name or codes or preparation):
        return None
    lot = first(material, "lotNumberText")
    kind = material.find(f"{_P}asSpecializedKind/{_P}generalizedMedicineClass/{_P}code")
    _report_unknown(reader, material)
    return reader.make(
        Medication,
        material,
        name=name,
        codes=tuple(codes),
        atc=reader.code(kind),
        form=reader.code(material.find(_P + "formCode")),
        ingredients=tuple(_ingredient(reader, each) for each in material.iterchildren(_P + "ingredient")),
        package=_package(reader, material),
        preparation=preparation,
        lot_number=squeeze(lot.text) if lot is not None else None,
        expires_on=reader.moment(material.find(_P + "expirationTime")),
    )


def labelled(reader: Reader, entry: _Element, tag: str = "consumable") -> Medication | None:
    """The product of a line, told by the text of the entry when the product itself says nothing."""
    found = medication(reader, entry, tag)
    if found is None and (label := reader.words(first(entry, "text"))):
        found = Medication(name=label[:400])
    return found


def _report_unknown(reader: Reader, material: _Element) -> None:
    for child in material.iterchildren("{*}*"):
        namespace, _, name = str(child.tag).rpartition("}")
        known = _PHARM_NAMES if namespace == _P[:-1] else _V3_NAMES
        if name not in known:
            reader.lost(child, name, clinical=True)


def _text(element: _Element | None) -> str | None:
    return squeeze(element.text) if element is not None else None


def _package(reader: Reader, material: _Element) -> Package | None:
    container = material.find(f"{_P}asContent/{_P}containerPackagedMedicine")
    if container is None:
        return None
    return reader.make(
        Package,
        container,
        code=reader.code(container.find(_P + "code")),
        name=_text(container.find(_P + "name")),
        container=reader.code(container.find(_P + "formCode")),
        capacity=reader.quantity(container.find(_P + "capacityQuantity")),
    )


def _ingredient(reader: Reader, element: _Element) -> Ingredient:
    quantity = element.find(_P + "quantity")
    strength: Ratio | None = reader.ratio(quantity) if quantity is not None else None
    substance = element.find(_P + "ingredient")
    if substance is None:
        reader.lost(element, local(element), clinical=True)
        return Ingredient(strength=strength)
    made = reader.make(
        Ingredient,
        element,
        code=reader.code(substance.find(_P + "code")),
        name=_text(substance.find(_P + "name")),
        strength=strength,
    )
    return made or Ingredient(strength=strength)
