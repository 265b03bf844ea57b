"""How to take a medicine: the structured posology of a line and of its steps (eP-MED-DM 4.1, 4.2, 4.4)."""

from __future__ import annotations

from dataclasses import dataclass

from mappings.cda import words
from mappings.cda.build import V3, XSI_TYPE, code, hl7, ivl_quantity, ivl_ts, null, original_text, pq, ratio, sub
from mappings.cda.narrative import Row
from mappings.cda.tree import Element
from mappings.document.medication import AfterEvent, Dosage, Every, Medication, Posology, PosologyMode
from mappings.document.values import Concept, QuantityRange

__all__ = [
    "DEFERRED",
    "DOSAGE_HEADINGS",
    "DOSING",
    "MODES",
    "DosageReferences",
    "amounts",
    "changed_times",
    "dosage_cells",
    "has_extent",
    "mode_templates",
    "posology_cell",
    "precondition",
    "site",
    "step_times",
    "times",
]

#: Columns of a structured posology in a narrative.
DOSAGE_HEADINGS = ("Durée", "Fréquence", "Dose", "Rythme", "Dose maximale", "Voie", "Région", "Condition")

#: Dosing modes (IHE PCC): exactly one templateId a line.
MODES = {
    PosologyMode.NORMAL: "1.3.6.1.4.1.19376.1.5.3.1.4.7.1",
    PosologyMode.TAPERED: "1.3.6.1.4.1.19376.1.5.3.1.4.8",
    PosologyMode.SPLIT: "1.3.6.1.4.1.19376.1.5.3.1.4.9",
    PosologyMode.CONDITIONAL: "1.3.6.1.4.1.19376.1.5.3.1.4.10",
    PosologyMode.COMBINATION: "1.3.6.1.4.1.19376.1.5.3.1.4.11",
}
#: Deferred start, written beside the mode: alone it breaks the PCC rule.
DEFERRED = "1.3.6.1.4.1.19376.1.5.3.1.4.21"
#: Dosage Instructions (IHE PHARM), only for a structured posology.
DOSING = "1.3.6.1.4.1.19376.1.9.1.3.6"


def mode_templates(posology: Posology, *, dosing: bool) -> tuple[str, ...]:
    """The templateIds that say how the posology is expressed, mode last but for a deferred start.

    ``dosing`` adds the IHE PHARM template of structured instructions.
    """
    out: tuple[str, ...] = (DOSING,) if dosing else ()
    return (*out, MODES[posology.mode], DEFERRED) if posology.deferred_start else (*out, MODES[posology.mode])


@dataclass(frozen=True, slots=True, kw_only=True)
class DosageReferences:
    """References to the narrative of one instruction; empty where it has no words of its own."""

    timing: tuple[str, ...] = ()
    dose: tuple[str | None, str | None] = (None, None)
    rate: tuple[str | None, str | None] = (None, None)
    site: str = ""
    condition: str = ""


def _range_cell(row: Row, value: QuantityRange | None, stem: str) -> tuple[str | None, str | None]:
    """A cell with an amount, its words anchored when the sender gave some."""
    if value is None:
        row.cell(None)
        return (None, None)
    low, high = value.low, value.high
    low_stem = stem if low.display is not None else None
    if low == high:
        (reference,) = row.cells((words.amount(low), low_stem))
        return (reference or None, reference or None)
    first, _, second = row.cells(
        (words.amount(low), low_stem), (" à ", None), (words.amount(high), stem if high.display is not None else None)
    )
    return (first or None, second or None)


def posology_cell(row: Row, posology: Posology, medication: Medication | None = None) -> str:
    """Add the cell people read: the sender's words, whose reference is returned, else the sentence of the structure."""
    if posology.text is not None:
        return row.cell(posology.text, "poso")
    return row.cell(words.made_sentence(posology, medication))


def dosage_cells(row: Row, dosage: Dosage | None) -> DosageReferences:
    """Add the cells of :data:`DOSAGE_HEADINGS`; gives the references of those that have words of their own."""
    if dosage is None:
        for _ in DOSAGE_HEADINGS:
            row.cell(None)
        return DosageReferences()
    row.cell(words.duration(dosage))
    pieces: list[tuple[str, str | None]] = []
    for timing in dosage.timing:
        if pieces:
            pieces.append((", ", None))
        anchored = timing.text is not None and isinstance(timing, Every)
        pieces.append((words.timing(timing), "freq" if anchored else None))
    timing_references = tuple(row.cells(*pieces)[::2])
    dose = _range_cell(row, dosage.dose, "dose")
    rate = _range_cell(row, dosage.rate, "rythme")
    row.cell(words.ratio_text(dosage.maximum) if dosage.maximum is not None else None)
    row.cell(dosage.route.display or dosage.route.code if dosage.route is not None else None)
    site_reference = row.cell(dosage.site.label if dosage.site is not None else None, "site")
    condition = row.cell(dosage.condition, "condition")
    return DosageReferences(timing=timing_references, dose=dose, rate=rate, site=site_reference, condition=condition)


# --- Entry ----------------------------------------------------------------------------------------


def _extent(parent: Element, tag: str, dosage: Dosage, *, deferred: bool, operator: bool = False) -> bool:
    """Add the period or the duration; tells whether there is one."""
    element: Element | None
    if dosage.period and (dosage.period.start or dosage.period.end):
        # A lone end breaks the PCC rule: the other one says that it is not known. With a deferred start the rule of
        # IHE PHARM wants two known ends or a width, and refuses UNK alone.
        flavor = "NI" if deferred else "UNK"
        element = ivl_ts(parent, tag, dosage.period, xsi_type=True, low=flavor, high=flavor)
    elif dosage.duration is not None:
        element = sub(parent, tag)
        element.set(XSI_TYPE, "IVL_TS")
        if deferred:
            null(element, "low", "UNK")
        pq(element, "width", dosage.duration)
    else:
        return False
    if operator and element is not None:
        element.set("operator", "A")
    return True


def _unknown_extent(parent: Element, tag: str, *, deferred: bool, operator: bool = False) -> None:
    element = sub(parent, tag, **({"operator": "A"} if operator else {}))
    element.set(XSI_TYPE, "IVL_TS")
    for end in ("low", "high"):
        null(element, end, "NI" if deferred else "UNK")


def _timing(parent: Element, tag: str, timing: Every | AfterEvent, reference: str, operator: str | None) -> None:
    element = sub(parent, tag)
    if operator is not None:
        element.set("operator", operator)
    if isinstance(timing, AfterEvent):
        element.set(XSI_TYPE, "EIVL_TS")
        # The schema leaves an event no room for words: they stay in the narrative.
        sub(element, "event", code=timing.event)
        if timing.offset is not None:
            pq(sub(element, "offset"), "low", timing.offset)
        return
    element.set(XSI_TYPE, "PIVL_TS")
    if timing.at is not None:
        sub(sub(element, "phase"), "low", value=hl7(timing.at))
    if timing.period is not None:
        period = pq(element, "period", timing.period)
    elif reference:
        period = null(element, "period", "UNK")
    else:
        return
    if reference:
        translation = Element(V3 + "translation")
        original_text(translation, reference)
        # The words of the frequency come before those of the unit.
        period.insert(0, translation)


def times(parent: Element, dosage: Dosage | None, references: DosageReferences, *, deferred: bool = False) -> None:
    """Add the effectiveTime elements of a line: how long, then how often."""
    if dosage is None:
        return
    timing = dosage.timing
    if not _extent(parent, "effectiveTime", dosage, deferred=deferred) and timing:
        # The first effectiveTime is the duration, known or not (PCC Medications Entry).
        _unknown_extent(parent, "effectiveTime", deferred=deferred)
    if len(timing) == 1:
        _timing(parent, "effectiveTime", timing[0], references.timing[0], "A")
    elif timing:
        _frequency(sub(parent, "effectiveTime", operator="A"), dosage, references)


def _frequency(both: Element, dosage: Dosage, references: DosageReferences) -> None:
    """Fill an SXPR_TS: the intakes of a day add up (operator I), within what comes before (A)."""
    both.set(XSI_TYPE, "SXPR_TS")
    for i, (each, reference) in enumerate(zip(dosage.timing, references.timing, strict=True)):
        _timing(both, "comp", each, reference, "A" if len(both) and not i else "I")


def step_times(parent: Element, dosage: Dosage, references: DosageReferences) -> None:
    """Add the effectiveTime of a step: one expression of how long and how often."""
    timing = dosage.timing
    if has_extent(dosage) + len(timing) < 2:
        if not _extent(parent, "effectiveTime", dosage, deferred=False) and timing:
            _timing(parent, "effectiveTime", timing[0], references.timing[0], None)
        return
    both = sub(parent, "effectiveTime")
    _extent(both, "comp", dosage, deferred=False, operator=True)
    _frequency(both, dosage, references)


def changed_times(parent: Element, dosage: Dosage | None, references: DosageReferences, *, deferred: bool) -> None:
    """Add the effectiveTime elements of a posology changed at dispensing: both an IVL_TS and an SXPR_TS (eDISP-MED 7),
    the second repeating the first."""
    if dosage is None:
        return
    if not dosage.timing:
        _extent(parent, "effectiveTime", dosage, deferred=deferred)
        return
    both = Element(V3 + "effectiveTime", {"operator": "A"})
    for element, tag in ((parent, "effectiveTime"), (both, "comp")):
        if not _extent(element, tag, dosage, deferred=deferred, operator=element is both):
            _unknown_extent(element, tag, deferred=deferred, operator=element is both)
    parent.append(both)
    _frequency(both, dosage, references)


def has_extent(dosage: Dosage) -> bool:
    """True when the instruction says how long."""
    return bool(dosage.duration or (dosage.period and (dosage.period.start or dosage.period.end)))


def site(parent: Element, value: Concept, reference: str) -> None:
    """Add where on the body, as the only form that passes both the IHE and the CI-SIS rules (eP-MED-DM 4.2, trap)."""
    element = null(parent, "approachSiteCode", "OTH")
    original_text(element, reference)
    for each in (value.code, *value.translations) if value.code else value.translations:
        code(element, each, "translation")


def amounts(parent: Element, dosage: Dosage | None, references: DosageReferences) -> None:
    """Add route, site, dose, rate and maximum, in the order of the CDA schema."""
    if dosage is None:
        return
    if dosage.route is not None:
        code(parent, dosage.route, "routeCode")
    if dosage.site is not None:
        site(parent, dosage.site, references.site)
    if dosage.dose is not None:
        ivl_quantity(parent, "doseQuantity", dosage.dose, references.dose)
    if dosage.rate is not None:
        ivl_quantity(parent, "rateQuantity", dosage.rate, references.rate)
    if dosage.maximum is not None:
        ratio(parent, "maxDoseQuantity", dosage.maximum)


def precondition(parent: Element, dosage: Dosage | None, references: DosageReferences) -> None:
    """Add the condition of an intake, last in the entry."""
    if dosage is not None and dosage.condition is not None:
        text = sub(sub(sub(parent, "precondition"), "criterion"), "text")
        sub(text, "reference", value=references.condition)
