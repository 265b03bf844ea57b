"""A synthesis of about 60 kB is written, and read, at least 150 times a second on one core."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

from mappings import cda
from tests.support import documents

RATE = 150
ROUNDS = 40


def large() -> Any:
    """A VSM of about 60 kB."""
    value = documents.summary()
    for name, number in (
        ("problems", 5),
        ("history", 4),
        ("procedures", 3),
        ("allergies", 2),
        ("lifestyle", 3),
        ("familyHistory", 2),
        ("treatments", 7),
    ):
        entry = value[name]["entries"][0]
        value[name]["entries"] = [copy.deepcopy(entry) for _ in range(number)]
    return documents.load(value)


def rate(work: Callable[[], object]) -> float:
    """How many times a second of processor time, the best of several rounds."""
    for _ in range(5):
        work()
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1 / min(times)


def test_a_synthesis_is_written_fast(record_property: Callable[[str, object], None]) -> None:
    """Model to CDA, canonical bytes included."""
    document = large()
    assert 55_000 < len(cda.write(document).data) < 75_000
    found = rate(lambda: cda.write(document))
    record_property("documents_a_second", round(found))
    assert found >= RATE


def test_a_synthesis_is_read_fast(record_property: Callable[[str, object], None]) -> None:
    """CDA to model, the guarded parsing and the loss report included."""
    data = cda.write(large()).data
    found = rate(lambda: cda.read(data))
    record_property("documents_a_second", round(found))
    assert found >= RATE
