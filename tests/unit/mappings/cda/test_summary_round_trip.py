"""Summaries: model, CDA, model gives the same value, but for what the table says that a CDA cannot hold."""

from __future__ import annotations

from typing import Any

from hypothesis import given

from mappings import cda
from tests.support.strategies import summaries
from tests.unit.mappings.cda.test_round_trip import check


@given(summaries())
def test_a_summary_comes_back(document: Any) -> None:
    """Every member of every section, of a VSM and of an IPS-FR."""
    check(document)


@given(summaries())
def test_what_came_back_comes_back_unchanged(document: Any) -> None:
    """Once every default is explicit, reading and writing again gives the same bytes."""
    explicit = cda.write(cda.read(cda.write(document).data).document).data
    assert cda.write(cda.read(explicit).document).data == explicit
