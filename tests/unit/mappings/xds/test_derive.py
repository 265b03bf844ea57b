"""From a CDA header to a document entry."""

from __future__ import annotations

import hashlib

import pytest

from mappings.xds import Code, PatientId, document_entry, replaced_unique_id, signature_entry, vocabulary
from mappings.xds.times import utc_dtm
from security import xml
from tests.support import outside
from tests.support.cda_samples import INS, TEST_AUTHORITY, canonical_cda, level1_cda


def test_every_attribute_comes_from_the_header():
    """A level-1 document gives all attributes that the DMP asks for, times in UTC."""
    data, root = canonical_cda()
    entry = document_entry(root, data)
    assert entry.unique_id == "1.2.250.1.999.9.2.1"
    assert entry.patient_id == PatientId(value=INS, authority=TEST_AUTHORITY, id_type="NH")
    assert entry.source_patient_id == PatientId(value="IPP42", authority="1.2.250.1.999.9.5", id_type="PI")
    assert entry.source_patient_info == ("PID-5|PAT-TROIS^DOMINIQUE^^^^^L", "PID-7|19790328", "PID-8|F")
    assert entry.creation_time == "20260110083000"
    assert (entry.service_start_time, entry.service_stop_time) == ("20260110080000", "20260110082000")
    assert entry.class_code == Code(code="10", scheme="1.2.250.1.213.1.1.4.1", display="Compte rendu")
    assert entry.type_code is not None
    assert entry.type_code.code == "11488-4"
    assert entry.format_code is not None
    assert entry.format_code.code == "urn:ihe:iti:xds-sd:pdf:2008"
    assert entry.facility_type is not None
    assert entry.facility_type.code == "SA07"
    assert entry.practice_setting is not None
    assert entry.practice_setting.code == "AMBULATOIRE"
    assert [event.code for event in entry.events] == ["34117-2"]
    assert entry.language == "fr-FR"
    assert entry.legal_authenticator is not None
    assert entry.legal_authenticator.family == "KERVELLA"
    (author,) = entry.authors
    assert author.roles == ("Médecin traitant",)
    assert author.specialties[0].code == "G15_10/SM54"
    assert author.institutions[0].id == "1290099887"


def test_hash_and_size_are_of_the_exact_bytes():
    """Hash and size describe the bytes given, not a re-serialisation."""
    data, root = canonical_cda()
    entry = document_entry(root, data + b"\n")
    assert entry.hash == hashlib.sha1(data + b"\n", usedforsecurity=False).hexdigest()
    assert entry.size == len(data) + 1


def test_without_a_local_number_the_source_patient_is_the_ins():
    """sourcePatientId falls back to the INS."""
    data, root = canonical_cda(local_id=None)
    entry = document_entry(root, data)
    assert entry.source_patient_id == entry.patient_id


def test_without_an_ins_there_is_no_patient_id():
    """A document about an unqualified identity has a source patient only."""
    data, root = canonical_cda(ins=None)
    entry = document_entry(root, data)
    assert entry.patient_id is None
    assert entry.source_patient_id is not None
    assert entry.source_patient_id.id_type == "PI"


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("MASQUE_PS", "MASQUE_PS"),
        ("INVISIBLE_PATIENT", "INVISIBLE_PATIENT"),
        ("INVISIBLE_REPRESENTANTS_LEGAUX", "INVISIBLE_REPRESENTANTS_LEGAUX"),
        ("INVISIBLE_REPRENSANTS_LEGAUX", "INVISIBLE_REPRESENTANTS_LEGAUX"),
        ("INVISIBLE_REP_LEGAUX", "INVISIBLE_REPRESENTANTS_LEGAUX"),
    ],
)
def test_visibility_is_added_to_the_base_code(asked: str, written: str):
    """A restriction is a second code of TRE_A07, in its right spelling."""
    data, root = canonical_cda()
    entry = document_entry(root, data, visibility=frozenset({asked}))
    assert [(c.code, c.scheme) for c in entry.confidentiality] == [
        ("N", vocabulary.CONFIDENTIALITY_SCHEME),
        (written, vocabulary.VISIBILITY_SCHEME),
    ]


def test_an_unknown_restriction_is_refused():
    """A visibility code that TRE_A07 does not know raises."""
    data, root = canonical_cda()
    with pytest.raises(ValueError, match="SECRET"):
        document_entry(root, data, visibility=frozenset({"SECRET"}))


@pytest.mark.parametrize(
    ("media", "code"),
    [
        ("application/pdf", "urn:ihe:iti:xds-sd:pdf:2008"),
        ("text/plain", "urn:ihe:iti:xds-sd:text:2008"),
        ("text/rtf", "urn:ihe:iti-fr:xds-sd:rtf:2010"),
        ("image/jpeg", "urn:ihe:iti-fr:xds-sd:jpeg:2010"),
        ("image/tiff", "urn:ihe:iti-fr:xds-sd:tiff:2010"),
    ],
)
def test_format_follows_the_media_type_of_an_unstructured_body(media: str, code: str):
    """Each media type of ASS_A12 has its format code."""
    data, root = canonical_cda(media=media)
    entry = document_entry(root, data)
    assert entry.format_code is not None
    assert entry.format_code.code == code


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ("1.2.250.1.213.1.1.1.13", "urn:asip:ci-sis:vsm:2012"),
        ("1.2.250.1.213.1.1.1.39", "urn:ihe:pharm:pre:2010"),
        ("1.2.250.1.213.1.1.1.54", "urn:ihe:pharm:dis:2010"),
        ("1.2.3.4.5", "urn:asipSante:modelesHorsProfils:2011"),
    ],
)
def test_format_of_a_structured_document_follows_its_model(template: str, code: str):
    """The model's templateId decides; an unknown model has the code for models out of profiles."""
    generic = ["2.16.840.1.113883.2.8.2.1", "1.2.250.1.213.1.1.1.1"]
    assert vocabulary.format_of_model([*generic, template]).code == code


@pytest.mark.parametrize(
    ("type_code", "class_code"),
    [("SYNTH", "11"), ("57833-6", "42"), ("60593-1", "43"), ("18748-4", "31"), ("CERT_DECL", "52"), ("REMB", "60")],
)
def test_class_follows_the_type(type_code: str, class_code: str):
    """The class is that of ASS_X04."""
    row = vocabulary.class_of_type(type_code)
    assert row is not None
    assert row[0] == class_code


def test_every_type_of_the_official_set_has_a_class():
    """No type of JDV_J07 is left without a class."""
    path = outside.packs() / "ans-cda" / "jeuxDeValeurs" / "JDV_J07_XdsTypeCode_CISIS.xml"
    codes = {node.get("code") for node in xml.parse(path.read_bytes()).iter("{urn:ihe:iti:svs:2008}Concept")}
    assert codes
    assert [code for code in codes if vocabulary.class_of_type(code) is None] == []


def test_the_replaced_document_is_named_by_its_unique_id():
    """relatedDocument RPLC gives the uniqueId of the replaced entry; without one, None."""
    assert replaced_unique_id(xml.parse(level1_cda(replaces=["1.2.250.1.999.9.2.0"]))) == "1.2.250.1.999.9.2.0"
    assert replaced_unique_id(xml.parse(level1_cda())) is None


def test_the_signature_entry_describes_the_signature():
    """The signature of a set is an entry of its own kind, hidden from all, about the same patient."""
    data, root = canonical_cda()
    signed = document_entry(root, data)
    entry = signature_entry(
        signed=signed,
        signature=b"<s/>",
        unique_id="1.2.250.1.999.9.1.2",
        signing_time="20260110083100",
        signer=signed.authors[0],
    )
    assert entry.type_code == Code(code="E1762", scheme="ASTM", display="Full Document")
    assert entry.language == "art"
    assert {c.code for c in entry.confidentiality} == {"N", "MASQUE_PS", "INVISIBLE_PATIENT"}
    assert entry.patient_id == signed.patient_id
    assert entry.source_patient_info == ()
    assert entry.size == 4


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("20260110093000+0100", "20260110083000"),
        ("20260701003000+0200", "20260630223000"),
        ("202601100930+0100", "202601100830"),
        ("2026011009+0100", "2026011008"),
        ("2026011009+0530", "202601100330"),
        ("20260110", "20260110"),
        ("202601", "202601"),
        ("20260110093000", "20260110083000"),
        ("20260110093000.123+0100", "20260110083000"),
        ("20261340093000+0100", ""),
        ("hier", ""),
        ("", ""),
    ],
)
def test_times_become_utc_at_their_precision(local: str, utc: str):
    """A local time with offset becomes UTC; a date stays a date; an unreadable one is left out."""
    assert utc_dtm(local) == utc


@pytest.mark.parametrize(
    "name", ["VSM_1.4_2022.01", "eP-MED-DM_2024.01_PosoStruct", "eDISP-MED_2024.01", "IPS-FR_2024.01"]
)
def test_official_examples_give_complete_metadata(name: str):
    """The header of each official example yields every attribute that a submission needs."""
    from mappings.xds.check import check_entry

    data = (outside.packs() / "ans-cda" / "ExemplesCDA" / f"{name}.xml").read_bytes()
    root = xml.parse(data, xml.CDA_LIMITS)
    verdict = check_entry(document_entry(root, data), needs_ins=False)
    assert [(f.code, f.location) for f in verdict.errors] == []
