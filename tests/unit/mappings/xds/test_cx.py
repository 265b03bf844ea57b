"""HL7 v2 data types in metadata."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.xds import Code, Organization, PatientId, Person, cx


def test_a_patient_identifier_has_its_authority():
    """CX is value, authority, type; the effective date of others is ignored on reading."""
    patient = PatientId(value="279035121518989", authority="1.2.250.1.213.1.4.10")
    assert cx.format_cx(patient) == "279035121518989^^^&1.2.250.1.213.1.4.10&ISO^NH"
    assert cx.parse_cx("279035121518989^^^&1.2.250.1.213.1.4.10&ISO^NH^^20101207") == patient
    assert cx.parse_cx("'279035121518989^^^&1.2.250.1.213.1.4.10&ISO^NH'") == patient
    assert cx.parse_cx("279035121518989^^^&amp;1.2.250.1.213.1.4.10&amp;ISO^NH") == patient
    assert cx.parse_cx("") is None


@pytest.mark.parametrize(
    ("identifier", "authority", "kind"),
    [
        ("801234567890", "1.2.250.1.71.4.2.1", "IDNPS"),
        ("0123456789", "1.2.250.1.71.4.2.1", "IDNPS"),
        ("3750100125/1453", "1.2.250.1.71.4.2.1", "EI"),
        ("500000000000/7", "1.2.250.1.71.4.2.1", "EI"),
        ("42", "1.2.250.1.999.9", "RI"),
    ],
)
def test_the_kind_of_a_professional_identifier_follows_its_prefix(identifier: str, authority: str, kind: str):
    """National identifiers are IDNPS, internal ones EI, foreign ones RI."""
    assert cx.person_id_type(identifier, authority) == kind


def test_a_person_and_a_device_are_written_as_the_guide_shows():
    """XCN components 1, 2, 3, 9, 10 and 13."""
    person = Person(id="801234567890", family="DURANT", given="Romuald", authority="1.2.250.1.71.4.2.1")
    assert cx.format_xcn(person) == "801234567890^DURANT^Romuald^^^^^^&1.2.250.1.71.4.2.1&ISO^D^^^IDNPS"
    device = Person(id="1", family="Automate X", given="m1", authority="1.2", name_type="U", id_type="RI")
    assert cx.format_xcn(device) == "1^Automate X^m1^^^^^^&1.2&ISO^U^^^RI"
    assert cx.parse_xcn("^^^^") is None


def test_a_structure_without_identifier_has_a_name_only():
    """XON components 6, 7 and 10 stay empty when the identifier is not known."""
    assert cx.format_xon(Organization(name="Cabinet")) == "Cabinet"
    full = Organization(name="Cabinet", id="1290099887", authority="1.2.250.1.71.4.2.2")
    assert cx.format_xon(full) == "Cabinet^^^^^&1.2.250.1.71.4.2.2&ISO^IDNST^^^1290099887"
    assert cx.parse_xon("") is None


def test_a_specialty_may_be_a_plain_label():
    """Others write the specialty as text."""
    assert cx.parse_specialty("Cardiologie") == Code(code="", display="Cardiologie")
    assert cx.parse_specialty("") is None


words = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1, max_size=20).map(
    lambda s: " ".join(s.replace("^", "").replace("&", "").replace("|", "").split())
)


@given(family=words, given_name=words, identifier=st.from_regex(r"[0-9]{5,12}", fullmatch=True))
def test_a_person_survives_the_round_trip(family: str, given_name: str, identifier: str):
    """Reading what was written gives the same person."""
    person = Person(id=identifier, family=family, given=given_name, authority="1.2.250.1.71.4.2.1")
    assert cx.parse_xcn(cx.format_xcn(person)) == person


def test_delimiters_in_a_name_do_not_make_components():
    """A caret in a name becomes a blank."""
    assert cx.format_xcn(Person(id="1", family="A^B", given="C&D|E")).startswith("1^A B^C D E^")
