"""The bricks of the writers: data types as CI-SIS writes them, identifiers that never change."""

from __future__ import annotations

import json
from decimal import Decimal
from uuid import UUID

import pytest
from lxml import etree

from mappings.cda import build
from mappings.cda.tree import Element, grown
from mappings.document.people import Identifier
from mappings.document.values import Code, Concept, Period, Quantity, QuantityRange, Ratio

DOCUMENT = Identifier(root="1.2.250.1.999.9.2.1")


@pytest.fixture
def parent() -> Element:
    """An element to add to."""
    return build.root_element("parent")


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026", "2026"),
        ("2026-11", "202611"),
        ("2026-11-20", "20261120"),
        ("2026-11-20T10:00:00+01:00", "20261120100000+0100"),
        ("2026-11-20T10:00-04:00", "202611201000-0400"),
        ("2026-11-20T10:00:00Z", "20261120100000+0000"),
    ],
)
def test_a_moment_keeps_its_precision_and_its_offset(moment: str, expected: str) -> None:
    """A date alone has no offset; a time always has one."""
    assert build.hl7(moment) == expected


def test_an_identifier_is_derived_from_the_document_and_the_place() -> None:
    """Same document and place, same identifier; another place, another one; and it does not change over releases."""
    first = build.derived_id(DOCUMENT, "/lines/0")
    assert first == build.derived_id(DOCUMENT, "/lines/0")
    assert first != build.derived_id(DOCUMENT, "/lines/1")
    assert first != build.derived_id(Identifier(root=DOCUMENT.root, extension="1"), "/lines/0")
    assert first == UUID("04bafb1d-66dd-5a6b-8822-554e25fc8950")


def test_an_entry_id_is_a_uuid_in_upper_case(parent: Element) -> None:
    """CI-SIS warns of lower case."""
    builder = build.Builder(document_id=DOCUMENT, root=parent, created_at="2026-11-20T10:00:00+01:00")
    build.uid(parent, builder, UUID("abcdefab-1111-4111-8111-111111111111"), "/lines/0")
    assert grown(parent)[0].get("root") == "ABCDEFAB-1111-4111-8111-111111111111"


def test_narrative_ids_are_unique_in_the_document(parent: Element) -> None:
    """xs:ID holds for the whole document, not for a section."""
    builder = build.Builder(document_id=DOCUMENT, root=parent, created_at="2026-11-20T10:00:00+01:00")
    assert [builder.anchor("med"), builder.anchor("dm"), builder.anchor("med")] == ["med-1", "dm-1", "med-2"]


def test_an_open_interval_leaves_its_end_out_or_says_that_it_is_not_known(parent: Element) -> None:
    """What an unknown end becomes depends on the rule of the place."""
    build.ivl_ts(parent, "effectiveTime", Period(start="2026"))
    build.ivl_ts(parent, "effectiveTime", Period(start="2026"), high="UNK", xsi_type=True)
    build.ivl_ts(parent, "effectiveTime", None)
    assert build.ivl_ts(parent, "effectiveTime", None, unknown=None) is None
    plain, typed, unknown = grown(parent)
    assert [child.get("value") for child in plain] == ["2026"]
    assert [child.get("nullFlavor") for child in typed] == [None, "UNK"]
    assert typed.get(build.XSI_TYPE) == "IVL_TS"
    assert unknown.get("nullFlavor") == "UNK"


def test_a_concept_without_code_has_no_attribute_or_a_null_flavor(parent: Element) -> None:
    """Words alone: originalText, and the nullFlavor that the place asks for."""
    words = Concept(text="Urticaire", translations=(Code(code="1", system="1.2.3"),))
    build.concept(parent, words, "#a-1", "value", xsi_type="CD")
    build.concept(parent, words, "#a-1", uncoded="NA")
    first, second = grown(parent)
    assert set(first.attrib) == {build.XSI_TYPE}
    assert [etree.QName(child).localname for child in first] == ["originalText", "translation"]
    assert second.get("nullFlavor") == "NA"


@pytest.mark.parametrize(
    ("value", "expected"), [("1E+2", "100"), ("0.001", "0.001"), ("1.50", "1.50"), ("0E-3", "0.000")]
)
def test_a_number_has_no_exponent(parent: Element, value: str, expected: str) -> None:
    """XML schema's decimal has none, and people read none."""
    assert build.number(Decimal(value)) == expected
    build.pq(parent, "value", Quantity(value=Decimal(value), unit="mg"))
    assert grown(parent)[0].get("value") == expected


def test_a_bare_count_has_no_unit(parent: Element) -> None:
    """The unit 1 is the default of PQ."""
    build.pq(parent, "quantity", Quantity(value=Decimal(2)))
    assert dict(grown(parent)[0].attrib) == {"value": "2"}


def test_the_words_of_a_unit_are_behind_a_reference_or_in_place(parent: Element) -> None:
    """A reader finds them again either way."""
    boxes = Quantity(value=Decimal(2), unit="30009000", display="boîtes")
    build.pq(parent, "quantity", boxes, reference="#q-1")
    build.pq(parent, "quantity", boxes)
    assert [e.get("value") for e in grown(parent)[0].iterfind(".//{*}reference")] == ["#q-1"]
    assert [e.text for e in grown(parent)[1].iterfind(".//{*}originalText")] == ["boîtes"]


def test_an_amount_is_always_an_interval(parent: Element) -> None:
    """CI-SIS refuses the value form: a fixed dose is written twice."""
    build.ivl_quantity(parent, "doseQuantity", QuantityRange.fixed(Quantity(value=Decimal(1), unit="{tablet}")))
    assert [(etree.QName(e).localname, e.get("value")) for e in grown(parent)[0]] == [("low", "1"), ("high", "1")]


def test_a_ratio_types_its_terms_where_the_schema_is_abstract(parent: Element) -> None:
    """pharm:quantity wants xsi:type, maxDoseQuantity does not."""
    four_a_day = Ratio(numerator=Quantity(value=Decimal(4)), denominator=Quantity(value=Decimal(1), unit="d"))
    build.ratio(parent, "maxDoseQuantity", four_a_day)
    build.ratio(parent, "quantity", four_a_day, xsi_type="PQ", namespace=f"{{{build.PHARM}}}")
    assert build.XSI_TYPE not in grown(parent)[0][0].attrib
    assert grown(parent)[1][0].get(build.XSI_TYPE) == "PQ"
    assert etree.QName(grown(parent)[1]).namespace == build.PHARM


def test_control_characters_are_told_apart() -> None:
    """XML 1.0 has no place for them; tab and line breaks are fine."""
    assert build.printable("ligne\n\tautre é → 😀")
    assert not build.printable("bel\x07")
    assert not build.printable(json.loads('"\\ud800"'))
