"""What the prescriber states of a line, yes or no: ALD, work accident, prevention, reimbursement, off-label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mappings.cda import words
from mappings.cda.build import XSI_TYPE, Builder, sub
from mappings.cda.narrative import Row
from mappings.cda.sections_write import SIMPLE, observation
from mappings.cda.tree import Element
from mappings.document.prescription import LineMarks, MedicationMarks
from mappings.document.values import Code

__all__ = ["MARKS", "Mark", "mark_cells", "write_marks"]

TA_ASIP = "1.2.250.1.213.1.1.4.322"


@dataclass(frozen=True, slots=True)
class Mark:
    """One statement: its name in the hub, its template, its code."""

    name: str
    template: str
    code: Code


def _ta(code: str, display: str) -> Code:
    return Code(code=code, system=TA_ASIP, display=display, system_name="TA_ASIP")


#: eP-MED-DM 4.4, in the order of the official documents. A device has no off-label statement.
MARKS = (
    Mark("ald", "1.2.250.1.213.1.1.3.48.13", _ta("MED-574", "En rapport avec une ALD")),
    Mark(
        "work_accident",
        "1.2.250.1.213.1.1.3.48.14",
        _ta("GEN-180", "En rapport avec un accident du travail ou une maladie professionnelle"),
    ),
    Mark("prevention", "1.2.250.1.213.1.1.3.48.34", _ta("GEN-295", "En rapport avec la prévention")),
    Mark("not_reimbursable", "1.2.250.1.213.1.1.3.48.15", _ta("GEN-181", "Non remboursable")),
    Mark("off_label", "1.2.250.1.213.1.1.3.48.12", _ta("GEN-179", "Hors Autorisation de Mise sur le Marché (AMM)")),
)


def mark_cells(row: Row, marks: LineMarks) -> list[str]:
    """Add a cell a statement, oui or non; an off-label reason follows it."""
    out = []
    for mark in MARKS if isinstance(marks, MedicationMarks) else MARKS[:-1]:
        text = words.yes_no(getattr(marks, mark.name))
        if mark.name == "off_label" and isinstance(marks, MedicationMarks) and marks.off_label_reason is not None:
            text = f"{text} : {marks.off_label_reason}"
        out.append(row.cell(text, "mention"))
    return out


def write_marks(line: Element, builder: Builder, marks: LineMarks, references: Sequence[str], place: str) -> None:
    """Add every statement of a line, the negative ones too: a silence is not a no (eP-MED-DM 4.4)."""
    for mark, reference in zip(MARKS, references, strict=False):
        element = observation(
            sub(line, "entryRelationship", typeCode="COMP"),
            builder,
            (*SIMPLE, mark.template),
            mark.code,
            reference,
            place=f"{place}/marks#{mark.name}",
            when=builder.created_at,
        )
        value = sub(element, "value", value="true" if getattr(marks, mark.name) else "false")
        value.set(XSI_TYPE, "BL")
