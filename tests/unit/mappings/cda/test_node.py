"""The bricks of the readers: values of any document, findings and never an exception."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

import pytest
from lxml import etree

from mappings.cda.node import Reader, first, flat, place, squeeze
from mappings.document.people import Identifier
from mappings.document.values import Period
from security.xml import parse

HEAD = '<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'


def reader(body: str) -> Reader:
    """A reader of a made-up document."""
    return Reader(root=parse(f"{HEAD}{body}</ClinicalDocument>".encode()))


def child(made: Reader, name: str = "x") -> etree._Element:
    """The first element of that name in the document."""
    element = first(made.root, name)
    assert element is not None
    return element


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026", "2026"),
        ("202611", "2026-11"),
        ("20261120", "2026-11-20"),
        ("2026112010+0100", "2026-11-20T10:00+01:00"),
        ("202611201030-0400", "2026-11-20T10:30-04:00"),
        ("20261120103045.123+0100", "2026-11-20T10:30:45+01:00"),
        ("20261120103045Z", "2026-11-20T10:30:45+00:00"),
        ("20261120+0100", "2026-11-20"),
    ],
)
def test_a_timestamp_keeps_its_precision(value: str, moment: str) -> None:
    """A fraction of a second is dropped, as CI-SIS has none; an offset on a date says nothing."""
    made = reader(f'<x value="{value}"/>')
    assert made.moment(child(made)) == moment
    assert not made.findings


@pytest.mark.parametrize("value", ["20260230", "hier", "2026-11-20", "99", "20261120250000+0100", ""])
def test_an_impossible_date_is_a_finding(value: str) -> None:
    """With its place and line; the date is left out."""
    made = reader(f'\n<x value="{value}"/>')
    assert made.moment(child(made)) is None
    (finding,) = made.findings
    assert (finding.code, finding.location, finding.line) == ("CDA-READ-102", "/ClinicalDocument/x", 2)


def test_a_time_without_offset_takes_that_of_the_document() -> None:
    """Not caught by the official rules: said as a finding."""
    made = reader('<x value="20261120103045"/>')
    made.offset = "-04:00"
    assert made.moment(child(made)) == "2026-11-20T10:30:45-04:00"
    assert [finding.code for finding in made.findings] == ["CDA-READ-103"]


@pytest.mark.parametrize(
    ("body", "period"),
    [
        ('<low value="2026"/><high value="2027"/>', Period(start="2026", end="2027")),
        ('<low value="2026"/>', Period(start="2026")),
        ('<low nullFlavor="UNK"/><high value="2027"/>', Period(end="2027")),
        ('<low nullFlavor="UNK"/><high nullFlavor="UNK"/>', None),
    ],
)
def test_an_interval_has_the_ends_that_are_known(body: str, period: Period | None) -> None:
    """A nullFlavor is no end; an interval of two says nothing."""
    made = reader(f"<x>{body}</x>")
    assert made.period(child(made)) == period


def test_a_reversed_interval_keeps_its_start_and_reports_its_end() -> None:
    """Contradictory content is named, not repaired in silence."""
    made = reader('<x><low value="2027"/><high value="2026"/></x>')
    assert made.period(child(made)) == Period(start="2027")
    assert [finding.code for finding in made.findings] == ["CDA-READ-104"]
    (item,) = made.log.report().items
    assert (item.place, item.fate, item.clinical) == ("/ClinicalDocument/x/high", "lost", True)


def test_a_uuid_root_is_its_oid() -> None:
    """ITU-T X.667: every UUID is an OID under 2.25, whatever its case."""
    made = reader('<x root="8D5E778C-E155-4685-95C6-5FF65A362964"/>')
    number = UUID("8d5e778c-e155-4685-95c6-5ff65a362964").int
    assert made.identifier(child(made)) == Identifier(root=f"2.25.{number}")
    assert made.uuid(child(made)) == UUID("8d5e778c-e155-4685-95c6-5ff65a362964")


def test_an_oid_entry_id_gives_the_same_uuid_each_time() -> None:
    """A dispensation still finds the line of a prescription whose ids are OIDs."""
    made = reader('<x root="1.2.3" extension="7"/><y root="1.2.3" extension="7"/><z root="1.2.3"/>')
    x, y, z = (made.uuid(child(made, name)) for name in "xyz")
    assert x == y != z


@pytest.mark.parametrize("root", ["", "pas un oid", "1.2..3"])
def test_a_bad_identifier_is_left_out(root: str) -> None:
    """And said."""
    made = reader(f'<x root="{root}"/>')
    assert made.identifier(child(made)) is None
    assert [finding.code for finding in made.findings] == ["CDA-READ-104"]


def test_a_code_needs_its_terminology() -> None:
    """A code alone means nothing; a nullFlavor is no code."""
    made = reader('<x code="A"/><y nullFlavor="UNK"/><z code="A" codeSystem="1.2.3" displayName=" a\n b "/>')
    assert made.code(child(made, "x")) is None
    assert made.code(child(made, "y")) is None
    found = made.code(child(made, "z"))
    assert found is not None
    assert found.display == "a b"


@pytest.mark.parametrize("reference", ["#a", "a"])
def test_a_reference_is_followed_with_or_without_its_sign(reference: str) -> None:
    """Official documents leave the sign out here and there."""
    made = reader(f'<content ID="a">un<br/>deux</content><x><reference value="{reference}"/></x>')
    assert made.words(child(made)) == "un\ndeux"


def test_a_dangling_reference_is_a_finding() -> None:
    """With the place of the reference."""
    made = reader('<x><reference value="#nulle-part"/></x>')
    assert made.words(child(made)) is None
    assert [(f.code, f.location) for f in made.findings] == [("CDA-READ-101", "/ClinicalDocument/x/reference")]


def test_a_near_reference_finds_what_starts_alike() -> None:
    """An official document refers to med-002 where the narrative has med-002-delivre."""
    made = reader('<content ID="med-002-delivre">Pommade</content><x><reference value="#med-002"/></x>')
    assert made.near(child(made)) == "Pommade"
    assert made.near(None) is None


@pytest.mark.parametrize(
    ("body", "unit", "display"),
    [
        ('<x value="2" unit="30009000"/>', "30009000", None),
        ('<x value="2"/>', "1", None),
        (
            '<x value="2" unit="mg"><translation><originalText>milligrammes</originalText></translation></x>',
            "mg",
            "milligrammes",
        ),
        (
            '<content ID="q">2,5 boîtes de 8</content>'
            '<x value="2.5" unit="b"><translation><originalText><reference value="#q"/></originalText></translation>'
            "</x>",
            "b",
            "boîtes de 8",
        ),
    ],
)
def test_a_quantity_keeps_the_words_of_its_unit(body: str, unit: str, display: str | None) -> None:
    """In place, or behind a reference where people read the amount before them."""
    made = reader(body)
    found = made.quantity(child(made))
    assert found is not None
    assert (found.unit, found.display) == (unit, display)


@pytest.mark.parametrize("value", ["beaucoup", "", "1e999999999999"])
def test_a_quantity_that_is_not_a_number_is_lost_and_said(value: str) -> None:
    """A dose must not vanish in silence."""
    made = reader(f'<x value="{value}"/>')
    assert made.quantity(child(made)) is None
    assert made.findings


def test_a_range_of_one_known_end_is_fixed() -> None:
    """A value, a low or a high alone."""
    for body in ('<x value="2"/>', '<x><low value="2"/></x>', '<x><high value="2"/></x>'):
        made = reader(body)
        found = made.range(child(made))
        assert found is not None
        assert found.low == found.high
        assert found.low.value == Decimal(2)


def test_a_place_counts_only_where_there_are_several() -> None:
    """An XPath people can follow."""
    made = reader("<a><b/></a><a><b/><c/><b/></a>")
    assert place(made.root[1][2]) == "/ClinicalDocument/a[2]/b[2]"
    assert place(made.root[0][0]) == "/ClinicalDocument/a[1]/b"


def test_an_indented_source_reads_as_one_line() -> None:
    """White space of the layout is not text; a no-break space is."""
    assert squeeze("\n   PARACETAMOL\n   500 mg ") == "PARACETAMOL 500 mg"
    assert squeeze("n\u00a01") == "n\u00a01"
    assert squeeze(" \n ") is None
    assert squeeze(None) is None


def test_a_narrative_reads_line_by_line() -> None:
    """Rows, items and paragraphs on their own lines, cells apart."""
    made = reader(
        "<text><table><thead><tr><th>A</th><th>B</th></tr></thead><tbody><tr><td>1</td><td>2<br/>3</td></tr></tbody>"
        "</table><list><item>x</item><item>y</item></list><paragraph>fin</paragraph></text>"
    )
    assert flat(child(made, "text")) == "A B\n1 2\n3\nx\ny\nfin"
