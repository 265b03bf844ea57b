"""Evaluating a rule: measures in, indicators, gates and a total out, in exact fractions, with no database.

A rate is compared as the fraction it is (488/4812 >= 1/10), never as a rounded percentage. What cannot be computed
(nothing out of nothing, a measure not given) is *not computable*: neither met nor missed, and pays nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from conformance.verdict import Finding, Rule, Text, Verdict
from gateway.feeds.scheme import Award, Indicator, PerUnit, RuleSet, Test, Tier, Value, names_in

__all__ = ["RULES", "Evaluation", "GateResult", "IndicatorResult", "MeasureError", "Quantity", "decimal", "evaluate"]

UNKNOWN: Final = Rule(
    code="FEED-MEASURE-001",
    message=Text("Cette mesure n'est pas dans la règle.", "This measure is not in the rule."),
    fix=Text("Retirez-la ou corrigez son nom.", "Remove it or correct its name."),
    source="incentives 8.1",
)
NOT_A_NUMBER: Final = Rule(
    code="FEED-MEASURE-002",
    message=Text(
        "Une mesure est un nombre entier, ou oui ou non pour ce qui est déclaré.",
        "A measure is a whole number, or true or false for what is declared.",
    ),
    fix=Text("Donnez un entier positif ou nul, ou true / false.", "Give a whole number of 0 or more, or true / false."),
    source="incentives 8.1",
)
WRONG_KIND: Final = Rule(
    code="FEED-MEASURE-003",
    message=Text("La règle n'emploie pas cette mesure ainsi.", "The rule does not use this measure this way."),
    fix=Text(
        "Un nombre pour un taux, true / false pour un prérequis déclaré.",
        "A number for a rate, true / false for a declared condition.",
    ),
    source="incentives 8.1",
)
#: All of them, for the reference page.
RULES: Final = (UNKNOWN, NOT_A_NUMBER, WRONG_KIND)

_MOST: Final = 10**15


class MeasureError(ValueError):
    """The measures given do not fit the rule; ``verdict`` lists every fault."""

    def __init__(self, findings: list[Finding]) -> None:
        self.verdict = Verdict.of(findings)
        super().__init__(f"{self.verdict.findings[0].code} {self.verdict.findings[0].location}")


@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact number that remembers how it was made, so that 488 out of 4812 shows as ``488/4812``."""

    number: Fraction
    text: str

    @classmethod
    def of(cls, number: Fraction) -> Quantity:
        return cls(number, f"{number.numerator}/{number.denominator}")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndicatorResult:
    """One indicator worked out; ``met`` None when not computable."""

    id: str
    value: Quantity | bool | None
    met: bool | None
    points: Fraction | None  #: None when met, and what it pays is not computable
    amount: Fraction | None  #: euros, points included at their value, not rounded
    neutralised: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """Whether an indicator that conditions the whole is met; None when not computable."""

    id: str
    met: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What a rule gives for a set of measures."""

    rules: RuleSet
    measures: Mapping[str, int | bool]
    indicators: tuple[IndicatorResult, ...]
    gates: tuple[GateResult, ...]
    points: Fraction | None  #: None when something that counts is not computable
    amount: Fraction | None
    missing: tuple[str, ...]  #: measures of the rule that were not given

    @property
    def gates_open(self) -> bool:
        """True when every gate is met; a gate that is not computable is not met."""
        return all(gate.met is True for gate in self.gates)

    def as_json(self) -> dict[str, Any]:
        """The result as the command line and the HTTP interface give it: exact fractions and decimal texts."""
        cents = self.rules.payment.rounding
        return {
            "indicators": [
                {
                    "id": one.id,
                    "value": one.value.text if isinstance(one.value, Quantity) else one.value,
                    "met": one.met,
                    "points": _points(one.points),
                    "amount": None if one.amount is None else decimal(one.amount, cents),
                }
                for one in self.indicators
            ],
            "gates": [{"id": gate.id, "met": gate.met} for gate in self.gates],
            "total": {
                "points": _points(self.points),
                "amount": None if self.amount is None else decimal(self.amount, cents),
            },
            "rule": {
                "id": self.rules.id,
                "version": self.rules.version,
                "published": self.rules.published.isoformat(),
                "policy": self.rules.policy,
            },
            "trust": {
                "unverified": self.rules.unverified,
                "sources": [{"text": source.text, "mark": source.mark} for source in self.rules.sources],
            },
            "notComputable": [one.id for one in self.indicators if one.met is None or one.amount is None],
            "missingMeasures": list(self.missing),
        }


def decimal(amount: Fraction, rounding: str = "cent") -> str:
    """Write an amount in euros with two decimals, rounded half up to the cent or to the euro."""
    unit = 100 if rounding == "cent" else 1
    # Half up on the exact fraction: no decimal is cut before the last one.
    whole = (abs(amount) * unit + Fraction(1, 2)).__floor__()
    text = f"{whole // unit}.{whole % unit if unit == 100 else 0:02d}"
    return f"-{text}" if amount < 0 and whole else text


def _points(points: Fraction | None) -> int | str | None:
    if points is None:
        return None
    return points.numerator if points.denominator == 1 else decimal(points)


def _checked(rules: RuleSet, measures: Mapping[str, Any]) -> None:
    flags, numbers = _uses(rules)
    faults: list[Finding] = []
    for name, value in measures.items():
        if name not in rules.measures:
            faults.append(UNKNOWN.finding(f"/{name[:64]}"))
        elif not isinstance(value, int) or not 0 <= value <= _MOST:
            faults.append(NOT_A_NUMBER.finding(f"/{name}"))
        elif isinstance(value, bool) and name in numbers:
            faults.append(WRONG_KIND.finding(f"/{name}", found="true / false", expected="un nombre"))
        elif not isinstance(value, bool) and name in flags:
            faults.append(WRONG_KIND.finding(f"/{name}", found="un nombre", expected="true / false"))
    if faults:
        raise MeasureError(faults)


def _uses(rules: RuleSet) -> tuple[set[str], set[str]]:
    flags: set[str] = set()
    numbers: set[str] = set()
    for place, name in rules.references():
        (flags if place.endswith("/flag") else numbers).add(name)
    return flags, numbers


def evaluate(rules: RuleSet, measures: Mapping[str, int | bool]) -> Evaluation:
    """Work a rule out for a set of measures; raises :class:`MeasureError` when they do not fit the rule.

    A measure of the rule that is not given makes what needs it not computable.
    """
    _checked(rules, measures)
    results = tuple(_indicator(rules, indicator, measures) for indicator in rules.indicators)
    by_id = {result.id: result for result in results}
    gates = tuple(GateResult(id=gate, met=by_id[gate].met) for gate in rules.gates)
    open_ = all(gate.met is True for gate in gates)
    # A penalty does not vanish because a gate is closed; an award does.
    counted = [result for result in results if open_ or _is_penalty(result)]
    used = {name for _, name in rules.references()}
    return Evaluation(
        rules=rules,
        measures=dict(measures),
        indicators=results,
        gates=gates,
        points=_sum(result.points for result in counted),
        amount=_sum(result.amount for result in counted),
        missing=tuple(sorted(used - measures.keys())),
    )


def _is_penalty(result: IndicatorResult) -> bool:
    return result.met is False and result.amount != 0


def _sum(parts: Iterable[Fraction | None]) -> Fraction | None:
    total = Fraction(0)
    for part in parts:
        if part is None:
            return None
        total += part
    return total


def _indicator(rules: RuleSet, indicator: Indicator, measures: Mapping[str, int | bool]) -> IndicatorResult:
    value = None if indicator.value is None else value_of(indicator.value, measures)
    nothing = Fraction(0)
    if indicator.neutralised:
        return IndicatorResult(id=indicator.id, value=value, met=True, points=nothing, amount=nothing, neutralised=True)
    met = _met(indicator.test, value)
    paid: tuple[Fraction, Fraction] | None = (nothing, nothing)
    if met is True and indicator.award is not None:
        paid = _pay(indicator.award, value, measures)
    elif met is False and indicator.penalty is not None:
        owed = _pay(indicator.penalty, value, measures)
        paid = None if owed is None else (-owed[0], -owed[1])
    if paid is None:
        return IndicatorResult(id=indicator.id, value=value, met=met, points=None, amount=None)
    points, amount = paid
    amount += points * (rules.payment.point_value or 0)
    return IndicatorResult(id=indicator.id, value=value, met=met, points=points, amount=amount)


def _number(operand: str | Fraction | Value, measures: Mapping[str, int | bool]) -> Quantity | None:
    number = value_of(operand, measures)
    return number if isinstance(number, Quantity) else None


def value_of(value: str | Fraction | Value, measures: Mapping[str, int | bool]) -> Quantity | bool | None:
    """The value of an indicator for these measures; None when it is not computable."""
    if isinstance(value, Fraction):
        return Quantity(value, str(value))
    if isinstance(value, str):
        return None if (number := measures.get(value)) is None else Quantity(Fraction(number), str(number))
    if value.flag is not None:
        given = measures.get(value.flag)
        return None if given is None else bool(given)
    if value.measure is not None:
        return value_of(value.measure, measures)
    if value.ratio is not None:
        top, bottom = (_number(operand, measures) for operand in value.ratio)
        if top is None or bottom is None or bottom.number == 0:
            return None
        quotient = top.number / bottom.number
        whole = top.number.denominator == bottom.number.denominator == 1
        if whole:
            return Quantity(quotient, f"{top.number.numerator}/{bottom.number.numerator}")
        return Quantity.of(quotient)
    rates: list[Fraction] = []
    for part in value.mean or ():
        rate = value_of(part, measures)
        if isinstance(rate, bool):
            # Conditions weigh 1 or 0: their mean is 1 when all of them hold.
            rates.append(Fraction(int(rate)))
        elif isinstance(rate, Quantity):
            rates.append(rate.number)
        elif not _given(part, measures) or value.undefined == "refuse":
            return None
        elif value.undefined == "zero":
            rates.append(Fraction(0))
    return Quantity.of(sum(rates, Fraction(0)) / len(rates)) if rates else None


def _given(value: str | Fraction | Value, measures: Mapping[str, int | bool]) -> bool:
    """Whether a rate is undefined for being 0 out of 0, rather than for want of a measure."""
    return all(name in measures for _, name in names_in(value, ""))


def _met(test: Test | None, value: Quantity | bool | None) -> bool | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return value if test is None else holds(test, Fraction(int(value)))
    return None if test is None else holds(test, value.number)


def holds(test: Test, number: Fraction) -> bool:
    """Whether a number passes a test, exactly."""
    return (
        (test.gte is None or number >= test.gte)
        and (test.gt is None or number > test.gt)
        and (test.lte is None or number <= test.lte)
        and (test.lt is None or number < test.lt)
        and (test.eq is None or number == test.eq)
        and (test.all is None or all(holds(part, number) for part in test.all))
        and (test.any is None or any(holds(part, number) for part in test.any))
        and (test.negated is None or not holds(test.negated, number))
    )


def _pay(
    award: Award, value: Quantity | bool | None, measures: Mapping[str, int | bool]
) -> tuple[Fraction, Fraction] | None:
    """Points and euros of an award; None when a measure it needs is missing, for a part would be a wrong figure."""
    parts = [_plain_pay(award, measures)]
    if isinstance(value, Quantity):
        tier = next((tier for tier in award.tiers or () if holds(tier.when, value.number)), None)
        if tier is not None:
            parts.append(_plain_pay(tier, measures))
    points = _sum(None if part is None else part[0] for part in parts)
    amount = _sum(None if part is None else part[1] for part in parts)
    if points is None or amount is None:
        return None
    factor = Fraction(1)
    if award.weight is not None:
        weight = value_of(award.weight, measures)
        if not isinstance(weight, Quantity):
            return None
        factor = weight.number
    if award.bonus is not None:
        condition = award.bonus.when
        earned = _met(condition.test, value_of(condition.value, measures))
        if earned is None:
            return None
        factor *= 1 + (award.bonus.rate if earned else 0)
    return points * factor, amount * factor


def _plain_pay(pay: Award | Tier, measures: Mapping[str, int | bool]) -> tuple[Fraction, Fraction] | None:
    amount = pay.amount or Fraction(0)
    if pay.per_unit is not None:
        if pay.per_unit.measure not in measures:
            return None
        amount += _per_unit(pay.per_unit, measures)
    return pay.points or Fraction(0), amount


def _per_unit(per_unit: PerUnit, measures: Mapping[str, int | bool]) -> Fraction:
    units = int(measures[per_unit.measure])
    if per_unit.step is not None:
        units //= per_unit.step
    paid = per_unit.rate * units
    return paid if per_unit.cap is None else min(paid, per_unit.cap)
