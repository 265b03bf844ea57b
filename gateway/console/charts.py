"""Charts as SVG: bars stacked by month. Geometry only; words and colours are the template's and the stylesheet's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

__all__ = ["Bar", "Chart", "stacked"]

_WIDTH = 720
_HEIGHT = 220
_LEFT = 56
_BOTTOM = 28
_TOP = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One piece of a column."""

    x: float
    y: float
    width: float
    height: float
    series: int  #: number of its series, from 1: the stylesheet colours it
    label: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart ready to draw."""

    width: int
    height: int
    left: int
    base: float
    bars: tuple[Bar, ...]
    columns: tuple[tuple[float, str], ...]  #: middle of a column, its label
    lines: tuple[tuple[float, int], ...]  #: height of a grid line, its value
    series: tuple[str, ...]


def _steps(highest: int) -> list[int]:
    """Round values for the grid, up to the first not under the highest."""
    if highest <= 4:
        return list(range(max(highest, 1) + 1))
    unit = 10 ** floor(log10(highest))
    step = next(part * unit // 10 for part in (1, 2, 5, 10, 20, 50) if part * unit // 10 * 5 >= highest)
    return [step * n for n in range(ceil(highest / step) + 1)]


def stacked(columns: Sequence[str], series: Sequence[str], values: Mapping[tuple[str, str], int]) -> Chart | None:
    """Columns in order, each stacked by series, from counts by (column, series); None when there is nothing to draw."""
    totals = [sum(values.get((column, name), 0) for name in series) for column in columns]
    if not columns or not any(totals):
        return None
    steps = _steps(max(totals))
    room = _HEIGHT - _TOP - _BOTTOM
    base = float(_HEIGHT - _BOTTOM)
    scale = room / steps[-1]
    slot = (_WIDTH - _LEFT) / len(columns)
    width = min(slot * 0.7, 64.0)
    bars: list[Bar] = []
    for at, column in enumerate(columns):
        y = base
        for number, name in enumerate(series, 1):
            count = values.get((column, name), 0)
            if count == 0:
                continue
            height = count * scale
            y -= height
            bars.append(
                Bar(
                    x=round(_LEFT + slot * at + (slot - width) / 2, 1),
                    y=round(y, 2),
                    width=round(width, 1),
                    height=round(height, 2),
                    series=number,
                    label=f"{column}, {name}",
                    count=count,
                )
            )
    return Chart(
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        base=base,
        bars=tuple(bars),
        columns=tuple((round(_LEFT + slot * (at + 0.5), 1), column) for at, column in enumerate(columns)),
        lines=tuple((round(base - value * scale, 1), value) for value in steps),
        series=tuple(series),
    )
