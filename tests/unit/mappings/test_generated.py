"""Generated documents fill the whole model, or the properties shown on them would prove little."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from mappings.document import Dispensation, MedicalSummary, OtherDocument, Prescription, Report
from mappings.document.base import Part
from tests.support import strategies
from tests.unit.mappings.fhir import summaries as any_summaries
from tests.unit.mappings.fhir.others import others

#: Said by the kind and the format themselves; a step's rank is its order.
CONSTANT = {"kind", "schema_version", "language", "sequence"}
ROUND, MOST = 50, 10


def _classes(annotation: Any) -> Iterator[type[Part]]:
    if isinstance(annotation, type) and issubclass(annotation, Part):
        yield annotation
    for inner in get_args(annotation):
        yield from _classes(inner)


def model_of(cls: type[Part]) -> set[str]:
    """Every member of every part that a document may hold, read from the model."""
    seen: set[type[Part]] = set()
    todo = [cls]
    while todo:
        if (one := todo.pop()) not in seen:
            seen.add(one)
            todo += [inner for info in one.model_fields.values() for inner in _classes(info.annotation)]
    return {f"{one.__name__}.{name}" for one in seen for name in one.model_fields if name not in CONSTANT}


def said(part: Any) -> Iterator[str]:
    """Every member that says something else than its default."""
    if isinstance(part, tuple):
        for item in part:
            yield from said(item)
    elif isinstance(part, Part):
        for name, info in type(part).model_fields.items():
            value = getattr(part, name)
            if value != info.default and value not in (None, ()):
                yield f"{type(part).__name__}.{name}"
                yield from said(value)


KINDS: dict[str, tuple[Any, type[Part]]] = {
    "report": (strategies.reports, Report),
    "prescription": (strategies.prescriptions, Prescription),
    "dispensation": (strategies.dispensations, Dispensation),
    "summary": (strategies.summaries, MedicalSummary),
    "any summary": (any_summaries.summaries, MedicalSummary),
    "other": (others, OtherDocument),
}
#: These kinds have one type each.
FIXED = {"Prescription.type", "Dispensation.type"}


def _count(strategy: Any, number: int, counts: Counter[str]) -> int:
    """Count the members said in one run of generated documents; gives how many there were."""
    total = 0

    @seed(number)
    @settings(max_examples=ROUND, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(strategy())
    def count(document: Any) -> None:
        nonlocal total
        total += 1
        counts.update(set(said(document)))

    count()
    return total


@pytest.mark.timeout(900)
def test_every_member_is_filled_in_one_document_of_twenty() -> None:
    """Of the documents whose kind has the member; of each kind, each of its members is met too.

    Some dozens of each kind under seeds of their own, until the figures settle.
    """
    models = {kind: model_of(cls) - FIXED for kind, (_, cls) in KINDS.items()}
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    totals: Counter[str] = Counter()
    rare: set[str] = set()
    for number in range(MOST):
        # After two rounds, only the kinds that a rare member may still come from.
        for kind, (strategy, _) in KINDS.items():
            if number < 2 or any(name in models[kind] or name.startswith(f"{kind}: ") for name in rare):
                totals[kind] += _count(strategy, number, counts[kind])
        rare = {f"{kind}: {name}" for kind, names in models.items() for name in names if not counts[kind][name]}
        for name in set().union(*models.values()):
            holding = [kind for kind in KINDS if name in models[kind]]
            if sum(counts[kind][name] for kind in holding) * 20 < sum(totals[kind] for kind in holding):
                rare.add(name)
        if not rare and number:
            break
    assert rare == set()
    assert min(totals.values()) >= 2 * ROUND
