"""Twenty thousand documents read and written in every form: the memory of the process does not grow."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import orjson
import psutil
import pytest

from mappings import cda, fhir
from security import json
from tests.support import documents

WARM, DOCUMENTS = 2_000, 20_000
#: Bytes: what allocators keep back and forth, less than 0.5 kB a document.
SLACK = 8 * 1024 * 1024


def _translate(value: dict[str, Any], number: int) -> None:
    """JSON to the hub, CDA, hub, FHIR, hub; every document has identifiers and names of its own."""
    value = {
        **value,
        "id": {"root": f"1.2.250.1.999.9.2.{number}"},
        "title": f"Document {number}",
        "patient": {**value["patient"], "birthName": f"PAT-{number}"},
    }
    read = cda.read(cda.write(documents.load(value), pdf=documents.PDF).data).document
    fhir.read(json.loads(orjson.dumps(fhir.write(read).bundle), decimals=True))


@pytest.mark.timeout(3600)
def test_memory_is_flat(record_property: Callable[[str, object], None]) -> None:
    """Between the two-thousandth document and the twenty-thousandth."""
    kinds = [getattr(documents, kind)() for kind in ("report", "prescription", "dispensation", "summary")]
    process = psutil.Process()
    before = 0
    for number in range(DOCUMENTS):
        if number == WARM:
            gc.collect()
            before = process.memory_info().rss
        _translate(kinds[number % 4], number)
    gc.collect()
    grown = process.memory_info().rss - before
    record_property("bytes_grown", grown)
    assert grown < SLACK
