"""What is said of incomplete or contradictory metadata."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mappings.xds import Author, PatientId, vocabulary
from mappings.xds.check import check_entry, check_submission, check_submission_set
from mappings.xds.derive import confidentiality_codes
from tests.unit.mappings.xds.test_ebrim import a_submission


def codes(verdict) -> list[str]:  # type: ignore[no-untyped-def]
    return [finding.code for finding in verdict.findings]


def test_a_whole_submission_is_clean():
    """Complete metadata raises nothing."""
    assert codes(check_submission(a_submission())) == []


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"unique_id": ""}, "/uniqueId"),
        ({"patient_id": None}, "/patientId"),
        ({"source_patient_id": None}, "/sourcePatientId"),
        ({"title": ""}, "/title"),
        ({"creation_time": ""}, "/creationTime"),
        ({"language": ""}, "/languageCode"),
        ({"legal_authenticator": None}, "/legalAuthenticator"),
        ({"service_start_time": ""}, "/serviceStartTime"),
        ({"authors": ()}, "/author"),
        ({"authors": (Author(),)}, "/author[1]/authorPerson"),
        ({"type_code": None}, "/typeCode"),
        ({"format_code": None}, "/formatCode"),
        ({"confidentiality": ()}, "/confidentialityCode"),
        ({"facility_type": None}, "/healthcareFacilityTypeCode"),
        ({"practice_setting": None}, "/practiceSettingCode"),
        ({"mime_type": ""}, "/mimeType"),
    ],
)
def test_each_missing_attribute_is_named(change: dict[str, object], place: str):
    """A required attribute that is absent is a finding at its place."""
    entry = replace(a_submission().entries[0], **change)  # type: ignore[arg-type]
    found = [f for f in check_entry(entry).errors if f.code == "XDS-META-001"]
    assert [f.location for f in found] == [f"/DocumentEntry[D1]{place}"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"unique_id": "urn:uuid:1"}, "XDS-META-002"),
        ({"unique_id": "1.2." + "3" * 80}, "XDS-META-002"),
        ({"creation_time": "20269910"}, "XDS-META-002"),
        ({"hash": ""}, "XDS-META-002"),
        ({"size": None}, "XDS-META-002"),
        ({"patient_id": PatientId(value="1", authority="1.2.3")}, "XDS-META-003"),
        ({"class_code": None}, "XDS-META-004"),
    ],
)
def test_wrong_forms_are_findings(change: dict[str, object], code: str):
    """A value of the wrong form has its own rule."""
    entry = replace(a_submission().entries[0], **change)  # type: ignore[arg-type]
    assert codes(check_entry(entry)) == [code]


def test_hidden_from_all_is_refused_unless_the_dmp_allows_it():
    """MASQUE_PS with INVISIBLE_PATIENT depends on the parameter of the DMP."""
    entry = a_submission(confidentiality=confidentiality_codes(None, ("MASQUE_PS", "INVISIBLE_PATIENT"))).entries[0]
    assert codes(check_entry(entry)) == ["XDS-META-005"]
    assert codes(check_entry(entry, both_restrictions=True)) == []


def test_a_repeated_base_code_is_refused():
    """One base code only."""
    base = confidentiality_codes(None)[0]
    assert codes(check_entry(a_submission(confidentiality=(base, base)).entries[0])) == ["XDS-META-005"]


def test_another_patient_in_the_set_is_refused():
    """All entries of a set are about its patient."""
    sent = a_submission()
    other = replace(sent.entries[0], patient_id=PatientId(value="1", authority="1.2.250.1.213.1.4.10"))
    assert codes(check_submission(replace(sent, entries=(other,)))) == ["XDS-META-006"]


def test_the_same_document_twice_is_refused():
    """A uniqueId stands once in a set."""
    sent = a_submission()
    again = replace(sent.entries[0], entry_uuid="D2")
    link = replace(sent.associations[0], target="D2")
    both = replace(sent, entries=(*sent.entries, again), associations=(*sent.associations, link))
    assert codes(check_submission(both)) == ["XDS-META-007"]


def test_a_document_outside_the_set_is_refused():
    """Each document has its HasMember, and a link ends somewhere."""
    sent = a_submission()
    assert codes(check_submission(replace(sent, associations=()))) == ["XDS-META-008"]
    lost = replace(sent.associations[0], kind=vocabulary.ASSOCIATION_SIGNS, source="Nowhere")
    assert codes(check_submission(replace(sent, associations=(*sent.associations, lost)))) == ["XDS-META-008"]


@pytest.mark.parametrize("name", ["unique_id", "source_id", "submission_time"])
def test_each_missing_attribute_of_the_set_is_named(name: str):
    """A set without one of its attributes is incomplete."""
    assert codes(check_submission_set(replace(a_submission().submission_set, **{name: ""}))) == ["XDS-META-001"]


def test_a_set_has_one_sender():
    """Two authors on a submission set are one too many."""
    sent = a_submission().submission_set
    assert codes(check_submission_set(replace(sent, authors=sent.authors * 2))) == ["XDS-META-002"]
