"""Acts done or planned: FR-Acte (VSM 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

from mappings.cda.build import Builder, concept, null, reference_text, status, sub, templates, ts, uid
from mappings.cda.medication_line_write import reason
from mappings.cda.narrative import Narrative, Row
from mappings.cda.section_parts import Columns, comment, moment_cell
from mappings.cda.section_plans import SectionPlan, absence_words
from mappings.cda.tree import Element
from mappings.document.prescription import Motive
from mappings.document.summary import Absence, Procedure
from mappings.document.values import Concept

__all__ = ["DONE", "PLANNED", "no_procedure", "procedures", "reasons_cell"]


#: Procedure Entry (PCC), Procedure activity (CCD) done or planned, FR-Acte.
DONE = ("1.3.6.1.4.1.19376.1.5.3.1.4.19", "2.16.840.1.113883.10.20.1.29", "1.2.250.1.213.1.1.3.62")
PLANNED = ("1.3.6.1.4.1.19376.1.5.3.1.4.19", "2.16.840.1.113883.10.20.1.25", "1.2.250.1.213.1.1.3.62")


def procedures(
    section: Element,
    narrative: Narrative,
    builder: Builder,
    plan: SectionPlan,
    entries: Sequence[Procedure],
    place: str,
) -> None:
    """Add acts to a section, with their table."""
    columns = Columns(entries, ("Acte", "Date"), (("comment", "Commentaire"),))
    with_reasons = any(each.reasons for each in entries)
    table = narrative.table(*columns.headings, *(("Motif",) if with_reasons else ()))
    for index, procedure in enumerate(entries):
        where = f"{place}/entries/{index}"
        row = table.row()
        label = row.cell(procedure.concept.label, "acte")
        moment_cell(row, procedure.performed)
        references = columns.cells(row, {"comment": (procedure.comment, "comment")} if procedure.comment else {})
        reasons = reasons_cell(row, procedure.reasons) if with_reasons else []

        mood = "INT" if procedure.planned else "EVN"
        element = sub(sub(section, "entry"), "procedure", classCode="PROC", moodCode=mood)
        templates(element, PLANNED if procedure.planned else DONE)
        uid(element, builder, procedure.id, where)
        concept(element, procedure.concept, label)
        reference_text(element, label)
        status(element, procedure.status)
        # A planned act says when, or how urgent: unknown is an answer.
        ts(element, "effectiveTime", procedure.performed)
        for i, (motive, reference) in enumerate(zip(procedure.reasons, reasons, strict=True)):
            reason(element, builder, motive, reference, f"{where}/reasons/{i}")
        if procedure.comment:
            comment(element, references["comment"])
        builder.log.carried(where, "FR-Acte")


def reasons_cell(row: Row, motives: Sequence[Motive]) -> list[str]:
    """Add the cell of the reasons; gives the reference of each."""
    pieces: list[tuple[str, str | None]] = []
    for motive in motives:
        pieces.append((", " if pieces else "", None))
        pieces.append((motive.concept.label, "motif") if motive.concept is not None else ("", None))
    return row.cells(*pieces)[1::2]


def no_procedure(
    section: Element, narrative: Narrative, builder: Builder, plan: SectionPlan, absence: Absence, place: str
) -> None:
    """Add the entry that says there is no known act, or no information (VSM section 4)."""
    reference = narrative.paragraph(absence_words(plan, absence), "absence")
    element = sub(sub(section, "entry"), "procedure", classCode="PROC", moodCode="EVN")
    if absence is Absence.NONE_KNOWN:
        element.set("negationInd", "true")
    templates(element, DONE)
    null(element, "id", "NA")
    concept(element, Concept(code=plan.absence_code(absence)), reference)
    reference_text(element, reference)
    status(element)
    null(element, "effectiveTime", "NA")
