"""A medicine read from FHIR: a Medication, or a code alone."""

from __future__ import annotations

from typing import Any, Final

from conformance.verdict import Rule, Severity, Text
from mappings.document.medication import Ingredient, Medication, Package
from mappings.document.values import Code
from mappings.fhir.medication_out import ATC
from mappings.fhir.node import Node
from mappings.fhir.source import Source, refuse
from mappings.fhir.values_in import code, codings, concept_of, first_code, is_absent, moment, quantity, ratio

__all__ = ["NOT_DESCRIBED", "medication_of", "read_medication"]

EDQM: Final = "0.4.0.127.0.16.1.1.2.1"
#: The name of a medicine that the Bundle does not describe.
NOT_DESCRIBED: Final = "Médicament non décrit dans le Bundle"
REPAIRED: Final = Rule(
    code="FHIR-READ-043",
    message=Text(
        "La référence au médicament ne mène nulle part : le seul médicament du Bundle est pris.",
        "The reference to the medicine leads nowhere: the only medicine of the Bundle is taken.",
    ),
    fix=Text("Corrigez medicationReference.", "Mend medicationReference."),
    source="HL7 FHIR R4, MedicationRequest.medication[x]",
    severity=Severity.WARNING,
)
_NOWHERE = Text(
    "La référence au médicament ne désigne aucune ressource.", "The reference to the medicine is to no resource."
)
_MIXED = Text(
    "Un composant décrit par une autre ressource n'est repris que par son nom.",
    "A component described by another resource is kept by its name only.",
)


def medication_of(source: Source, node: Node, *, loose: bool = False) -> Medication:
    """The medicine of a request, statement or dispensation: ``medicationReference`` or ``medicationCodeableConcept``.

    ``loose`` accepts what workflow senders do: a ``#id`` that names a sibling, or nothing (the display is then kept).
    """
    target = source.resolve(node, "medicationReference")
    if loose and (target is None or target.kind != "Medication"):
        target = _sibling(source, node) or _only(source, node)
    if target is not None:
        return read_medication(source, target)
    value = node.raw("medicationCodeableConcept")
    if value is not None:
        return source.attempt(lambda: _coded(source, value, f"{node.place}/medicationCodeableConcept"), node)
    if loose and node.value.get("medicationReference") is not None:
        source.log.lost(f"{node.place}/medicationReference", "Medication", _NOWHERE, clinical=True)
        display = node.value["medicationReference"].get("display")
        named = isinstance(display, str) and display.strip()
        return Medication(name=display.strip() if named else NOT_DESCRIBED)
    raise refuse(
        "FHIR-READ-040",
        node.place,
        "Cette ligne ne désigne pas son médicament.",
        "This line does not name its medicine.",
        "Donnez medicationReference (ressource du Bundle) ou medicationCodeableConcept.",
        "Give medicationReference (a resource of the Bundle) or medicationCodeableConcept.",
    )


def _sibling(source: Source, node: Node) -> Node | None:
    """The Medication of the Bundle whose id a ``#id`` gives, though it is not contained."""
    reference = node.value.get("medicationReference")
    given = reference.get("reference") if type(reference) is dict else None
    if not isinstance(given, str):
        return None
    key = given.rsplit("/", 1)[-1].lstrip("#")
    return next((m for m in source.of_kind("Medication") if m.value.get("id") == key), None)


def _only(source: Source, node: Node) -> Node | None:
    """The one Medication, components apart, of a Bundle of one line: a reference that misses it means nothing else."""
    if len(source.of_kind("MedicationRequest")) != 1 or "medicationReference" not in node.value:
        return None
    found = source.of_kind("Medication")
    components = {key for medicine in found for key in _component_ids(medicine)}
    whole = [m for m in found if m.value.get("id") not in components]
    if len(whole) != 1:
        return None
    source.findings.append(REPAIRED.finding(f"{node.place}/medicationReference"))
    return whole[0]


def _component_ids(medicine: Node) -> list[str]:
    keys = []
    items = medicine.value.get("ingredient")
    for item in items if type(items) is list else []:
        reference = item.get("itemReference") if type(item) is dict else None
        given = reference.get("reference") if type(reference) is dict else None
        if isinstance(given, str):
            keys.append(given.rsplit("/", 1)[-1].lstrip("#"))
    return keys


def _codes(source: Source, value: Any, place: str) -> tuple[tuple[Code, ...], Code | None, str | None, bool]:
    """Codes, ATC, words, and whether the code is said not to apply (a preparation)."""
    read = concept_of(source.log, value, place)
    every = () if read is None else ((read.code, *read.translations) if read.code else read.translations)
    known = tuple(c for c in every if c is not None)
    atc = next((c for c in known if c.system == ATC), None)
    text = read.text if read is not None else None
    return tuple(c for c in known if c.system != ATC), atc, text, is_absent(value) == "not-applicable"


def _coded(source: Source, value: Any, place: str) -> Medication:
    codes, atc, text, preparation = _codes(source, value, place)
    name = text or next((c.display for c in (*codes, *((atc,) if atc else ())) if c.display), None)
    if preparation:
        return Medication(preparation=text or name, codes=codes, atc=atc)
    if name is None and not codes and atc is not None:
        name = atc.code
    return Medication(name=name, codes=codes, atc=atc)


def read_medication(source: Source, node: Node) -> Medication:
    """A Medication resource."""
    if node.kind != "Medication":
        raise refuse(
            "FHIR-READ-040",
            node.place,
            "Cette ressource n'est pas un médicament.",
            "This resource is not a medicine.",
            "Désignez une ressource Medication.",
            "Refer to a Medication.",
            found=node.kind,
            expected="Medication",
        )
    return source.attempt(lambda: _medication(source, node), node)


def _medication(source: Source, node: Node) -> Medication:
    value = node.raw("code")
    codes: tuple[Code, ...] = ()
    atc: Code | None = None
    text: str | None = None
    preparation = False
    if value is not None:
        codes, atc, text, preparation = _codes(source, value, f"{node.place}/code")
    named = node.extension("product-name")
    name = named.text("valueString") if named is not None else None
    for item in node.extensions("classification"):
        found = first_code(item, "valueCodeableConcept")
        if found is not None and atc is None:
            atc = found
    formula = (text or name) if preparation else None
    if formula is not None and name == formula:
        name = None
    if not preparation:
        name = name or text or next((c.display for c in codes if c.display), None)
    ingredients = tuple(filter(None, (_ingredient(source, item) for item in node.nodes("ingredient"))))
    if name is None and not codes and formula is None:
        parts = [i.name or (i.code.display if i.code else None) for i in ingredients]
        name = " + ".join(p for p in parts if p) or (atc.display or atc.code if atc else None)
    batch = node.node("batch")
    node.use("status")
    return Medication(
        name=name,
        codes=codes,
        atc=atc,
        form=first_code(node, "form"),
        ingredients=ingredients,
        package=_package(node),
        preparation=formula,
        lot_number=batch.text("lotNumber") if batch is not None else None,
        expires_on=moment(batch, "expirationDate") if batch is not None else None,
    )


def _ingredient(source: Source, node: Node) -> Ingredient | None:
    node.use("isActive")
    strength = ratio(node, "strength")
    value = node.raw("itemCodeableConcept")
    if value is not None:
        place = f"{node.place}/itemCodeableConcept"
        main = next((c for i, x in enumerate(codings(value, place)) if (c := code(x, f"{place}/coding/{i}"))), None)
        read = concept_of(source.log, value, place)
        name = read.text if read is not None else None
        return Ingredient(code=main, name=name, strength=strength)
    target = source.resolve(node, "itemReference")
    if target is None:
        return Ingredient(strength=strength) if strength else None
    if target.kind == "Medication":
        inner = read_medication(source, target)
        if not inner.codes:
            return Ingredient(name=inner.label, strength=strength)
        return Ingredient(code=inner.codes[0], name=inner.name, strength=strength)
    source.log.text_only(node.place, "Medication.ingredient", _MIXED)
    main = first_code(target, "code")
    return Ingredient(code=main, strength=strength)


def _package(node: Node) -> Package | None:
    members: dict[str, Any] = {}
    kind = node.extension("package-type")
    if kind is not None and (value := kind.raw("valueCodeableConcept")) is not None:
        place = f"{kind.place}/valueCodeableConcept"
        for i, item in enumerate(codings(value, place)):
            found = code(item, f"{place}/coding/{i}")
            if found is not None:
                members.setdefault("container" if found.system == EDQM else "code", found)
        text = value.get("text")
        if isinstance(text, str) and text.strip():
            members["name"] = text
    unit = node.extension("unit-of-presentation")
    if unit is not None:
        members.setdefault("container", first_code(unit, "valueCodeableConcept"))
    size = node.extension("size-of-item")
    if size is not None:
        members["capacity"] = quantity(size, "valueQuantity")
    return Package(**members) if any(v is not None for v in members.values()) else None
