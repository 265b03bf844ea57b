"""``Dosage.timing`` read as CI-SIS timings where they say the same thing, as French words where they cannot.

All or nothing: when one part of a frequency has no place (three times a day, on Tuesdays, in the morning), the whole of
it goes to words, for the rest alone would order something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from mappings.document.medication import AfterEvent, Every, Timing
from mappings.document.values import Moment, Period, Quantity
from mappings.fhir.dosage_out import EVENTS, TIME_UNITS
from mappings.fhir.node import Node
from mappings.fhir.timing_words import clock_words, days_words, frequency_words, time_words, when_words
from mappings.fhir.values_in import period, quantity

__all__ = ["ReadTiming", "read_timing"]

_PARIS: Final = ZoneInfo("Europe/Paris")
#: TimingEvent of CDA among the EventTiming of R4.
_EVENTS: Final = EVENTS | {"IC", "ICD", "ICM", "ICV"}
_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?(\.\d+)?\Z")


@dataclass(slots=True)
class ReadTiming:
    """What a ``timing`` says."""

    timing: tuple[Timing, ...] = ()
    period: Period | None = None
    duration: Quantity | None = None
    words: list[tuple[str, str]] = field(default_factory=list)  #: place and French words of what stays in words


@dataclass(slots=True)
class _Repeat:
    frequency: Decimal | None
    most: Decimal | None
    period: Decimal | None
    longest: Decimal | None
    unit: str | None
    days: list[str]
    times: list[str]
    when: list[str]
    offset: int | None

    @property
    def words(self) -> str:
        """The whole of when, in French."""
        parts = []
        if self.frequency or self.most or self.period or self.longest:
            implied = self.times or self.when or self.days
            count = len(self.times) or len(self.when)
            daily = self.unit == "d" and (self.period is None or self.period == 1) and self.longest is None
            same = (self.frequency is None or self.frequency == count) and self.most is None
            if not (implied and count and daily and same):
                parts.append(frequency_words(self.frequency, self.most, self.period, self.longest, self.unit))
        if self.days:
            parts.append(days_words(self.days))
        if self.when:
            parts.append(when_words(self.when, self.offset))
        if self.times:
            parts.append(clock_words(self.times))
        return ", ".join(p for p in parts if p)


def _instant(day: str, clock: str) -> Moment | None:
    """A time of day on a day, with the offset of Paris on that day."""
    try:
        when = datetime.fromisoformat(f"{day}T{clock[:8] if len(clock) >= 8 else clock + ':00'}").replace(tzinfo=_PARIS)
    except ValueError:
        return None
    return when.isoformat()


def _timings(repeat: _Repeat, events: list[str], day: str | None) -> tuple[Timing, ...] | None:
    """The CI-SIS timings that say the same, or None when there are none."""
    if repeat.days or repeat.most is not None or repeat.longest is not None:
        return None
    if repeat.when:
        if repeat.times or events or not set(repeat.when) <= _EVENTS:
            return None
        # A frequency beside events must say nothing else: so many times a day, at as many events.
        daily = repeat.unit in (None, "d") and repeat.period in (None, Decimal(1))
        if not daily or (repeat.frequency is not None and repeat.frequency != len(repeat.when)):
            return None
        delay = Quantity(value=Decimal(repeat.offset), unit="min") if repeat.offset is not None else None
        return tuple(AfterEvent(event=event, offset=delay) for event in repeat.when)
    interval: Quantity | None = None
    if repeat.period is not None:
        if repeat.unit not in TIME_UNITS or repeat.period <= 0:
            return None
        interval = Quantity(value=repeat.period, unit=repeat.unit)
    elif repeat.frequency is not None or repeat.unit is not None:
        return None
    if events:
        if len(events) > 1 or len(repeat.times) > 1 or (repeat.frequency or 1) != 1:
            return None
        if repeat.times and repeat.times[0][:5] != events[0][11:16]:
            return None
        return (Every(period=interval, at=events[0]),)
    if repeat.times:
        if repeat.frequency is not None and repeat.frequency not in (1, len(repeat.times)):
            return None
        if repeat.frequency is not None and repeat.frequency != len(repeat.times) and len(repeat.times) > 1:
            return None
        if day is None or not all(_CLOCK.match(t) for t in repeat.times):
            return None
        made = []
        for clock in repeat.times:
            at = _instant(day, clock)
            if at is None:
                return None
            made.append(Every(period=interval or Quantity(value=Decimal(1), unit="d"), at=at))
        return tuple(made)
    if interval is None:
        return ()
    return (Every(period=interval),) if repeat.frequency in (None, Decimal(1)) else None


def _bounds(node: Node, out: ReadTiming) -> None:
    out.period = period(node, "boundsPeriod")
    length = quantity(node, "boundsDuration")
    if length is not None and out.period is None:
        out.duration = length
    extent = node.node("boundsRange")
    if extent is not None:
        low, high = quantity(extent, "low"), quantity(extent, "high")
        top = high or low
        if top is not None:
            words = time_words(low.value, top.unit, high.value if high else None) if low else ""
            said = f"pendant {words}" if low else f"pendant au plus {time_words(top.value, top.unit)}"
            out.words.append((f"{node.place}/boundsRange", said))


def read_timing(node: Node | None, day: str | None) -> ReadTiming:
    """Read a Timing. ``day`` (YYYY-MM-DD) dates a time of day when the instruction itself has no start."""
    out = ReadTiming()
    if node is None:
        return out
    events = node.texts("event")
    said = _code_words(node)
    inside = node.node("repeat")
    repeat = _Repeat(None, None, None, None, None, [], [], [], None)
    if inside is not None:
        _bounds(inside, out)
        start = out.period.start if out.period else None
        if start and len(start) >= 10:
            day = start[:10]
        repeat = _Repeat(
            inside.decimal("frequency"),
            inside.decimal("frequencyMax"),
            inside.decimal("period"),
            inside.decimal("periodMax"),
            inside.text("periodUnit"),
            inside.texts("dayOfWeek"),
            inside.texts("timeOfDay"),
            inside.texts("when"),
            inside.integer("offset"),
        )
        _other_words(inside, out)
    made = _timings(repeat, events, day)
    if made is None:
        out.words.insert(0, (f"{node.place}/repeat", _whole(repeat, events)))
    elif made and said:
        out.timing = tuple(t.model_copy(update={"text": said}) for t in made)
        return out
    else:
        out.timing = made
    if said:
        out.words.append((f"{node.place}/code", said))
    return out


def _whole(repeat: _Repeat, events: Iterable[str]) -> str:
    dates = [f"le {e[8:10]}/{e[5:7]}/{e[:4]}{' ' + clock_words([e[11:16]]) if len(e) > 10 else ''}" for e in events]
    return ", ".join(p for p in (repeat.words, *dates) if p)


def _other_words(node: Node, out: ReadTiming) -> None:
    """How long one intake lasts, and how many there are: CI-SIS has no place for either."""
    length, longest, unit = node.decimal("duration"), node.decimal("durationMax"), node.text("durationUnit") or ""
    if length is not None:
        out.words.append((f"{node.place}/duration", f"durée d'administration : {time_words(length, unit, longest)}"))
    count, most = node.integer("count"), node.integer("countMax")
    if count is not None or most is not None:
        if count is not None and most is not None and count != most:
            said = f"{count} à {most} administrations en tout"
        elif count is not None:
            said = f"{count} administration{'s' if count > 1 else ''} en tout"
        else:
            said = f"au maximum {most} administrations en tout"
        out.words.append((f"{node.place}/count", said))
    for item in node.nodes("extension"):
        found = item.raw("valueCode") or item.raw("valueString")
        coding = item.raw("valueCodeableConcept") or item.raw("valueCoding")
        if type(coding) is dict:
            parts = coding.get("coding")
            first = parts[0] if type(parts) is list and parts and type(parts[0]) is dict else coding
            found = coding.get("text") or first.get("display") or first.get("code")
        item.use("url")
        if isinstance(found, str) and found.strip():
            out.words.append((item.place, found.strip()))


def _code_words(node: Node) -> str | None:
    value = node.raw("code")
    if type(value) is not dict:
        return None
    text = value.get("text")
    if isinstance(text, str) and text.strip():
        return text.strip()
    for item in value.get("coding") or ():
        if type(item) is dict and isinstance(item.get("display") or item.get("code"), str):
            return str(item.get("display") or item.get("code"))
    return None
