"""Each rule of a document Bundle has a Bundle that breaks it, and a clean Bundle breaks none."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import orjson
import pytest

from conformance.fhir import RULES, check_bundle
from conformance.fhir.names import EXTENSIONS, PROFILES
from conformance.verdict import Severity
from mappings import fhir
from tests.support import documents
from tests.unit.mappings.fhir.bundles import head, of

Json = dict[str, Any]
Break = Callable[[Json], object]


@cache
def _bytes(kind: str) -> bytes:
    value = getattr(documents, kind)()
    if kind == "report":
        doctor = documents.DOCTOR
        value["participants"] = [{"type": "INF", "id": doctor["id"], "family": "KERVELLA", "time": {"start": "2026"}}]
        value["replaces"] = {"id": {"root": "1.2.250.1.999.9.2.9"}}
        value["authenticators"] = [{"professional": doctor}]
    return orjson.dumps(fhir.write(documents.load(value)).bundle)


def bundle(kind: str) -> Json:
    """A fresh clean Bundle of a kind."""
    found: Json = orjson.loads(_bytes(kind))
    return found


def without(resource: Json, *keys: str) -> None:
    """Take members away."""
    for key in keys:
        resource.pop(key, None)


def drop_extension(holder: Json, name: str) -> None:
    """Take an extension away."""
    holder["extension"] = [e for e in holder["extension"] if e["url"] != EXTENSIONS[name]]


def extension(holder: Json, name: str) -> Json:
    """An extension of a holder."""
    found: Json = next(e for e in holder["extension"] if e["url"] == EXTENSIONS[name])
    return found


def drop_kind(value: Json, kind: str) -> None:
    """Take all resources of a type away."""
    value["entry"] = [e for e in value["entry"] if e["resource"]["resourceType"] != kind]


def main(value: Json) -> Json:
    """The main event."""
    found: Json = head(value)["event"][0]
    return found


def line(value: Json) -> Json:
    """The first medicine line."""
    return of(value, "MedicationRequest")


def dosage(value: Json) -> Json:
    """The first Dosage of the first medicine line."""
    found: Json = line(value)["dosageInstruction"][0]
    return found


def section(value: Json, code: str) -> Json:
    """A section by its code."""
    found: Json = next(s for s in head(value)["section"] if s["code"]["coding"][0]["code"] == code)
    return found


def dup(value: Json, kind: str) -> None:
    """The same resource twice, under another address."""
    copy = orjson.loads(orjson.dumps(next(e for e in value["entry"] if e["resource"]["resourceType"] == kind)))
    copy["resource"]["id"] = "00000000-0000-4000-8000-000000000001"
    copy["fullUrl"] = "urn:uuid:00000000-0000-4000-8000-000000000001"
    value["entry"].append(copy)


def status(patient: Json, code: str) -> None:
    """Another identity status."""
    extension(patient, "identity-reliability")["extension"][0]["valueCoding"]["code"] = code


def devices(value: Json) -> None:
    """Two authoring devices."""
    for n in (1, 2):
        key = f"00000000-0000-4000-8000-00000000000{n}"
        resource = {"resourceType": "Device", "id": key, "meta": {"profile": [PROFILES["device-author"]]}}
        value["entry"].append({"fullUrl": f"urn:uuid:{key}", "resource": resource})


def ban(value: Json) -> None:
    """No generic, and no reason why."""
    line(value)["substitution"] = {"allowedCodeableConcept": {"coding": [{"code": "N"}]}}


def party(value: Json, part: str) -> None:
    """A participant without a part."""
    item = extension(head(value), "participant")
    item["extension"] = [p for p in item["extension"] if p["url"] != part]


def plain_role(value: Json) -> None:
    """The participant's role without its class."""
    item = extension(head(value), "participant")
    address = next(p for p in item["extension"] if p["url"] == "party")["valueReference"]["reference"]
    role = next(e["resource"] for e in value["entry"] if e["fullUrl"] == address)
    without(role, "code")


def doubtful(value: Json) -> None:
    """A doubtful identity said to be qualified."""
    parts = extension(of(value, "Patient"), "identity-reliability")["extension"]
    parts.append({"url": "comment", "valueCoding": {"code": "DOUT"}})


def nir_shape(value: Json) -> None:
    """An INS of fourteen characters."""
    of(value, "Patient")["identifier"][0]["value"] = "2790351215189"


def swap_first(value: Json) -> None:
    """The Composition second."""
    value["entry"][0], value["entry"][1] = value["entry"][1], value["entry"][0]


#: Code -> kind of Bundle, and what breaks the rule in it.
BREAKS: dict[str, tuple[str, Break]] = {
    "BDL-001": ("report", lambda b: b.update(type="collection")),
    "BDL-002": ("report", lambda b: without(b["identifier"], "system")),
    "BDL-003": ("report", lambda b: b.update(timestamp="2026-11-20")),
    "BDL-004": ("report", lambda b: without(b["entry"][3], "fullUrl")),
    "BDL-005": ("report", lambda b: b["entry"].append(b["entry"][3])),
    "BDL-006": ("report", lambda b: b["entry"][3]["resource"].update(id="x")),
    "BDL-007": ("report", swap_first),
    "BDL-008": ("report", lambda b: dup(b, "Composition")),
    "BDL-009": ("report", lambda b: dup(b, "Patient")),
    "BDL-010": ("report", lambda b: drop_kind(b, "Location")),
    "BDL-011": ("report", lambda b: b.update(entry=b["entry"][:6])),
    "BDL-012": ("report", lambda b: head(b)["subject"].update(reference="urn:uuid:nobody")),
    "BDL-013": ("report", lambda b: without(head(b), "section")),
    "BDL-014": ("report", lambda b: of(b, "Patient").update(contained=[{"resourceType": "Organization"}])),
    "BDL-015": (
        "report",
        lambda b: head(b)["subject"].update(reference=f"Patient/{of(b, 'Patient')['id']}"),
    ),
    "BDL-016": ("report", devices),
    "BDL-017": ("report", lambda b: b["entry"].append({"fullUrl": "urn:uuid:1"})),
    "CMP-001": ("report", lambda b: extension(head(b), "version").update(valueString="1.0")),
    "CMP-002": ("report", lambda b: without(head(b), "language")),
    "CMP-003": ("report", lambda b: head(b).update(confidentiality="SECRET")),
    "CMP-004": ("report", lambda b: without(head(b), "identifier")),
    "CMP-005": ("report", lambda b: head(b).update(status="preliminary")),
    "CMP-006": ("report", lambda b: head(b).update(type={"text": "lettre"})),
    "CMP-007": ("report", lambda b: head(b).update(title=" ")),
    "CMP-008": ("report", lambda b: head(b).update(date="2026-11-20")),
    "CMP-009": ("report", lambda b: without(head(b), "subject")),
    "CMP-010": ("report", lambda b: without(head(b), "encounter")),
    "CMP-011": ("report", lambda b: without(head(b), "author")),
    "CMP-012": ("report", lambda b: head(b)["author"][0].update(head(b)["custodian"])),
    "CMP-013": ("report", lambda b: without(head(b)["author"][0], "extension")),
    "CMP-014": ("report", lambda b: without(head(b)["attester"][0], "time")),
    "CMP-015": ("report", lambda b: without(head(b)["attester"][1], "party")),
    "CMP-016": ("report", lambda b: without(head(b), "custodian")),
    "CMP-017": ("report", lambda b: without(head(b), "event")),
    "CMP-018": ("report", lambda b: without(main(b), "period")),
    "CMP-019": ("report", lambda b: drop_extension(main(b), "event-performer")),
    "CMP-020": ("report", lambda b: without(head(b)["relatesTo"][0]["targetIdentifier"], "type")),
    "CMP-021": ("report", lambda b: party(b, "time")),
    "CMP-022": ("report", plain_role),
    "CMP-023": ("report", lambda b: head(b).update(section=[])),
    "CMP-024": ("report", lambda b: without(head(b)["section"][0], "title")),
    "CMP-025": ("report", lambda b: head(b)["section"][0].update(section=[head(bundle("report"))["section"][0]])),
    "CMP-026": ("report", lambda b: head(b)["section"][0].update(emptyReason={"text": "vide"})),
    "CMP-027": ("report", lambda b: without(head(b), "category")),
    "CMP-028": ("report", lambda b: head(b)["attester"][0].update(party=head(b)["custodian"])),
    "PAT-001": ("report", lambda b: drop_extension(of(b, "Patient"), "identity-reliability")),
    "PAT-002": ("report", nir_shape),
    "PAT-003": ("report", lambda b: of(b, "Patient").update(name=[])),
    "PAT-004": ("report", lambda b: without(of(b, "Patient")["name"][0], "family")),
    "PAT-005": ("report", lambda b: of(b, "Patient")["name"][0].update(given=["A", "B"])),
    "PAT-006": ("report", lambda b: of(b, "Patient").update(gender="other")),
    "PAT-007": ("report", lambda b: without(of(b, "Patient"), "birthDate")),
    "PAT-008": ("report", lambda b: status(of(b, "Patient"), "PROV")),
    "PAT-009": ("report", doubtful),
    "PAT-010": ("report", lambda b: without(of(b, "Patient"), "identifier")),
    "PAT-011": (
        "report",
        lambda b: extension(extension(of(b, "Patient"), "birth-place")["valueAddress"], "insee-code")[
            "valueCoding"
        ].update(code="QUIMPER"),
    ),
    "ACT-001": ("report", lambda b: without(of(b, "PractitionerRole"), "practitioner")),
    "ACT-002": ("report", lambda b: without(of(b, "PractitionerRole"), "organization")),
    "ACT-003": ("report", lambda b: without(of(b, "Practitioner"), "identifier")),
    "ACT-004": ("report", lambda b: without(of(b, "Practitioner"), "name")),
    "ACT-005": ("report", lambda b: without(of(b, "Organization"), "name", "identifier")),
    "ACT-006": ("report", lambda b: without(of(b, "Encounter"), "period")),
    "ACT-007": ("report", lambda b: without(of(b, "Encounter"), "location")),
    "ACT-008": ("report", lambda b: without(of(b, "Location"), "type")),
    "MED-001": ("prescription", lambda b: head(b).update(section=head(bundle("summary"))["section"][:1])),
    "MED-002": ("prescription", lambda b: line(b).update(status="active")),
    "MED-003": ("prescription", lambda b: line(b).update(intent="plan")),
    "MED-004": ("prescription", lambda b: without(line(b), "subject")),
    "MED-005": ("prescription", lambda b: without(line(b), "medicationReference")),
    "MED-006": ("prescription", lambda b: without(line(b), "substitution")),
    "MED-007": ("prescription", ban),
    "MED-008": ("prescription", lambda b: without(dosage(b)["doseAndRate"][0]["doseRange"], "high")),
    "MED-009": ("prescription", lambda b: dosage(b).update(maxDosePerPeriod={"numerator": {"value": 1}})),
    "MED-010": ("prescription", lambda b: without(line(b), "dosageInstruction")),
    "MED-011": ("prescription", lambda b: without(of(b, "Medication"), "extension")),
    "MED-012": ("prescription", lambda b: without(of(b, "Medication"), "code")),
    "MED-013": ("prescription", lambda b: of(b, "Medication").update(ingredient=[{"strength": {"numerator": {}}}])),
    "MED-014": ("prescription", lambda b: without(of(b, "Observation"), "valueBoolean")),
    "MED-015": ("prescription", lambda b: without(line(b), "requester")),
    "MED-016": ("prescription", lambda b: without(line(b), "identifier")),
    "MED-017": ("prescription", lambda b: line(b).update(basedOn=[{"display": "a"}, {"display": "b"}])),
    "MED-018": ("prescription", lambda b: without(of(b, "DeviceRequest"), "codeReference")),
    "MED-019": (
        "prescription",
        lambda b: dosage(b)["route"]["coding"][0].update(system="http://snomed.info/sct"),
    ),
    "MED-020": ("prescription", lambda b: extension(line(b), "off-label").update(extension=[])),
    "DIS-001": ("dispensation", lambda b: head(b).update(section=[])),
    "DIS-002": ("dispensation", lambda b: without(of(b, "MedicationDispense"), "type")),
    "DIS-003": ("dispensation", lambda b: without(of(b, "MedicationDispense"), "quantity")),
    "DIS-004": ("dispensation", lambda b: without(of(b, "MedicationDispense"), "medicationReference")),
    "DIS-005": ("dispensation", lambda b: of(b, "MedicationDispense").update(status="declined")),
    "DIS-006": ("dispensation", lambda b: without(of(b, "MedicationDispense")["substitution"], "wasSubstituted")),
    "DIS-007": ("dispensation", lambda b: of(b, "MedicationDispense").update(authorizingPrescription=[{}, {}])),
    "DIS-008": ("dispensation", lambda b: drop_extension(head(b), "based-on")),
    "SUM-001": ("summary", lambda b: head(b)["section"].pop(0)),
    "SUM-002": ("summary", lambda b: without(section(b, "46264-8"), "emptyReason")),
    "SUM-003": ("summary", lambda b: without(of(b, "Condition"), "clinicalStatus")),
    "SUM-004": ("summary", lambda b: without(of(b, "Condition"), "category")),
    "SUM-005": ("summary", lambda b: without(of(b, "AllergyIntolerance"), "clinicalStatus")),
    "SUM-006": ("summary", lambda b: of(b, "MedicationStatement").update(status="active")),
    "SUM-007": ("summary", lambda b: without(of(b, "MedicationStatement"), "medicationReference")),
    "SUM-008": ("summary", lambda b: of(b, "MedicationStatement").update(effectiveDateTime="2021")),
    "SUM-009": ("summary", lambda b: of(b, "Condition").update(abatementDateTime="2022")),
}


@pytest.mark.parametrize("kind", ["report", "prescription", "dispensation", "summary"])
def test_a_bundle_that_the_gateway_writes_breaks_no_error(kind: str) -> None:
    """The samples are clean, save what their source does not hold."""
    verdict = check_bundle(bundle(kind))
    assert verdict.ok
    assert {f.code for f in verdict.warnings} <= {"FHIR-ACT-002"}


@pytest.mark.parametrize("code", sorted(BREAKS))
def test_a_broken_rule_is_named_with_its_place_and_its_mend(code: str) -> None:
    """The break of each row is found, in French and in English, at a place of the Bundle."""
    kind, breaks = BREAKS[code]
    value = bundle(kind)
    breaks(value)
    found = [f for f in check_bundle(value).findings if f.code == f"FHIR-{code}"]
    assert found
    assert found[0].location.startswith("/")
    for language in ("fr", "en"):
        shown = found[0].as_json(language)
        assert shown["message"]
        assert shown["fix"]


def test_every_rule_has_its_break() -> None:
    """No rule without a test, no test without a rule."""
    assert {f"FHIR-{code}" for code in BREAKS} == set(RULES)


def test_the_words_of_every_rule_are_whole() -> None:
    """French first, both languages, a clause, and no value of a document in the words."""
    for code, rule in RULES.items():
        assert rule.code == code
        assert rule.message.fr.endswith(".")
        assert rule.message.en.endswith(".")
        assert rule.source
        assert rule.severity in (Severity.ERROR, Severity.WARNING)


ODD = {
    "resourceType": "Composition",
    "section": [3],
    "author": "x",
    "event": [None],
    "extension": [1],
    "attester": [[]],
    "relatesTo": [2],
}


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "x",
        {},
        {"resourceType": "Bundle", "type": "document"},
        {"resourceType": "Bundle", "type": "document", "entry": "no"},
        {"resourceType": "Bundle", "type": "document", "entry": [None, 3, {"resource": []}]},
        {"resourceType": "Bundle", "type": "document", "entry": [{"resource": {"resourceType": 1}}]},
        {"resourceType": "Bundle", "type": "document", "entry": [{"resource": ODD}]},
    ],
)
def test_any_value_gets_a_verdict(value: Any) -> None:
    """Values of any type are judged, never raised."""
    assert not check_bundle(value).ok


@pytest.mark.parametrize("kind", ["report", "prescription", "dispensation", "summary"])
def test_no_wrong_type_anywhere_raises(kind: str) -> None:
    """Each member of a Bundle in turn, replaced by a value of another type: always a verdict."""
    clean = bundle(kind)
    for rank, place in enumerate(places(clean)):
        # Three of the wrong values in turn: every shape meets several, every value meets every kind of shape.
        for wrong in [WRONG[(rank + step) % len(WRONG)] for step in (0, 2, 4)]:
            value = bundle(kind)
            put(value, place, wrong)
            check_bundle(value)


WRONG: list[Any] = [None, 7, "x", [], {}, [7], [{}]]


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The place of every member whose steps, ranks apart, are new."""
    out: list[tuple[Any, ...]] = []
    seen: set[tuple[Any, ...]] = set()
    stack = [(value, at, ())]
    while stack:
        item, here, shape = stack.pop()
        if here and shape not in seen:
            seen.add(shape)
            out.append(here)
        kind = item.get("resourceType") if isinstance(item, dict) else None
        steps = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
        for key, inner in steps:
            name = kind if key == "resourceType" else key if isinstance(key, str) else "*"
            mark = (*shape, inner.get("resourceType")) if isinstance(inner, dict) and "resourceType" in inner else shape
            stack.append((inner, (*here, key), (*mark, name)))
    return out


def put(value: Any, place: tuple[Any, ...], wrong: Any) -> None:
    """Replace a member."""
    for step in place[:-1]:
        value = value[step]
    value[place[-1]] = wrong


def test_a_bundle_that_refers_to_itself_in_circles_is_checked_once() -> None:
    """Circular references end."""
    value = bundle("report")
    of(value, "Organization")["partOf"] = head(value)["custodian"]
    of(value, "Encounter")["partOf"] = head(value)["encounter"]
    assert check_bundle(value).ok


def test_ten_thousand_entries_take_a_fraction_of_a_second() -> None:
    """The work grows with the size, not with its square."""
    value = bundle("report")
    template = orjson.dumps(of(value, "Organization"))
    for n in range(10_000):
        key = f"00000000-0000-4000-8000-{n:012d}"
        resource = orjson.loads(template) | {"id": key}
        value["entry"].append({"fullUrl": f"urn:uuid:{key}", "resource": resource})
    start = time.process_time()
    verdict = check_bundle(value)
    assert time.process_time() - start < 5
    assert sum(f.code == "FHIR-BDL-013" for f in verdict.findings) == 10_000
