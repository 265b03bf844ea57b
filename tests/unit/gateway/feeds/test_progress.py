"""The number still missing is exact, a forecast states its assumption, and sentences carry the figures."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.feeds.evaluate import evaluate, holds
from gateway.feeds.progress import forecast, french_day, french_number, french_percent, missing, progress
from gateway.feeds.scheme import Indicator, RuleSet, Test
from tests.unit.gateway.feeds.test_evaluate import DOCTOR, PHARMACY, TWO, made, rule

AFTER = date(2024, 6, 1)


def sentences(rules: RuleSet, measures: dict[str, Any], today: date = AFTER) -> dict[str, str]:
    return {one.indicator: one.sentence for one in progress(evaluate(rules, measures), today)}


def test_the_sentence_of_the_disputed_reading() -> None:
    """The figures stand in the sentence, with French separators, in the tense of the day."""
    rules = rule("fr.medecin.forfait-structure.2023.dmp", 2)
    said = sentences(rules, DOCTOR)
    assert said["dmp_feed_other_reading"] == (
        "471 jours-patients alimentés sur 4\u202f812 consultations (9,79\u00a0%). "
        "Il en manquait 11 pour atteindre 10\u00a0%."
    )
    assert said["dmp_feed"] == (
        "488 documents alimentés sur 4\u202f812 consultations (10,14\u00a0%). Le seuil de 10\u00a0% était atteint."
    )
    assert "Il en manque 11" in sentences(rules, DOCTOR, date(2023, 12, 1))["dmp_feed_other_reading"]


def test_the_pharmacy_learns_what_is_missing() -> None:
    """95 exchanges short of 5 %; 480 dispensations short of the gate."""
    rules = rule("fr.officine.remu-num.2024")
    by_id = {one.indicator: one for one in progress(evaluate(rules, PHARMACY | {"erx_dispensed": 14500}), AFTER)}
    assert by_id["mss"].missing == 95
    assert by_id["erx"].missing == 480
    assert by_id["fse"].missing == 0
    assert by_id["lad"].sentence.startswith("Indicateur neutralisé")
    assert by_id["coord"].sentence == "Condition remplie."
    assert by_id["coord"].missing is None
    assert sentences(rules, PHARMACY | {"segur": False})["segur"] == "Condition non remplie."


def test_a_forecast_goes_on_at_the_same_pace_and_says_so() -> None:
    """Half the year, half the count; before it begins and once it is over there is none."""
    start, end = date(2026, 1, 1), date(2026, 12, 31)
    ahead = forecast(100, start, end, date(2026, 4, 10))
    assert ahead is not None
    assert (ahead.value, ahead.elapsed, ahead.days) == (365, 100, 365)
    assert "100 premiers jours" in ahead.assumption
    assert "31 déc. 2026" in ahead.assumption
    assert forecast(1, start, end, date(2025, 12, 31)) is None
    assert forecast(1, start, end, end) is None


def test_progress_in_the_year_forecasts_the_rate() -> None:
    """At this pace the threshold would be met, the denominator unchanged."""
    rules = rule("fr.medecin.forfait-structure.2023.dmp", 2)
    shown = progress(evaluate(rules, DOCTOR | {"fed_lineages": 250}), date(2023, 6, 30))[0].as_json()
    assert shown["met"] is False
    assert shown["missing"] == 232
    assert shown["forecast"]["value"] == 250 * 365 // 181
    assert shown["forecast"]["met"] is True
    assert shown["percent"] == "5,2\u00a0%"


def test_what_cannot_be_computed_is_said() -> None:
    """No rate, no missing number, a sentence that tells why."""
    rules = rule("fr.medecin.forfait-structure.2023.dmp", 2)
    one = progress(evaluate(rules, {"fed_lineages": 3}), AFTER)[0]
    assert (one.rate, one.missing, one.met) == (None, None, None)
    assert one.sentence.startswith("Non calculable")
    mean = progress(evaluate(rule("fr.medecin.donum.2026"), {}), AFTER)[-1]
    assert mean.missing is None


def test_means_counts_and_upper_bounds_have_their_sentences() -> None:
    """A mean shows as one, a plain count as itself, and a bound from above tells no missing number."""
    rules = made(
        TWO + "indicators:\n"
        "  - {id: m, value: {mean: [{ratio: [a, b]}, 1]}, test: {gte: 0.9}}\n"
        "  - {id: c, value: a, test: {gt: 5}}\n"
        "  - {id: u, value: {ratio: [a, b]}, test: {lt: 0.1}}\n"
    )
    said = sentences(rules, {"a": 1, "b": 2}, date(2026, 5, 1))
    assert said["m"] == "Moyenne : 75\u00a0%. Le seuil de 90\u00a0% n'est pas atteint."
    assert said["c"] == "1 a sur 1 (100\u00a0%). Il en manque 5 pour atteindre plus de 5." or said["c"].startswith("1.")
    assert said["u"].endswith("(50\u00a0%).")


@given(st.integers(0, 5000), st.integers(1, 5000), st.integers(0, 100), st.booleans())
def test_the_missing_number_is_the_smallest_that_suffices(top: int, bottom: int, percent: int, strict: bool) -> None:
    """With it the test holds, with one less it does not."""
    test = Test(**{"gt" if strict else "gte": Fraction(percent, 100)})
    indicator = Indicator.model_validate({"id": "i", "value": {"ratio": ["a", "b"]}, "test": test})
    lacking = missing(indicator, {"a": top, "b": bottom})
    assert lacking is not None
    assert holds(test, Fraction(top + lacking, bottom))
    assert lacking == 0 or not holds(test, Fraction(top + lacking - 1, bottom))


@pytest.mark.parametrize(
    ("rate", "shown"),
    [
        (Fraction(1, 10), "10\u00a0%"),
        (Fraction(99999, 1000000), "9,99\u00a0%"),
        (Fraction(100001, 1000000), "10,01\u00a0%"),
        (Fraction(471, 4812), "9,79\u00a0%"),
        (Fraction(1, 200), "0,5\u00a0%"),
        (Fraction(-1, 8), "-12,5\u00a0%"),
        (Fraction(25), "2\u202f500\u00a0%"),
    ],
)
def test_percentages_never_round_to_a_threshold(rate: Fraction, shown: str) -> None:
    """9.999 % does not show as 10 %, nor 10.0001 % as 10 %."""
    assert french_percent(rate) == shown


def test_french_forms() -> None:
    """Separators and dates as French readers write them."""
    assert french_number(1234567) == "1\u202f234\u202f567"
    assert french_day(date(2026, 11, 22)) == "22 nov. 2026"
    assert french_day(date(2026, 8, 1)) == "1er août 2026"
