"""The body of a dispensation (CI-SIS eDISP-MED 2024.01): products given, against which prescription lines."""

from __future__ import annotations

from mappings.cda import words
from mappings.cda.build import (
    Builder,
    code,
    ii,
    original_text,
    pq,
    reference_text,
    section,
    status,
    sub,
    templates,
    ts,
    uid,
)
from mappings.cda.header_write import HeaderPlan
from mappings.cda.medication_line_write import PATIENT_INSTRUCTION, SUBSTITUTION, instruction, write_step
from mappings.cda.medication_write import empty_product, no_product, product
from mappings.cda.narrative import Narrative, Table
from mappings.cda.posology_write import (
    DOSAGE_HEADINGS,
    amounts,
    changed_times,
    dosage_cells,
    mode_templates,
    posology_cell,
    precondition,
)
from mappings.cda.prescription_write import EPU
from mappings.cda.tree import Element
from mappings.document.dispensation import Dispensation, DispensedLine
from mappings.document.medication import Posology
from mappings.document.people import Identifier
from mappings.document.values import Code

__all__ = ["COMPLETENESS", "NOTE", "PRESCRIPTION_ITEM", "TEMPLATES", "plan", "write_body"]


LOINC = "2.16.840.1.113883.6.1"
ACT_CODE = "2.16.840.1.113883.5.4"

#: IHE DIS, PCC, eDISP-MED.
TEMPLATES = (
    ("1.3.6.1.4.1.19376.1.9.1.1.3", None),
    ("1.3.6.1.4.1.19376.1.5.3.1.1.1", None),
    ("1.2.250.1.213.1.1.1.54", "2024.01"),
)
DISPENSATION = Code(code="60593-1", system=LOINC, display="Dispensation médicamenteuse", system_name="LOINC")
GIVEN = Code(code="60590-7", system=LOINC, display="Médicaments délivrés", system_name="LOINC")

#: Supply Activity (CCD), Supply Entry (PCC), Dispense Item (PHARM DIS), FR-Traitement-dispense.
LINE = (
    "2.16.840.1.113883.10.20.1.34",
    "1.3.6.1.4.1.19376.1.5.3.1.4.7.3",
    "1.3.6.1.4.1.19376.1.9.1.3.4",
    "1.2.250.1.213.1.1.3.204",
)
PRESCRIPTION_ITEM = ("1.3.6.1.4.1.19376.1.9.1.3.11", "1.2.250.1.213.1.1.3.90")
NOTE = (
    "2.16.840.1.113883.10.20.1.43",
    "1.3.6.1.4.1.19376.1.5.3.1.4.3.1",
    "1.2.250.1.213.1.1.3.207",
)
POSOLOGY = (
    "2.16.840.1.113883.10.20.1.24",
    "1.3.6.1.4.1.19376.1.5.3.1.4.7",
    "1.2.250.1.213.1.1.3.42",
)
SUBSTITUTED = ("1.3.6.1.4.1.19376.1.9.1.3.9.2", "1.2.250.1.213.1.1.3.206")

#: JDV_CompletudeDispensation (1.2.250.1.213.1.1.5.765).
COMPLETENESS = {
    "FFC": "Première délivrance complète",
    "FFP": "Première délivrance partielle",
    "RFC": "Délivrance suivante complète",
    "RFP": "Délivrance suivante partielle",
}

HEADINGS = (
    "Médicament délivré",
    "Délivrance",
    "Quantité",
    "Date",
    "Substitution",
    "Ligne de prescription",
    "Instruction au patient",
    "Note du dispensateur",
)


def plan(document: Dispensation) -> HeaderPlan:
    """What a dispensation adds to the header: the prescription it answers, by id and by number."""
    orders = []
    if document.prescription_id is not None:
        orders.append(document.prescription_id)
    if document.prescription_number is not None:
        orders.append(Identifier(root=EPU, extension=document.prescription_number))
    return HeaderPlan(templates=TEMPLATES, act_code=DISPENSATION, orders=orders)


def write_body(document: Dispensation, builder: Builder) -> None:
    """Add the body."""
    element = section(
        builder.body(),
        builder,
        ("1.3.6.1.4.1.19376.1.9.1.2.3", "2.16.840.1.113883.10.20.1.8", "1.2.250.1.213.1.1.2.236"),
        GIVEN,
        "Médicaments délivrés",
        "/lines#section",
    )
    narrative = Narrative(builder, element)
    table = narrative.table(*HEADINGS)
    changed = any(line.changed_posology is not None for line in document.lines)
    posology = narrative.table("Médicament", "Posologie modifiée", *DOSAGE_HEADINGS) if changed else None
    for index, line in enumerate(document.lines):
        _line(element, builder, document, line, f"/lines/{index}", table, posology)
        builder.log.carried(f"/lines/{index}", "FR-Traitement-dispense")
    for refused in document.refused:
        narrative.paragraph(f"Ligne prescrite non délivrée ({refused.prescribed_line}) : {refused.reason}")


def _line(
    parent: Element,
    builder: Builder,
    document: Dispensation,
    line: DispensedLine,
    place: str,
    table: Table,
    posology: Table | None,
) -> None:
    row = table.row()
    label = row.cell(line.medication.preparation or line.medication.label, "med")
    row.cell(COMPLETENESS[line.completeness])
    quantity = row.cell(words.amount(line.quantity), "quantite")
    row.cell(words.moment_text(line.dispensed_at) if line.dispensed_at is not None else None)
    made = line.substitution
    lead = "Oui" if made is not None else "Non"
    substitution = ""
    if made is not None and made.reason is not None:
        substitution = row.cells((f"{lead} : ", None), (made.reason, "substitution"))[1]
    else:
        row.cell(lead)
    # The words of the link: what the entry PREItem refers to.
    item = row.cell(str(line.prescribed_line), "ligne") if line.prescribed_line is not None else row.cell(None)
    patient = row.cell(line.patient_instruction, "patient")
    note = row.cell(line.note, "note")

    element = sub(sub(parent, "entry"), "supply", classCode="SPLY", moodCode="EVN")
    templates(element, LINE)
    uid(element, builder, line.id, place)
    completeness = Code(
        code=line.completeness, system=ACT_CODE, display=COMPLETENESS[line.completeness], system_name="HL7:ActCode"
    )
    code(element, completeness)
    reference_text(element, label)
    ts(element, "effectiveTime", line.dispensed_at, unknown=None)
    pq(element, "quantity", line.quantity, reference=quantity)
    product(element, line.medication, label, tag="product", dispensed=True)
    if line.prescribed_line is not None:
        _item(element, builder, document, line, item)
    if patient:
        instruction(element, PATIENT_INSTRUCTION, "PINSTRUCT", patient)
    # As soon as a supply has a relationship, PCC wants this one; without a note it points at the product.
    instruction(element, NOTE, "FINSTRUCT", note or label)
    if line.changed_posology is not None and posology is not None:
        _posology(element, builder, line.changed_posology, f"{place}/changedPosology", posology, label, line)
    if made is not None:
        act = sub(sub(element, "entryRelationship", typeCode="COMP"), "act", classCode="ACT", moodCode="EVN")
        templates(act, SUBSTITUTED)
        coded = code(
            act,
            Code(
                code="G",
                system=SUBSTITUTION,
                display="Substitution par un générique",
                system_name="HL7_substanceAdminSubstitution",
            ),
        )
        if substitution:
            original_text(coded, substitution)
        status(act)


def _item(parent: Element, builder: Builder, document: Dispensation, line: DispensedLine, reference: str) -> None:
    relationship = sub(parent, "entryRelationship", typeCode="REFR", inversionInd="false")
    element = sub(relationship, "substanceAdministration", classCode="SBADM", moodCode="INT")
    templates(element, PRESCRIPTION_ITEM)
    uid(element, builder, line.prescribed_line, "")
    item = Code(
        code="PREItem",
        system="1.3.6.1.4.1.19376.1.9.2.2",
        display="Prescription Item",
        system_name="IHE Pharmacy Item Type List",
    )
    original_text(code(element, item), reference)
    empty_product(element)
    if document.prescription_id is not None:
        external = sub(sub(element, "reference", typeCode="XCRPT"), "externalDocument")
        ii(external, document.prescription_id)


def _posology(
    parent: Element,
    builder: Builder,
    value: Posology,
    place: str,
    table: Table,
    label: str,
    line: DispensedLine,
) -> None:
    row = table.row()
    row.cell(line.medication.label)
    text = posology_cell(row, value, line.medication)
    references = dosage_cells(row, value.dosage)
    relationship = sub(parent, "entryRelationship", typeCode="COMP")
    element = sub(relationship, "substanceAdministration", classCode="SBADM", moodCode="INT")
    # The IHE template imposes a frequency: without one the instruction is a plain FR-Traitement.
    dosing = value.dosage is not None and bool(value.dosage.timing)
    templates(element, (*POSOLOGY, *mode_templates(value, dosing=dosing)))
    uid(element, builder, None, place)
    reference_text(element, text or label)
    status(element)
    changed_times(element, value.dosage, references, deferred=value.deferred_start)
    amounts(element, value.dosage, references)
    no_product(element, typed=False, void=True)
    for index, step in enumerate(value.steps):
        write_step(element, builder, step, index, f"{place}/steps/{index}", table, label)
    precondition(element, value.dosage, references)
