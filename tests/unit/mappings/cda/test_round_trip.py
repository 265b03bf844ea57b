"""Model, CDA, model: the same value, but for what the table says that a CDA cannot hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import Phase, given, seed, settings

from mappings import cda
from mappings.document.base import Part
from mappings.projection import losses, projected
from tests.support.strategies import dispensations, prescriptions, reports


def check(document: Any) -> None:
    """Written then read, a document is its projection; nothing is amiss, nothing else is lost."""
    written = cda.write(document)
    reading = cda.read(written.data)
    assert reading.document == projected(document, "cda")
    assert reading.findings == ()
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


def members(part: Any, path: str) -> Iterator[str]:
    """Every member that says something, by its path without positions."""
    if isinstance(part, tuple):
        for item in part:
            yield from members(item, path)
    elif isinstance(part, Part):
        for name, info in type(part).model_fields.items():
            value = getattr(part, name)
            if value != info.default and value not in (None, ()):
                yield f"{type(part).__name__}.{name}"
                yield from members(value, path)


@pytest.mark.parametrize("strategy", [reports, prescriptions, dispensations])
def test_generated_documents_fill_the_whole_model(strategy: Any) -> None:
    """Each member is filled in at least one document of twenty, or the round trips would prove little."""
    counts: dict[str, int] = {}
    classes: set[type[Part]] = set()
    total = 0

    @seed(1)
    @settings(max_examples=400, database=None, phases=[Phase.generate])
    @given(strategy())
    def count(document: Any) -> None:
        nonlocal total
        total += 1
        for name in set(members(document, "")):
            counts[name] = counts.get(name, 0) + 1
        classes.update(_classes(document))

    count()
    expected = {f"{cls.__name__}.{name}" for cls in classes for name in cls.model_fields}
    # The kind and the format say themselves; types with a default of their own are that default.
    constant = {".kind", ".schema_version", ".language"}
    constant |= {".type"} if strategy is not reports else set()
    # Given by the caller: steps are numbered by their order.
    constant |= {"Dosage.sequence"}
    rare = {name for name in expected if counts.get(name, 0) < total / 20}
    assert {name for name in rare if not any(name.endswith(each) for each in constant)} == set()


def _classes(part: Any) -> Iterator[type[Part]]:
    if isinstance(part, tuple):
        for item in part:
            yield from _classes(item)
    elif isinstance(part, Part):
        yield type(part)
        for name in type(part).model_fields:
            yield from _classes(getattr(part, name))
