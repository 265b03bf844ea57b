"""A posology as FHIR Dosages (mapping table, sections 3 and 4).

R4 has one ``timing.repeat`` a Dosage, so an instruction whose times combine (every 8 h and at bedtime) becomes several
Dosages; their element ids (``main``, ``step1``, ``step1.2``...) say which belong together. The dosing mode, which the
guides derive from the number of Dosages, is kept exactly in ``meta.tag`` as its CDA templateId.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mappings.document.medication import AfterEvent, Dosage, Every, Medication, Posology, PosologyMode, Timing
from mappings.document.values import QuantityRange
from mappings.fhir.names import URI_SYSTEM
from mappings.fhir.values_out import (
    Json,
    code_concept,
    concept,
    date_time,
    extension,
    number,
    period,
    quantity,
    quantity_range,
    ratio,
)
from mappings.rendering.posology import sentence

__all__ = [
    "EVENTS",
    "MODES",
    "TIME_UNITS",
    "mode_tags",
    "offset_minutes",
    "posology",
    "timing_groups",
    "written_timings",
]

#: CDA templateId of each dosing mode (CI-SIS eP-MED-DM 4.1).
MODES: Final = {
    PosologyMode.NORMAL: "1.3.6.1.4.1.19376.1.5.3.1.4.7.1",
    PosologyMode.TAPERED: "1.3.6.1.4.1.19376.1.5.3.1.4.8",
    PosologyMode.SPLIT: "1.3.6.1.4.1.19376.1.5.3.1.4.9",
    PosologyMode.CONDITIONAL: "1.3.6.1.4.1.19376.1.5.3.1.4.10",
    PosologyMode.COMBINATION: "1.3.6.1.4.1.19376.1.5.3.1.4.11",
}
DEFERRED: Final = "1.3.6.1.4.1.19376.1.5.3.1.4.21"
#: Units of time that FHIR knows (R4 UnitsOfTime) in minutes where that is exact.
TIME_UNITS: Final = frozenset({"s", "min", "h", "d", "wk", "mo", "a"})
_MINUTES: Final = {"min": 1, "h": 60, "d": 1440, "wk": 10080}
#: EventTiming of R4 among the events of a CI-SIS posology: none for "between meals" (IC...).
EVENTS: Final = frozenset({"AC", "ACD", "ACM", "ACV", "C", "CD", "CM", "CV", "HS", "PC", "PCD", "PCM", "PCV", "WAKE"})
#: tim-9: no offset with "at a meal".
_NO_OFFSET: Final = frozenset({"C", "CM", "CD", "CV"})


def mode_tags(value: Posology) -> list[Json]:
    """The tags that keep the dosing mode: none for a plain one."""
    tags = []
    if value.mode is not PosologyMode.NORMAL:
        tags.append({"system": URI_SYSTEM, "code": f"urn:oid:{MODES[value.mode]}"})
    if value.deferred_start:
        tags.append({"system": URI_SYSTEM, "code": f"urn:oid:{DEFERRED}"})
    return tags


def offset_minutes(value: AfterEvent) -> int | None:
    """The delay in whole minutes, or None when FHIR cannot say it with this event."""
    delay = value.offset
    if delay is None or value.event in _NO_OFFSET or delay.unit not in _MINUTES:
        return None
    minutes = delay.value * _MINUTES[delay.unit]
    return int(minutes) if minutes >= 0 and minutes == int(minutes) else None


def written_timing(value: Timing) -> Timing | None:
    """What FHIR keeps of one timing, None when it cannot be said."""
    if isinstance(value, Every):
        interval = value.period
        if interval is None or (interval.unit in TIME_UNITS and interval.value > 0):
            return value
        return value.model_copy(update={"period": None}) if value.at else None
    if value.event not in EVENTS:
        return None
    if value.offset is not None and offset_minutes(value) is None:
        return value.model_copy(update={"offset": None})
    return value


def written_timings(values: tuple[Timing, ...]) -> tuple[Timing, ...]:
    """The timings of an instruction that FHIR can say, as it says them."""
    return tuple(kept for value in values if (kept := written_timing(value)) is not None)


def timing_groups(values: tuple[Timing, ...]) -> Iterator[list[Timing]]:
    """Timings that one ``timing.repeat`` holds together: events of the day in a row, alike but for the event."""
    group: list[Timing] = []
    for value in values:
        if (
            group
            and isinstance(value, AfterEvent)
            and isinstance(previous := group[-1], AfterEvent)
            and (previous.offset, previous.text) == (value.offset, value.text)
        ):
            group.append(value)
            continue
        if group:
            yield group
        group = [value]
    if group:
        yield group


def _timing(group: list[Timing], bounds: Json) -> Json:
    out: Json = {}
    repeat: Json = dict(bounds)
    first = group[0]
    if isinstance(first, Every):
        if first.period is not None:
            repeat |= {"frequency": 1, "period": number(first.period.value), "periodUnit": first.period.unit}
        if first.at is not None:
            # One event and a rule: the rule repeats from that event (R4 Timing), as the phase of a PIVL_TS does.
            out["event"] = [date_time(first.at)]
            if len(first.at) > 10:
                repeat["timeOfDay"] = [date_time(first.at)[11:19]]
    else:
        repeat["when"] = [value.event for value in group if isinstance(value, AfterEvent)]
        if (minutes := offset_minutes(first)) is not None:
            repeat["offset"] = minutes
    if repeat:
        out["repeat"] = repeat
    if first.text:
        out["code"] = {"text": first.text}
    return out


def _amount(value: QuantityRange, name: str, *, ranges: bool) -> Json:
    if ranges or value.low != value.high:
        return {f"{name}Range": quantity_range(value)}
    return {f"{name}Quantity": quantity(value.low)}


def _dosages(value: Dosage, stem: str, *, ranges: bool, keep_id: bool) -> list[Json]:
    """The Dosages of one instruction: one, or one for each group of timings."""
    bounds: Json = {}
    if value.period is not None and (extent := period(value.period)):
        bounds["boundsPeriod"] = extent
    elif value.duration is not None:
        bounds["boundsDuration"] = quantity(value.duration)
    body: Json = {}
    if value.condition:
        body["asNeededCodeableConcept"] = {"text": value.condition}
    if value.site is not None:
        body["site"] = concept(value.site)
    if value.route is not None:
        body["route"] = code_concept(value.route)
    dose: Json = {}
    if value.dose is not None:
        dose |= _amount(value.dose, "dose", ranges=ranges)
    if value.rate is not None:
        dose |= _amount(value.rate, "rate", ranges=ranges)
    if dose:
        body["doseAndRate"] = [dose]
    if value.maximum is not None:
        body["maxDosePerPeriod"] = ratio(value.maximum)

    groups = list(timing_groups(written_timings(value.timing)))
    timings = [_timing(group, bounds) for group in groups] or [{"repeat": bounds} if bounds else {}]

    made = []
    for i, when in enumerate(timings):
        dosage: Json = {"id": stem if i == 0 else f"{stem}.{i + 1}"} if keep_id or len(timings) > 1 else {}
        if value.sequence is not None:
            dosage["sequence"] = value.sequence
        if value.text and i == 0:
            dosage["text"] = value.text
        if when:
            dosage["timing"] = when
        made.append({**dosage, **body})
    return made


def posology(
    value: Posology,
    medication: Medication,
    *,
    rendered: str,
    ranges: bool = True,
    instruction: str | None = None,
) -> tuple[list[Json], list[Json]]:
    """The Dosages of a line, and the extensions of its resource (the whole sentence when the Dosages do not hold it).

    ``rendered`` names the R5 extension that holds the sentence; ``ranges`` writes a fixed dose as a range (requests);
    ``instruction`` is what the patient is told beside (additionalInstruction of the first Dosage).
    """
    said = sentence(value, medication)
    dosages: list[Json] = []
    extensions: list[Json] = []
    several = value.mode is not PosologyMode.NORMAL
    if value.dosage is not None:
        dosages += _dosages(value.dosage, "main", ranges=ranges, keep_id=several)
    for i, step in enumerate(value.steps):
        dosages += _dosages(step, f"step{i + 1}", ranges=ranges, keep_id=True)
    if not dosages:
        dosages = [{}]
    first = dosages[0]
    if several or first.get("text", said) != said:
        extensions.append(extension(rendered, valueMarkdown=said))
    else:
        dosages[0] = first = {**{k: first[k] for k in ("id", "sequence") if k in first}, "text": said, **first}
    if instruction:
        first["additionalInstruction"] = [{"text": instruction}]
    return dosages, extensions
