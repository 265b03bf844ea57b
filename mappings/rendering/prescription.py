"""The printed prescription: one zone, or the two zones of the form for long-term illnesses (ALD)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime

from mappings.document.prescription import DeviceLine, Line, MedicationLine, MedicationMarks, Prescription
from mappings.document.values import Code
from mappings.rendering.codes import PayloadFormat, PrescriptionCode, Symbology, modules, write_payload
from mappings.rendering.layout import BLUE, GREY, Run, Style, lines_of
from mappings.rendering.layout import Line as TextLine
from mappings.rendering.parts import (
    BODY,
    NOTE,
    SMALL,
    STRONG,
    TITLE,
    meta_of,
    page_footer,
    patient_runs,
    professional_lines,
    structure_lines,
)
from mappings.rendering.posology import sentence
from mappings.rendering.sheet import Sheet
from mappings.rendering.words import amount, date_text, period_text, person_name

__all__ = ["CONTEXT_MARKS", "line_marks", "line_rows", "prescription_pdf", "two_zones"]

#: Words of the two zones (arrêté of the form 14465, articles L. 322-3 3° and 4°, L. 324-1 and R. 161-45 CSS).
ALD_ZONE = (
    "Prescriptions relatives au traitement de l'affection de longue durée reconnue (liste ou hors liste)",
    "AFFECTION EXONÉRANTE",
)
OTHER_ZONE = ("Prescriptions SANS RAPPORT avec l'affection de longue durée", "MALADIES INTERCURRENTES")
BIZONE = "MED-1096"

#: TA_ASIP marks, in words (eP-MED-DM 2).
CONTEXT_MARKS = {
    "MED-1096": "Ordonnance bizone",
    "MED-1097": "Médicaments ou produits d'exception",
    "MED-1098": "Ordonnance sécurisée",
    "MED-1132": "Grand appareillage",
    "MED-1094": "Exécution à domicile",
    "MED-1095": "Urgent",
    "MED-1159": "Affection militaire",
}
#: Motives of a substitution ban (CSS L. 162-16-7, arrêté of 12 November 2019).
BANS = {
    "MTE": "marge thérapeutique étroite",
    "EFG": "enfant, forme galénique adaptée non disponible",
    "CIF": "contre-indication formelle à un excipient",
}
_SYSTEMS = {
    "1.2.250.1.213.2.3.1": "CIS",
    "1.2.250.1.213.2.3.2": "CIP",
    "1.2.250.1.213.2.62": "UCD",
    "1.2.250.1.213.2.59": "MV",
    "1.2.250.1.215.200.2.1": "LPP",
    "1.2.250.1.213.2.68": "EMDN",
}
_CODE_SIDE = 68.0
_INDENT = 22.0


def two_zones(document: Prescription) -> bool:
    """True when the form has two zones: the mark says so, or some line is linked to a long-term illness."""
    return BIZONE in document.context_marks or any(line.marks.ald for line in document.lines)


def prescription_pdf(
    document: Prescription,
    *,
    created: datetime | None = None,
    payload_format: PayloadFormat = PayloadFormat.PROJECT_1,
    symbology: Symbology = Symbology.DATA_MATRIX,
) -> bytes:
    """The printed form as PDF/A-1b, ``created`` being the date of the file (the document's when absent).

    The 2D code is the image given with the prescription, else made from its number in ``payload_format``.
    """
    running = f"Ordonnance{f' n° {document.number}' if document.number else ''} du {date_text(document.created_at)}"

    def continued(sheet: Sheet, number: int) -> None:
        first = document.first_professional
        who = f" – {professional_lines(first)[0]}" if first else ""
        sheet.y += sheet.write(sheet.left, sheet.y, f"{running}{who} (suite)", sheet.inner, NOTE)
        for row in patient_runs(document.patient)[:2]:
            sheet.y += sheet.write(sheet.left, sheet.y, row, sheet.inner, SMALL)
        sheet.rule(sheet.left, sheet.y + 3, sheet.right, sheet.y + 3)
        sheet.y += 10

    sheet = Sheet(header=continued, footer=page_footer(running))
    _heading(sheet, document, payload_format, symbology)
    if two_zones(document):
        linked = [line for line in document.lines if line.marks.ald]
        others = [line for line in document.lines if not line.marks.ald]
        _zone(sheet, ALD_ZONE, linked, 1)
        sheet.space(10)
        _zone(sheet, OTHER_ZONE, others, len(linked) + 1)
    else:
        for block in _blocks(sheet, document.lines, 1):
            sheet.need(_height(block))
            sheet.flow(block)
    _closing(sheet, document)
    return sheet.finish(meta_of(document, created))


# -- heading --------------------------------------------------------------------------------------------------------


def _heading(sheet: Sheet, document: Prescription, payload_format: PayloadFormat, symbology: Symbology) -> None:
    top, half = sheet.y, sheet.inner * 0.62
    y = top
    first = document.first_professional
    if first:
        name, *rest = professional_lines(first)
        y += sheet.write(sheet.left, y, name, half, Style(size=11.5, leading=15, bold=True))
        for row in rest:
            y += sheet.write(sheet.left, y, row, half, BODY)
        for row in structure_lines(first):
            y += sheet.write(sheet.left, y, row, half, SMALL)
    for replaced in _replaced(document):
        y += sheet.write(sheet.left, y, f"Remplace : {replaced}", half, SMALL)
    right = _code(sheet, document, top, payload_format, symbology)
    sheet.y = max(y, right) + 10
    title = "Ordonnance bizone" if two_zones(document) else document.title
    sheet.paragraph(title, TITLE)
    day = f"Établie le {date_text(document.created_at)}"
    period = document.acts[0].period
    if period and period.end:
        day += f" – valable {period_text(period)}"
    sheet.paragraph(day, Style(align="centre", after=6))
    _patient_box(sheet, document)
    marks = [CONTEXT_MARKS.get(mark, mark) for mark in document.context_marks if mark != BIZONE]
    if marks:
        sheet.paragraph([Run("Contexte : "), Run(", ".join(marks), bold=True)], Style(after=5))


def _replaced(document: Prescription) -> Iterable[str]:
    # The locum's mark: participant CON with the function CORRE (eP-MED-DM 2).
    for person in document.participants:
        if person.type == "CON" and person.function and person.function.code == "CORRE":
            yield person_name(person.family, person.given, person.prefix, person.suffix)


def _code(
    sheet: Sheet, document: Prescription, top: float, payload_format: PayloadFormat, symbology: Symbology
) -> float:
    width = sheet.inner * 0.36
    left = sheet.right - width
    y = top
    if document.code_image:
        sheet.picture(sheet.right - _CODE_SIDE, y, _CODE_SIDE, _CODE_SIDE, document.code_image)
        y += _CODE_SIDE + 4
    elif document.number:
        code = PrescriptionCode(number=document.number, issued_on=date.fromisoformat(document.created_at[:10]))
        rows = modules(write_payload(code, payload_format), symbology)
        sheet.modules(sheet.right - _CODE_SIDE, y, _CODE_SIDE, rows)
        y += _CODE_SIDE + 4
    if document.number:
        y += sheet.write(left, y, "Numéro de l'ordonnance", width, replace(NOTE, align="right"))
        y += sheet.write(left, y, document.number, width, replace(STRONG, align="right"))
    return y


def _patient_box(sheet: Sheet, document: Prescription) -> None:
    rows = [*patient_runs(document.patient)]
    measures = []
    if document.weight:
        measures.append(f"Poids : {amount(document.weight)}")
    if document.height:
        measures.append(f"Taille : {amount(document.height)}")
    if document.pregnant is not None:
        measures.append("Grossesse en cours" if document.pregnant else "Pas de grossesse en cours")
    if measures:
        rows.append([Run("   ".join(measures), bold=True)])
    lines = [line for row in rows for line in lines_of(row, sheet.inner - 16, BODY)]
    height = _height(lines) + 10
    sheet.box(sheet.left, sheet.y, sheet.inner, height, fill=(0.95, 0.965, 0.98))
    sheet.box(sheet.left, sheet.y, sheet.inner, height)
    y = sheet.y + 5
    for line in lines:
        sheet.draw_line(sheet.left + 8, y, line)
        y += line.height
    sheet.y += height + 9


# -- lines ----------------------------------------------------------------------------------------------------------


def _height(lines: Sequence[TextLine]) -> float:
    return sum(line.height for line in lines)


def _zone(sheet: Sheet, words: tuple[str, str], lines: Sequence[Line], first: int) -> None:
    """A framed zone, its title said again on each page it spreads over."""
    inner = 8.0
    blocks = _blocks(sheet, lines, first, margin=inner) or [
        lines_of("Aucune prescription dans cette zone", sheet.inner - 2 * inner, replace(BODY, colour=GREY))
    ]

    def title(suffix: str = "") -> list[TextLine]:
        centred = Style(size=8.5, leading=11, align="centre", colour=BLUE)
        strong = replace(centred, bold=True, size=10, leading=13)
        return [
            *lines_of(words[0] + suffix, sheet.inner - 2 * inner, centred),
            *lines_of(words[1], sheet.inner - 2 * inner, strong),
        ]

    def opening(suffix: str = "") -> float:
        start = sheet.y
        head = title(suffix)
        sheet.box(sheet.left, start, sheet.inner, _height(head) + 6, fill=(0.9, 0.93, 0.97))
        sheet.y += 3
        sheet.flow(head, x=sheet.left + inner)
        sheet.y += 9
        return start

    if sheet.room < _height(title()) + 20 + min(_height(blocks[0]), 120):
        sheet.new_page()
    start = opening()
    for block in blocks:
        if _height(block) > sheet.room - 6 and sheet.y > start + 60:
            sheet.box(sheet.left, start, sheet.inner, sheet.y - start)
            sheet.new_page()
            start = opening(" (suite)")
        for line in block:
            if line.height > sheet.room - 6:
                sheet.box(sheet.left, start, sheet.inner, sheet.y - start)
                sheet.new_page()
                start = opening(" (suite)")
            sheet.draw_line(sheet.left + inner, sheet.y, line)
            sheet.y += line.height
    sheet.y += 2
    sheet.box(sheet.left, start, sheet.inner, sheet.y - start)


def _blocks(sheet: Sheet, lines: Sequence[Line], first: int, margin: float = 0.0) -> list[list[TextLine]]:
    width = sheet.inner - 2 * margin
    return [_block(line, rank, width) for rank, line in enumerate(lines, first)]


def _block(line: Line, rank: int, width: float) -> list[TextLine]:
    name = line.medication.label if isinstance(line, MedicationLine) else line.name
    head = replace(STRONG, size=10.5, leading=14, indent=_INDENT)
    out = lines_of(name, width, head)
    # The rank hangs in the margin of the name.
    number = lines_of(f"{rank}.", _INDENT, replace(STRONG, size=10.5, leading=14))[0]
    out[0] = TextLine(out[0].height, (*number.spans, *out[0].spans), keep=True)
    body = replace(BODY, indent=_INDENT)
    small = replace(SMALL, indent=_INDENT)
    note = replace(NOTE, indent=_INDENT)
    for kind, text in line_rows(line):
        out += lines_of(text, width, {"body": body, "small": small, "note": note}[kind])
    marks = line_marks(line)
    if marks:
        out += lines_of([Run(" – ".join(marks), bold=True)], width, small)
    return [*out, TextLine(7.0)]


Rows = list[tuple[str, str | list[Run]]]


def line_rows(line: Line) -> Rows:
    """What a line says under its name, each row with its weight (body, small, note)."""
    return _medication(line) if isinstance(line, MedicationLine) else _device(line)


def _codes_text(codes: Iterable[Code]) -> str:
    return " · ".join(f"{_SYSTEMS.get(code.system) or code.system_name or code.system} {code.code}" for code in codes)


def _medication(line: MedicationLine) -> Rows:
    medicine = line.medication
    rows: Rows = []
    if medicine.preparation and medicine.preparation != medicine.label:
        rows.append(("body", f"Préparation : {medicine.preparation}"))
    substances = [i.name or (i.code.display if i.code else None) for i in medicine.ingredients]
    known = [name for name in substances if name and name.casefold() not in medicine.label.casefold()]
    if known:
        rows.append(("small", f"Substance(s) active(s) : {', '.join(known)}"))
    rows.append(("body", sentence(line.posology, medicine)))
    facts = []
    if line.quantity:
        facts.append(f"Quantité : {amount(line.quantity)}")
    facts += _renewals(line.renewals)
    if line.renewal_period and (extent := period_text(line.renewal_period)):
        facts.append(f"renouvellement possible {extent}")
    if facts:
        rows.append(("small", " – ".join(facts)))
    if line.motives:
        labels = [m.concept.label for m in line.motives if m.concept]
        if labels:
            rows.append(("small", f"Motif : {', '.join(labels)}"))
    if line.patient_instruction:
        rows.append(("small", f"Pour le patient : {line.patient_instruction}"))
    if line.dispenser_instruction:
        rows.append(("small", f"Pour le pharmacien : {line.dispenser_instruction}"))
    if medicine.codes:
        rows.append(("note", _codes_text(medicine.codes)))
    return rows


def _device(line: DeviceLine) -> Rows:
    rows: Rows = []
    if line.text:
        rows.append(("body", line.text))
    facts = []
    if line.quantity:
        facts.append(f"Quantité : {amount(line.quantity)}")
    if line.period and (extent := period_text(line.period)):
        facts.append(extent)
    if line.rental_duration:
        facts.append(f"location pendant {amount(line.rental_duration)}")
    facts += _renewals(line.renewals)
    if facts:
        rows.append(("small", " – ".join(facts)))
    if line.codes:
        rows.append(("note", _codes_text(line.codes)))
    return rows


def _renewals(count: int | None) -> list[str]:
    if count is None:
        return []
    return [f"à renouveler {count} fois"] if count else ["sans renouvellement"]


def line_marks(line: Line) -> list[str]:
    """What the prescriber states of a line, in words (ALD apart, which is a zone)."""
    marks = []
    if isinstance(line, MedicationLine) and not line.substitution.permitted:
        ban = line.substitution
        motive = f"{ban.reason} : {BANS[ban.reason]}" if ban.reason else ""
        words = " ; ".join(part for part in (motive, ban.text or "") if part)
        marks.append(f"NON SUBSTITUABLE ({words})")
    flags = line.marks
    if flags.work_accident:
        marks.append("Accident du travail / maladie professionnelle")
    if flags.prevention:
        marks.append("Prévention")
    if flags.not_reimbursable:
        marks.append("NON REMBOURSABLE (NR)")
    if isinstance(flags, MedicationMarks) and flags.off_label:
        reason = f" : {flags.off_label_reason}" if flags.off_label_reason else ""
        marks.append(f"HORS AMM{reason}")
    return marks


# -- end ------------------------------------------------------------------------------------------------------------


def _closing(sheet: Sheet, document: Prescription) -> None:
    if document.comment:
        sheet.paragraph([Run("Commentaire : ", bold=True), Run(document.comment)], Style(before=8, after=4))
    count = len(document.lines)
    sheet.paragraph(
        f"{count} ligne{'s' if count > 1 else ''} prescrite{'s' if count > 1 else ''}.",
        Style(before=6, size=8, leading=10),
    )
    signer = document.legal_authenticator.professional if document.legal_authenticator else document.first_professional
    height = 62.0
    sheet.need(height)
    width = sheet.inner * 0.42
    left, y = sheet.right - width, sheet.y + 4
    sheet.box(left, y, width, height - 4)
    sheet.write(left + 6, y + 3, "Signature du prescripteur", width - 12, NOTE)
    if signer:
        sheet.write(left + 6, y + height - 19, professional_lines(signer)[0], width - 12, STRONG)
    sheet.y += height
