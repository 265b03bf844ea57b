"""French numbers, dates and amounts as the pages write them."""

from __future__ import annotations

from fractions import Fraction

import pytest

from gateway.console import words
from gateway.console.charts import stacked


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (words.number(4812), "4\u202f812"),
        (words.number(1234567), "1\u202f234\u202f567"),
        (words.cell(None), "<\u202f11"),
        (words.cell(0), "0"),
        (words.percent(Fraction(471, 4812)), "9,79\u00a0%"),
        (words.percent(Fraction(99999, 1000000)), "9,99\u00a0%"),
        (words.euros(Fraction(2340)), "2\u202f340,00\u00a0€"),
        (words.euros(Fraction(-1, 2)), "-0,50\u00a0€"),
        (words.euros(None), "non calculable"),
        (words.day("2026-11-22"), "22 nov. 2026"),
        (words.month("2026-08"), "août 2026"),
        (words.month("nothing"), "nothing"),
        (words.hours("2026-07-01T22:30:00.000Z"), "2 juil. 2026 à 00:30"),
        (words.hours(None), "jamais"),
        (words.plural(1, "document"), "1\u00a0document"),
        (words.plural(0, "document"), "0\u00a0document"),
        (words.plural(2, "journal", "journaux"), "2\u00a0journaux"),
        (words.named("type", "60591-5"), "Volet de synthèse médicale (60591-5)"),
        (words.named("reason", "never_heard_of"), "never_heard_of"),
        (words.named("structure", ""), "non précisé"),
    ],
)
def test_words_of_the_pages(written: str, expected: str) -> None:
    """Narrow spaces between thousands, a comma before cents, days in Paris, codes by their name."""
    assert written == expected


def test_a_chart_is_as_high_as_its_figures() -> None:
    """Bars of a column stand on each other, in proportion, under a round grid; no figures, no chart."""
    chart = stacked(["a", "b"], ["x", "y"], {("a", "x"): 30, ("a", "y"): 10, ("b", "x"): 20})
    assert chart is not None
    first, second, third = chart.bars
    assert [bar.count for bar in chart.bars] == [30, 10, 20]
    assert first.height == pytest.approx(3 * second.height, abs=0.05)
    assert second.y == pytest.approx(first.y - second.height, abs=0.05)
    assert first.y + first.height == pytest.approx(chart.base, abs=0.05)
    assert third.x > first.x
    assert [value for _, value in chart.lines] == [0, 10, 20, 30, 40]
    assert stacked(["a"], ["x"], {}) is None
    assert stacked([], [], {}) is None
