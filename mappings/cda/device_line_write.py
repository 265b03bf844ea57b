"""A device line of a prescription: FR-Dispositif-medical (eP-MED-DM section 5)."""

from __future__ import annotations

from mappings.cda import words
from mappings.cda.build import Builder, concept, ivl_ts, null, pq, reference_text, sub, templates, uid
from mappings.cda.marks_write import mark_cells, write_marks
from mappings.cda.narrative import Table
from mappings.cda.tree import Element
from mappings.document.prescription import DeviceLine
from mappings.document.values import Code, Concept

__all__ = ["DEVICE_HEADINGS", "EMDN", "device_codes", "device_line"]

EMDN = "1.2.250.1.213.2.68"
LPP = "1.2.250.1.215.200.2.1"
#: Supply Activity (CCD), FR-Dispositif-medical.
LINE = ("2.16.840.1.113883.10.20.1.34", "1.2.250.1.213.1.1.3.20")

DEVICE_HEADINGS = (
    "Dispositif médical",
    "Instructions",
    "Période",
    "Renouvellements",
    "Quantité",
    "Durée de location",
    "En rapport avec une ALD",
    "En rapport AT/MP",
    "En rapport prévention",
    "Non remboursable",
)


def device_codes(codes: tuple[Code, ...]) -> tuple[Code | None, tuple[Code, ...]]:
    """The main code, an EMDN, and the others: a device known by its LPP alone has no main code (eP-MED-DM 5)."""
    main = next((each for each in codes if each.system == EMDN), None)
    return main, tuple(each for each in codes if each is not main)


def device_line(parent: Element, builder: Builder, line: DeviceLine, place: str, table: Table) -> Element:
    """Add a line to a section and its row to the narrative."""
    row = table.row()
    name = row.cell(line.name, "dm")
    text = row.cell(line.text, "dm-texte")
    row.cell(words.period_text(line.period) if line.period is not None else None)
    row.cell(str(line.renewals) if line.renewals is not None else None)
    quantity = row.cell(words.amount(line.quantity), "quantite") if line.quantity else row.cell(None)
    row.cell(words.amount(line.rental_duration) if line.rental_duration is not None else None)
    marks = mark_cells(row, line.marks)

    element = sub(sub(parent, "entry"), "supply", classCode="SPLY", moodCode="INT")
    templates(element, LINE)
    uid(element, builder, line.id, place)
    reference_text(element, text or name)
    ivl_ts(element, "effectiveTime", line.period, xsi_type=True)
    if line.renewals is None:
        null(element, "repeatNumber", "NI")
    else:
        sub(element, "repeatNumber", value=str(line.renewals))
    if line.quantity is not None:
        pq(element, "quantity", line.quantity, reference=quantity)
    if line.rental_duration is not None:
        pq(sub(element, "expectedUseTime"), "width", line.rental_duration)
    role = sub(sub(element, "participant", typeCode="DEV"), "participantRole", classCode="MANU")
    device = sub(role, "playingDevice", classCode="DEV", determinerCode="INSTANCE")
    main, others = device_codes(line.codes)
    concept(device, Concept(code=main, translations=others, text=line.name), name, uncoded="UNK")
    write_marks(element, builder, line.marks, marks, place)
    return element
