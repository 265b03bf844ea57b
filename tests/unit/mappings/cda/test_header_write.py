"""The CDA header as written: CI-SIS structuration minimale, with what the official rules do not catch."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from mappings import cda
from mappings.cda.people_write import address_parts
from mappings.document.values import Address
from tests.support import documents
from tests.unit.mappings.cda.support import find, one, tree, written

CODE = {"code": "X", "system": "1.2.3", "display": "x"}


@pytest.fixture
def report() -> dict[str, Any]:
    """A report."""
    return documents.report()


def test_the_bytes_are_canonical_and_have_no_declaration(report: dict[str, Any]) -> None:
    """What is digested is what is sent: no declaration, no self-closed element, same bytes each time."""
    first, second = (cda.write(documents.load(report)).data for _ in range(2))
    assert first == second
    assert first.startswith(b"<ClinicalDocument xmlns=")
    assert b"/>" not in first


def test_the_elements_stand_in_the_order_of_the_model(report: dict[str, Any]) -> None:
    """The official rules impose it; here for every optional part."""
    report |= {
        "dataEnterer": {"professional": documents.DOCTOR},
        "informants": [{"professional": documents.DOCTOR}, {"related": {"family": "LE GOFF"}}],
        "recipients": [{"id": documents.DOCTOR["id"], "family": "LE GOFF"}],
        "authenticators": [{"professional": documents.DOCTOR}],
        "participants": [{"type": "INF", "id": documents.DOCTOR["id"], "family": "LE GOFF"}],
        "orders": [{"id": {"root": "1.2.3"}, "accessionNumber": {"root": "1.2.4", "extension": "A1"}}],
        "replaces": {"id": {"root": "1.2.5"}, "versionNumber": 1},
        "consents": [{"code": CODE}],
    }
    names = [re.sub("{.*}", "", str(child.tag)) for child in written(report)]
    assert list(dict.fromkeys(names)) == [
        "realmCode",
        "typeId",
        "templateId",
        "id",
        "code",
        "title",
        "effectiveTime",
        "confidentialityCode",
        "languageCode",
        "setId",
        "versionNumber",
        "recordTarget",
        "author",
        "dataEnterer",
        "informant",
        "custodian",
        "informationRecipient",
        "legalAuthenticator",
        "authenticator",
        "participant",
        "inFulfillmentOf",
        "documentationOf",
        "relatedDocument",
        "authorization",
        "componentOf",
        "component",
    ]


def test_the_document_id_is_an_oid_alone(report: dict[str, Any]) -> None:
    """The DMP refuses an extension on it; the writer writes what it is given."""
    root = written(report)
    assert dict(one(root, "h:id").attrib) == {"root": "1.2.250.1.999.9.2.1"}
    assert one(root, "h:effectiveTime").get("value") == "20261120100000+0100"
    assert dict(one(root, "h:typeId").attrib) == {"root": "2.16.840.1.113883.1.3", "extension": "POCD_HD000040"}


# --- Patient --------------------------------------------------------------------------------------


def test_a_qualified_identity_gives_its_ins(report: dict[str, Any]) -> None:
    """INS first, then the local identifiers; names by qualifier."""
    report["patient"]["usedName"] = "USAGE"
    role = one(written(report), "h:recordTarget/h:patientRole")
    assert [e.get("root") for e in find(role, "h:id")] == ["1.2.250.1.213.1.4.10", "1.2.250.1.999.9.5"]
    names = [(e.get("qualifier"), e.text) for e in one(role, "h:patient/h:name")]
    assert names == [("BR", "PAT-TROIS"), (None, "DOMINIQUE MARIE-LOUISE"), ("BR", "DOMINIQUE"), ("CL", "USAGE")]
    assert find(role, "string(h:patient/h:birthplace/h:place/h:addr/h:county)") == "51215"


@pytest.mark.parametrize(
    "identity",
    [
        {"status": "validee"},
        {"status": "recuperee"},
        {"status": "provisoire"},
        {"attributes": ["douteux"]},
        {"attributes": ["fictif"]},
    ],
)
def test_without_a_qualified_identity_the_ins_stays_at_home(report: dict[str, Any], identity: dict[str, Any]) -> None:
    """The matricule stands nowhere in the bytes, and the loss report names it."""
    report["patient"] |= identity
    out = cda.write(documents.load(report))
    assert b"279035121518989" not in out.data
    assert [e.get("root") for e in find(tree(out.data), "//h:patientRole/h:id")] == ["1.2.250.1.999.9.5"]
    assert "/patient/ins" in {item.place for item in out.loss.items if item.fate == "lost"}


def test_a_patient_without_any_identifier_is_refused_by_name(report: dict[str, Any]) -> None:
    """Neither a qualified INS nor an IPP: the error says which part, never whose."""
    report["patient"] |= {"identifiers": [], "status": "provisoire"}
    with pytest.raises(cda.MissingPart) as caught:
        cda.write(documents.load(report))
    assert (caught.value.code, caught.value.place) == ("CDA-WRITE-002", "/patient/identifiers")
    assert "PAT-TROIS" not in str(caught.value)


def test_equal_identifiers_addresses_and_telecoms_are_written_once(report: dict[str, Any]) -> None:
    """CI-SIS refuses the same one twice under one parent."""
    for name in ("identifiers", "addresses", "telecoms"):
        report["patient"][name] = report["patient"][name] * 2
    role = one(written(report), "//h:patientRole")
    assert [len(find(role, path)) for path in ("h:id", "h:addr", "h:telecom")] == [2, 1, 1]


def test_death_multiple_birth_and_guardian_have_their_elements(report: dict[str, Any]) -> None:
    """The SDTC extensions, in the order of the schema."""
    report["patient"] |= {
        "deceasedAt": "2026-11-01",
        "multipleBirthOrder": 2,
        "guardian": {"relationClass": "GUARD", "family": "TUTEUR"},
        "birthPlaceName": "EXEMPLE-SUR-MER",
    }
    patient = one(written(report), "//h:patient")
    names = [re.sub("{.*}", "", str(child.tag)) for child in patient]
    assert names == [
        "name",
        "administrativeGenderCode",
        "birthTime",
        "deceasedInd",
        "deceasedTime",
        "multipleBirthInd",
        "multipleBirthOrderNumber",
        "guardian",
        "birthplace",
    ]
    assert one(patient, "s:deceasedInd").get("value") == "true"
    assert find(patient, "string(h:birthplace/h:place/h:name)") == "EXEMPLE-SUR-MER"


@pytest.mark.parametrize(("sex", "code"), [("M", "M"), ("F", "F"), ("I", "UN")])
def test_an_undetermined_sex_is_un(report: dict[str, Any], sex: str, code: str) -> None:
    """JDV_J143."""
    report["patient"]["sex"] = sex
    assert one(written(report), "//h:administrativeGenderCode").get("code") == code


# --- Addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ({"lines": ("A", "B")}, [("streetAddressLine", "A"), ("streetAddressLine", "B")]),
        ({"city": "X"}, [("city", "X")]),
        ({"lines": ("1 rue A",), "city": "X"}, [("streetName", "1 rue A"), ("city", "X")]),
        (
            {"lines": ("Apt 3", "Bât. B", "4 rue C", "Lieu-dit", "BP 1"), "postal_code": "29000", "country": "FRANCE"},
            [
                ("unitID", "Apt 3"),
                ("additionalLocator", "Bât. B"),
                ("streetName", "4 rue C"),
                ("precinct", "Lieu-dit"),
                ("postBox", "BP 1"),
                ("postalCode", "29000"),
                ("country", "FRANCE"),
            ],
        ),
        (
            {"lines": ("Lieu-dit Ker", "Bourg"), "city": "X"},
            [("additionalLocator", "Lieu-dit Ker"), ("streetName", "Bourg"), ("city", "X")],
        ),
        (
            {"lines": ("a", "b", "c", "1 d", "e", "f", "g"), "city": "X"},
            [
                ("unitID", "a, b"),
                ("additionalLocator", "c"),
                ("streetName", "1 d"),
                ("precinct", "e"),
                ("postBox", "f, g"),
                ("city", "X"),
            ],
        ),
    ],
)
def test_an_address_has_lines_or_parts_never_both(address: dict[str, Any], parts: list[tuple[str, str]]) -> None:
    """Parts each at most once, in the order of a French envelope."""
    assert address_parts(Address(**address)) == parts


# --- Who answers ----------------------------------------------------------------------------------


def test_what_is_absent_is_taken_from_the_author(report: dict[str, Any]) -> None:
    """Legal authenticator: the first professional; custodian: his structure; time: the document's."""
    del report["custodian"]
    del report["authors"][0]["time"]
    root = written(report)
    assert one(root, "h:author/h:time").get("value") == "20261120100000+0100"
    assert find(root, "string(h:legalAuthenticator//h:family)") == "KERVELLA"
    assert find(root, "string(h:custodian//h:id/@extension)") == documents.STRUCTURE["id"]["extension"]


def test_a_custodian_has_one_address_one_telecom_and_no_setting(report: dict[str, Any]) -> None:
    """CI-SIS header section 6; what does not fit is in the loss report."""
    kept = copy.deepcopy(documents.STRUCTURE)
    kept["telecoms"].append({"value": "tel:0298000002"})
    report["custodian"] = kept
    out = cda.write(documents.load(report))
    custodian = one(tree(out.data), "//h:representedCustodianOrganization")
    assert [re.sub("{.*}", "", str(child.tag)) for child in custodian] == ["id", "name", "telecom", "addr"]
    lost = {item.place for item in out.loss.items if item.fate == "lost"}
    assert {"/custodian/practiceSetting", "/custodian/telecoms"} <= lost


def test_a_device_alone_leaves_nobody_to_answer(report: dict[str, Any]) -> None:
    """A machine signs nothing: the error names the legal authenticator."""
    report["authors"] = [
        {"device": {"id": {"root": "1.2.3", "extension": "a"}, "manufacturerModel": "M", "software": "S"}}
    ]
    with pytest.raises(cda.MissingPart) as caught:
        cda.write(documents.load(report))
    assert caught.value.place == "/legalAuthenticator"


@pytest.mark.parametrize("member", ["id", "setId"])
def test_document_identifiers_are_not_made_up(report: dict[str, Any], member: str) -> None:
    """The caller gives them: drawing one here would change the bytes at each call."""
    del report[member]
    with pytest.raises(ValueError, match="CDA-WRITE-001") as caught:
        cda.write(documents.load(report))
    assert isinstance(caught.value, cda.MissingPart)
    assert caught.value.place == f"/{member}"


def test_a_custodian_without_identifier_is_refused(report: dict[str, Any]) -> None:
    """The header rules impose it."""
    report["custodian"] = {"name": "SANS NUMERO"}
    with pytest.raises(cda.MissingPart) as caught:
        cda.write(documents.load(report))
    assert caught.value.place == "/custodian"


def test_a_control_character_is_refused_with_its_place(report: dict[str, Any]) -> None:
    """XML cannot hold it, and dropping it would be a silent loss."""
    report["authors"][0]["professional"] = {**documents.DOCTOR, "given": "Odi\x07le"}
    with pytest.raises(cda.Unwritable) as caught:
        cda.write(documents.load(report))
    assert (caught.value.code, caught.value.place) == ("CDA-WRITE-005", "/authors/0/professional/given")


# --- Acts and links -------------------------------------------------------------------------------


def test_the_main_act_takes_the_type_of_the_document_when_it_has_no_code(report: dict[str, Any]) -> None:
    """XDS eventCodeList comes from it."""
    del report["acts"][0]["code"]
    report["acts"].append({"code": CODE, "informative": True})
    events = find(written(report), "//h:serviceEvent")
    assert [(e.get("classCode"), find(e, "string(h:code/@code)")) for e in events] == [
        ("ACT", "11488-4"),
        ("INFO", "X"),
    ]


def test_a_new_version_names_the_one_it_replaces(report: dict[str, Any]) -> None:
    """RPLC, the id of the former version, its number."""
    report |= {"versionNumber": 2, "replaces": {"id": {"root": "1.2.5"}, "versionNumber": 1}}
    related = one(written(report), "h:relatedDocument")
    assert related.get("typeCode") == "RPLC"
    assert one(related, "h:parentDocument/h:versionNumber").get("value") == "1"


def test_every_level_of_visibility_is_said_to_be_elsewhere(report: dict[str, Any]) -> None:
    """XDS metadata hold it; the CDA stays at N."""
    report["visibility"] = {"hiddenFromPatient": True}
    out = cda.write(documents.load(report))
    assert one(tree(out.data), "h:confidentialityCode").get("code") == "N"
    assert "/visibility" in {item.place for item in out.loss.items if item.fate == "lost"}
    assert not out.loss.refuses
