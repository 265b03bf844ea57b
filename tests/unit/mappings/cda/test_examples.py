"""The official CDA documents of the pack: read whole, written again, read the same."""

from __future__ import annotations

from typing import Any

import pytest

from mappings import cda
from mappings.document import Dispensation, Prescription
from mappings.loss import Fate
from mappings.projection import projected
from tests.support import documents, outside

PRESCRIPTIONS = ("eP-MED-DM_2024.01_PosoStruct", "eP-MED-DM_2024.01_PosoNonStruct")
DISPENSATION = "eDISP-MED_2024.01"
FILE = "DOC_NON_STRUCTURE_CDA-R2-N1"

#: What the hub has no place for in the official documents, each with its reason; nothing clinical.
ALLOWED = {
    # The author of a section and of a referenced line: those of the document stand for them.
    "author",
    # The role of the performer of the act.
    "functionCode",
    # The INSEE code and identifier of a place of care.
    "id",
    # A duration told twice with another end, in an instruction changed at dispensing.
    "IVL_TS",
}


def example(name: str) -> bytes:
    """The bytes of an official document."""
    return (outside.packs() / "ans-cda" / "ExemplesCDA" / f"{name}.xml").read_bytes()


@pytest.mark.parametrize("name", [*PRESCRIPTIONS, DISPENSATION, FILE])
def test_no_entry_is_lost(name: str) -> None:
    """Every section and entry is carried; what is left out is in the list above and is not clinical."""
    reading = cda.read(example(name))
    missing = [item for item in reading.loss.items if item.fate is not Fate.CARRIED]
    assert {item.name for item in missing} <= ALLOWED
    assert not reading.loss.refuses


@pytest.mark.parametrize("name", [*PRESCRIPTIONS, DISPENSATION, FILE])
def test_what_was_read_is_written_and_read_the_same(name: str) -> None:
    """From the hub on, nothing moves any more."""
    document: Any = cda.read(example(name)).document
    again = cda.read(cda.write(document).data)
    assert again.document == projected(document, "cda")


@pytest.mark.parametrize("name", PRESCRIPTIONS)
def test_the_lines_of_the_official_prescriptions(name: str) -> None:
    """A paracetamol, a magistral preparation, a bed."""
    document = cda.read(example(name)).document
    assert isinstance(document, Prescription)
    assert document.number == "01S2TBPZ2JCNZZYGHZ"
    assert {"MED-1094", "MED-1095", "MED-1159"} <= set(document.context_marks)
    paracetamol, preparation, bed = document.lines
    assert paracetamol.kind == preparation.kind == "medication"
    assert [code.system_name for code in paracetamol.medication.codes] == ["CIS", "MV", "CIP"]
    assert (paracetamol.substitution.permitted, paracetamol.substitution.reason) == (False, "MTE")
    assert preparation.medication.preparation is not None
    assert preparation.medication.preparation.count("\n") == 2
    assert bed.kind == "device"
    assert [code.system_name for code in bed.codes] == ["EMDN", "LPP"]
    assert document.weight is not None
    assert document.pregnant is True
    assert document.pdf is not None
    assert document.code_image is not None


def test_the_structured_posology_of_the_official_prescription() -> None:
    """Tapered: two days at three a day, four days at two a day, never more than four a day."""
    document = cda.read(example(PRESCRIPTIONS[0])).document
    assert isinstance(document, Prescription)
    line = document.lines[0]
    assert line.kind == "medication"
    posology = line.posology
    assert posology.mode == "tapered"
    ends = [step.period.end for step in posology.steps if step.period is not None]
    assert ends == ["2023-12-02", "2023-12-06"]
    assert posology.dosage is not None
    assert posology.dosage.maximum is not None
    assert posology.dosage.maximum.numerator.value == 4


def test_the_words_of_the_unstructured_posology_are_found() -> None:
    """No entry refers to them: they are in the row of the medicine."""
    document = cda.read(example(PRESCRIPTIONS[1])).document
    assert isinstance(document, Prescription)
    line = document.lines[0]
    assert line.kind == "medication"
    assert line.posology.text is not None
    assert line.posology.text.startswith("1 à 2 comprimés 3 fois/j")


def test_the_official_dispensation() -> None:
    """Two products, one with a posology changed and a substitution, each tied to a prescribed line."""
    document = cda.read(example(DISPENSATION)).document
    assert isinstance(document, Dispensation)
    first, second = document.lines
    assert first.medication.lot_number == "12345"
    assert first.changed_posology is not None
    assert first.substitution is not None
    assert second.medication.preparation is not None
    assert document.prescription_id is not None


@pytest.mark.official
@pytest.mark.parametrize("name", [*PRESCRIPTIONS, DISPENSATION])
def test_an_official_document_written_again_is_clean(ans_check: Any, name: str) -> None:
    """Even the dispensation, whose own header breaks a rule of the official tool."""
    document: Any = cda.read(example(name)).document
    assert ans_check(cda.write(document, pdf=documents.PDF).data) == []
