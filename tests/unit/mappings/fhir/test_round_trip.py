"""A document written as a Bundle and read back is the document the reviewed table says, and the loss report agrees."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings

from conformance.fhir import check_bundle
from conformance.fhir.base import validate
from mappings import fhir
from mappings.loss import Fate
from mappings.projection import losses, projected
from tests.support import documents, fhir_tools, strategies
from tests.unit.mappings.fhir.others import others
from tests.unit.mappings.fhir.summaries import summaries

#: What generated documents say amiss themselves: a doubtful identity said validated, two machines as authors, a section
#: without code or title, an INS without given names.
OF_THE_SOURCE = {"FHIR-PAT-009", "FHIR-BDL-016", "FHIR-CMP-024", "FHIR-PAT-005"}


def back(document: Any) -> tuple[fhir.FhirDocument, fhir.FhirReading]:
    """A document written, sent as bytes, and read."""
    written = fhir.write(document)
    return written, fhir.read(orjson.loads(orjson.dumps(written.bundle)))


def check(document: Any) -> None:
    """The round trip of one document."""
    written, reading = back(document)
    assert reading.document == projected(document, "fhir")
    told = {(i.place, i.fate) for i in written.loss.items if i.fate is not Fate.CARRIED}
    assert told == {(i.place, i.fate) for i in losses(document, "fhir")}
    assert [i for i in reading.loss.items if i.fate is not Fate.CARRIED] == []
    assert fhir_tools.base_errors(written.bundle) == []
    assert validate(written.bundle).findings == ()
    assert {f.code for f in check_bundle(written.bundle).errors} <= OF_THE_SOURCE


@pytest.mark.parametrize("make", [documents.report, documents.prescription, documents.dispensation, documents.summary])
def test_the_sample_documents_come_back(make: Any) -> None:
    """The fictitious documents of each kind survive, as the table says."""
    check(documents.load(make()))


@pytest.mark.parametrize("make", [documents.report, documents.prescription, documents.dispensation, documents.summary])
def test_a_document_read_back_is_written_the_same(make: Any) -> None:
    """Once read back, a document gives the same Bundle again: nothing drifts."""
    _, reading = back(documents.load(make()))
    again, second = back(reading.document)
    assert second.document == reading.document
    assert fhir.write(second.document).bundle == again.bundle


@settings(max_examples=25)
@given(strategies.reports())
def test_any_report_comes_back(document: Any) -> None:
    """Any header and any file survive."""
    check(document)


@settings(max_examples=25)
@given(strategies.prescriptions())
def test_any_prescription_comes_back(document: Any) -> None:
    """Any lines, posologies and marks survive."""
    check(document)


@settings(max_examples=25)
@given(strategies.dispensations())
def test_any_dispensation_comes_back(document: Any) -> None:
    """Any products given survive."""
    check(document)


@settings(max_examples=25)
@given(summaries())
def test_any_summary_comes_back(document: Any) -> None:
    """Any sections, entries, absences and words survive."""
    check(document)


@settings(max_examples=25)
@given(others())
def test_any_other_document_comes_back(document: Any) -> None:
    """Any sections in sections, their words, files and entries survive."""
    check(document)
