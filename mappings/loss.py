"""The loss report: what became of every part of a source document in a conversion.

A part is *carried* (its meaning is in the target's structure), kept as *text* only (a person can read it, a program
cannot), or *lost*. A lost clinical part refuses the conversion unless the caller allowed it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from conformance.verdict import Text

__all__ = ["Fate", "LossItem", "LossLog", "LossReport"]


class Fate(StrEnum):
    """What became of a part of the source."""

    CARRIED = "carried"
    TEXT_ONLY = "textOnly"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class LossItem:
    """One part of the source and its fate."""

    place: str  #: XPath or JSON pointer in the source
    fate: Fate
    name: str = ""  #: what it is, as a template or element name; never its content
    reason: Text | None = None  #: why it is not carried
    clinical: bool = False  #: True when its loss could harm (entry, dose, allergy, substitution ban...)


@dataclass(frozen=True, slots=True)
class LossReport:
    """Every part of the source with its fate."""

    items: tuple[LossItem, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many parts met each fate."""
        counted = Counter(item.fate for item in self.items)
        return {str(fate): counted.get(fate, 0) for fate in Fate}

    @property
    def refuses(self) -> bool:
        """True when a clinical part is lost: the conversion must not pass unless the caller allows it."""
        return any(item.fate is Fate.LOST and item.clinical for item in self.items)

    def __add__(self, other: LossReport) -> LossReport:
        return LossReport((*self.items, *other.items))

    def as_json(self, language: str = "fr") -> dict[str, object]:
        """The report as the interface shows it: counts, then every part that was not carried."""
        return {
            **self.counts,
            "items": [
                {
                    "place": item.place,
                    "fate": str(item.fate),
                    "name": item.name,
                    "clinical": item.clinical,
                    **({"reason": item.reason.in_language(language)} if item.reason else {}),
                }
                for item in self.items
                if item.fate is not Fate.CARRIED
            ],
        }


@dataclass(slots=True)
class LossLog:
    """Where readers and writers note fates while they work."""

    items: list[LossItem] = field(default_factory=list)

    def carried(self, place: str, name: str = "") -> None:
        """Note a part whose meaning is in the target."""
        self.items.append(LossItem(place=place, fate=Fate.CARRIED, name=name))

    def text_only(self, place: str, name: str, reason: Text, *, clinical: bool = False) -> None:
        """Note a part that people can still read and programs cannot."""
        self.items.append(LossItem(place=place, fate=Fate.TEXT_ONLY, name=name, reason=reason, clinical=clinical))

    def lost(self, place: str, name: str, reason: Text, *, clinical: bool = False) -> None:
        """Note a part that the target does not hold."""
        self.items.append(LossItem(place=place, fate=Fate.LOST, name=name, reason=reason, clinical=clinical))

    def extend(self, items: Iterable[LossItem]) -> None:
        """Add fates noted elsewhere."""
        self.items.extend(items)

    def report(self) -> LossReport:
        """The report of all that was noted."""
        return LossReport(tuple(self.items))
