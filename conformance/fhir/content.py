"""Rules of what documents hold: prescribed lines, products given, entries of a summary (fhir-profiles, section 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from conformance.fhir.names import oid_of
from conformance.fhir.view import Entry, View, absent, codes, extensions, items, mapping, reference, text
from conformance.verdict import Finding

__all__ = ["CHECKS", "check_kind"]

_EDQM: Final = "0.4.0.127.0.16.1.1.2.1"
_ABSENT_UNKNOWN: Final = "2.16.840.1.113883.5.1150.1"
_MARKS: Final = frozenset({"MED-574", "GEN-180", "GEN-295"})
_SUMMARY_SECTIONS: Final = ("11450-4", "48765-2", "10160-0", "47519-4", "46264-8")
_ENDED: Final = frozenset({"inactive", "remission", "resolved"})


def _sections(resource: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Top-level sections by code."""
    found: dict[str, dict[str, Any]] = {}
    for raw in items(resource.get("section")):
        for _, code in codes(mapping(raw).get("code")):
            found.setdefault(code, mapping(raw))
    return found


def check_kind(view: View, entry: Entry) -> Iterator[Finding]:
    """What the type of the document asks of its sections."""
    resource, place = entry.resource, entry.place
    kinds = {code for _, code in codes(resource.get("type"))}
    sections = _sections(resource)
    if "55107-7" in sections and len(sections) == 1:
        return  # a report: the file is the content, whatever the type
    if "57833-6" in kinds and not {"57828-6", "46264-8"} & sections.keys():
        yield view.broken("MED-001", f"{place}/section")
    if "60593-1" in kinds:
        if "60590-7" not in sections:
            yield view.broken("DIS-001", f"{place}/section")
        answered = [x for x in extensions(resource, "based-on") if reference(x.get("valueReference"))]
        if not answered:
            yield view.broken("DIS-008", f"{place}/extension")
    if "60591-5" in kinds:
        for code in _SUMMARY_SECTIONS:
            section = sections.get(code)
            if section is None:
                yield view.broken("SUM-001", f"{place}/section", expected=code)
            elif not items(section.get("entry")) and not section.get("emptyReason"):
                yield view.broken("SUM-002", f"{place}/section", expected=code)


def _medicine(resource: dict[str, Any]) -> bool:
    concept = mapping(resource.get("medicationCodeableConcept"))
    return bool(reference(resource.get("medicationReference")) or concept.get("coding") or concept.get("text"))


def _request(view: View, entry: Entry) -> Iterator[Finding]:
    resource, place = entry.resource, entry.place
    if resource.get("status") != "completed":
        yield view.broken("MED-002", f"{place}/status", found=text(resource.get("status")) or None)
    if resource.get("intent") != "order":
        yield view.broken("MED-003", f"{place}/intent")
    if view.kind_of(resource.get("subject")) != "Patient":
        yield view.broken("MED-004", f"{place}/subject")
    if not _medicine(resource):
        yield view.broken("MED-005", place)
    yield from _substitution(view, resource, place)
    dosages = items(resource.get("dosageInstruction"))
    if not any(mapping(d).keys() - {"id", "sequence"} for d in dosages):
        yield view.broken("MED-010", f"{place}/dosageInstruction")
    for i, dosage in enumerate(dosages):
        yield from _dosage(view, mapping(dosage), f"{place}/dosageInstruction/{i}")
    if view.kind_of(resource.get("requester")) not in ("PractitionerRole", "Practitioner"):
        yield view.broken("MED-015", f"{place}/requester")
    if not items(resource.get("identifier")):
        yield view.broken("MED-016", f"{place}/identifier")
    if len(items(resource.get("basedOn"))) > 1:
        yield view.broken("MED-017", f"{place}/basedOn")
    for off_label in extensions(resource, "off-label"):
        used = [p for p in items(off_label.get("extension")) if mapping(p).get("url") == "isOffLabelUse"]
        if len(used) != 1 or type(used[0].get("valueBoolean")) is not bool:
            yield view.broken("MED-020", f"{place}/extension")


def _substitution(view: View, resource: dict[str, Any], place: str) -> Iterator[Finding]:
    substitution = mapping(resource.get("substitution"))
    allowed = {code for _, code in codes(substitution.get("allowedCodeableConcept"))}
    if len(allowed) != 1 or not allowed <= {"N", "G"}:
        yield view.broken("MED-006", f"{place}/substitution")
    elif allowed == {"N"}:
        reason = mapping(substitution.get("reason"))
        if not reason.get("coding") and not text(reason.get("text")).strip():
            yield view.broken("MED-007", f"{place}/substitution")


def _dosage(view: View, dosage: dict[str, Any], place: str, *, ranges: bool = True) -> Iterator[Finding]:
    for i, raw in enumerate(items(dosage.get("doseAndRate"))):
        amount = mapping(raw)
        for key in ("doseRange", "rateRange"):
            extent = amount.get(key)
            if extent is not None and not (mapping(extent).get("low") and mapping(extent).get("high")):
                yield view.broken("MED-008", f"{place}/doseAndRate/{i}/{key}")
        if ranges and ("doseQuantity" in amount or "rateQuantity" in amount):
            yield view.broken("MED-008", f"{place}/doseAndRate/{i}")
    most = dosage.get("maxDosePerPeriod")
    if most is not None and not (mapping(most).get("numerator") and mapping(most).get("denominator")):
        yield view.broken("MED-009", f"{place}/maxDosePerPeriod")
    route = codes(dosage.get("route"))
    if route and all(oid_of(system) != _EDQM for system, _ in route):
        yield view.broken("MED-019", f"{place}/route")


def _medication(view: View, entry: Entry) -> Iterator[Finding]:
    resource, place = entry.resource, entry.place
    named = [x for x in extensions(resource, "product-name") if text(x.get("valueString"))]
    if len(named) != 1:
        yield view.broken("MED-011", f"{place}/extension")
    code = mapping(resource.get("code"))
    if not codes(code) and not text(code.get("text")):
        yield view.broken("MED-012", f"{place}/code")
    for i, item in enumerate(items(resource.get("ingredient"))):
        strength = mapping(item).get("strength")
        if strength is not None and not (mapping(strength).get("numerator") and mapping(strength).get("denominator")):
            yield view.broken("MED-013", f"{place}/ingredient/{i}/strength")


def _device_request(view: View, entry: Entry) -> Iterator[Finding]:
    resource, place = entry.resource, entry.place
    if resource.get("status") != "completed":
        yield view.broken("MED-002", f"{place}/status", found=text(resource.get("status")) or None)
    if resource.get("intent") != "order":
        yield view.broken("MED-003", f"{place}/intent")
    if view.kind_of(resource.get("subject")) != "Patient":
        yield view.broken("MED-004", f"{place}/subject")
    if view.kind_of(resource.get("codeReference")) != "Device" and not codes(resource.get("codeCodeableConcept")):
        yield view.broken("MED-018", f"{place}/codeReference")


def _observation(view: View, entry: Entry) -> Iterator[Finding]:
    marks = {code for _, code in codes(entry.resource.get("code"))} & _MARKS
    if marks and type(entry.resource.get("valueBoolean")) is not bool:
        yield view.broken("MED-014", entry.place, expected=min(marks))


def _dispense(view: View, entry: Entry) -> Iterator[Finding]:
    resource, place = entry.resource, entry.place
    if not {code for _, code in codes(resource.get("type"))} & {"FFC", "FFP", "RFC", "RFP"}:
        yield view.broken("DIS-002", f"{place}/type")
    if mapping(resource.get("quantity")).get("value") is None:
        yield view.broken("DIS-003", f"{place}/quantity")
    if not _medicine(resource):
        yield view.broken("DIS-004", place)
    if resource.get("status") != "completed":
        yield view.broken("DIS-005", f"{place}/status", found=text(resource.get("status")) or None)
    swap = resource.get("substitution")
    if swap is not None:
        kinds = {code for _, code in codes(mapping(swap).get("type"))}
        if type(mapping(swap).get("wasSubstituted")) is not bool or (kinds and kinds != {"G"}):
            yield view.broken("DIS-006", f"{place}/substitution")
    if len(items(resource.get("authorizingPrescription"))) > 1:
        yield view.broken("DIS-007", f"{place}/authorizingPrescription")
    for i, dosage in enumerate(items(resource.get("dosageInstruction"))):
        yield from _dosage(view, mapping(dosage), f"{place}/dosageInstruction/{i}", ranges=False)


def _says_absence(value: Any) -> bool:
    return any(oid_of(system) == _ABSENT_UNKNOWN for system, _ in codes(value))


def _condition(view: View, entry: Entry) -> Iterator[Finding]:
    resource, place = entry.resource, entry.place
    if not view.claims(resource, "condition"):
        return  # a reason written beside a line, or "none known"
    code = mapping(resource.get("code"))
    status = {c for _, c in codes(resource.get("clinicalStatus"))}
    if not status or not (code.get("coding") or code.get("text")) or view.kind_of(resource.get("subject")) != "Patient":
        yield view.broken("SUM-003", place)
    onset = any(k.startswith("onset") for k in resource) or absent(resource.get("_onsetDateTime"))
    if not _says_absence(code) and not (codes(resource.get("category")) and onset):
        yield view.broken("SUM-004", place)
    ended = any(k.startswith("abatement") for k in resource)
    if ended and status and not status & _ENDED:
        yield view.broken("SUM-009", f"{place}/clinicalStatus")


def _allergy(view: View, entry: Entry) -> Iterator[Finding]:
    resource = entry.resource
    code = mapping(resource.get("code"))
    wrong = {c for _, c in codes(resource.get("verificationStatus"))} == {"entered-in-error"}
    known = code.get("coding") or code.get("text")
    status = codes(resource.get("clinicalStatus")) or wrong
    if not known or not status or view.kind_of(resource.get("patient")) != "Patient":
        yield view.broken("SUM-005", entry.place)


def _statement(view: View, entry: Entry) -> Iterator[Finding]:
    resource, place = entry.resource, entry.place
    if resource.get("status") != "completed":
        yield view.broken("SUM-006", f"{place}/status", found=text(resource.get("status")) or None)
    if view.kind_of(resource.get("subject")) != "Patient" or not _medicine(resource):
        yield view.broken("SUM-007", place)
    if "effectiveDateTime" in resource:
        yield view.broken("SUM-008", f"{place}/effectiveDateTime")
    for i, dosage in enumerate(items(resource.get("dosage"))):
        yield from _dosage(view, mapping(dosage), f"{place}/dosage/{i}", ranges=False)


CHECKS: Final[dict[str, Callable[[View, Entry], Iterator[Finding]]]] = {
    "MedicationRequest": _request,
    "Medication": _medication,
    "DeviceRequest": _device_request,
    "Observation": _observation,
    "MedicationDispense": _dispense,
    "Condition": _condition,
    "AllergyIntolerance": _allergy,
    "MedicationStatement": _statement,
}
