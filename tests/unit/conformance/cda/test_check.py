"""The check of a CDA as its callers see it."""

from __future__ import annotations

import pytest

from conformance.cda import check, resolve
from conformance.verdict import Severity
from security import xml
from security.xml import XmlLimits
from tests.support.cda import KINDS, OFFICIAL, changed, codes, official, one, tree, written

QUALIFIER = "recordTarget/patientRole/patient/name/family[2]"


@pytest.mark.parametrize("kind", KINDS)
def test_what_our_writers_make_has_no_fault(kind: str) -> None:
    """A document our writers make gives neither error nor warning."""
    assert check(written(kind), environment="test").findings == ()


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_examples_give_no_false_error(name: str) -> None:
    """An example the official rules accept is accepted here; warnings are fine."""
    assert check(official(name), environment="test").errors == ()


def test_the_official_dispensation_is_refused_for_its_known_defect_and_passes_once_mended() -> None:
    """The family qualifier SP, and nothing else, refuses the official eDISP example."""
    example = official("eDISP-MED_2024.01")
    (error,) = check(example, environment="test").errors
    assert error.code == "CDA-HDR-023"
    assert (error.found, error.expected) == ("SP", "BR | CL")
    assert error.location == f"/ClinicalDocument/{QUALIFIER}"
    assert error.line == 86
    mended = changed(example, lambda root: one(root, QUALIFIER).set("qualifier", "CL"))
    assert check(mended, environment="test").ok


def test_a_tree_and_its_bytes_get_the_same_verdict() -> None:
    """A tree already parsed can be passed instead of the bytes."""
    data = changed(written("report"), lambda root: root.remove(one(root, "title")))
    assert check(root=tree(data), environment="test") == check(data, environment="test")


def test_neither_bytes_nor_a_tree_is_a_mistake_of_the_caller() -> None:
    """Calling the check with nothing raises at once."""
    with pytest.raises(TypeError):
        check()


def test_every_finding_has_a_line_and_a_place_that_resolves() -> None:
    """Whatever is wrong, its place leads to an element of the document."""
    data = changed(
        written("prescription"),
        lambda root: root.remove(one(root, "author")),
        lambda root: one(root, "recordTarget/patientRole").append(root.makeelement("{urn:hl7-org:v3}bogus")),
        lambda root: one(root, "component").set("bogus", "1"),
    )
    verdict = check(data, environment="test")
    assert len(verdict.findings) >= 3
    for finding in verdict.findings:
        assert resolve(tree(data), finding.location) is not None
        assert finding.line


def test_a_test_identity_is_refused_in_production_only() -> None:
    """The INS of a test authority is an error in production, and fine in a test environment."""
    assert "INS-OID-001" in codes(check(written("report")).errors)
    assert "INS-OID-001" not in codes(check(written("report"), environment="test").findings)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "XML-EMPTY-001"),
        (b"<ClinicalDocument", "XML-SYNTAX-001"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><ClinicalDocument>&b;</ClinicalDocument>", "XML-DTD-001"),
        (b"<a>\x00</a>", "XML-NUL-001"),
        ("<a/>".encode("utf-16"), "XML-ENC-001"),
        (b"<a>" * 10_000, "XML-DEPTH-001"),
        (b"<r>" + b"<a/>" * 300_000 + b"</r>", "XML-COUNT-001"),
        (b"<r a='" + b"x" * 17_000_000 + b"'/>", "XML-SIZE-001"),
    ],
)
def test_what_cannot_be_read_is_one_named_finding(data: bytes, code: str) -> None:
    """Hostile or broken bytes give one finding that names the cause, never an exception."""
    (finding,) = check(data).findings
    assert finding.code == "CDA-STR-000"
    assert finding.severity is Severity.ERROR
    assert finding.found is not None
    assert finding.found.startswith(code)


def test_limits_can_be_given() -> None:
    """A caller may lower the limits of size."""
    (finding,) = check(written("report"), limits=XmlLimits(max_bytes=1000)).findings
    assert finding.found is not None
    assert finding.found.startswith("XML-SIZE-001")


def test_another_xml_is_no_cda() -> None:
    """The root must be a ClinicalDocument of HL7 v3; nothing more is said of anything else."""
    for data in (b"<ClinicalDocument/>", b"<html xmlns='http://www.w3.org/1999/xhtml'/>"):
        assert codes(check(data).findings) == {"CDA-STR-001"}


def test_a_document_with_thousands_of_faults_is_told_in_bounded_words() -> None:
    """After some hundreds of findings one line says that there are more."""
    data = changed(
        written("report"),
        lambda root: root.extend(root.makeelement(f"{{urn:hl7-org:v3}}bogus{n}") for n in range(2000)),
    )
    findings = check(data, environment="test").findings
    assert len(findings) <= 501
    assert "CDA-STR-099" in codes(findings)


def test_no_trait_is_ever_shown() -> None:
    """A finding about a patient's data tells no value of it."""
    root = tree(written("report"))
    for element in one(root, "recordTarget").iter():
        for name in element.attrib:
            if name != "nullFlavor":
                element.set(name, "SECRET " + element.get(name, ""))
        if element.text and element.text.strip():
            element.text = f"SECRET {element.text}"
    for finding in check(xml.serialize(root)).findings:
        assert "SECRET" not in str(finding.as_json("fr")) + str(finding.as_json("en"))
