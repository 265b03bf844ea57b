"""The published form of lines, products and entries: what another reader of these Bundles relies on."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from mappings import fhir
from mappings.fhir.ids import derived_id
from mappings.fhir.names import EXTENSIONS, PROFILES, oid_of, uri_of
from tests.support import documents

Json = dict[str, Any]
MARKS = {"ald": False, "workAccident": False, "prevention": False, "notReimbursable": False, "offLabel": False}


def written(value: Json) -> Json:
    """The Bundle of a document."""
    found: Json = orjson.loads(orjson.dumps(fhir.write(documents.load(value)).bundle))
    return found


def of(bundle: Json, kind: str) -> list[Json]:
    """The resources of a type."""
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


def target(bundle: Json, reference: Json) -> Json:
    """What a reference is to."""
    found: Json = next(e["resource"] for e in bundle["entry"] if e["fullUrl"] == reference["reference"])
    return found


def line(posology: Json, **more: Any) -> Json:
    """The MedicationRequest of one line."""
    value = documents.prescription()
    value["lines"] = [
        {"kind": "medication", "medication": {"name": "ESSAI"}, "posology": posology, "marks": MARKS, **more}
    ]
    return of(written(value), "MedicationRequest")[0]


def extension(resource: Json, name: str) -> Json:
    """One extension."""
    found: Json = next(e for e in resource["extension"] if e["url"] == EXTENSIONS[name])
    return found


def dose(low: str, high: str | None = None, unit: str = "{tablet}") -> Json:
    """A dose."""
    return {"low": {"value": low, "unit": unit}, "high": {"value": high or low, "unit": unit}}


# --- Prescription --------------------------------------------------------------------------------------------------


def test_a_line_is_completed_an_order_and_says_its_substitution() -> None:
    """status, intent and substitution are what fr-medication-request-document fixes."""
    first, second = of(written(documents.prescription()), "MedicationRequest")
    assert (first["status"], first["intent"]) == ("completed", "order")
    assert first["substitution"]["allowedCodeableConcept"]["coding"][0]["code"] == "G"
    assert second["substitution"]["allowedCodeableConcept"]["coding"][0]["code"] == "N"
    assert second["substitution"]["reason"] == {"text": "MTE"}
    assert first["identifier"] == [
        {"system": "urn:ietf:rfc:3986", "value": "urn:uuid:11111111-1111-4111-8111-111111111111"}
    ]


def test_the_number_of_the_prescription_stands_on_every_line_and_on_the_event() -> None:
    """EPU number: groupIdentifier of each line, identifier of the main event."""
    bundle = written(documents.prescription())
    number = {"system": "urn:oid:1.2.250.1.215.500.1.1", "value": "EPU000000000000042"}
    lines = of(bundle, "MedicationRequest") + of(bundle, "DeviceRequest")
    assert [x["groupIdentifier"] for x in lines] == [number] * 3
    assert of(bundle, "Composition")[0]["event"][0]["detail"] == [{"identifier": number}]


def test_the_marks_are_observations_true_and_false() -> None:
    """ALD, work accident and prevention: all three said, whichever they are."""
    bundle = written(documents.prescription())
    for resource, ald in zip(of(bundle, "MedicationRequest"), (False, True), strict=True):
        said = [target(bundle, r) for r in resource["reasonReference"]]
        assert [(s["code"]["coding"][0]["code"], s["valueBoolean"]) for s in said] == [
            ("MED-574", ald),
            ("GEN-180", False),
            ("GEN-295", False),
        ]
        assert said[0]["meta"]["profile"] == [PROFILES["observation-ald"]]
        assert extension(resource, "off-label")["extension"][0] == {"url": "isOffLabelUse", "valueBoolean": False}
        assert extension(resource, "not-covered")["valueBoolean"] is False


def test_the_validity_of_the_prescription_is_that_of_a_line_that_has_none() -> None:
    """event.period and dispenseRequest.validityPeriod."""
    bundle = written(documents.prescription())
    period = of(bundle, "Composition")[0]["event"][0]["period"]
    assert of(bundle, "MedicationRequest")[0]["dispenseRequest"]["validityPeriod"] == period
    own = line({"text": "1 par jour"}, renewalPeriod={"start": "2026-12-01"})
    assert own["dispenseRequest"]["validityPeriod"] == {"start": "2026-12-01"}


def test_a_fixed_dose_is_a_range_in_a_request_and_a_quantity_in_a_statement() -> None:
    """The two profiles differ; a true range stays one in both."""
    request = line({"dosage": {"dose": dose("1")}})["dosageInstruction"][0]["doseAndRate"][0]
    assert request == {"doseRange": {"low": {"value": 1, "unit": "{tablet}"}, "high": {"value": 1, "unit": "{tablet}"}}}
    statement = of(written(documents.summary()), "MedicationStatement")[0]["dosage"][0]["doseAndRate"][0]
    assert statement == {"doseQuantity": {"value": 1, "unit": "{tablet}"}}
    value = documents.summary()
    value["treatments"]["entries"][0]["posology"]["dosage"]["dose"] = dose("1", "2", "mg")
    ranged = of(written(value), "MedicationStatement")[0]["dosage"][0]["doseAndRate"][0]
    assert ranged["doseRange"]["high"] == {"value": 2, "system": "http://unitsofmeasure.org", "code": "mg"}


@pytest.mark.parametrize(
    ("timing", "repeat"),
    [
        ({"kind": "every", "period": {"value": "8", "unit": "h"}}, {"frequency": 1, "period": 8, "periodUnit": "h"}),
        ({"kind": "every", "at": "2026-11-20T08:00:00+01:00"}, {"timeOfDay": ["08:00:00"]}),
        ({"kind": "event", "event": "ACM", "offset": {"value": "1", "unit": "h"}}, {"when": ["ACM"], "offset": 60}),
        ({"kind": "event", "event": "HS"}, {"when": ["HS"]}),
    ],
)
def test_timings_take_the_form_of_the_table(timing: Json, repeat: Json) -> None:
    """Every 8 h is frequency 1, period 8; never 3 a day."""
    made = line({"dosage": {"timing": [timing], "dose": dose("1")}})["dosageInstruction"]
    assert len(made) == 1
    assert made[0]["timing"]["repeat"] == repeat


def test_events_alike_share_one_instruction_and_others_get_their_own() -> None:
    """Morning and evening meals together, every two days apart."""
    timings = [
        {"kind": "event", "event": "ACM"},
        {"kind": "event", "event": "ACV"},
        {"kind": "every", "period": {"value": "2", "unit": "d"}},
    ]
    made = line({"dosage": {"timing": timings, "dose": dose("1")}})["dosageInstruction"]
    assert [d["timing"]["repeat"].get("when") for d in made] == [["ACM", "ACV"], None]
    assert [d["id"] for d in made] == ["main", "main.2"]


def test_a_timing_that_fhir_cannot_say_is_named_and_stays_in_words() -> None:
    """Between meals (IC) has no code in R4."""
    value = documents.prescription()
    value["lines"][0]["posology"] = {"dosage": {"timing": [{"kind": "event", "event": "IC"}], "dose": dose("1")}}
    result = fhir.write(documents.load(value))
    assert [(i.place, str(i.fate)) for i in result.loss.items if i.fate != "carried"] == [
        ("/lines/0/posology/dosage/timing", "textOnly")
    ]
    resource = next(
        e["resource"] for e in result.bundle["entry"] if e["resource"]["resourceType"] == "MedicationRequest"
    )
    assert "repas" in resource["dosageInstruction"][0]["text"]
    assert "timing" not in resource["dosageInstruction"][0]


def test_words_alone_are_enough_and_stay_to_the_letter() -> None:
    """A text-only line: dosageInstruction.text."""
    made = line({"text": "1 comprimé le matin à jeun"}, patientInstruction="Boire de l'eau")
    assert made["dosageInstruction"] == [
        {"text": "1 comprimé le matin à jeun", "additionalInstruction": [{"text": "Boire de l'eau"}]}
    ]


def test_a_structured_line_without_words_gets_its_sentence() -> None:
    """The sentence is made from the structure."""
    made = line({"dosage": {"timing": [{"kind": "every", "period": {"value": "8", "unit": "h"}}], "dose": dose("1")}})
    assert made["dosageInstruction"][0]["text"] == "1 comprimé toutes les 8 heures"


def test_steps_are_instructions_in_order_with_their_mode_in_a_tag() -> None:
    """Tapered: sequence kept, the whole sentence in the R5 extension, the CDA templateId as tag."""
    posology = {
        "mode": "tapered",
        "text": "2 puis 1",
        "steps": [{"sequence": 1, "dose": dose("2")}, {"sequence": 2, "dose": dose("1")}],
    }
    made = line(posology)
    assert [d["sequence"] for d in made["dosageInstruction"]] == [1, 2]
    assert extension(made, "rendered-request")["valueMarkdown"] == "2 puis 1"
    assert made["meta"]["tag"] == [{"system": "urn:ietf:rfc:3986", "code": "urn:oid:1.3.6.1.4.1.19376.1.5.3.1.4.8"}]


def test_a_medicine_holds_its_codes_name_class_and_package() -> None:
    """BDPM for CIS and CIP alike, told apart by length; ATC as classification."""
    medicine = of(written(documents.prescription()), "Medication")[0]
    assert [c["system"] for c in medicine["code"]["coding"]] == ["https://smt.esante.gouv.fr/terminologie-bdpm"] * 2
    assert extension(medicine, "product-name")["valueString"] == "PARACETAMOL 1 g, comprimé"
    assert extension(medicine, "classification")["valueCodeableConcept"]["coding"][0]["code"] == "N02BE01"


def test_a_preparation_has_no_code_and_says_so() -> None:
    """nullFlavor NA is data-absent-reason not-applicable; the formula is the text."""
    value = documents.prescription()
    value["lines"][0]["medication"] = {"preparation": "Vaseline 30 g, menthol 1 g"}
    medicine = of(written(value), "Medication")[0]
    assert medicine["code"]["extension"][0]["valueCode"] == "not-applicable"
    assert medicine["code"]["text"] == "Vaseline 30 g, menthol 1 g"


def test_a_device_line_is_a_device_request() -> None:
    """codeReference to a Device, period, quantity, renewals in a note."""
    bundle = written(documents.prescription())
    (request,) = of(bundle, "DeviceRequest")
    device = target(bundle, request["codeReference"])
    assert device["type"]["coding"] == [{"system": "urn:oid:1.2.250.1.215.200.2.1", "code": "1215702"}]
    assert request["occurrencePeriod"] == {"start": "2026-11-20", "end": "2027-05-20"}
    assert request["note"] == [{"text": "non renouvelable"}]


def test_measures_pregnancy_comment_code_and_copy_have_their_sections() -> None:
    """Everything a prescription may hold beside its lines."""
    value = documents.prescription()
    value |= {
        "weight": {"value": "72.5", "unit": "kg"},
        "height": {"value": "170", "unit": "cm"},
        "pregnant": True,
        "comment": "Première ligne\nSeconde <ligne>",
        "codeImage": b"\x89PNG",
        "pdf": documents.PDF,
        "contextMarks": ["MED-1096"],
    }
    bundle = written(value)
    composition = of(bundle, "Composition")[0]
    codes = [s["code"]["coding"][0]["code"] for s in composition["section"]]
    assert codes == ["57723-9", "57828-6", "46264-8", "55112-7", "8716-3", "10162-6", "55108-5"]
    assert composition["section"][-1]["title"] == "Copie du document"
    assert "Première ligne<br/>Seconde &lt;ligne&gt;" in composition["section"][3]["text"]["div"]
    assert composition["event"][-1] == {
        "code": [{"coding": [{"system": uri_of("1.2.250.1.213.1.1.4.322"), "code": "MED-1096"}]}]
    }
    assert of(bundle, "Media")[0]["content"]["contentType"] == "image/png"


def test_the_narrative_tells_people_what_the_entries_tell_programs() -> None:
    """Medicine, posology, marks and refusal to substitute are in the table."""
    composition = of(written(documents.prescription()), "Composition")[0]
    div = composition["section"][0]["text"]["div"]
    for words in ("PARACETAMOL 1 g", "toutes les 8 heures", "ALD", "non substituable (MTE)", "renouvelable 2 fois"):
        assert words in div


# --- Dispensation --------------------------------------------------------------------------------------------------


def test_a_product_given_points_at_its_line_and_its_prescription() -> None:
    """authorizingPrescription by identifier, event-basedOn to a ServiceRequest with the document and the number."""
    bundle = written(documents.dispensation())
    (given,) = of(bundle, "MedicationDispense")
    assert given["authorizingPrescription"][0]["identifier"]["value"].endswith("111111111111")
    assert given["type"]["coding"][0]["code"] == "FFP"
    assert given["substitution"]["wasSubstituted"] is True
    assert given["substitution"]["type"]["coding"][0]["code"] == "G"
    assert given["quantity"]["system"] == uri_of("0.4.0.127.0.16.1.1.2.1")
    assert given["note"][0]["text"].startswith("Une boîte en rupture")
    (order,) = of(bundle, "ServiceRequest")
    assert order["identifier"] == [{"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.250.1.999.9.2.101"}]
    assert order["requisition"]["value"] == "EPU000000000000042"


def test_a_line_not_dispensed_is_lost_aloud_but_is_no_clinical_loss() -> None:
    """Nothing was given: an event of the gateway, not a part of the document."""
    value = documents.dispensation()
    value["refused"] = [{"prescribedLine": "22222222-2222-4222-8222-222222222222", "reason": "Rupture"}]
    result = fhir.write(documents.load(value))
    assert [(i.place, str(i.fate)) for i in result.loss.items if i.fate != "carried"] == [("/refused", "lost")]
    assert not result.loss.refuses


# --- Summary -------------------------------------------------------------------------------------------------------


def test_a_summary_is_fr_ips_and_remembers_its_model() -> None:
    """Type 60591-5; VSM and its type in tags; the five required sections always."""
    composition = of(written(documents.summary()), "Composition")[0]
    assert composition["type"]["coding"][0]["code"] == "60591-5"
    assert [t["code"] for t in composition["meta"]["tag"]] == ["2023.01", "SYNTH"]
    sections = {s["code"]["coding"][0]["code"]: s for s in composition["section"]}
    for code in ("11450-4", "48765-2", "10160-0", "47519-4", "46264-8"):
        assert sections[code].get("entry") or sections[code]["emptyReason"]
    assert sections["46264-8"]["emptyReason"]["coding"][0]["code"] == "unavailable"
    assert "44944-7" in sections
    assert "11348-0" not in sections


def test_history_stands_with_the_problems_told_by_its_status() -> None:
    """Active and resolved in one section (FR Patient Summary)."""
    bundle = written(documents.summary())
    states = [c["clinicalStatus"]["coding"][0]["code"] for c in of(bundle, "Condition")]
    assert states == ["active", "resolved"]


@pytest.mark.parametrize(
    ("absence", "code"), [("none-known", "no-known-allergies"), ("no-information", "no-allergy-info")]
)
def test_none_known_and_no_information_are_told_apart(absence: str, code: str) -> None:
    """The IPS codes of absent and unknown."""
    value = documents.summary()
    value["allergies"] = {"absence": absence}
    (allergy,) = of(written(value), "AllergyIntolerance")
    assert allergy["code"]["coding"][0]["code"] == code


def test_an_act_only_planned_is_not_a_procedure() -> None:
    """A reader that ignores tags must not take it for done."""
    value = documents.summary()
    value["procedures"]["entries"][0]["planned"] = True
    bundle = written(value)
    assert of(bundle, "Procedure") == []
    (request,) = of(bundle, "ServiceRequest")
    assert (request["status"], request["intent"]) == ("active", "plan")


def test_the_severity_of_a_reaction_is_graded_and_exact() -> None:
    """The graver of two grades, and the SNOMED CT code beside."""
    value = documents.summary()
    value["allergies"]["entries"][0]["reactions"][0]["severity"] = {
        "code": "371924009",
        "system": "2.16.840.1.113883.6.96",
        "display": "modéré à sévère",
    }
    reaction = of(written(value), "AllergyIntolerance")[0]["reaction"][0]
    assert reaction["severity"] == "severe"
    exact = reaction["_severity"]["extension"][0]["valueCodeableConcept"]["coding"][0]
    assert exact["code"] == "371924009"


def test_an_entry_without_an_id_gets_the_one_its_cda_gets() -> None:
    """Derived from the document and the place, so that both forms name the same thing."""
    document = documents.load(documents.summary())
    condition = of(written(documents.summary()), "Condition")[0]
    assert document.id is not None
    expected = derived_id(document.id, "/problems/entries/0")
    assert condition["identifier"][0]["value"] == f"urn:uuid:{expected}"


# --- Tables --------------------------------------------------------------------------------------------------------


def test_no_canonical_stands_outside_the_table() -> None:
    """Draft canonicals move: the code spells none (terminology.hl7.org and XHTML namespaces apart)."""
    from pathlib import Path

    import conformance.fhir
    import mappings.fhir

    for package in (mappings.fhir, conformance.fhir):
        for path in Path(str(package.__file__)).parent.glob("*.py"):
            found = re.findall(r"https?://[^\s\"'`)]+", path.read_text())
            assert set(found) <= {"http://www.w3.org/1999/xhtml", "http://unitsofmeasure.org"}, (path.name, found)


def test_every_terminology_reads_back_from_all_its_addresses() -> None:
    """URI, aliases and urn:oid give the OID; writing uses the first."""
    from mappings.fhir.names import NAMES

    for row in NAMES["terminologies"]:
        code = {"1.2.250.1.213.2.3.1": "60234100", "1.2.250.1.213.2.3.2": "3400933516390"}.get(row["oid"], "x")
        for uri in (row["uri"], *row.get("aliases", ()), f"urn:oid:{row['oid']}"):
            assert oid_of(uri, code) == row["oid"], uri
        assert uri_of(row["oid"], code) == row["uri"]
    assert uri_of("1.2.250.1.213.2.3.1", "123") == "urn:oid:1.2.250.1.213.2.3.1"
    assert uri_of("1.2.3.4") == "urn:oid:1.2.3.4"
    assert oid_of("https://exemple.fr/inconnue") is None
