"""Prescriptions of hospital software: every line read, structure where CI-SIS has it, words for all the rest."""

from __future__ import annotations

import copy
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from mappings import fhir
from mappings.document.medication import Posology
from mappings.rendering.words import number
from tests.support import outside


def samples() -> list[Path]:
    """The published examples."""
    return sorted((outside.samples() / "fhir-eprescription").glob("Bundle*.json"))


def load(name: str) -> dict[str, Any]:
    """One published example."""
    found: dict[str, Any] = orjson.loads(
        (outside.samples() / "fhir-eprescription" / f"Bundle-{name}.json").read_bytes()
    )
    return found


def line(name: str) -> fhir.PrescribedLine:
    """The one line of an example."""
    (found,) = fhir.read_prescriptions(load(name)).lines
    return found


def request(**dosage: Any) -> dict[str, Any]:
    """A MedicationRequest with one Dosage."""
    return {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "authoredOn": "2026-11-20",
        "medicationCodeableConcept": {"text": "ESSAI"},
        "dosageInstruction": [dosage],
    }


def only(resource: dict[str, Any]) -> fhir.PrescribedLine:
    """The line of a MedicationRequest given alone."""
    (found,) = fhir.read_prescriptions(resource).lines
    return found


def test_every_published_example_is_read_with_a_line_a_request() -> None:
    """85 Bundles, 89 lines, none without a medicine and a sentence."""
    files = samples()
    assert len(files) == 85
    count = 0
    for path in files:
        bundle = orjson.loads(path.read_bytes())
        lines = fhir.read_prescriptions(bundle).lines
        assert len(lines) == sum(e["resource"]["resourceType"] == "MedicationRequest" for e in bundle["entry"])
        for one in lines:
            assert one.sentence, path.name
            assert one.medication.label
            assert one.structured or one.text_only or one.posology.text
        count += len(lines)
    assert count == 89


def test_the_words_of_the_prescriber_win() -> None:
    """The rendered instruction is kept to the letter."""
    index = json.loads((outside.samples() / "fhir-eprescription" / "index.json").read_text())
    rendered = 0
    for entry in index["entries"]:
        bundle = load(entry["file"].removeprefix("Bundle-").removesuffix(".json"))
        for one, told in zip(fhir.read_prescriptions(bundle).lines, entry["lines"], strict=True):
            if told.get("posology"):
                rendered += 1
                assert one.sentence == told["posology"].strip()
    assert rendered > 40


def _numbers(dosage: dict[str, Any]) -> list[str]:
    """The numbers that a sentence must hold: doses, intervals, times, maxima."""
    said = []
    for dose in dosage.get("doseAndRate", [])[:1]:
        if "doseQuantity" in dose:
            said.append(number(Decimal(repr(dose["doseQuantity"]["value"]))))
        for end in ("low", "high"):
            if end in dose.get("doseRange", {}):
                said.append(number(Decimal(repr(dose["doseRange"][end]["value"]))))
    repeat = dosage.get("timing", {}).get("repeat", {})
    said += [str(int(time[:2])) for time in repeat.get("timeOfDay", [])]
    said += [str(repeat["frequency"])] if repeat.get("frequency", 1) > 1 else []
    said += [number(Decimal(repr(repeat["period"])))] if repeat.get("period", 1) not in (1, 1.0) else []
    if "maxDosePerAdministration" in dosage:
        said.append(number(Decimal(repr(dosage["maxDosePerAdministration"]["value"]))))
    return said


def test_a_sentence_made_from_the_structure_leaves_no_number_out() -> None:
    """Without the prescriber's words, each dose, time, interval and maximum still stands in the sentence."""
    for path in samples():
        bundle = orjson.loads(path.read_bytes())
        for entry in bundle["entry"]:
            entry["resource"].pop("note", None)
            entry["resource"].pop("extension", None)
        requests = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "MedicationRequest"]
        for one, resource in zip(fhir.read_prescriptions(bundle).lines, requests, strict=True):
            found = re.findall(r"\d[\d\u00a0\u202f]*(?:,\d+)?", one.sentence)
            for dosage in resource["dosageInstruction"]:
                for value in _numbers(dosage):
                    assert value in found, (path.name, value, one.sentence)
                for told in dosage.get("additionalInstruction", ()):
                    assert told["text"].strip() in one.sentence


def test_a_structure_is_what_the_gateway_accepts() -> None:
    """The structured part is a posology of the hub, once words are put beside it."""
    for path in samples():
        for one in fhir.read_prescriptions(orjson.loads(path.read_bytes())).lines:
            if one.structured:
                made = Posology.model_validate({**one.structured, "text": one.sentence})
                assert made.structured


@pytest.mark.parametrize(
    ("name", "structured"),
    [
        ("HAS-04a-Presc-Paracetamol", {"every": ("6", "h"), "dose": "2", "duration": ("10", "d")}),
        ("HAS-02-Presc-Fluindione", {"every": ("1", "d"), "dose": "0.5"}),
        ("HAS-31-Presc-DUROGESIC", {"every": ("72", "h"), "dose": "1", "duration": ("2", "wk")}),
    ],
)
def test_a_regular_interval_is_structured(name: str, structured: dict[str, Any]) -> None:
    """Every so often, a dose, for so long: CI-SIS has it all."""
    dosage = line(name).structured["dosage"]
    assert (dosage["timing"][0]["period"]["value"], dosage["timing"][0]["period"]["unit"]) == structured["every"]
    assert dosage["dose"]["low"]["value"] == structured["dose"]
    if "duration" in structured:
        assert (dosage["duration"]["value"], dosage["duration"]["unit"]) == structured["duration"]


def test_times_of_day_are_dated_instants() -> None:
    """7 h, 12 h and 18 h are three intakes a day, in the offset of Paris."""
    timing = line("HAS-09-Presc-Ropinirole").structured["dosage"]["timing"]
    assert [t["at"][11:] for t in timing] == ["07:00:00+02:00", "12:00:00+02:00", "18:00:00+02:00"]
    assert {t["period"]["unit"] for t in timing} == {"d"}


def test_before_breakfast_is_an_event_with_its_delay() -> None:
    """30 minutes before breakfast: ACM and an offset."""
    (timing,) = line("HAS-27-2-presc-Rifampicine").structured["dosage"]["timing"]
    assert (timing["event"], timing["offset"]["value"], timing["offset"]["unit"]) == ("ACM", "30", "min")


def test_three_times_a_day_is_never_every_eight_hours() -> None:
    """A frequency that CI-SIS has no form for stays in words; dose and dates keep their structure."""
    one = only(request(timing={"repeat": {"frequency": 3, "period": 1, "periodUnit": "d"}}, doseAndRate=dose(1)))
    assert "timing" not in one.structured["dosage"]
    assert one.structured["dosage"]["dose"]["low"]["value"] == "1"
    assert one.text_only == ("3 fois par jour",)
    assert "3 fois par jour" in one.sentence


def dose(value: float) -> list[dict[str, Any]]:
    """A dose in tablets."""
    return [{"doseQuantity": {"value": value, "unit": "comprimé"}}]


def days(value: int) -> dict[str, Any]:
    """A number of days."""
    return {"value": value, "code": "d", "system": "http://unitsofmeasure.org"}


RATE = {"numerator": {"value": 500, "unit": "mL"}, "denominator": {"value": 12, "unit": "h"}}


@pytest.mark.parametrize(
    ("repeat", "words"),
    [
        ({"frequency": 1, "frequencyMax": 2, "period": 1, "periodUnit": "d"}, "1 à 2 fois par jour"),
        ({"frequency": 1, "period": 6, "periodMax": 8, "periodUnit": "h"}, "toutes les 6 à 8 heures"),
        ({"dayOfWeek": ["mon", "thu"], "timeOfDay": ["08:00:00"]}, "le lundi et le jeudi, à 8 h"),
        ({"when": ["MORN", "EVE"]}, "le matin et le soir"),
        ({"when": ["ACM"], "timeOfDay": ["07:30:00"]}, "avant le petit-déjeuner, à 7 h 30"),
        ({"frequency": 2, "period": 3, "periodUnit": "wk"}, "2 fois par période de 3 semaines"),
        ({"when": ["HS"], "frequency": 1, "period": 2, "periodUnit": "d"}, "tous les 2 jours, au coucher"),
        ({"frequency": 4, "periodUnit": "d"}, "4 fois par jour"),
    ],
)
def test_a_frequency_without_a_form_goes_to_words_whole(repeat: dict[str, Any], words: str) -> None:
    """All or nothing: a part of a frequency alone would order something else."""
    one = only(request(timing={"repeat": repeat}, doseAndRate=dose(1)))
    assert "timing" not in one.structured["dosage"]
    assert one.text_only == (words,)
    assert words in one.sentence
    assert [i.fate for i in fhir.read_prescriptions(request(timing={"repeat": repeat})).loss.items].count("textOnly")


@pytest.mark.parametrize(
    ("dosage", "words"),
    [
        ({"timing": {"repeat": {"duration": 20, "durationUnit": "min"}}}, "durée d'administration : 20 minutes"),
        ({"timing": {"repeat": {"count": 5}}}, "5 administrations en tout"),
        ({"maxDosePerAdministration": {"value": 2, "unit": "comprimé"}}, "maximum 2 comprimés par prise"),
        ({"maxDosePerLifetime": {"value": 550, "unit": "mg"}}, "maximum 550 mg pour toute la vie"),
        ({"method": {"text": "en bolus"}}, "en bolus"),
        ({"route": {"text": "par sonde"}}, "par sonde"),
        ({"doseAndRate": [{"rateRatio": RATE}]}, "débit : 500 mL en 12 h"),
        ({"doseAndRate": [{"doseRange": {"high": {"value": 2, "unit": "comprimé"}}}]}, "au maximum 2 comprimés"),
        ({"timing": {"repeat": {"boundsRange": {"low": days(5), "high": days(7)}}}}, "pendant 5 à 7 jours"),
    ],
)
def test_what_has_no_form_is_said(dosage: dict[str, Any], words: str) -> None:
    """Lengths of intake, counts, maxima per intake, odd rates: in the sentence and in the list of words."""
    one = only(request(**dosage))
    assert words in one.text_only
    assert words in one.sentence


def test_a_rate_for_one_unit_is_structured() -> None:
    """400 µg for one minute is 400 µg/min, exactly."""
    rate = line("Presc-PerfDobutamine-Qsp40mL").structured["dosage"]["rate"]
    assert (rate["low"]["value"], rate["low"]["unit"]) == ("400", "ug/min")


def test_tapering_doses_are_steps_in_order() -> None:
    """6 mg, then 4 mg, then 2 mg."""
    structured = line("Presc-Methylpredinosolone-DosesEvolutives").structured
    assert structured["mode"] == "tapered"
    assert [s["dose"]["low"]["value"] for s in structured["steps"]] == ["6", "4", "2"]


def test_a_calculated_dose_beside_the_ordered_one_is_only_words() -> None:
    """1800 mg is ordered; 1000 mg/m² says where it comes from."""
    one = line("Presc-Capecitabine-Dose-Calculee")
    assert one.structured["dosage"]["dose"]["low"]["value"] == "1800"
    assert one.text_only == ("dose calculée : 1000 mg/m²",)


def test_a_reference_that_misses_the_only_medicine_is_mended_aloud() -> None:
    """One line, one medicine: it is taken, and a finding says so."""
    reading = fhir.read_prescriptions(load("Presc-Betamethasone-ApplCut"))
    assert reading.lines[0].medication.label == "BETAMETHASONE"
    assert "FHIR-READ-043" in {f.code for f in reading.findings}


def test_a_medicine_described_nowhere_is_a_clinical_loss() -> None:
    """Two lines and a dangling reference: nothing is guessed."""
    bundle = load("MultiLine-Presc-METFORMINE-GLICLAZIDE")
    requests = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "MedicationRequest"]
    requests[0].pop("medicationCodeableConcept")
    requests[0]["medicationReference"] = {"reference": "#nowhere"}
    reading = fhir.read_prescriptions(bundle)
    assert reading.loss.refuses
    assert reading.lines[0].medication.label == "Médicament non décrit dans le Bundle"


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error", "stopped", "draft"])
def test_a_dead_line_is_not_a_prescription(status: str) -> None:
    """A cancelled line is lost, aloud."""
    reading = fhir.read_prescriptions({**request(text="1 par jour"), "status": status})
    assert reading.lines == ()
    assert reading.loss.refuses


def test_removing_one_line_removes_exactly_that_line() -> None:
    """The other lines of the Bundle do not change."""
    bundle = load("MultiLine-Presc-METHOTREXATE-LEDERFOLINE")
    before = fhir.read_prescriptions(bundle).lines
    fewer = copy.deepcopy(bundle)
    at = next(i for i, e in enumerate(fewer["entry"]) if e["resource"]["resourceType"] == "MedicationRequest")
    del fewer["entry"][at]
    after = fhir.read_prescriptions(fewer).lines
    assert [(one.medication, one.posology) for one in after] == [(one.medication, one.posology) for one in before[1:]]


@pytest.mark.parametrize("value", [None, [], "x", {"resourceType": "Patient"}, {"resourceType": "Bundle"}])
def test_what_is_not_fhir_is_refused(value: Any) -> None:
    """Neither a Bundle nor a MedicationRequest."""
    with pytest.raises(fhir.UnreadableBundle):
        fhir.read_prescriptions(value)


def test_an_instruction_that_is_a_sentence_starts_one() -> None:
    """« ... par jour. Stop si nausées », not « ... par jour, Stop si nausées »; a fragment goes on after a comma."""
    dosage: dict[str, Any] = {
        "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}},
        "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "comprimé"}}],
    }
    for words, joint in (("Stop si nausées", ". "), ("en une prise", ", ")):
        one = only(request(**dosage, patientInstruction=words))
        assert one.posology.text == f"1 comprimé tous les jours{joint}{words}"
