"""Posologies as others write them: widths, several intakes, modes that do not agree with their steps."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mappings.cda.node import Reader, first
from mappings.cda.posology_read import UNKNOWN_POSOLOGY, posology
from mappings.cda.posology_write import MODES
from mappings.document.medication import AfterEvent, Every, Posology, PosologyMode
from mappings.document.values import Period
from security.xml import parse

HEAD = '<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'


def read(body: str, narrative: str = "", anchor: str | None = None) -> tuple[Posology, Reader]:
    """The posology of a made-up line."""
    text = f"{HEAD}{narrative}<substanceAdministration>{body}</substanceAdministration></ClinicalDocument>"
    reader = Reader(root=parse(text.encode()))
    element = first(reader.root, "substanceAdministration")
    assert element is not None
    return posology(reader, element, anchor), reader


def ivl(inner: str) -> str:
    """A duration."""
    return f'<effectiveTime xsi:type="IVL_TS">{inner}</effectiveTime>'


@pytest.mark.parametrize(
    ("start", "width", "end"),
    [
        ("20231201", 'value="2" unit="d"', "2023-12-02"),
        ("20231203", 'value="1" unit="wk"', "2023-12-09"),
        ("20240131", 'value="1" unit="mo"', "2024-02-28"),
        ("20240229", 'value="1" unit="a"', "2025-02-27"),
        ("20231201080000+0100", 'value="36" unit="h"', "2023-12-02T20:00:00+01:00"),
    ],
)
def test_a_start_and_a_width_make_a_period(start: str, width: str, end: str) -> None:
    """Days count on both sides, as the official document means it: two days from the 1st end on the 2nd."""
    found, reader = read(ivl(f'<low value="{start}"/><width {width}/>'))
    assert found.dosage is not None
    assert found.dosage.period is not None
    assert found.dosage.period.end == end
    assert not reader.log.items


@pytest.mark.parametrize(
    "inner",
    [
        '<low value="2023"/><width value="2" unit="d"/>',
        '<low value="20231201"/><width value="2" unit="h"/>',
        '<low value="20231201"/><width value="99999999" unit="wk"/>',
        '<low value="20231201080000+0100"/><width value="1" unit="mo"/>',
    ],
)
def test_a_width_that_cannot_be_added_is_lost_and_said(inner: str) -> None:
    """Two days from a year mean nothing: clinical loss."""
    found, reader = read(ivl(inner))
    assert found.dosage is not None
    assert found.dosage.period is not None
    assert found.dosage.period.end is None
    assert reader.log.report().refuses


def test_a_width_alone_is_a_duration() -> None:
    """With or without an unknown start."""
    for inner in ('<width value="5" unit="d"/>', '<low nullFlavor="UNK"/><width value="5" unit="d"/>'):
        found, _ = read(ivl(inner))
        assert found.dosage is not None
        assert found.dosage.duration is not None
        assert found.dosage.duration.value == Decimal(5)


def test_nested_expressions_are_walked() -> None:
    """An SXPR_TS in an SXPR_TS; an interval told twice differently keeps the first and says so."""
    found, reader = read(
        ivl('<low value="20230125"/><high value="20230127"/>') + '<effectiveTime xsi:type="SXPR_TS" operator="A">'
        '<comp xsi:type="IVL_TS"><low value="20230125"/><width value="2" unit="d"/></comp>'
        '<comp xsi:type="SXPR_TS"><comp xsi:type="PIVL_TS"><phase value="20230125080000+0100"/>'
        '<period value="16" unit="h"/></comp>'
        '<comp xsi:type="EIVL_TS"><event code="HS"/><offset value="-1" unit="h"/></comp></comp></effectiveTime>'
    )
    assert found.dosage is not None
    assert found.dosage.period == Period(start="2023-01-25", end="2023-01-27")
    every, event = found.dosage.timing
    assert isinstance(every, Every)
    assert every.at == "2023-01-25T08:00:00+01:00"
    assert isinstance(event, AfterEvent)
    assert event.offset is not None
    assert event.offset.value == Decimal(-1)
    assert [item.fate for item in reader.log.items] == ["textOnly"]


@pytest.mark.parametrize(
    "time",
    [
        '<effectiveTime xsi:type="PIVL_TS"/>',
        '<effectiveTime xsi:type="EIVL_TS"><event code="JAMAIS"/></effectiveTime>',
        '<effectiveTime xsi:type="EIVL_TS"/>',
    ],
)
def test_a_frequency_that_says_nothing_is_lost_and_said(time: str) -> None:
    """Clinical: the rest of the line is still read."""
    found, reader = read(f"<text>1 par jour</text>{time}")
    assert found.text == "1 par jour"
    assert reader.log.report().refuses


def test_an_instant_is_a_period_of_one() -> None:
    """effectiveTime value: taken once."""
    found, _ = read('<effectiveTime value="20231201"/>')
    assert found.dosage is not None
    assert found.dosage.period == Period(start="2023-12-01", end="2023-12-01")


def test_words_beside_the_product_in_its_row_are_found() -> None:
    """Official documents write the posology in a column that no entry refers to."""
    narrative = (
        "<text><table><thead><tr><th>Durée</th><th>Médicament</th><th>Posologie</th></tr></thead><tbody><tr>"
        '<td>5 jours</td><td><content ID="med-1">X</content></td><td>2 par jour</td></tr></tbody></table></text>'
    )
    found, reader = read('<text><reference value="#med-1"/></text>', narrative, "med-1")
    assert found == Posology(text="2 par jour")
    assert not reader.findings


def test_a_line_that_says_nothing_is_said_to() -> None:
    """The hub wants a posology: it says that none is given."""
    found, reader = read("")
    assert found.text == UNKNOWN_POSOLOGY
    assert [finding.code for finding in reader.findings] == ["CDA-READ-104"]


STEP = (
    '<entryRelationship typeCode="COMP"><sequenceNumber value="3"/><substanceAdministration>'
    '<text>le soir</text><doseQuantity value="1"/></substanceAdministration></entryRelationship>'
)


def test_steps_keep_their_rank_and_their_words() -> None:
    """Whatever the form of the dose."""
    found, reader = read(f'<templateId root="{MODES[PosologyMode.TAPERED]}"/>{STEP}')
    assert found.mode is PosologyMode.TAPERED
    (step,) = found.steps
    assert (step.sequence, step.text) == (3, "le soir")
    assert step.dose is not None
    assert not reader.findings


@pytest.mark.parametrize(
    ("body", "mode"),
    [
        (f'<templateId root="{MODES[PosologyMode.NORMAL]}"/>{STEP}', PosologyMode.COMBINATION),
        (f'<templateId root="{MODES[PosologyMode.SPLIT]}"/><text>x</text>', PosologyMode.NORMAL),
    ],
)
def test_a_mode_that_does_not_agree_with_its_steps_is_a_finding(body: str, mode: PosologyMode) -> None:
    """Read all the same."""
    found, reader = read(body)
    assert found.mode is mode
    assert [finding.code for finding in reader.findings] == ["CDA-READ-104"]


def test_conditions_and_a_plain_site_are_read() -> None:
    """Several preconditions are one condition of several lines."""
    found, _ = read(
        '<approachSiteCode code="81745001" codeSystem="2.16.840.1.113883.6.96" displayName="œil"/>'
        '<doseQuantity><low value="1"/><high value="2"/></doseQuantity>'
        "<precondition><criterion><text>si fièvre</text></criterion></precondition>"
        "<precondition><criterion><text>si douleur</text></criterion></precondition>"
    )
    assert found.dosage is not None
    assert found.dosage.condition == "si fièvre\nsi douleur"
    assert found.dosage.site is not None
    assert found.dosage.site.code is not None
