"""A medicine: ``manufacturedProduct`` of a treatment, a prescription line or a dispensation (eP-MED-DM 4.3)."""

from __future__ import annotations

from collections.abc import Iterable

from mappings.cda.build import PHARM, code, hl7, null, original_text, pq, sub, templates, text_element
from mappings.cda.tree import Element, sub_element
from mappings.document.medication import CIP, CIS, Ingredient, Medication, Package
from mappings.document.values import Code

__all__ = ["MEDICINE_ENTRY", "PRODUCT", "empty_product", "main_code", "no_product", "product"]

_P = f"{{{PHARM}}}"

#: Product (CCD), Product Entry (IHE PCC), FR-Produit-de-sante (CI-SIS).
PRODUCT = ("2.16.840.1.113883.10.20.1.53", "1.3.6.1.4.1.19376.1.5.3.1.4.7.2", "1.2.250.1.213.1.1.3.43")
#: Medicine Entry (IHE PHARM PRE).
MEDICINE_ENTRY = "1.3.6.1.4.1.19376.1.9.1.3.1"


def main_code(medication: Medication, *, dispensed: bool = False) -> Code | None:
    """The code that may be the main one: a CIS; in a dispensation a CIP too (eP-MED-DM 4.3, eDISP-MED 7)."""
    found = medication.code(CIS)
    if found is None and dispensed:
        found = medication.code(CIP)
    return found


def product(
    parent: Element,
    medication: Medication,
    reference: str,
    *,
    tag: str = "consumable",
    pharmacy: bool = True,
    dispensed: bool = False,
    lot: bool = True,
    typed: bool = False,
) -> Element:
    """Add a medicine; ``reference`` points to its label in the narrative.

    ``pharmacy`` adds the IHE PHARM template (prescriptions and dispensations), ``dispensed`` lets a CIP be the main
    code, ``lot`` writes the lot number, ``typed`` the typeCode.
    """
    consumable = sub(parent, tag, **({"typeCode": "CSM"} if typed else {}))
    made = sub(consumable, "manufacturedProduct", classCode="MANU")
    templates(made, PRODUCT)
    material = sub(made, "manufacturedMaterial", classCode="MMAT", determinerCode="KIND")
    if pharmacy:
        templates(material, (MEDICINE_ENTRY,))
    main = main_code(medication, dispensed=dispensed)
    if medication.preparation is not None:
        coded = null(material, "code", "NA")
        translations: Iterable[Code] = medication.codes
    elif main is not None:
        coded = code(material, main)
        translations = (each for each in medication.codes if each is not main)
    else:
        # A code without attributes: a virtual medicine or a UCD is never the main code (eP-MED-DM 4.3).
        coded = sub(material, "code")
        translations = medication.codes
    original_text(coded, reference)
    for translation in translations:
        code(coded, translation, "translation")
    if medication.name is not None:
        text_element(material, "name", medication.name)
    else:
        null(material, "name", "NA")
    if medication.form is not None:
        _pharm_code(material, "formCode", medication.form)
    if lot and medication.lot_number is not None:
        text_element(material, "lotNumberText", medication.lot_number)
    if medication.expires_on is not None:
        sub_element(material, _P + "expirationTime", {"value": hl7(medication.expires_on)})
    if medication.package is not None:
        _package(material, medication.package)
    if medication.atc is not None:
        kind = sub_element(material, _P + "asSpecializedKind", {"classCode": "GRIC"})
        _pharm_code(sub_element(kind, _P + "generalizedMedicineClass", {"classCode": "MMAT"}), "code", medication.atc)
    for ingredient in medication.ingredients:
        _ingredient(material, ingredient)
    return made


def _pharm_code(parent: Element, tag: str, value: Code) -> None:
    element = code(parent, value, tag)
    element.tag = _P + tag


def _package(material: Element, package: Package) -> None:
    holder = sub_element(material, _P + "asContent", {"classCode": "CONT"})
    attributes = {"classCode": "CONT", "determinerCode": "INSTANCE"}
    container = sub_element(holder, _P + "containerPackagedMedicine", attributes)
    if package.code is not None:
        _pharm_code(container, "code", package.code)
    if package.name is not None:
        sub_element(container, _P + "name").text = package.name
    if package.container is not None:
        _pharm_code(container, "formCode", package.container)
    if package.capacity is not None:
        pq(container, "capacityQuantity", package.capacity, namespace=_P)


def _ingredient(material: Element, ingredient: Ingredient) -> None:
    active = sub_element(material, _P + "ingredient", {"classCode": "ACTI"})
    if ingredient.strength is not None:
        quantity = sub_element(active, _P + "quantity")
        pq(quantity, "numerator", ingredient.strength.numerator, xsi_type="PQ")
        pq(quantity, "denominator", ingredient.strength.denominator, xsi_type="PQ")
    substance = sub_element(active, _P + "ingredient", {"classCode": "MMAT", "determinerCode": "KIND"})
    if ingredient.code is not None:
        _pharm_code(substance, "code", ingredient.code)
    if ingredient.name is not None:
        sub_element(substance, _P + "name").text = ingredient.name


def no_product(parent: Element, *, typed: bool = True, pharmacy: bool = True, void: bool = False) -> Element:
    """Add a product that says nothing: it is the one of the enclosing line (eP-MED-DM 4.4).

    ``void`` puts the nullFlavor on the material too (eDISP-MED 7).
    """
    consumable = sub(parent, "consumable", **({"typeCode": "CSM"} if typed else {}))
    made = sub(consumable, "manufacturedProduct", classCode="MANU")
    templates(made, PRODUCT)
    attributes = {"nullFlavor": "NA"} if void else {"classCode": "MMAT", "determinerCode": "KIND"}
    material = sub(made, "manufacturedMaterial", **attributes)
    if pharmacy:
        templates(material, (MEDICINE_ENTRY,))
    null(material, "code", "NA")
    null(material, "name", "NA")
    return consumable


def empty_product(parent: Element) -> None:
    """Add the product of a mere reference to a line: the material itself carries the nullFlavor (eDISP-MED 7)."""
    made = sub(sub(parent, "consumable"), "manufacturedProduct")
    material = null(made, "manufacturedMaterial", "NA")
    null(material, "name", "NA")
