"""How to take a medicine, read: structured posology of a line and of its steps, or its words alone."""

from __future__ import annotations

import calendar
from datetime import date, datetime, timedelta
from typing import Any

from lxml import etree

from conformance.verdict import Text
from mappings.cda import findings as rules
from mappings.cda.build import V3
from mappings.cda.node import Reader, every, first, flat, local, place, template_roots, value_of, xsi_type
from mappings.cda.posology_write import DEFERRED, MODES
from mappings.document.medication import AfterEvent, Dosage, Every, Posology, PosologyMode
from mappings.document.values import Code, Concept, Moment, Period, Quantity

__all__ = ["UNKNOWN_POSOLOGY", "column", "dosage", "posology", "site"]

_Element = etree._Element

_MODE_OF = {oid: mode for mode, oid in MODES.items()}
#: Written when a line says nothing at all of how to take the medicine.
UNKNOWN_POSOLOGY = "(posologie non renseignée)"
_SECOND_EXTENT = Text(
    "La durée est dite deux fois, autrement : la première est gardée.", "The duration is told twice: the first is kept."
)

#: Children of an instruction that are read here.
DOSAGE_PARTS = frozenset(
    {
        "effectiveTime",
        "routeCode",
        "approachSiteCode",
        "doseQuantity",
        "rateQuantity",
        "maxDoseQuantity",
        "precondition",
    }
)


def _add(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def _end(start: Moment, width: Quantity) -> Moment | None:
    """The last moment of an interval given by its start and its width; a date alone counts whole, both sides."""
    value = width.value
    steps = {"s": 1, "min": 60, "h": 3600, "d": 86400, "wk": 604800}
    try:
        if len(start) > 10:
            instant = datetime.fromisoformat(start)
            if width.unit in steps:
                return (instant + timedelta(seconds=float(value) * steps[width.unit])).isoformat()
            return None
        if len(start) < 10:
            return None
        day = date.fromisoformat(start)
        if width.unit in ("d", "wk") and value == int(value) and value > 0:
            return (day + timedelta(days=int(value) * (7 if width.unit == "wk" else 1) - 1)).isoformat()
        if width.unit in ("mo", "a") and value == int(value) and value > 0:
            return (_add(day, int(value) * (12 if width.unit == "a" else 1)) - timedelta(days=1)).isoformat()
    except (OverflowError, ValueError):
        return None
    return None


def _extent(reader: Reader, element: _Element, fields: dict[str, Any]) -> None:
    """Take the period or the duration of an IVL_TS."""
    width = reader.quantity(first(element, "width"))
    found = reader.period(element)
    duration: Quantity | None = None
    if width is not None:
        if found is None or found.start is None:
            duration = width
        elif found.end is None:
            end = _end(found.start, width)
            if end is None:
                reader.log.lost(place(element) + "/width", "width", _WIDTH, clinical=True)
            else:
                found = Period(start=found.start, end=end)
    if duration is None and found is None:
        return
    if "period" in fields or "duration" in fields:
        if fields.get("period") != found or fields.get("duration") != duration:
            reader.log.text_only(place(element), "IVL_TS", _SECOND_EXTENT)
        return
    if duration is not None:
        fields["duration"] = duration
    else:
        fields["period"] = found


_WIDTH = Text("La durée ne peut pas être ajoutée à ce début.", "The width cannot be added to this start.")


def _time(reader: Reader, element: _Element, fields: dict[str, Any], timing: list[Every | AfterEvent]) -> None:
    kind = xsi_type(element)
    if kind == "SXPR_TS":
        for comp in every(element, "comp"):
            _time(reader, comp, fields, timing)
    elif kind == "PIVL_TS":
        _every(reader, element, timing)
    elif kind == "EIVL_TS":
        _event(reader, element, timing)
    elif element.get("value") is not None:
        if (at := reader.moment(element)) is not None and "period" not in fields and "duration" not in fields:
            fields["period"] = Period(start=at, end=at)
    else:
        _extent(reader, element, fields)


def _every(reader: Reader, element: _Element, timing: list[Every | AfterEvent]) -> None:
    period, phase = first(element, "period"), first(element, "phase")
    at = None
    if phase is not None:
        at = reader.moment(first(phase, "low")) or reader.moment(phase)
    text = None
    if period is not None:
        for translation in every(period, "translation"):
            original = first(translation, "originalText")
            if original is not None and first(original, "reference") is not None:
                text = reader.words(original)
                break
    quantity = reader.quantity(period)
    made = reader.make(Every, element, period=quantity, at=at, text=text) if quantity or at else None
    if made is None:
        reader.lost(element, "PIVL_TS", clinical=True)
    else:
        timing.append(made)


def _event(reader: Reader, element: _Element, timing: list[Every | AfterEvent]) -> None:
    event, offset = first(element, "event"), first(element, "offset")
    quantity = None
    if offset is not None:
        quantity = reader.quantity(first(offset, "low")) or reader.quantity(offset)
    code = value_of(event, "code")
    made = reader.make(AfterEvent, element, event=code, offset=quantity) if code else None
    if made is None:
        reader.lost(element, "EIVL_TS", clinical=True)
    else:
        timing.append(made)


def site(reader: Reader, element: _Element | None) -> Concept | None:
    """Where on the body: a code, or (eP-MED-DM 4.2) a nullFlavor whose first translation is the code."""
    if element is None:
        return None
    code, translations = reader.code(element), reader.translations(element)
    if code is None and translations:
        code, translations = translations[0], translations[1:]
    words = reader.words(first(element, "originalText"))
    if code is None and words is None:
        return None
    return reader.make(Concept, element, code=code, translations=translations, text=words)


def dosage(reader: Reader, element: _Element, *, text: str | None = None, sequence: int | None = None) -> Dosage | None:
    """The structured instruction of an entry; None when it has none."""
    fields: dict[str, Any] = {}
    timing: list[Every | AfterEvent] = []
    route: Code | None = None
    conditions = []
    for child in element.iterchildren("{*}*"):
        name = local(child)
        if name not in DOSAGE_PARTS:
            continue
        if name == "effectiveTime":
            _time(reader, child, fields, timing)
        elif name == "routeCode":
            route = reader.code(child)
        elif name == "approachSiteCode":
            fields["site"] = site(reader, child)
        elif name == "doseQuantity":
            fields["dose"] = reader.range(child)
        elif name == "rateQuantity":
            fields["rate"] = reader.range(child)
        elif name == "maxDoseQuantity":
            fields["maximum"] = reader.ratio(child)
        else:
            criterion = first(child, "criterion")
            if criterion is not None and (words := reader.words(first(criterion, "text"))):
                conditions.append(words)
    if conditions:
        fields["condition"] = "\n".join(conditions)
    if route is not None:
        fields["route"] = route
    if timing:
        fields["timing"] = tuple(timing)
    fields = {name: value for name, value in fields.items() if value is not None}
    if text is not None:
        fields["text"] = text
    if not fields:
        return None
    return reader.make(Dosage, element, sequence=sequence, **fields)


def column(reader: Reader, anchor: str | None, heading: str) -> str | None:
    """The cell of a table, in the row of a piece of narrative, under a heading that starts so.

    Official documents write the posology in words beside the medicine, and no entry refers to it.
    """
    element = reader.element(anchor) if anchor is not None else None
    cell = element
    while cell is not None and cell.tag != V3 + "td":
        cell = cell.getparent()
    row = cell.getparent() if cell is not None else None
    body = row.getparent() if row is not None else None
    table = body.getparent() if body is not None else None
    if row is None or table is None:
        return None
    headings = [(flat(each) or "") for each in table.iterfind(f"{V3}thead/{V3}tr/{V3}th")]
    index = next((i for i, each in enumerate(headings) if each.lower().startswith(heading)), None)
    cells = [each for each in row if each.tag in (V3 + "td", V3 + "th")]
    return flat(cells[index]) if index is not None and index < len(cells) else None


def posology(reader: Reader, element: _Element, anchor: str | None) -> Posology:
    """The whole instruction of a line. ``anchor`` is the ID of the product's label: a text that points there has no
    words of its own."""
    roots = template_roots(element)
    mode = next((_MODE_OF[oid] for oid in roots if oid in _MODE_OF and oid != MODES[PosologyMode.NORMAL]), None)
    steps: list[Dosage] = []
    for relationship in every(element, "entryRelationship"):
        inner = first(relationship, "substanceAdministration")
        number = value_of(first(relationship, "sequenceNumber"))
        if inner is None or relationship.get("typeCode") != "COMP":
            continue
        sequence = int(number) if number is not None and number.isdigit() else len(steps) + 1
        step = dosage(reader, inner, text=_own_text(reader, inner, anchor), sequence=sequence)
        steps.append(step or Dosage(sequence=sequence))
    if bool(steps) != (mode is not None):
        # A mode without its steps, or steps without a mode that has some.
        mode = PosologyMode.COMBINATION if steps else None
        reader.finding(rules.UNUSABLE_VALUE, element)
    main = dosage(reader, element)
    text = _own_text(reader, element, anchor)
    if text is None and not steps and (main is None or (not main.timing and main.dose is None)):
        text = column(reader, anchor, "posologie")
        if text is None and main is None:
            reader.finding(rules.UNUSABLE_VALUE, element)
            text = UNKNOWN_POSOLOGY
    made = reader.make(
        Posology,
        element,
        mode=mode or PosologyMode.NORMAL,
        deferred_start=DEFERRED in roots,
        text=text,
        dosage=main,
        steps=tuple(steps),
    )
    return made or Posology(text=text or UNKNOWN_POSOLOGY)


def _own_text(reader: Reader, element: _Element, anchor: str | None) -> str | None:
    text = first(element, "text")
    if text is None or (anchor is not None and reader.anchor(text) == anchor):
        return None
    return reader.words(text)
