"""Documents read: what the hub takes, what is reported, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from mappings import cda
from mappings.document import Dispensation, Prescription, Report
from security.errors import Unreadable, UnsafeInput
from tests.support import documents
from tests.unit.mappings.cda.support import changed, data_of, one, remove, setting

PRESCRIPTION = data_of(documents.prescription())
DISPENSATION = data_of(documents.dispensation())
REPORT = data_of(documents.report())


def codes(reading: cda.CdaReading) -> set[str]:
    """The codes of the findings."""
    return {finding.code for finding in reading.findings}


def lost(reading: cda.CdaReading) -> dict[str, str]:
    """What is lost: place and name."""
    return {item.place: item.name for item in reading.loss.items if item.fate == "lost"}


def prescription(reading: cda.CdaReading) -> Prescription:
    """The prescription that was read."""
    assert isinstance(reading.document, Prescription)
    return reading.document


def dispensation(reading: cda.CdaReading) -> Dispensation:
    """The dispensation that was read."""
    assert isinstance(reading.document, Dispensation)
    return reading.document


# --- What is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"<Bundle xmlns='http://hl7.org/fhir'/>", "CDA-READ-001"),
        (b"<ClinicalDocument/>", "CDA-READ-001"),
        (b"<ClinicalDocument xmlns='urn:hl7-org:v3'/>", "CDA-READ-002"),
    ],
)
def test_what_is_not_a_cda_is_refused_by_name(data: bytes, code: str) -> None:
    """A typed error with its place, in French."""
    with pytest.raises(cda.NotCda) as caught:
        cda.read(data)
    assert caught.value.code == code
    assert caught.value.text.fr


@pytest.mark.parametrize("data", [b"", b"{}", b"<a>", b"<!DOCTYPE a><a/>"])
def test_what_is_not_safe_xml_never_reaches_the_reader(data: bytes) -> None:
    """The hardened parser says it."""
    with pytest.raises((UnsafeInput, Unreadable)):
        cda.read(data)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("h:effectiveTime", "CDA-READ-002"),
        ("h:code", "CDA-READ-002"),
        ("h:author", "CDA-READ-002"),
        ("h:recordTarget", "CDA-READ-002"),
        ("h:recordTarget/h:patientRole", "CDA-READ-003"),
        ("//h:patient/h:birthTime", "CDA-READ-003"),
        ("//h:patient", "CDA-READ-003"),
        ("//h:nonXMLBody", "CDA-READ-004"),
        ("//h:nonXMLBody/h:text", "CDA-READ-004"),
    ],
)
def test_a_document_without_an_imposed_part_is_refused(path: str, code: str) -> None:
    """What the hub cannot do without."""
    with pytest.raises(cda.NotCda) as caught:
        cda.read(changed(REPORT, remove(path)))
    assert caught.value.code == code
    assert "PAT-TROIS" not in str(caught.value)


def test_a_file_of_a_type_that_is_only_read_passes() -> None:
    """JPEG is not written, but it is met."""
    document = cda.read(changed(REPORT, setting("//h:nonXMLBody/h:text", "mediaType", "image/jpg"))).document
    assert isinstance(document, Report)
    assert document.media_type == "image/jpeg"


@pytest.mark.parametrize(
    ("attribute", "value"), [("mediaType", "video/mp4"), ("mediaType", "text/plain"), ("representation", "TXT")]
)
def test_a_file_is_what_it_says_or_is_refused(attribute: str, value: str) -> None:
    """An unknown type, or bytes that are not of the type."""
    data = REPORT
    if value == "text/plain":
        data = changed(REPORT, lambda root: setattr(one(root, "//h:nonXMLBody/h:text"), "text", "/////w=="))
    with pytest.raises(cda.NotCda) as caught:
        cda.read(changed(data, setting("//h:nonXMLBody/h:text", attribute, value)))
    assert caught.value.code == "CDA-READ-004"


def test_a_prescription_without_lines_is_refused() -> None:
    """No line, no prescription."""
    with pytest.raises(cda.NotCda) as caught:
        cda.read(changed(PRESCRIPTION, remove("//h:entry[h:substanceAdministration or h:supply]")))
    assert caught.value.code == "CDA-READ-005"


# --- Header ---------------------------------------------------------------------------------------


def test_an_ins_in_the_document_means_a_qualified_identity() -> None:
    """CI-SIS writes it only then; the local identifiers stay beside."""
    patient = cda.read(REPORT).document.patient
    assert patient.qualified
    assert patient.identifiers[0].extension == "IPP42"
    without = cda.read(changed(REPORT, remove("//h:patientRole/h:id[1]"))).document.patient
    assert (without.ins, without.status) == (None, "provisoire")


def test_an_older_used_name_is_read_too() -> None:
    """SP was the qualifier of the used name before CL."""

    def older(root: Any) -> None:
        family = one(root, "//h:patient/h:name/h:family")
        family.set("qualifier", "SP")

    patient = cda.read(changed(REPORT, older)).document.patient
    assert patient.birth_name == patient.used_name == "PAT-TROIS"


def test_an_element_that_is_not_read_is_named() -> None:
    """Wherever it stands in the header, with its XPath."""

    def more(root: Any) -> None:
        role = one(root, "//h:patientRole")
        role.append(role.makeelement("{urn:hl7-org:v3}providerOrganization"))
        patient = one(root, "//h:patient")
        patient.append(patient.makeelement("{urn:hl7-org:v3}ethnicGroupCode"))

    reading = cda.read(changed(REPORT, more))
    assert lost(reading) == {
        "/ClinicalDocument/recordTarget/patientRole/providerOrganization": "providerOrganization",
        "/ClinicalDocument/recordTarget/patientRole/patient/ethnicGroupCode": "ethnicGroupCode",
    }
    assert not reading.loss.refuses


def test_only_a_replacement_is_a_link_of_versions() -> None:
    """APND and XFRM are outside the model: named."""
    value = documents.report() | {"replaces": {"id": {"root": "1.2.5"}}}
    reading = cda.read(changed(data_of(value), setting("h:relatedDocument", "typeCode", "APND")))
    assert reading.document.replaces is None
    assert lost(reading) == {"/ClinicalDocument/relatedDocument": "relatedDocument APND"}


def test_what_the_header_lacks_is_taken_from_elsewhere_and_said() -> None:
    """Main act without performer or start: the author and the date of the document; place without sector."""
    reading = cda.read(
        changed(
            changed(REPORT, remove("//h:serviceEvent/h:performer | //h:serviceEvent/h:effectiveTime")),
            remove("h:componentOf | //h:assignedAuthor/h:assignedPerson | h:legalAuthenticator//h:assignedPerson"),
        )
    )
    document = reading.document
    assert document.acts[0].performer is not None
    assert document.acts[0].period is not None
    assert document.acts[0].period.start == document.created_at
    assert document.encounter.facility.code == "UNK"
    assert {"CDA-READ-104", "CDA-READ-105"} <= codes(reading)


def test_a_date_alone_gets_a_time_and_a_finding() -> None:
    """The official rules accept it; the hub wants an instant."""
    reading = cda.read(changed(REPORT, setting("h:effectiveTime", "value", "202611")))
    assert reading.document.created_at == "2026-11-01T00:00:00+01:00"
    assert "CDA-READ-103" in codes(reading)


def test_a_value_of_the_wrong_form_is_left_out_and_named() -> None:
    """A telecom with an unknown scheme, a language, a confidentiality."""
    reading = cda.read(changed(REPORT, setting("//h:patientRole/h:telecom", "value", "skype:moi")))
    assert reading.document.patient.telecoms == ()
    assert "CDA-READ-104" in codes(reading)
    reading = cda.read(changed(REPORT, setting("h:confidentialityCode", "code", "MASQUE_PS")))
    assert reading.document.confidentiality == "N"


# --- Prescription ---------------------------------------------------------------------------------


def test_the_lines_come_back_whole() -> None:
    """Products, posology, marks, substitution, quantities."""
    document = prescription(cda.read(PRESCRIPTION))
    assert [line.kind for line in document.lines] == ["medication", "medication", "device"]
    first, second, _device = document.lines
    assert str(first.id) == "11111111-1111-4111-8111-111111111111"
    assert document.number == "EPU000000000000042"
    assert second.kind == "medication"
    assert second.marks.ald
    assert (second.substitution.permitted, second.substitution.reason, second.substitution.text) == (False, "MTE", None)


def test_an_unknown_section_and_an_unknown_relationship_are_named_as_clinical() -> None:
    """The caller must know before the conversion passes."""

    def more(root: Any) -> None:
        section = one(root, "//h:section[h:code/@code='55108-5']")
        one(section, "h:templateId").set("root", "1.2.3.4")
        line = one(root, "//h:entry[1]/h:substanceAdministration[h:id/@root='11111111-1111-4111-8111-111111111111']")
        act = one(line, "h:entryRelationship/h:act")
        one(act, "h:templateId[1]").set("root", "1.2.3.5")
        for other in act.findall("{*}templateId")[1:]:
            act.remove(other)

    reading = cda.read(changed(PRESCRIPTION, more))
    named = {item.name for item in reading.loss.items if item.fate != "carried"}
    assert "section 55108-5" in named
    assert any("1.2.3.5" in name for name in named)
    assert reading.loss.refuses
    assert prescription(reading).pdf is None


@pytest.mark.parametrize(
    ("template", "code"),
    [("1.2.250.1.213.1.1.3.87", "CDA-READ-107"), ("1.2.250.1.213.1.1.3.48.13", "CDA-READ-106")],
)
def test_a_silence_is_read_and_said(template: str, code: str) -> None:
    """A missing permission or mark has a default, and a finding that says it was assumed."""
    path = f"//h:entryRelationship[*/h:templateId/@root='{template}']"
    reading = cda.read(changed(PRESCRIPTION, remove(path)))
    assert code in codes(reading)
    assert len(prescription(reading).lines) == 3


def test_a_ban_without_motive_is_still_a_ban() -> None:
    """A permission must never come out of a silence."""
    path = "//h:act[h:templateId/@root='1.2.250.1.213.1.1.3.87']/h:code/h:originalText"
    reading = cda.read(changed(PRESCRIPTION, remove(path)))
    second = prescription(reading).lines[1]
    assert second.kind == "medication"
    assert not second.substitution.permitted
    assert "CDA-READ-108" in codes(reading)


def test_one_entry_less_is_exactly_one_line_less() -> None:
    """Nothing else moves."""
    whole = prescription(cda.read(PRESCRIPTION))
    cut = prescription(cda.read(changed(PRESCRIPTION, remove("(//h:entry[h:substanceAdministration])[1]"))))
    assert cut.lines == whole.lines[1:]
    assert cut.model_copy(update={"lines": whole.lines}) == whole


def test_an_entry_without_product_and_words_is_lost_by_name() -> None:
    """Clinical, with its place."""
    reading = cda.read(
        changed(
            PRESCRIPTION,
            remove(
                "(//h:entry/h:substanceAdministration)[1]/h:text |(//h:entry/h:substanceAdministration)[1]/h:consumable"
            ),
        )
    )
    assert reading.loss.refuses
    assert len(prescription(reading).lines) == 2


def test_every_section_and_entry_is_accounted_for() -> None:
    """The report of a whole document names each of them as carried."""
    reading = cda.read(PRESCRIPTION)
    carried = [item.name for item in reading.loss.items if item.fate == "carried"]
    assert carried.count("section") == 3
    assert carried.count("substanceAdministration") == 2
    assert carried.count("supply") == 1
    assert reading.loss.counts["lost"] == 0
    assert not reading.findings


# --- Dispensation ---------------------------------------------------------------------------------


def test_a_dispensation_comes_back_whole() -> None:
    """Link, completeness, product, note."""
    document = dispensation(cda.read(DISPENSATION))
    assert document.prescription_id is not None
    assert document.prescription_number == "EPU000000000000042"
    (line,) = document.lines
    assert (line.completeness, str(line.prescribed_line)) == ("FFP", "11111111-1111-4111-8111-111111111111")
    assert line.note == "Une boîte en rupture, à compléter"


@pytest.mark.parametrize("path", ["//h:supply/h:code", "//h:supply/h:quantity"])
def test_what_a_supply_lacks_is_assumed_and_said(path: str) -> None:
    """The official document has no completeness."""
    reading = cda.read(changed(DISPENSATION, remove(path)))
    assert "CDA-READ-104" in codes(reading)
    assert dispensation(reading).lines[0].quantity.value == 1


def test_a_dispensation_without_lines_is_refused() -> None:
    """No product given, no dispensation."""
    with pytest.raises(cda.NotCda) as caught:
        cda.read(changed(DISPENSATION, remove("//h:entry")))
    assert caught.value.code == "CDA-READ-005"


def test_a_line_that_forbids_is_no_prescription() -> None:
    """negationInd: lost aloud, never prescribed."""

    def deny(root: Any) -> None:
        next(root.iterfind(".//{*}entry/{*}substanceAdministration")).set("negationInd", "true")

    whole, less = cda.read(PRESCRIPTION), cda.read(changed(PRESCRIPTION, deny))
    assert len(prescription(less).lines) == len(prescription(whole).lines) - 1
    assert less.loss.refuses
