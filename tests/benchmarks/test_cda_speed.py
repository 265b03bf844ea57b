"""A synthesis of about 60 kB on one core, warm: how many times a second it is written, read and translated.

And how that compares with another converter on its own format.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from mappings import cda, fhir
from security import json
from tests.support import documents
from tests.support.ccda import ccd

RATE = 150
TRANSLATED = 100
TIMES = 5
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


def test_a_bundle_becomes_a_cda_fast(record_property: Callable[[str, object], None]) -> None:
    """FHIR bytes to CDA bytes, the guarded parsing and both loss reports included."""
    data = orjson.dumps(fhir.write(large()).bundle)
    found = rate(lambda: cda.write(fhir.read(json.loads(data, decimals=True)).document))
    record_property("documents_a_second", round(found))
    assert found >= TRANSLATED


def test_we_are_many_times_faster_than_another_converter(
    record_property: Callable[[str, object], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CDA bytes to Bundle bytes: ccda-to-fhir 0.3 on a US C-CDA no larger than our synthesis."""
    from ccda_to_fhir import convert_document

    # It writes a line of log a document: not counted against it.
    monkeypatch.setattr(logging.root.manager, "disable", logging.INFO)
    ours = cda.write(large()).data
    theirs = ccd((12, 6, 12, 10, 9))
    assert 0.9 < len(theirs) / len(ours) <= 1
    text = theirs.decode()
    assert len(convert_document(text)["bundle"]["entry"]) > 50
    ours_rate = rate(lambda: orjson.dumps(fhir.write(cda.read(ours).document).bundle))
    theirs_rate = rate(lambda: orjson.dumps(convert_document(text)["bundle"]))
    record_property("documents_a_second", round(ours_rate))
    record_property("times", round(ours_rate / theirs_rate, 1))
    assert ours_rate >= TIMES * theirs_rate
