"""Incentive rules as data: the format of a rule file, its published JSON schema, and its reader.

A rule file is read as plain data and nothing else: no code, no tag, no alias (hence no cycle), no repeated member; its
numbers stay exact. Format: incentives note, 8.1. The JSON schema beside the rules is generated from these models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

__all__ = [
    "Award",
    "Bonus",
    "Condition",
    "Indicator",
    "Measure",
    "Operand",
    "Payment",
    "PerUnit",
    "Period",
    "RuleSet",
    "Source",
    "Test",
    "Tier",
    "Value",
    "exact",
    "names_in",
]

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
#: Digits of a number in a rule: enough for any threshold, too few for a number that fills the memory.
_MAX_DIGITS: Final = 18


def exact(value: Any) -> Fraction:
    """Read a number of a rule as an exact fraction: 0.10, 800, or the text ``2/3``; raises ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal, str, Fraction)):
        raise ValueError("a whole or decimal number, or a fraction written 2/3")
    if isinstance(value, str):
        top, slash, bottom = value.partition("/")
        digits = top + bottom
        if not slash or not digits.isascii() or not (top.isdigit() and bottom.isdigit()) or len(digits) > _MAX_DIGITS:
            raise ValueError("a fraction written 2/3")
        if int(bottom) == 0:
            raise ValueError("a denominator other than 0")
        return Fraction(int(top), int(bottom))
    if isinstance(value, Decimal):
        _, digits_of, exponent = value.as_tuple()
        if not isinstance(exponent, int) or abs(exponent) > _MAX_DIGITS or len(digits_of) > _MAX_DIGITS:
            raise ValueError(f"a number of at most {_MAX_DIGITS} digits")
    elif isinstance(value, int) and abs(value) >= 10**_MAX_DIGITS:
        raise ValueError(f"a number of at most {_MAX_DIGITS} digits")
    return Fraction(value)


Exact = Annotated[
    Fraction,
    BeforeValidator(exact),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^[0-9]+/[0-9]+$"}]}),
]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, arbitrary_types_allowed=True)


class Source(_Data):
    """Where a rule comes from, and how far to trust it."""

    text: str
    mark: Literal["A", "B", "C", "?"] = Field(
        description="A official text read, B secondary source, C background knowledge, ? not found"
    )


class Subject(_Data):
    """Who a figure is about."""

    by: Literal["rpps", "finess", "legal_finess"]
    split: bool = Field(default=False, description="one figure a site or legal form, instead of one a person")


class Period(_Data):
    """The days a rule counts, in Europe/Paris, both included."""

    start: date = Field(alias="from")
    end: date = Field(alias="to")
    basis: Literal["occurred", "submitted", "accepted"] = "accepted"
    grace_days: int = Field(default=31, ge=0, le=400, description="days after the end for late answers")
    zone: Literal["Europe/Paris"] = "Europe/Paris"

    @model_validator(mode="after")
    def _in_order(self) -> Period:
        if self.start > self.end:
            raise ValueError("a period that ends after it begins")
        return self

    @property
    def closes(self) -> date:
        """The last day of the grace period."""
        return self.end + timedelta(days=self.grace_days)


Scalar = str | bool | int


class Measure(_Data):
    """A number that rules are made of: counted from the ledger, imported from a payer or a program, or declared."""

    events: str | tuple[str, ...] | None = Field(default=None, description="kind of ledger entry")
    where: Mapping[str, Scalar | tuple[Scalar, ...]] = Field(default_factory=dict)
    unit: Literal["event", "lineage", "encounter", "patient_day", "patient", "message"] | None = None
    imported: str | None = Field(default=None, alias="import")
    origin: str | None = None
    declared: str | None = None
    label: str | None = Field(default=None, description="what is counted, in French, as a sentence says it")

    @model_validator(mode="after")
    def _one_kind(self) -> Measure:
        kinds = [self.events is not None, self.imported is not None, self.declared is not None]
        if sum(kinds) != 1:
            raise ValueError("exactly one of events, import, declared")
        if self.events is not None and self.unit is None:
            raise ValueError("a unit for events")
        if self.events is None and (self.where or self.unit):
            raise ValueError("where and unit only beside events")
        if self.imported is not None and self.origin is None:
            raise ValueError("an origin for an import")
        return self


def _operand_kind(value: Any) -> str:
    if isinstance(value, str) and "/" not in value:
        return "→name"
    return "→value" if isinstance(value, (Value, dict)) else "→number"


#: The name of a measure, a constant, or a value of its own. The arrows keep a branch's name out of an error's place.
Operand = Annotated[
    "Annotated[Name, Tag('→name')] | Annotated[Exact, Tag('→number')] | Annotated[Value, Tag('→value')]",
    Discriminator(_operand_kind),
]


class Value(_Data):
    """What an indicator measures: one measure, a ratio, a mean of values, or a yes-or-no."""

    measure: Name | None = None
    ratio: tuple[Operand, Operand] | None = None
    mean: tuple[Operand, ...] | None = Field(default=None, min_length=1, max_length=50)
    flag: Name | None = None
    undefined: Literal["refuse", "omit", "zero"] = Field(
        default="refuse", description="what a mean does with a rate of 0 out of 0: no result, leave it out, count it 0"
    )

    @model_validator(mode="after")
    def _one_form(self) -> Value:
        if sum(form is not None for form in (self.measure, self.ratio, self.mean, self.flag)) != 1:
            raise ValueError("exactly one of measure, ratio, mean, flag")
        return self


class Test(_Data):
    """A condition on a value, exact; several members must all hold."""

    __test__ = False  # not a test case, whatever its name

    gte: Exact | None = None
    gt: Exact | None = None
    lte: Exact | None = None
    lt: Exact | None = None
    eq: Exact | None = None
    all: tuple[Test, ...] | None = Field(default=None, min_length=1, max_length=50)
    any: tuple[Test, ...] | None = Field(default=None, min_length=1, max_length=50)
    negated: Test | None = Field(default=None, alias="not")

    @model_validator(mode="after")
    def _not_empty(self) -> Test:
        if not self.model_fields_set:
            raise ValueError("at least one of gte, gt, lte, lt, eq, all, any, not")
        return self


class PerUnit(_Data):
    """So much for each unit of a measure."""

    rate: Exact
    measure: Name
    step: int | None = Field(default=None, ge=1, description="paid per whole group of so many units")
    cap: Exact | None = Field(default=None, description="most that is paid")


class _Pay(_Data):
    points: Exact | None = None
    amount: Exact | None = None
    per_unit: PerUnit | None = None


class Tier(_Pay):
    """One step of an award, when the indicator's value fits."""

    when: Test


class Condition(_Data):
    """A test on a value of its own."""

    value: Operand
    test: Test | None = None


class Bonus(_Data):
    """A share added to the award when a condition holds."""

    rate: Exact
    when: Condition


class Award(_Pay):
    """What a met indicator pays (or, as a penalty, what a missed one costs)."""

    tiers: tuple[Tier, ...] | None = Field(default=None, min_length=1, max_length=50)
    weight: Operand | None = None
    bonus: Bonus | None = None


class Indicator(_Data):
    """One line of a scheme."""

    id: Name
    label: str | None = Field(default=None, description="what people call it, in French")
    value: Operand | None = None
    test: Test | None = None
    award: Award | None = None
    penalty: Award | None = None
    neutralised: bool = Field(default=False, description="treated as met, pays nothing")

    @model_validator(mode="after")
    def _measurable(self) -> Indicator:
        if self.value is None and not self.neutralised:
            raise ValueError("a value, or neutralised: true")
        flag = isinstance(self.value, Value) and self.value.flag is not None
        if self.value is not None and not flag and self.test is None and not self.neutralised:
            raise ValueError("a test, unless the value is a flag")
        return self


class Payment(_Data):
    """How points become money and how money is rounded."""

    point_value: Exact | None = Field(default=None, description="euros a point")
    rounding: Literal["cent", "euro"] = "cent"


class RuleSet(_Data):
    """One scheme for one period, in one version: a new threshold is a new version."""

    format: Literal["incentive-rules/1"] = Field(alias="schema")
    id: Annotated[str, Field(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$", max_length=120)]
    version: int = Field(ge=1)
    published: date
    supersedes: int | None = Field(default=None, ge=1)
    title: str | None = Field(default=None, description="what people call the scheme, in French")
    notes: tuple[str, ...] = Field(default=(), description="assumptions and open points, printed with results")
    sources: tuple[Source, ...] = Field(min_length=1)
    subject: Subject
    period: Period
    policy: str
    measures: dict[Name, Measure] = Field(max_length=200)
    indicators: tuple[Indicator, ...] = Field(min_length=1, max_length=200)
    gates: tuple[Name, ...] = ()
    payment: Payment = Payment()

    @property
    def unverified(self) -> bool:
        """True when part of the rule rests on background knowledge or on nothing found: every result must say so."""
        return any(source.mark in ("C", "?") for source in self.sources)

    def references(self) -> Iterator[tuple[str, str]]:
        """Every use of a measure's name, with its place as a JSON pointer."""
        for at, indicator in enumerate(self.indicators):
            place = f"/indicators/{at}"
            if indicator.value is not None:
                yield from names_in(indicator.value, f"{place}/value")
            for member in ("award", "penalty"):
                award: Award | None = getattr(indicator, member)
                if award is not None:
                    yield from _in_award(award, f"{place}/{member}")


def names_in(value: str | Fraction | Value, place: str) -> Iterator[tuple[str, str]]:
    """Every measure a value is made of, with its place as a JSON pointer."""
    if isinstance(value, str):
        yield place, value
    if not isinstance(value, Value):
        return
    for member in ("measure", "flag"):
        if (name := getattr(value, member)) is not None:
            yield f"{place}/{member}", name
    for at, operand in enumerate(value.ratio or ()):
        yield from names_in(operand, f"{place}/ratio/{at}")
    for at, part in enumerate(value.mean or ()):
        yield from names_in(part, f"{place}/mean/{at}")


def _in_award(award: Award, place: str) -> Iterator[tuple[str, str]]:
    if award.per_unit is not None:
        yield f"{place}/per_unit/measure", award.per_unit.measure
    for at, tier in enumerate(award.tiers or ()):
        if tier.per_unit is not None:
            yield f"{place}/tiers/{at}/per_unit/measure", tier.per_unit.measure
    if award.weight is not None:
        yield from names_in(award.weight, f"{place}/weight")
    if award.bonus is not None:
        yield from names_in(award.bonus.when.value, f"{place}/bonus/when/value")


for _model in (Value, Test, Tier, Condition, Bonus, Award, Indicator, RuleSet):
    _model.model_rebuild()
