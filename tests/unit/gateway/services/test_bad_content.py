"""Contradictory, enormous and twisted documents: named findings or a refusal, in bounded time and memory."""

from __future__ import annotations

import copy
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from conformance.verdict import Finding
from gateway.services.intake import IntakeOptions, IntakeRefused, read_document
from mappings import cda, fhir
from tests.support import documents
from tests.support.cda import changed, tree

Json = dict[str, Any]


def model(kind: str) -> Json:
    """The JSON form of a sample."""
    found: Json = orjson.loads(documents.load(getattr(documents, kind)()).model_dump_json(by_alias=True))
    return found


def bundle(kind: str) -> Json:
    """The Bundle of a sample."""
    found: Json = orjson.loads(orjson.dumps(fhir.write(documents.load(getattr(documents, kind)())).bundle))
    return found


def xml(kind: str, change: Callable[[Any], object]) -> bytes:
    """The CDA of a sample, changed."""
    return changed(cda.write(documents.load(getattr(documents, kind)()), pdf=documents.PDF).data, change)


def told(data: bytes, form: Any) -> list[Finding]:
    """What is said of a document, refused or not."""
    try:
        _, loss, findings = read_document(data, form, IntakeOptions(tolerant=True))
    except IntakeRefused as refused:
        findings = refused.findings
        assert findings
    else:
        assert findings or loss.refuses
    for finding in findings:
        assert finding.as_json()["message"]
        assert finding.as_json()["fix"]
    return findings


def resources(value: Json, kind: str) -> list[Json]:
    """The resources of a type."""
    return [entry["resource"] for entry in value["entry"] if entry["resource"]["resourceType"] == kind]


def codes(findings: list[Finding]) -> set[str]:
    """Their codes."""
    return {finding.code for finding in findings}


# --- An end before its start ---------------------------------------------------------------------------------------


def test_an_end_before_its_start_in_json() -> None:
    """Refused at its place."""
    value = model("prescription")
    value["encounter"]["period"] = {"start": "2026-11-20", "end": "2026-11-19"}
    value["lines"][0]["renewalPeriod"] = {"start": "2026-11-20", "end": "2026-11-19"}
    findings = told(orjson.dumps(value), "json")
    assert {(f.code, f.location) for f in findings} == {
        ("DOC-JSON-005", "/encounter/period"),
        ("DOC-JSON-005", "/lines/0/renewalPeriod"),
    }
    assert all(f.expected == "une fin après le début" for f in findings)


def test_an_end_before_its_start_in_a_bundle() -> None:
    """Refused, both faults told."""
    value = bundle("prescription")
    for each in resources(value, "MedicationRequest"):
        each["dispenseRequest"] = {"validityPeriod": {"start": "2026-12-01", "end": "2026-01-01"}}
    resources(value, "Encounter")[0]["period"] = {"start": "2026-12-01", "end": "2026-01-01"}
    findings = told(orjson.dumps(value), "fhir")
    assert codes(findings) == {"FHIR-READ-020"}
    assert len({finding.location for finding in findings}) >= 2


def test_an_end_before_its_start_in_a_cda() -> None:
    """Read with its start, and said."""

    def turn(root: Any) -> None:
        period = root.find("{*}componentOf/{*}encompassingEncounter/{*}effectiveTime")
        period.find("{*}high").set("value", "20200101")

    assert "CDA-READ-104" in codes(told(xml("prescription", turn), "cda"))


# --- A dose without its unit -----------------------------------------------------------------------------------------


def test_a_dose_without_unit_in_json() -> None:
    """Read as a number, and said."""
    value = model("prescription")
    value["lines"][0]["posology"]["dosage"]["dose"] = {"low": {"value": "2"}, "high": {"value": "2"}}
    value["lines"][0]["medication"]["form"] = None
    (finding,) = told(orjson.dumps(value), "json")
    assert (finding.code, finding.location) == ("DOC-JSON-006", "/lines/0/posology")


def test_a_dose_without_unit_in_a_bundle() -> None:
    """Read as a number, and said: nothing says of what."""
    value = bundle("prescription")
    for each in resources(value, "Medication"):
        each.pop("form", None)
    for each in resources(value, "MedicationRequest"):
        for dosage in each["dosageInstruction"]:
            for dose in dosage.get("doseAndRate", ()):
                for key in ("doseQuantity", "doseRange"):
                    for part in (dose.get(key, {}), *dose.get(key, {}).values()):
                        if isinstance(part, dict):
                            for name in ("unit", "code", "system"):
                                part.pop(name, None)
    assert "FHIR-READ-044" in codes(told(orjson.dumps(value), "fhir"))


def test_a_dose_without_unit_in_a_cda() -> None:
    """Read as a number, and said."""

    def bare(root: Any) -> None:
        for dose in root.iterfind(".//{*}doseQuantity"):
            for part in (dose, *dose):
                part.attrib.pop("unit", None)
                for translation in part.findall("{*}translation"):
                    part.remove(translation)
        for form in root.findall(".//{urn:ihe:pharm:medication}formCode"):
            form.getparent().remove(form)

    assert "CDA-READ-109" in codes(told(xml("prescription", bare), "cda"))


# --- Two patients, a reference to nothing, a ring, what no section shows ---------------------------------------------


def test_two_patients() -> None:
    """Refused in both forms."""

    def double(root: Any) -> None:
        target = root.find("{*}recordTarget")
        target.addnext(copy.deepcopy(target))

    assert codes(told(xml("report", double), "cda")) == {"CDA-READ-003"}
    value = bundle("summary")
    other = {**copy.deepcopy(resources(value, "Patient")[0]), "id": "00000000-0000-4000-8000-0000000000c1"}
    value["entry"].append({"fullUrl": f"urn:uuid:{other['id']}", "resource": other})
    assert told(orjson.dumps(value), "fhir")


def test_a_reference_to_nothing() -> None:
    """A text that is not there, a resource that is not there: named, with the place."""

    def lose(root: Any) -> None:
        for reference in root.iterfind(".//{*}entry//{*}reference"):
            if (reference.get("value") or "").startswith("#"):
                reference.set("value", "#nulle-part")

    assert "CDA-READ-101" in codes(told(xml("prescription", lose), "cda"))
    value = bundle("summary")
    head = resources(value, "Composition")[0]
    nowhere = "urn:uuid:00000000-0000-4000-8000-00000000dead"
    head["section"][0]["entry"] = [{"reference": nowhere}]
    findings = told(orjson.dumps(value), "fhir")
    assert ("FHIR-READ-006", "/entry/0/resource/section/0/entry/0") in {(f.code, f.location) for f in findings}


def test_a_ring_of_references() -> None:
    """A resource that is part of itself has no end."""
    value = bundle("summary")
    keys = [f"00000000-0000-4000-8000-0000000000b{n}" for n in (1, 2)]
    for key, other in (keys, keys[::-1]):
        member = {"resourceType": "Observation", "id": key, "hasMember": [{"reference": f"urn:uuid:{other}"}]}
        value["entry"].append({"fullUrl": f"urn:uuid:{key}", "resource": member})
    assert codes(told(orjson.dumps(value), "fhir")) == {"FHIR-READ-007"}


def test_what_no_section_shows() -> None:
    """An entry outside the Composition is a clinical loss, named by its place."""
    value = bundle("summary")
    key = "00000000-0000-4000-8000-0000000000aa"
    seen = {"resourceType": "Observation", "id": key, "status": "final", "code": {"text": "x"}}
    value["entry"].append({"fullUrl": f"urn:uuid:{key}", "resource": seen})
    _, loss, _ = read_document(orjson.dumps(value), "fhir", IntakeOptions(tolerant=True))
    assert loss.refuses
    assert [item.place for item in loss.items if item.fate == "lost"] == [f"/entry/{len(value['entry']) - 1}/resource"]


# --- Enormous --------------------------------------------------------------------------------------------------------


def _many_json() -> bytes:
    value = model("summary")
    value["problems"]["entries"] = value["problems"]["entries"][:1] * 10_000
    return orjson.dumps(value)


def _many_fhir() -> bytes:
    value = bundle("summary")
    value["entry"] += [{"resource": {"resourceType": "Observation"}}] * 10_000
    return orjson.dumps(value)


def _many_cda() -> bytes:
    def many(root: Any) -> None:
        entry = next(root.iterfind(".//{*}entry/{*}act")).getparent()
        for _ in range(10_000):
            entry.addnext(copy.deepcopy(entry))

    return xml("summary", many)


def _deep_json() -> bytes:
    return b'{"kind":"report","patient":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001


def _deep_fhir() -> bytes:
    return b'{"resourceType":"Bundle","entry":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def _deep_cda() -> bytes:
    return b'<ClinicalDocument xmlns="urn:hl7-org:v3">' + b"<component>" * 100_000


def _long_json() -> bytes:
    return orjson.dumps(model("summary") | {"vigilance": "mot " * 1_000_000})


def _long_fhir() -> bytes:
    value = bundle("summary")
    for section in resources(value, "Composition")[0]["section"]:
        section["text"] = {"status": "additional", "div": "<div>" + "<p>mot</p>" * 200_000 + "</div>"}
    return orjson.dumps(value)


def _long_cda() -> bytes:
    def long(root: Any) -> None:
        for text in root.iterfind(".//{*}section/{*}text"):
            text.append(tree(b'<paragraph xmlns="urn:hl7-org:v3">' + b"mot " * 300_000 + b"</paragraph>"))

    return xml("summary", long)


@pytest.mark.parametrize(
    ("make", "form"),
    [
        (_many_json, "json"),
        (_many_fhir, "fhir"),
        (_many_cda, "cda"),
        (_deep_json, "json"),
        (_deep_fhir, "fhir"),
        (_deep_cda, "cda"),
        (_long_json, "json"),
        (_long_fhir, "fhir"),
        (_long_cda, "cda"),
    ],
)
@pytest.mark.timeout(300)
def test_what_is_enormous_is_told_in_bounded_time_and_memory(make: Callable[[], bytes], form: str) -> None:
    """Ten thousand entries, a hundred thousand levels, megabytes of narrative: few findings, no more than is sent."""
    data = make()
    start = time.process_time()
    findings = told(data, form)
    assert time.process_time() - start < 20
    assert len(findings) <= 20_100
    tracemalloc.start()
    try:
        told(data, form)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000_000 + 20 * len(data)
