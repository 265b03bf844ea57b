"""Small cells: a count that could point at a person is not shown, nor can it be had by subtraction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.feeds.counts import Count

__all__ = ["SMALL", "Cell", "crossed", "suppress"]

#: Counts under this are not shown where type, place and month cross (incentives note, 7).
SMALL: Final = 11
_PLACES: Final = frozenset(["structure", "place", "membership", "professional", "tenant"])
_TIMES: Final = frozenset(["month", "day"])
_KINDS: Final = frozenset(["type", "profession", "recipient", "mode", "outcome", "reason", "ins"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A count as it may be shown: ``count`` None when it is withheld."""

    service: str
    group: dict[str, str]
    count: int | None

    @property
    def shown(self) -> str:
        """The count as a page shows it."""
        return f"< {SMALL}" if self.count is None else str(self.count)


def crossed(by: Sequence[str]) -> bool:
    """Whether a count by these dimensions crosses kind, place and time, hence may point at a person."""
    asked = set(by)
    return bool(asked & _PLACES) and bool(asked & _TIMES) and bool(asked & _KINDS)


def suppress(
    counts: Sequence[Count], *, by: Sequence[str], small: int = SMALL, across: Sequence[str] = ()
) -> list[Cell]:
    """Withhold small cells of a crossed count, and with a lone one the next smallest of its row.

    A single withheld cell could be had from a total published elsewhere; two cannot. Counts that do not cross kind,
    place and time are given as they are; ``across`` are the dimensions the counts were narrowed by, which cross too.
    """
    if not crossed([*by, *across]):
        return [Cell(service=one.service, group=dict(one.group), count=one.count) for one in counts]
    withheld = {at for at, one in enumerate(counts) if one.count < small}
    for dimension in by:
        rows: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for at, one in enumerate(counts):
            rest = tuple(value for name, value in one.group.items() if name != dimension)
            rows[(one.service, *rest)].append(at)
        for row in rows.values():
            hidden = [at for at in row if at in withheld]
            if len(hidden) == 1 and len(row) > 1:
                withheld.add(min((at for at in row if at not in withheld), key=lambda at: counts[at].count))
    return [
        Cell(service=one.service, group=dict(one.group), count=None if at in withheld else one.count)
        for at, one in enumerate(counts)
    ]
