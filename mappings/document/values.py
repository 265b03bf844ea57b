"""Values of a clinical document: codes, moments of any precision, periods, quantities."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from mappings.document.base import Part

__all__ = [
    "Address",
    "Code",
    "Concept",
    "Moment",
    "Period",
    "Quantity",
    "QuantityRange",
    "Ratio",
    "Telecom",
    "moment_key",
]

_MOMENT = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d{2})(?:-(?P<day>\d{2})"
    r"(?:T(?P<hour>\d{2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?(?P<zone>Z|[+-]\d{2}:\d{2}))?)?)?\Z"
)


def _moment(value: str) -> str:
    match = _MOMENT.match(value)
    if match is None:
        raise ValueError("expected YYYY, YYYY-MM, YYYY-MM-DD or a date and time with its offset")
    month, day = int(match["month"] or 1), int(match["day"] or 1)
    try:
        datetime(
            int(match["year"]),
            month,
            day,
            int(match["hour"] or 0),
            int(match["minute"] or 0),
            int(match["second"] or 0),
        )
    except ValueError:
        raise ValueError("no such date") from None
    return value


#: A date or an instant, as precise as it is known: ``2024``, ``2024-05``, ``2024-05-17``,
#: ``2024-05-17T09:30:00+02:00``. From the hour on an offset is required; no fraction of a second
#: (CI-SIS structuration minimale: TS).
Moment = Annotated[
    str,
    AfterValidator(_moment),
    Field(
        description="Date or instant, as precise as known (YYYY, YYYY-MM, YYYY-MM-DD, or RFC 3339 with offset).",
        examples=["2024", "2024-05-17", "2024-05-17T09:30:00+02:00"],
    ),
]


def moment_key(value: str) -> datetime:
    """The earliest instant a moment may mean, for ordering (a date alone counts from 00:00 UTC)."""
    match = _MOMENT.match(value)
    if match is None:
        raise ValueError("not a moment")
    if match["hour"]:
        text = value if match["second"] else f"{value[:16]}:00{match['zone']}"
        return datetime.fromisoformat(text).astimezone(UTC)
    return datetime(int(match["year"]), int(match["month"] or 1), int(match["day"] or 1), tzinfo=UTC)


class Code(Part):
    """A code of a terminology."""

    code: str = Field(min_length=1, max_length=120, description="The code itself.")
    system: str = Field(
        pattern=r"^[0-2](\.(0|[1-9]\d*))+$", max_length=128, description="OID of the terminology, digits and dots."
    )
    display: str | None = Field(None, max_length=500, description="Label of the code in its terminology.")
    system_name: str | None = Field(None, max_length=120, description="Name of the terminology, for readers.")


class Concept(Part):
    """What a clinician meant: a code, the same in other terminologies, and the words used. At least one of them."""

    code: Code | None = Field(None, description="Main code; absent when only words are known.")
    translations: tuple[Code, ...] = Field((), description="The same meaning in other terminologies.")
    text: str | None = Field(None, min_length=1, max_length=4000, description="The words of the clinician.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.code is None and not self.text and not self.translations:
            raise ValueError("a concept needs a code or a text")
        return self

    @property
    def label(self) -> str:
        """What a person reads: the words used, else the label of the code, else the code."""
        if self.text:
            return self.text
        first = self.code or self.translations[0]
        return first.display or first.code


class Period(Part):
    """From a moment to another; either end may be unknown. A date alone is inclusive on both sides."""

    start: Moment | None = Field(None, description="First moment.")
    end: Moment | None = Field(None, description="Last moment; absent when open or unknown.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if (
            self.start
            and self.end
            and moment_key(self.end) < moment_key(self.start[: len(self.end)] if len(self.end) <= 10 else self.start)
        ):
            raise ValueError("the end is before the start")
        return self


class Quantity(Part):
    """A measured or counted amount."""

    value: Decimal = Field(description="Amount, exact.", max_digits=18)
    unit: str = Field(
        "1",
        min_length=1,
        max_length=60,
        description="UCUM code (mg, h, d, {tablet}) or EDQM Standard Terms number (30009000 box); 1 for a bare count.",
    )
    display: str | None = Field(None, max_length=120, description="The unit in words (comprimé, boîte).")


class QuantityRange(Part):
    """From a low to a high amount of one unit; the same twice for a fixed amount."""

    low: Quantity
    high: Quantity

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low.unit == self.high.unit and self.high.value < self.low.value:
            raise ValueError("the high amount is below the low one")
        return self

    @classmethod
    def fixed(cls, quantity: Quantity) -> Self:
        """The range of one fixed amount."""
        return cls(low=quantity, high=quantity)


class Ratio(Part):
    """An amount for an amount: 4 tablets for 1 day."""

    numerator: Quantity
    denominator: Quantity


class Address(Part):
    """A postal address, as lines or as parts (the parts win when both are known)."""

    use: str | None = Field(
        None, pattern="^(H|HP|HV|WP|TMP)$", description="HL7 use: H home, WP work place, TMP temporary."
    )
    lines: tuple[str, ...] = Field((), max_length=7, description="Street lines, as printed.")
    postal_code: str | None = Field(None, max_length=10)
    city: str | None = Field(None, max_length=100)
    country: str | None = Field(None, max_length=60)


class Telecom(Part):
    """A telephone number, a mail address or a web address."""

    value: str = Field(
        pattern=r"^(tel|fax|mailto|http|https|ftp|mllp):[^\s]+$",
        max_length=300,
        description="URI without spaces: tel:0298000000, mailto:box@example.mssante.fr.",
    )
    use: str | None = Field(None, pattern="^(H|HP|HV|WP|DIR|PUB|EC|MC|PG)$", description="HL7 use: WP work, MC mobile.")
