"""A medicine line of a prescription: FR-Traitement-prescrit (eP-MED-DM section 4)."""

from __future__ import annotations

from mappings.cda import words
from mappings.cda.build import (
    Builder,
    code,
    concept,
    ivl_ts,
    null,
    original_text,
    pq,
    reference_text,
    status,
    sub,
    templates,
    uid,
)
from mappings.cda.marks_write import mark_cells, write_marks
from mappings.cda.medication_write import no_product, product
from mappings.cda.narrative import Table
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
from mappings.cda.tree import Element
from mappings.document.medication import Dosage
from mappings.document.prescription import MedicationLine, Motive, Substitution
from mappings.document.values import Code

__all__ = [
    "DELIVERY_HEADINGS",
    "POSOLOGY_HEADINGS",
    "SUBSTITUTION_REASONS",
    "instruction",
    "medication_line",
    "reason",
    "substitution_text",
    "write_step",
]


ACT_CODE = "2.16.840.1.113883.5.4"
IHE_ACT = "1.3.6.1.4.1.19376.1.5.3.2"
SUBSTITUTION = "2.16.840.1.113883.5.1070"
DRUG = Code(code="DRUG", system=ACT_CODE, display="Médicament", system_name="HL7:ActCode")

#: Medication activity (CCD), Medications Entry (PCC), Prescription Item (PHARM PRE), FR-Traitement-prescrit.
LINE = (
    "2.16.840.1.113883.10.20.1.24",
    "1.3.6.1.4.1.19376.1.5.3.1.4.7",
    "1.3.6.1.4.1.19376.1.9.1.3.2",
    "1.2.250.1.213.1.1.3.83",
)
STEP = "1.2.250.1.213.1.1.3.83.1"
PATIENT_INSTRUCTION = (
    "2.16.840.1.113883.10.20.1.49",
    "1.3.6.1.4.1.19376.1.5.3.1.4.3",
    "1.2.250.1.213.1.1.3.33",
)
DISPENSER_INSTRUCTION = (
    "2.16.840.1.113883.10.20.1.43",
    "1.3.6.1.4.1.19376.1.5.3.1.4.3.1",
    "1.2.250.1.213.1.1.3.34",
)
QUANTITY = ("1.3.6.1.4.1.19376.1.9.1.3.8", "1.2.250.1.213.1.1.3.86")
RENEWAL_PERIOD = ("1.3.6.1.4.1.19376.1.9.1.3.15", "1.2.250.1.213.1.1.3.88")
PERMISSION = ("1.3.6.1.4.1.19376.1.9.1.3.9.1", "1.2.250.1.213.1.1.3.87")
REFERENCE = ("1.3.6.1.4.1.19376.1.5.3.1.4.4.1", "1.2.250.1.213.1.1.3.36")
#: Reference to Medication Treatment Plan Item (IHE PHARM), FR-Reference-item-plan-traitement.
PLAN_ITEM = ("1.3.6.1.4.1.19376.1.9.1.3.10", "1.2.250.1.213.1.1.3.85")

POSOLOGY_HEADINGS = ("Médicament", "Posologie", *DOSAGE_HEADINGS)
DELIVERY_HEADINGS = (
    "Médicament",
    "Quantité",
    "Renouvellements",
    "Substitution",
    "En rapport avec une ALD",
    "En rapport AT/MP",
    "En rapport prévention",
    "Non remboursable",
    "Hors AMM",
    "Instruction au patient",
    "Instruction au dispensateur",
    "Motif",
)

#: Words of the regulatory motives of a substitution ban (CSP L5125-23; arrêté of 12 November 2019).
SUBSTITUTION_REASONS = {
    "MTE": "non substituable, marge thérapeutique étroite",
    "EFG": "non substituable, enfant de moins de six ans sans forme galénique adaptée",
    "CIF": "non substituable, contre-indication formelle à un excipient à effet notoire",
}


def substitution_text(value: Substitution) -> str | None:
    """The motive as written: CDA 2024.01 has no coded place for it, so the text starts with the acronym."""
    if value.reason is None:
        return value.text
    return f"{value.reason} : {value.text or SUBSTITUTION_REASONS[value.reason]}"


def medication_line(
    parent: Element,
    builder: Builder,
    line: MedicationLine,
    place: str,
    posology: Table,
    delivery: Table,
    *,
    structured: bool,
) -> Element:
    """Add a line to a section and its rows to the two tables of the narrative.

    ``structured`` tells whether the posology table has the columns of a structured posology.
    """
    rows = posology.row()
    label = rows.cell(line.medication.preparation or line.medication.label, "med")
    dosage = line.posology.dosage
    words_reference = posology_cell(rows, line.posology, line.medication)
    references = dosage_cells(rows, dosage) if structured else DosageReferences()

    element = sub(sub(parent, "entry"), "substanceAdministration", classCode="SBADM", moodCode="INT")
    templates(element, (*LINE, *mode_templates(line.posology, dosing=line.posology.structured)))
    uid(element, builder, line.id, place)
    code(element, DRUG)
    reference_text(element, words_reference or label)
    status(element)
    times(element, dosage, references, deferred=line.posology.deferred_start)
    if line.renewals is None:
        null(element, "repeatNumber", "NI")
    else:
        sub(element, "repeatNumber", value=str(line.renewals))
    amounts(element, dosage, references)
    # The published rule wants one lot at most in the whole document; a prescribed product has none.
    product(element, line.medication, label, lot=False)
    for index, step in enumerate(line.posology.steps):
        write_step(element, builder, step, index, f"{place}/posology/steps/{index}", posology, label)
    _delivery(element, builder, line, place, delivery)
    precondition(element, dosage, references)
    return element


def write_step(
    line: Element, builder: Builder, step: Dosage, index: int, place: str, posology: Table, label: str
) -> None:
    """Add one step of a posology that has several, and its row."""
    row = posology.row()
    sequence = str(step.sequence or index + 1)
    row.cell(f"Étape {sequence}")
    text = row.cell(step.text, "etape") if step.text is not None else row.cell(words.dosage_sentence(step))
    references = dosage_cells(row, step)
    relationship = sub(line, "entryRelationship", typeCode="COMP")
    sub(relationship, "sequenceNumber", value=sequence)
    element = sub(relationship, "substanceAdministration", classCode="SBADM", moodCode="INT")
    templates(element, (STEP,))
    uid(element, builder, None, place)
    # A text is imposed; without words of its own a step points at the medicine.
    reference_text(element, text or label)
    status(element)
    step_times(element, step, references)
    amounts(element, step, references)
    no_product(element)
    precondition(element, step, references)


def _delivery(element: Element, builder: Builder, line: MedicationLine, place: str, table: Table) -> None:
    row = table.row()
    row.cell(line.medication.label)
    quantity = row.cell(words.amount(line.quantity), "quantite") if line.quantity else row.cell(None)
    renewals = "" if line.renewals is None else str(line.renewals)
    if line.renewal_period is not None and (period := words.period_text(line.renewal_period)):
        renewals = f"{renewals} ({period})"
    row.cell(renewals)
    motive = substitution_text(line.substitution)
    if motive is None:
        row.cell("Autorisée")
        substitution = ""
    else:
        lead = "Autorisée : " if line.substitution.permitted else ""
        substitution = row.cells((lead, None), (motive, "substitution"))[1]
    marks = mark_cells(row, line.marks)
    patient = row.cell(line.patient_instruction, "patient")
    dispenser = row.cell(line.dispenser_instruction, "dispensateur")
    pieces: list[tuple[str, str | None]] = []
    for each in line.motives:
        pieces.append((", " if pieces else "", None))
        pieces.append((each.concept.label, "motif") if each.concept is not None else ("", None))
    motives = row.cells(*pieces)[1::2]

    if patient:
        instruction(element, PATIENT_INSTRUCTION, "PINSTRUCT", patient)
    if dispenser:
        instruction(element, DISPENSER_INSTRUCTION, "FINSTRUCT", dispenser)
    if line.quantity is not None:
        supply = sub(sub(element, "entryRelationship", typeCode="COMP"), "supply", classCode="SPLY", moodCode="RQO")
        templates(supply, QUANTITY)
        sub(supply, "independentInd", value="false")
        pq(supply, "quantity", line.quantity, reference=quantity)
    if line.renewal_period is not None and (line.renewal_period.start or line.renewal_period.end):
        supply = sub(sub(element, "entryRelationship", typeCode="COMP"), "supply", classCode="SPLY", moodCode="RQO")
        templates(supply, RENEWAL_PERIOD)
        ivl_ts(supply, "effectiveTime", line.renewal_period, xsi_type=True, low="UNK", high="UNK")
        sub(supply, "independentInd", value="false")
    _permission(element, line.substitution, substitution)
    for index, (each, reference) in enumerate(zip(line.motives, motives, strict=True)):
        reason(element, builder, each, reference, f"{place}/motives/{index}")
    write_marks(element, builder, line.marks, marks, place)
    if line.treatment_plan_item is not None:
        # FR-Reference-item-plan-traitement is a substanceAdministration, which PCC forbids below a line of normal mode,
        # and its published rule counts over the whole document: here the link is carried by an act.
        relationship = sub(element, "entryRelationship", typeCode="REFR", inversionInd="false")
        act = sub(relationship, "act", classCode="ACT", moodCode="INT")
        templates(act, PLAN_ITEM[1:])
        uid(act, builder, line.treatment_plan_item, "")
        sub(act, "code", code="MTPItem", codeSystem="1.3.6.1.4.1.19376.1.9.2.2")


def instruction(parent: Element, oids: tuple[str, ...], value: str, reference: str) -> None:
    """Add an instruction to the patient or to the dispenser."""
    act = sub(sub(parent, "entryRelationship", typeCode="SUBJ", inversionInd="true"), "act")
    act.set("classCode", "ACT")
    act.set("moodCode", "INT")
    templates(act, oids)
    sub(act, "code", code=value, codeSystem=IHE_ACT, codeSystemName="IHEActCode")
    reference_text(act, reference)
    status(act)


def _permission(parent: Element, value: Substitution, reference: str) -> None:
    act = sub(sub(parent, "entryRelationship", typeCode="COMP"), "act", classCode="ACT", moodCode="DEF")
    templates(act, PERMISSION)
    permitted = value.permitted
    coded = code(
        act,
        Code(
            code="G" if permitted else "N",
            system=SUBSTITUTION,
            display="Substitution par un générique permise" if permitted else "Aucune substitution permise",
            system_name="HL7_substanceAdminSubstitution",
        ),
    )
    if reference:
        original_text(coded, reference)
    status(act)


def reason(parent: Element, builder: Builder, motive: Motive, reference: str, place: str) -> None:
    """Add why: a reference to a problem, by its id, with its code (FR-Reference-interne)."""
    act = sub(sub(parent, "entryRelationship", typeCode="RSON"), "act", classCode="ACT", moodCode="EVN")
    templates(act, REFERENCE)
    uid(act, builder, motive.id, place)
    if motive.concept is not None:
        concept(act, motive.concept, reference, uncoded="NA")
    else:
        null(act, "code", "NA")
