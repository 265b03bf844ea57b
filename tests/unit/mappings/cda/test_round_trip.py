"""Model, CDA, model: the same value, but for what the table says that a CDA cannot hold."""

from __future__ import annotations

from typing import Any

from hypothesis import given

from mappings import cda
from mappings.projection import losses, projected
from tests.support.strategies import dispensations, prescriptions, reports


def check(document: Any) -> None:
    """Written then read, a document is its projection; nothing is amiss, nothing else is lost."""
    written = cda.write(document)
    reading = cda.read(written.data)
    assert reading.document == projected(document, "cda")
    # A generated dose may be a number alone, which the reader says.
    assert {finding.code for finding in reading.findings} <= {"CDA-READ-109"}
    assert [item for item in reading.loss.items if item.fate != "carried"] == []
    assert [item for item in written.loss.items if item.fate != "carried"] == list(losses(document, "cda"))
    assert not written.loss.refuses


@given(reports())
def test_a_report_comes_back(document: Any) -> None:
    """PDF or text, with any header."""
    check(document)


@given(prescriptions())
def test_a_prescription_comes_back(document: Any) -> None:
    """Every member of every line."""
    check(document)


@given(dispensations())
def test_a_dispensation_comes_back(document: Any) -> None:
    """Every member of every line."""
    check(document)


@given(prescriptions())
def test_what_came_back_comes_back_unchanged(document: Any) -> None:
    """Once every default is explicit, reading and writing again gives the same bytes."""
    explicit = cda.write(cda.read(cda.write(document).data).document).data
    assert cda.write(cda.read(explicit).document).data == explicit
