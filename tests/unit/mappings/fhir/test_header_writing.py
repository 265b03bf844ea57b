"""The header of a document Bundle: its shape, its people, its identity, its determinism."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from mappings import fhir
from mappings.fhir.names import EXTENSIONS
from tests.support import documents, fhir_tools


def written(value: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The Bundle of a sample document."""
    return fhir.write(documents.load(value), **options).bundle


def resources(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The resources of a kind in a Bundle."""
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


def references(value: Any) -> list[str]:
    """Every reference in a value."""
    if isinstance(value, dict):
        found = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return found + [r for v in value.values() for r in references(v)]
    if isinstance(value, list):
        return [r for v in value for r in references(v)]
    return []


def extension(resource: dict[str, Any], name: str) -> dict[str, Any]:
    """The one extension of a resource by its short name."""
    (found,) = [e for e in resource["extension"] if e["url"] == EXTENSIONS[name]]
    return found


def full_header() -> dict[str, Any]:
    """A report whose header holds everything a header may hold."""
    value = documents.report()
    other = {**documents.DOCTOR, "id": {"root": "1.2.250.1.71.4.2.1", "extension": "810123456781"}, "given": "Ana"}
    value["authors"].append(
        {
            "device": {
                "id": {"root": "1.2.250.1.999.9.7", "extension": "1"},
                "manufacturerModel": "Automate X",
                "software": "Suite 3",
                "code": {"code": "AUTOMATE", "system": "1.2.250.1.213.1.1.4.6"},
                "organization": documents.STRUCTURE,
            }
        }
    )
    relative = {
        "relationClass": "ECON",
        "relation": {"code": "MTH", "system": "2.16.840.1.113883.5.111", "display": "Mère"},
        "family": "PAT-TROIS",
        "given": "Rose",
        "telecoms": [{"value": "tel:0611111111", "use": "MC"}],
    }
    value["patient"] |= {
        "guardian": relative,
        "usedName": "DURAND",
        "usedGivenName": "Dom",
        "birthPlaceName": "Châlons",
        "deceased": False,
        "multipleBirthOrder": 2,
        "attributes": ["homonyme"],
    }
    value |= {
        "replaces": {"id": {"root": "1.2.250.1.999.9.2.999"}, "versionNumber": 1},
        "versionNumber": 2,
        "legalAuthenticator": {"professional": documents.DOCTOR},
        "authenticators": [{"professional": other, "time": "2026-11-20T11:00:00+01:00"}],
        "dataEnterer": {"professional": other},
        "informants": [{"related": relative}, {"professional": other}],
        "recipients": [{"family": "LE GOFF", "telecoms": [{"value": "mailto:box@exemple.mssante.fr"}]}],
        "participants": [
            {
                "type": "INF",
                "function": {"code": "PCP", "system": "2.16.840.1.113883.5.88", "display": "Médecin traitant"},
                "id": other["id"],
                "family": "KERVELLA",
                "code": documents.DOCTOR["specialty"],
            }
        ],
        "orders": [{"id": {"root": "1.2.250.1.999.9.8", "extension": "D1"}, "accessionNumber": {"root": "1.2.3"}}],
        "consents": [{"code": {"code": "CONS", "system": "1.2.250.1.213.1.1.4.322", "display": "Non-opposition"}}],
        "visibility": {"maskedFromProfessionals": True},
    }
    value["acts"].append({"code": {"code": "MED-1096", "system": "1.2.250.1.213.1.1.4.322"}, "informative": True})
    value["encounter"] |= {
        "id": {"root": "1.2.250.1.999.9.10", "extension": "V1"},
        "responsible": documents.DOCTOR,
        "participants": [["CON", other]],
        "locationName": "Cabinet",
        "locationAddress": {"city": "QUIMPER", "use": "HP"},
        "dischargeDisposition": {"code": "home", "system": "2.16.840.1.113883.6.1"},
    }
    return value


def test_the_bundle_begins_with_composition_and_patient_and_follows_the_order() -> None:
    """Order: Composition, Patient, role of the author, person, structure, encounter, place, then the content."""
    kinds = [e["resource"]["resourceType"] for e in written(documents.report())["entry"]]
    assert kinds == [
        "Composition",
        "Patient",
        "PractitionerRole",
        "Practitioner",
        "Organization",
        "Organization",
        "Encounter",
        "Location",
        "DocumentReference",
    ]


@pytest.mark.parametrize("make", [documents.report, full_header])
def test_every_reference_is_the_address_of_one_entry(make: Any) -> None:
    """References are URNs of the Bundle, and each address is that of its resource, once."""
    bundle = written(make())
    addresses = [e["fullUrl"] for e in bundle["entry"]]
    assert len(set(addresses)) == len(addresses)
    assert [f"urn:uuid:{e['resource']['id']}" for e in bundle["entry"]] == addresses
    assert set(references(bundle)) <= set(addresses)
    assert set(references(bundle)) == set(addresses[1:])


@pytest.mark.parametrize("make", [documents.report, full_header])
def test_outside_checkers_find_nothing(make: Any, tmp_path: Path) -> None:
    """The base schema, the profiles of the pack and fhir.resources all accept the Bundle, which comes back the same."""
    bundle = written(make())
    assert fhir_tools.base_errors(bundle) == []
    code, words = fhir_tools.profile_report([bundle], tmp_path)
    assert code == 0, words
    assert json.loads(Bundle.model_validate(bundle).model_dump_json()) == bundle


def test_the_same_document_gives_the_same_bundle_and_another_does_not_share_ids() -> None:
    """Ids come from the document's id and the place: nothing is drawn."""
    first = written(documents.report(1))
    assert written(documents.report(1)) == first
    other = {e["fullUrl"] for e in written(documents.report(2))["entry"]}
    assert not other & {e["fullUrl"] for e in first["entry"]}


def test_equal_people_are_written_once() -> None:
    """The doctor who wrote, signed and acted is one PractitionerRole."""
    bundle = written(documents.report())
    assert len(resources(bundle, "Practitioner")) == 1
    composition = bundle["entry"][0]["resource"]
    assert composition["author"][0]["reference"] == composition["attester"][0]["party"]["reference"]


def test_an_ins_leaves_only_with_a_qualified_identity() -> None:
    """A validated identity is written without its INS, and the report says so."""
    value = documents.report()
    assert "279035121518989" in json.dumps(written(value))
    value["patient"]["status"] = "validee"
    result = fhir.write(documents.load(value))
    assert "279035121518989" not in json.dumps(result.bundle)
    assert [item.place for item in result.loss.items if item.fate == "lost"] == ["/patient/ins"]


def test_the_identity_status_follows_the_model_chosen() -> None:
    """The published FR Core says VALI with an INS; the ballot says QUAL."""
    for model, code in (("published", "VALI"), ("ballot", "QUAL")):
        patient = resources(written(documents.report(), identity_model=model), "Patient")[0]
        parts = {p["url"]: p for p in extension(patient, "identity-reliability")["extension"]}
        assert parts["identityStatus"]["valueCoding"]["code"] == code
        assert parts["validationMode"]["valueCoding"]["code"] == "CN"
        assert parts["dateInterrogationINSi"]["valueDate"] == "2026-11-02"


def test_identifiers_of_people_and_structures_come_in_both_forms() -> None:
    """IDNPS and RPPS, IDNST and FINESS: a reader of either finds one it knows."""
    bundle = written(documents.report())
    (doctor,) = resources(bundle, "Practitioner")
    assert [(i["type"]["coding"][0]["code"], i["value"]) for i in doctor["identifier"]] == [
        ("IDNPS", "899700218896"),
        ("RPPS", "99700218896"),
    ]
    codes = {i["type"]["coding"][0]["code"] for o in resources(bundle, "Organization") for i in o["identifier"]}
    assert codes == {"IDNST", "FINEG"}


def test_profession_and_specialty_are_two_codings() -> None:
    """G15_10/SM54 of CDA is TRE_G15 10 and TRE_R38 SM54."""
    (role, *_) = resources(written(documents.report()), "PractitionerRole")
    assert role["code"][0]["coding"][0]["code"] == "10"
    assert role["specialty"][0]["coding"][0]["code"] == "SM54"


def test_the_header_holds_every_participation() -> None:
    """Data enterer, informants, recipients, participants, consents and orders are extensions of the Composition."""
    composition = written(full_header())["entry"][0]["resource"]
    urls = [e["url"] for e in composition["extension"]]
    for name, count in {
        "version": 1,
        "data-enterer": 1,
        "informant": 2,
        "recipient": 1,
        "participant": 1,
        "consent": 1,
        "based-on": 1,
    }.items():
        assert urls.count(EXTENSIONS[name]) == count, name
    assert extension(composition, "version")["valueString"] == "2"
    assert composition["status"] == "amended"
    assert composition["relatesTo"][0]["code"] == "replaces"
    assert composition["meta"]["security"][0]["code"] == "MASQUE_PS"
    assert [a["mode"] for a in composition["attester"]] == ["legal", "professional"]


def test_the_main_act_is_marked_and_a_context_mark_says_its_class() -> None:
    """One principal event with its performer; a mark of context carries INFO."""
    events = written(full_header())["entry"][0]["resource"]["event"]
    assert [any(e["url"] == EXTENSIONS["principal-event"] for e in event.get("extension", [])) for event in events] == [
        True,
        False,
    ]
    assert events[1]["code"][1]["coding"][0]["code"] == "INFO"


def test_category_is_the_class_of_the_type() -> None:
    """A consultation report is of class 10 (JDV_J06)."""
    assert written(documents.report())["entry"][0]["resource"]["category"][0]["coding"][0]["code"] == "10"


def test_the_timestamp_is_the_document_date_unless_given() -> None:
    """The instant at which the Bundle is put together is an argument, never the clock."""
    assert written(documents.report())["timestamp"] == "2026-11-20T10:00:00+01:00"
    when = "2026-11-21T08:00:00+01:00"
    assert written(documents.report(), timestamp=when)["timestamp"] == when


@pytest.mark.parametrize(
    ("member", "code"), [("id", "FHIR-WRITE-001"), ("custodian", "FHIR-WRITE-002")], ids=["id", "custodian"]
)
def test_a_document_without_what_a_bundle_needs_is_refused(member: str, code: str) -> None:
    """No id, no custodian: refused with a code, a place and what to do."""
    value = documents.report()
    del value[member]
    value["authors"][0]["professional"] = {**documents.DOCTOR, "organization": None}
    with pytest.raises(fhir.Unwritable) as caught:
        written(value)
    assert (caught.value.code, caught.value.place) == (code, f"/{member}")
    assert caught.value.finding.as_json()["fix"]


def test_a_device_alone_cannot_be_responsible() -> None:
    """A document written by a machine needs someone legally responsible."""
    value = documents.report()
    value["authors"] = full_header()["authors"][1:]
    with pytest.raises(fhir.Unwritable, match="FHIR-WRITE-003"):
        written(value)
