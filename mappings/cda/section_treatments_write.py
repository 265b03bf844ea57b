"""Long-term treatments: FR-Traitement (VSM 3.11)."""

from __future__ import annotations

from collections.abc import Sequence

from mappings.cda import words
from mappings.cda.build import Builder, code, null, original_text, reference_text, status, sub, templates, uid
from mappings.cda.medication_line_write import DRUG, PATIENT_INSTRUCTION, instruction, reason
from mappings.cda.medication_write import no_product, product
from mappings.cda.narrative import Narrative, Table
from mappings.cda.posology_write import (
    DOSAGE_HEADINGS,
    DosageReferences,
    amounts,
    dosage_cells,
    mode_templates,
    posology_cell,
    precondition,
    step_times,
    times,
)
from mappings.cda.section_plans import SectionPlan, absence_words
from mappings.cda.section_procedures_write import reasons_cell
from mappings.cda.tree import Element
from mappings.document.medication import Dosage
from mappings.document.summary import Absence, Treatment
from mappings.document.values import Period

__all__ = ["TREATMENT", "main_dosage", "no_treatment", "treatments"]


#: Medication activity (CCD), Medications Entry (PCC), FR-Traitement.
TREATMENT = ("2.16.840.1.113883.10.20.1.24", "1.3.6.1.4.1.19376.1.5.3.1.4.7", "1.2.250.1.213.1.1.3.42")
_NORMAL = "1.3.6.1.4.1.19376.1.5.3.1.4.7.1"


def main_dosage(treatment: Treatment) -> Dosage | None:
    """The instruction of the entry itself: its only extent is the period of the treatment, when there is one."""
    dosage = treatment.posology.dosage
    if not _known(treatment.period):
        return dosage
    changes = {"period": treatment.period, "duration": None}
    return (dosage or Dosage()).model_copy(update=changes)


def _known(period: Period | None) -> bool:
    return period is not None and bool(period.start or period.end)


def treatments(
    section: Element, narrative: Narrative, builder: Builder, entries: Sequence[Treatment], place: str
) -> None:
    """Add treatments to a section, with their table."""
    structured = any(each.posology.structured for each in entries)
    with_reasons = any(each.reasons for each in entries)
    with_instruction = any(each.patient_instruction is not None for each in entries)
    table = narrative.table(
        "Médicament",
        "Posologie",
        "Période",
        *(DOSAGE_HEADINGS if structured else ()),
        *(("Motif",) if with_reasons else ()),
        *(("Instruction au patient",) if with_instruction else ()),
    )
    for index, treatment in enumerate(entries):
        where = f"{place}/entries/{index}"
        posology = treatment.posology
        row = table.row()
        label = row.cell(treatment.medication.preparation or treatment.medication.label, "med")
        text = posology_cell(row, posology, treatment.medication)
        row.cell(words.period_text(treatment.period) if treatment.period is not None else None)
        references = dosage_cells(row, posology.dosage) if structured else DosageReferences()
        reasons = reasons_cell(row, treatment.reasons) if with_reasons else []
        advice = row.cell(treatment.patient_instruction, "patient") if with_instruction else ""

        element = sub(
            sub(section, "entry", typeCode="DRIV"), "substanceAdministration", classCode="SBADM", moodCode="EVN"
        )
        templates(element, (*TREATMENT, *mode_templates(posology, dosing=False)))
        uid(element, builder, treatment.id, where)
        code(element, DRUG)
        reference_text(element, text or label)
        status(element)
        dosage = main_dosage(treatment)
        times(element, dosage, references, deferred=posology.deferred_start)
        amounts(element, dosage, references)
        product(element, treatment.medication, label, pharmacy=False)
        for i, step in enumerate(posology.steps):
            _step(element, builder, step, i, f"{where}/posology/steps/{i}", table, label)
        for i, (motive, reference) in enumerate(zip(treatment.reasons, reasons, strict=True)):
            reason(element, builder, motive, reference, f"{where}/reasons/{i}")
        if treatment.patient_instruction is not None:
            instruction(element, PATIENT_INSTRUCTION, "PINSTRUCT", advice)
        precondition(element, dosage, references)
        builder.log.carried(where, "FR-Traitement")


def _step(line: Element, builder: Builder, step: Dosage, index: int, place: str, table: Table, label: str) -> None:
    """Add one step of a posology that has several, and its row."""
    row = table.row()
    sequence = str(step.sequence or index + 1)
    row.cell(f"Étape {sequence}")
    text = row.cell(step.text, "etape") if step.text is not None else row.cell(words.dosage_sentence(step))
    row.cell(None)
    references = dosage_cells(row, step)
    relationship = sub(line, "entryRelationship", typeCode="COMP")
    sub(relationship, "sequenceNumber", value=sequence)
    element = sub(relationship, "substanceAdministration", classCode="SBADM", moodCode="EVN")
    uid(element, builder, None, place)
    reference_text(element, text or label)
    status(element)
    step_times(element, step, references)
    amounts(element, step, references)
    no_product(element, pharmacy=False)
    precondition(element, step, references)


def no_treatment(
    section: Element, narrative: Narrative, builder: Builder, plan: SectionPlan, absence: Absence, place: str
) -> None:
    """Add the entry that says there is no treatment, or no information (VSM section 4)."""
    reference = narrative.paragraph(absence_words(plan, absence), "absence")
    element = sub(sub(section, "entry", typeCode="DRIV"), "substanceAdministration", classCode="SBADM", moodCode="EVN")
    templates(element, (*TREATMENT, _NORMAL))
    uid(element, builder, None, f"{place}#absence")
    said = plan.absence_code(absence)
    if said is not None:
        original_text(code(element, said), reference)
    reference_text(element, reference)
    status(element)
    times_unknown(element)
    no_product(element, typed=False, pharmacy=False)


def times_unknown(element: Element) -> None:
    """Add the effectiveTime of an entry that has no time of its own (not applicable)."""
    extent = sub(element, "effectiveTime")
    extent.set("{http://www.w3.org/2001/XMLSchema-instance}type", "IVL_TS")
    null(extent, "low", "NA")
    null(extent, "high", "NA")
