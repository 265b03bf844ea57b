"""What the reader takes from others, and what it says it could not keep."""

from __future__ import annotations

import copy

import orjson
import pytest

from mappings import fhir
from mappings.fhir.names import EXTENSIONS
from mappings.loss import Fate
from tests.support import documents
from tests.unit.mappings.fhir.bundles import Json, add, bundle, drop, head, lost, of

# --- Tolerance ---------------------------------------------------------------------------------------------------


def relative(value: Json) -> Json:
    """The same Bundle with Type/id references and absolute addresses, as a server gives it."""
    names = {e["fullUrl"]: f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in value["entry"]}
    text = orjson.dumps(value).decode()
    for address, name in names.items():
        text = text.replace(f'"reference":"{address}"', f'"reference":"{name}"')
        text = text.replace(f'"fullUrl":"{address}"', f'"fullUrl":"https://exemple.fr/fhir/{name}"')
    found: Json = orjson.loads(text)
    return found


@pytest.mark.parametrize("kind", ["report", "prescription", "dispensation", "summary"])
def test_relative_references_read_the_same(kind: str) -> None:
    """``Patient/1`` under a server's address is the same document."""
    assert fhir.read(relative(bundle(kind))).document == fhir.read(bundle(kind)).document


ALIASES = {
    "https://smt.esante.gouv.fr/terminologie-atc": "http://www.whocc.no/atc",
    "https://smt.esante.gouv.fr/terminologie-standardterms": "http://standardterms.edqm.eu",
    "https://smt.esante.gouv.fr/terminologie-cim-10": "http://hl7.org/fhir/sid/icd-10",
    "https://smt.esante.gouv.fr/fhir/CodeSystem/terminologie-cisis": "urn:oid:1.2.250.1.213.1.1.4.322",
    "http://loinc.org": "urn:oid:2.16.840.1.113883.6.1",
    "http://snomed.info/sct": "urn:oid:2.16.840.1.113883.6.96",
    "https://finess.esante.gouv.fr": "http://finess.sante.gouv.fr",
}


@pytest.mark.parametrize("kind", ["report", "prescription", "dispensation", "summary"])
def test_both_families_of_addresses_read_the_same(kind: str) -> None:
    """The other URI of a terminology, or its OID, is the same terminology."""
    text = orjson.dumps(bundle(kind)).decode()
    for ours, other in ALIASES.items():
        text = text.replace(f'"{ours}"', f'"{other}"')
    assert fhir.read(orjson.loads(text)).document == fhir.read(bundle(kind)).document


@pytest.mark.parametrize("kept", [0, 1])
def test_one_form_of_an_identifier_is_enough(kept: int) -> None:
    """IDNPS or RPPS, IDNST or FINESS alone: the national identifier is the same."""
    value = bundle()
    for kind in ("Practitioner", "Organization"):
        for entry in value["entry"]:
            if entry["resource"]["resourceType"] == kind:
                entry["resource"]["identifier"] = [entry["resource"]["identifier"][kept]]
    assert fhir.read(value).document == fhir.read(bundle()).document


def test_a_practitioner_without_a_role_is_read() -> None:
    """A bare Practitioner as author: identity without structure."""
    value = bundle()
    address = next(e["fullUrl"] for e in value["entry"] if e["resource"]["resourceType"] == "Practitioner")
    head(value)["author"][0]["reference"] = address
    author = fhir.read(value).document.authors[0].professional
    assert author is not None
    assert author.family == "KERVELLA"
    assert author.organization is None


def test_the_new_identity_status_is_read() -> None:
    """QUAL of the FR Core ballot, comments as CodeableConcept."""
    made = documents.report()
    made["patient"]["attributes"] = ["homonyme"]
    value = orjson.loads(orjson.dumps(fhir.write(documents.load(made), identity_model="ballot").bundle))
    patient = fhir.read(value).document.patient
    assert (patient.status, patient.attributes) == ("qualifiee", ("homonyme",))


def test_a_billing_number_is_not_an_ins() -> None:
    """The system is that of the INS, the type says NH: decide on the type."""
    value = bundle()
    identifier = of(value, "Patient")["identifier"][0]
    identifier["system"] = "urn:oid:1.2.250.1.213.1.4.8"
    identifier["type"] = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "NH"}]}
    reading = fhir.read(value)
    assert reading.document.patient.ins is None
    assert [i.place for i in reading.loss.items if i.fate is Fate.LOST] == ["/entry/1/resource/identifier/0"]


def test_a_uuid_document_id_becomes_its_oid() -> None:
    """``urn:uuid:`` as a document id is the OID 2.25 of the same number (X.667)."""
    value = bundle()
    value["identifier"] = {"system": "urn:ietf:rfc:3986", "value": "urn:uuid:00000000-0000-4000-8000-000000000001"}
    found = fhir.read(value).document.id
    assert found is not None
    assert found.root == f"2.25.{0x00000000000040008000000000000001}"


def test_history_in_a_section_of_its_own_is_read() -> None:
    """The document-core maps keep 11348-0: both forms give the same problems."""
    value = bundle("summary")
    section = next(s for s in head(value)["section"] if s["code"]["coding"][0]["code"] == "11450-4")
    own = copy.deepcopy(section)
    own["code"]["coding"][0]["code"] = "11348-0"
    own["entry"], section["entry"] = section["entry"][1:], section["entry"][:1]
    head(value)["section"].append(own)
    assert fhir.read(value).document == fhir.read(bundle("summary")).document


def test_nested_sections_are_flattened() -> None:
    """The containers of a VSM, kept by a sender, hold the same sections."""
    value = bundle("summary")
    head(value)["section"] = [{"title": "Historique", "section": head(value)["section"]}]
    assert fhir.read(value).document == fhir.read(bundle("summary")).document


def test_a_composition_that_is_not_first_is_a_finding() -> None:
    """Read all the same, and said."""
    value = bundle()
    value["entry"].append(value["entry"].pop(0))
    assert [f.code for f in fhir.read(value).findings] == ["FHIR-READ-004"]


def test_a_missing_document_id_is_a_finding() -> None:
    """The gateway gives one."""
    value = bundle()
    del value["identifier"]
    reading = fhir.read(value)
    assert reading.document.id is None
    assert [f.code for f in reading.findings] == ["FHIR-READ-005"]


def test_marks_that_are_not_said_are_false_and_named() -> None:
    """Senders write the true ones only."""
    value = bundle("prescription")
    for entry in value["entry"]:
        entry["resource"].pop("reasonReference", None)
    drop(value, "Observation")
    reading = fhir.read(value)
    assert {f.code for f in reading.findings} == {"FHIR-READ-052"}
    assert not any(line.marks.ald for line in reading.document.lines)


def test_dates_of_the_act_may_stand_in_the_encounter() -> None:
    """Maps of 08/2026 moved period and performer: event first, Encounter then."""
    value = bundle()
    event = head(value)["event"][0]
    del event["period"]
    event["extension"] = [e for e in event["extension"] if e["url"] != EXTENSIONS["event-performer"]]
    document = fhir.read(value).document
    assert document.acts[0].period == document.encounter.period
    assert document.acts[0].performer is not None


# --- Accounting ----------------------------------------------------------------------------------------------------


def test_an_unknown_element_is_named_where_it_stands() -> None:
    """Nothing is lost in silence: an element of a resource, of a part, an extension of someone else's."""
    value = bundle("prescription")
    line = of(value, "MedicationRequest")
    at = value["entry"].index(next(e for e in value["entry"] if e["resource"] is line))
    line["courseOfTherapyType"] = {"text": "continu"}
    line["dispenseRequest"]["dispenseInterval"] = {"value": 7, "code": "d"}
    line["extension"].append({"url": "https://exemple.fr/ext", "valueBoolean": True})
    place = f"/entry/{at}/resource"
    assert lost(value) == {
        f"{place}/courseOfTherapyType": False,
        f"{place}/dispenseRequest/dispenseInterval": False,
        f"{place}/extension/2": False,
    }


def test_another_prescriber_of_a_line_is_named() -> None:
    """The hub has one prescriber, the author: a line of someone else's says so in the report."""
    value = bundle("prescription")
    role = add(value, {"resourceType": "PractitionerRole"})
    of(value, "MedicationRequest")["requester"] = {"reference": role}
    of(value, "DeviceRequest")["authoredOn"] = "2025-01-01"
    places = lost(value)
    assert {p.rsplit("/", 1)[1] for p in places} == {"requester", "authoredOn"}


def test_what_an_observation_says_beside_its_value_is_named() -> None:
    """Method, body site, performer: no place in the hub, and no silence."""
    value = bundle("summary")
    habit = next(e["resource"] for e in value["entry"] if e["resource"]["resourceType"] == "Observation")
    habit |= {"method": {"text": "m"}, "bodySite": {"text": "b"}, "performer": [{"display": "p"}]}
    assert {p.rsplit("/", 1)[1] for p in lost(value)} == {"method", "bodySite", "performer"}


def test_a_modifier_extension_refuses() -> None:
    """What may change the meaning cannot be dropped without a word."""
    value = bundle("prescription")
    of(value, "MedicationRequest")["modifierExtension"] = [{"url": "https://exemple.fr/non", "valueBoolean": True}]
    assert fhir.read(value).loss.refuses


def test_an_entry_outside_the_composition_is_a_clinical_loss() -> None:
    """It says something about the patient that no section shows."""
    value = bundle("summary")
    add(value, {"resourceType": "Observation", "status": "final", "code": {"text": "x"}})
    assert lost(value) == {f"/entry/{len(value['entry']) - 1}/resource": True}


@pytest.mark.parametrize(
    ("kind", "member"),
    [
        ("Condition", "problems"),
        ("AllergyIntolerance", "allergies"),
        ("MedicationStatement", "treatments"),
        ("Procedure", "procedures"),
        ("FamilyMemberHistory", "family_history"),
    ],
)
def test_removing_one_entry_removes_exactly_that_entry(kind: str, member: str) -> None:
    """The rest of the document does not change."""
    value = bundle("summary")
    entry = next(e for e in value["entry"] if e["resource"]["resourceType"] == kind)
    for section in head(value)["section"]:
        section["entry"] = [r for r in section.get("entry", []) if r["reference"] != entry["fullUrl"]]
    whole, less = fhir.read(bundle("summary")).document, fhir.read(value).document
    found = getattr(less, member)
    assert len(found.entries if found else ()) == len(getattr(whole, member).entries) - 1
    for name in type(whole).model_fields:
        if name != member:
            assert getattr(less, name) == getattr(whole, name)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("MedicationRequest", {"doNotPerform": True}),
        ("MedicationRequest", {"status": "cancelled"}),
        ("MedicationRequest", {"intent": "proposal"}),
    ],
)
def test_a_line_that_is_no_order_is_not_read_as_one(kind: str, change: Json) -> None:
    """Not to be given, cancelled, only proposed: lost aloud, never prescribed."""
    value = bundle("prescription")
    of(value, kind).update(change)
    reading = fhir.read(value)
    assert len(reading.document.lines) == 2
    assert reading.loss.refuses


def test_what_was_entered_in_error_is_dropped_aloud() -> None:
    """It was never a fact."""
    value = bundle("summary")
    of(value, "AllergyIntolerance")["verificationStatus"] = {"coding": [{"code": "entered-in-error"}]}
    reading = fhir.read(value)
    assert reading.document.allergies is None
    assert [i.name for i in reading.loss.items if i.fate is Fate.LOST] == ["AllergyIntolerance"]


def test_a_treatment_not_taken_is_not_a_treatment() -> None:
    """status not-taken says the contrary of a treatment."""
    value = bundle("summary")
    of(value, "MedicationStatement")["status"] = "not-taken"
    assert fhir.read(value).loss.refuses


def test_an_unknown_terminology_keeps_the_words() -> None:
    """A code without an OID stays as text, and the report says so."""
    value = bundle("summary")
    of(value, "Condition")["code"] = {"coding": [{"system": "https://exemple.fr/cs", "code": "1", "display": "Goutte"}]}
    reading = fhir.read(value)
    assert reading.document.problems.entries[0].concept.text == "Goutte"
    assert [i.fate for i in reading.loss.items].count(Fate.TEXT_ONLY) == 1


def test_a_value_with_a_comparator_becomes_text() -> None:
    """Less than 5 is not 5."""
    made = documents.summary()
    made["results"] = {
        "entries": [
            {
                "code": {"code": "26436-6", "system": documents.LOINC},
                "results": [
                    {
                        "code": {"code": "1988-5", "system": documents.LOINC},
                        "value": {"quantity": {"value": "5", "unit": "mg/L"}},
                    }
                ],
            }
        ]
    }
    value = orjson.loads(orjson.dumps(fhir.write(documents.load(made)).bundle))
    found = next(e["resource"] for e in value["entry"] if "valueQuantity" in e["resource"])
    found["valueQuantity"]["comparator"] = "<"
    found["valueQuantity"]["unit"] = "mg/L"
    reading = fhir.read(value)
    assert reading.document.results.entries[0].results[0].value.text == "< 5 mg/L"


def test_a_section_that_a_summary_does_not_hold_is_a_clinical_loss() -> None:
    """Named by its place and its code."""
    value = bundle("summary")
    head(value)["section"].append(
        {
            "title": "Effets indésirables",
            "code": {"coding": [{"system": "http://loinc.org", "code": "44939-7"}]},
            "text": {"status": "additional", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'},
        }
    )
    assert list(lost(value).values()) == [True]
