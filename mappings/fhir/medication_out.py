"""A medicine as a Medication resource (mapping table, section 4; fr-medication-document)."""

from __future__ import annotations

from typing import Final

from mappings.document.medication import Ingredient, Medication
from mappings.fhir.bundle_out import BundleOut
from mappings.fhir.names import EXTENSIONS
from mappings.fhir.values_out import Json, absent, code_concept, coding, date_time, extension, quantity, ratio

__all__ = ["ATC", "medication", "medication_code"]

ATC: Final = "2.16.840.1.113883.6.73"
_ABSENT: Final = EXTENSIONS["data-absent"]


def medication_code(value: Medication) -> Json:
    """The code of a medicine: its codes in every terminology, and its words.

    A magistral preparation has no code: the formula is the text, and the code says not applicable (nullFlavor NA).
    """
    out: Json = {}
    if value.preparation:
        out["extension"] = [{"url": _ABSENT, "valueCode": "not-applicable"}]
    if value.codes:
        out["coding"] = [coding(code) for code in value.codes]
    text = value.preparation or value.name
    if text:
        out["text"] = text
    return out


def _ingredient(value: Ingredient) -> Json:
    item: Json = {}
    if value.code is not None:
        item["coding"] = [coding(value.code)]
    if value.name:
        item["text"] = value.name
    out: Json = {"itemCodeableConcept": item or absent()}
    if value.strength is not None:
        out["strength"] = ratio(value.strength)
    return out


def medication(out: BundleOut, place: str, value: Medication) -> Json:
    """A Medication, written once for equal medicines."""
    if (known := out.shared(value)) is not None:
        return known
    extensions = [extension("product-name", valueString=value.label)]
    if value.atc is not None:
        extensions.append(extension("classification", valueCodeableConcept=code_concept(value.atc)))
    sent: Json = {"extension": extensions, "code": medication_code(value)}
    if (package := value.package) is not None:
        # The container (EDQM) and the code of the package (CIP) of one asContent: told apart by their terminology.
        codings = [coding(c) for c in (package.container, package.code) if c is not None]
        words: Json = {"coding": codings} if codings else {}
        if package.name:
            words["text"] = package.name
        if words:
            extensions.append(extension("package-type", valueCodeableConcept=words))
        if package.capacity is not None:
            extensions.append(extension("size-of-item", valueQuantity=quantity(package.capacity)))
    if value.form is not None:
        sent["form"] = code_concept(value.form)
    if value.ingredients:
        sent["ingredient"] = [_ingredient(i) for i in value.ingredients]
    batch: Json = {}
    if value.lot_number:
        batch["lotNumber"] = value.lot_number
    if value.expires_on:
        batch["expirationDate"] = date_time(value.expires_on)
    if batch:
        sent["batch"] = batch
    return out.share(value, out.add("Medication", place, sent, "medication"))
