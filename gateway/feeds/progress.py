"""How far an indicator is: the number still missing, a forecast with its assumption, and the sentence that says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from math import ceil, floor
from typing import Any

from gateway.feeds.evaluate import Evaluation, Quantity, holds, value_of
from gateway.feeds.scheme import Indicator, RuleSet, Test, Value

__all__ = ["Forecast", "Progress", "forecast", "french_day", "french_number", "french_percent", "missing", "progress"]

_MONTHS = "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.".split()


def french_number(number: int) -> str:
    """Write a whole number with French separators: ``4 812`` (narrow no-break space)."""
    return f"{number:,}".replace(",", "\u202f")


def french_percent(rate: Fraction, decimals: int = 2) -> str:
    """Write a rate as a rounded percentage, never rounded to a whole one: 9.999 % stays below 10 % on the page too."""
    unit = 10**decimals
    exact = abs(rate) * 100 * unit
    scaled = floor(exact + Fraction(1, 2))
    if scaled % unit == 0 and scaled != exact:
        scaled = floor(exact) if exact < scaled else scaled + 1
    whole, rest = divmod(scaled, unit)
    sign = "-" if rate < 0 else ""
    digits = f"{rest:0{decimals}d}".rstrip("0")
    return f"{sign}{french_number(whole)}{',' + digits if digits else ''}\u00a0%"


def french_day(day: date) -> str:
    """Write a day as French readers do: ``22 nov. 2026``."""
    return f"{day.day}{'er' if day.day == 1 else ''} {_MONTHS[day.month - 1]} {day.year}"


def _thresholds(test: Test) -> Iterator[Fraction]:
    for bound in (test.gte, test.gt, test.lte, test.lt, test.eq):
        if bound is not None:
            yield bound
    for part in (*(test.all or ()), *(test.any or ()), *((test.negated,) if test.negated else ())):
        yield from _thresholds(part)


def _moving(value: Any) -> tuple[str, Any] | None:
    """The measure that moves a value and what it is divided by; None when the value is not a count or a ratio."""
    if isinstance(value, str):
        return value, Fraction(1)
    if isinstance(value, Value) and value.measure is not None:
        return value.measure, Fraction(1)
    if isinstance(value, Value) and value.ratio is not None and isinstance(value.ratio[0], str):
        return value.ratio[0], value.ratio[1]
    return None


def _parts(value: Any, measures: Mapping[str, int | bool]) -> tuple[Fraction, Fraction] | None:
    """The number that moves a value and what it is divided by; None when they are not known."""
    moving = _moving(value)
    if moving is None:
        return None
    top, bottom = (value_of(operand, measures) for operand in moving)
    if not isinstance(top, Quantity) or not isinstance(bottom, Quantity) or bottom.number <= 0:
        return None
    return top.number, bottom.number


def missing(indicator: Indicator, measures: Mapping[str, int | bool]) -> int | None:
    """How many more units of the numerator would meet the test, the denominator unchanged; 0 when it is met.

    None when no number of units would, or when the value is not a ratio or a count.
    """
    parts = _parts(indicator.value, measures) if indicator.value is not None else None
    if parts is None or indicator.test is None:
        return None
    top, bottom = parts
    if holds(indicator.test, top / bottom):
        return 0
    tries = {0}
    for bound in _thresholds(indicator.test):
        tries |= {ceil(bound * bottom - top), floor(bound * bottom - top) + 1}
    for more in sorted(number for number in tries if number > 0):
        if holds(indicator.test, (top + more) / bottom):
            return more
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a count would be at the end of the period if it went on as it went so far."""

    value: int
    on: date  #: last day of the period
    elapsed: int  #: days counted so far
    days: int  #: days of the whole period

    @property
    def assumption(self) -> str:
        """What the forecast takes for granted, in French."""
        return (
            f"au rythme des {french_number(self.elapsed)} premiers jours, prolongé jusqu'au {french_day(self.on)} "
            f"({french_number(self.days)} jours)"
        )


def forecast(value: int, start: date, end: date, today: date) -> Forecast | None:
    """Carry a count on to the end of its period at the same pace, rounded down; None outside the period."""
    elapsed, days = (today - start).days + 1, (end - start).days + 1
    if elapsed <= 0 or today >= end:
        return None
    return Forecast(value=value * days // elapsed, on=end, elapsed=elapsed, days=days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One indicator on its way to its threshold."""

    indicator: str
    label: str
    met: bool | None
    rate: Fraction | None
    missing: int | None
    forecast: Forecast | None
    forecast_met: bool | None  #: whether the test would be met at the end, the denominator unchanged
    sentence: str

    def as_json(self) -> dict[str, Any]:
        """The progress as the HTTP interface gives it."""
        ahead = self.forecast
        return {
            "indicator": self.indicator,
            "label": self.label,
            "met": self.met,
            "percent": None if self.rate is None else french_percent(self.rate),
            "missing": self.missing,
            "forecast": None
            if ahead is None
            else {
                "value": ahead.value,
                "on": ahead.on.isoformat(),
                "met": self.forecast_met,
                "assumption": ahead.assumption,
            },
            "sentence": self.sentence,
        }


def progress(evaluation: Evaluation, today: date) -> list[Progress]:
    """Say where each indicator of an evaluated rule is on a day, gates and neutralised ones included."""
    rules = evaluation.rules
    out: list[Progress] = []
    results = {result.id: result for result in evaluation.indicators}
    for indicator in rules.indicators:
        result = results[indicator.id]
        rate = result.value.number if isinstance(result.value, Quantity) else None
        lacking = missing(indicator, evaluation.measures)
        parts = _parts(indicator.value, evaluation.measures) if indicator.value is not None else None
        ahead: Forecast | None = None
        ahead_met: bool | None = None
        moving = _moving(indicator.value)
        counted = None if moving is None else evaluation.measures.get(moving[0])
        if moving is not None and counted is not None and rules.measures[moving[0]].events is not None:
            ahead = forecast(int(counted), rules.period.start, rules.period.end, today)
            if ahead is not None and parts is not None and indicator.test is not None:
                ahead_met = holds(indicator.test, Fraction(ahead.value) / parts[1])
        out.append(
            Progress(
                indicator=indicator.id,
                label=indicator.label or indicator.id,
                met=result.met,
                rate=rate,
                missing=lacking,
                forecast=ahead,
                forecast_met=ahead_met,
                sentence=_sentence(rules, indicator, evaluation, lacking, today > rules.period.end),
            )
        )
    return out


def _named(rules: RuleSet, operand: Any, measures: Mapping[str, int | bool]) -> str:
    if isinstance(operand, str):
        number = measures.get(operand)
        label = rules.measures[operand].label or operand.replace("_", " ")
        return f"{french_number(int(number))} {label}" if number is not None else label
    return french_number(int(operand)) if isinstance(operand, Fraction) and operand.denominator == 1 else str(operand)


def _target(test: Test) -> str | None:
    bound = test.gte if test.gte is not None else test.gt
    if bound is None:
        return None
    shown = french_percent(bound) if bound <= 1 else french_number(ceil(bound))
    return shown if test.gte is not None else f"plus de {shown}"


def _sentence(rules: RuleSet, indicator: Indicator, evaluation: Evaluation, lacking: int | None, over: bool) -> str:
    result = next(one for one in evaluation.indicators if one.id == indicator.id)
    if indicator.neutralised:
        return "Indicateur neutralisé : tenu pour atteint, sans rémunération."
    if result.met is None:
        return "Non calculable : une mesure manque, ou le dénominateur est nul."
    if isinstance(result.value, bool):
        return "Condition remplie." if result.met else "Condition non remplie."
    value = indicator.value
    said = ""
    if isinstance(value, Value) and value.ratio is not None and isinstance(result.value, Quantity):
        top, bottom = (_named(rules, operand, evaluation.measures) for operand in value.ratio)
        said = f"{top} sur {bottom} ({french_percent(result.value.number)})."
    elif isinstance(result.value, Quantity):
        mean = isinstance(value, Value) and value.mean is not None
        said = f"{'Moyenne : ' + french_percent(result.value.number) if mean else result.value.text}."
    target = None if indicator.test is None else _target(indicator.test)
    if target is None:
        return said
    if result.met:
        return f"{said} Le seuil de {target} {'était' if over else 'est'} atteint."
    if lacking:
        return f"{said} Il en {'manquait' if over else 'manque'} {french_number(lacking)} pour atteindre {target}."
    return f"{said} Le seuil de {target} n'{'était' if over else 'est'} pas atteint."
