"""The worked examples come out to the cent, and nothing uncertain comes out as a figure."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.feeds.evaluate import MeasureError, decimal, evaluate
from gateway.feeds.rulebook import read, shipped
from gateway.feeds.scheme import RuleSet

DOCTOR = {"fed_lineages": 488, "fed_days": 471, "consultations": 4812}
VSM = {"vsm_patients": 131, "vsm_structured": 98, "ald_patients": 212, "mt_patients": 1040}
PHARMACY: dict[str, int | bool] = {
    "coordinated": True,
    "segur": True,
    "no_fraud": True,
    "erx_dispensed": 15622,
    "city_dispensed": 21400,
    "reviews_fed": 42,
    "reviews_final": 46,
    "mss_dispensations": 1150,
    "dispensations": 24900,
    "fse": 38250,
    "claims": 39800,
    "scor_ok": 9340,
    "scor_all": 9396,
}


def rule(name: str, version: int = 1) -> RuleSet:
    return next(rules for rules in shipped() if (rules.id, rules.version) == (name, version))


def made(text: str) -> RuleSet:
    head = (
        "schema: incentive-rules/1\nid: test.rule\nversion: 1\npublished: 2026-01-01\n"
        "sources: [{text: made up, mark: A}]\nsubject: {by: rpps}\n"
        "period: {from: 2026-01-01, to: 2026-12-31}\npolicy: fr-default-1\n"
    )
    return read((head + text).encode())


TWO = "measures:\n  a: {import: a, origin: cnam}\n  b: {import: b, origin: cnam}\n  yes: {declared: yes}\n"


def lines(result: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {one["id"]: (one["value"], one["met"], one["points"], one["amount"]) for one in result["indicators"]}


def test_example_1_both_readings_before_and_after_the_change_of_threshold() -> None:
    """488 lineages pass at 10 % and not at 20 %; 471 patient-days pass at neither."""
    old = evaluate(rule("fr.medecin.forfait-structure.2023.dmp", 1), DOCTOR).as_json()
    new = evaluate(rule("fr.medecin.forfait-structure.2023.dmp", 2), DOCTOR).as_json()
    assert lines(new) == {
        "dmp_feed": ("488/4812", True, 40, "280.00"),
        "dmp_feed_other_reading": ("471/4812", False, 0, "0.00"),
    }
    assert new["total"] == {"points": 40, "amount": "280.00"}
    assert lines(old)["dmp_feed"] == ("488/4812", False, 0, "0.00")
    assert old["total"] == {"points": 0, "amount": "0.00"}
    assert (old["rule"]["version"], new["rule"]["version"]) == (1, 2)


def test_example_2_tier_weight_and_bonus() -> None:
    """1,500 x 1,040/800 and a fifth more; the second tier at 191 of 212."""
    rules = rule("fr.medecin.vsm-ald.2023")
    result = evaluate(rules, VSM).as_json()
    assert lines(result)["vsm"] == ("131/212", True, 0, "2340.00")
    assert result["total"]["amount"] == "2340.00"
    assert result["trust"]["unverified"] is True
    more = evaluate(rules, VSM | {"vsm_patients": 191, "vsm_structured": 96})
    assert more.as_json()["total"]["amount"] == "4680.00"
    without_bonus = evaluate(rules, VSM | {"vsm_structured": 65})
    assert without_bonus.as_json()["total"]["amount"] == "1950.00"


def test_example_3_gates_open_and_closed() -> None:
    """3,697.50 EUR, and 0.00 when the gate closes for want of 480 dispensations."""
    rules = rule("fr.officine.remu-num.2024")
    result = evaluate(rules, PHARMACY).as_json()
    assert lines(result) == {
        "coord": (True, True, 0, "820.00"),
        "segur": (True, True, 0, "0.00"),
        "lad": (None, True, 0, "0.00"),
        "fraud": (True, True, 0, "0.00"),
        "erx": ("15622/21400", True, 0, "0.00"),
        "dmp": ("42/46", True, 0, "100.00"),
        "mss": ("1150/24900", False, 0, "0.00"),
        "fse": ("38250/39800", True, 0, "2677.50"),
        "scor": ("9340/9396", True, 0, "100.00"),
    }
    assert result["total"] == {"points": 0, "amount": "3697.50"}
    assert {gate["id"]: gate["met"] for gate in result["gates"]} == dict.fromkeys(rules.gates, True)
    closed = evaluate(rules, PHARMACY | {"erx_dispensed": 14500}).as_json()
    assert closed["total"] == {"points": 0, "amount": "0.00"}
    assert {"id": "erx", "met": False} in closed["gates"]


def test_example_4_the_mean_of_four_rates() -> None:
    """The mean of exact rates, compared exactly; a service never used makes it not computable."""
    rules = rule("fr.medecin.donum.2026")
    rates = {"dmt_online": 1, "dmt_all": 2, "fse": 9, "claims": 10, "pse_online": 1, "pse_all": 1, "aat_online": 0}
    flags = {"segur": True, "lap": True, "sesam_vitale": True}
    exactly = evaluate(rules, rates | flags | {"aat_all": 3}).as_json()
    assert lines(exactly)["teleservices"] == ("3/5", True, 280, "1960.00")
    never = evaluate(rules, rates | flags | {"aat_all": 0}).as_json()
    assert lines(never)["teleservices"] == (None, None, 0, "0.00")
    assert never["gates"][-1] == {"id": "teleservices", "met": None}
    assert never["total"]["amount"] == "0.00"
    assert never["notComputable"] == ["teleservices"]


@pytest.mark.parametrize(("undefined", "value"), [("omit", "3/4"), ("zero", "3/8"), ("refuse", None)])
def test_a_mean_says_what_it_does_with_nothing_out_of_nothing(undefined: str, value: str | None) -> None:
    """Left out, counted 0, or no result: the rule says which; a missing measure is never any of them."""
    rules = made(
        TWO + "  z: {import: z, origin: cnam}\n"
        "indicators:\n  - id: m\n    value: {mean: [{ratio: [a, b]}, {ratio: [z, z]}], undefined: "
        + undefined
        + "}\n    test: {gte: 0}\n"
    )
    assert evaluate(rules, {"a": 3, "b": 4, "z": 0}).as_json()["indicators"][0]["value"] == value
    assert evaluate(rules, {"a": 3, "b": 4}).as_json()["indicators"][0]["value"] is None


def test_nothing_out_of_nothing_is_not_computable() -> None:
    """A zero denominator gives neither a rate of 0 nor a miss."""
    result = evaluate(rule("fr.medecin.forfait-structure.2023.dmp", 2), DOCTOR | {"consultations": 0}).as_json()
    assert lines(result)["dmp_feed"] == (None, None, 0, "0.00")
    assert result["notComputable"] == ["dmp_feed", "dmp_feed_other_reading"]


def test_a_measure_not_given_is_named_and_makes_no_figure() -> None:
    """Without the weight's measure the award is unknown: null, in the line and in the total."""
    partial = {name: value for name, value in VSM.items() if name != "mt_patients"}
    result = evaluate(rule("fr.medecin.vsm-ald.2023"), partial).as_json()
    assert lines(result)["vsm"] == ("131/212", True, None, None)
    assert result["total"] == {"points": None, "amount": None}
    assert result["missingMeasures"] == ["mt_patients"]
    no_bonus = {name: value for name, value in VSM.items() if name != "vsm_structured"}
    assert evaluate(rule("fr.medecin.vsm-ald.2023"), no_bonus).amount is None


def test_a_rate_is_compared_exactly() -> None:
    """481 of 4,812 shows as 10.0 % and is below 10 %."""
    rules = rule("fr.medecin.forfait-structure.2023.dmp", 2)
    assert evaluate(rules, DOCTOR | {"fed_lineages": 481}).indicators[0].met is False
    assert evaluate(rules, DOCTOR | {"fed_lineages": 482}).indicators[0].met is True
    thirds = made(TWO + "indicators:\n  - {id: i, value: {ratio: [a, b]}, test: {gt: 2/3}, award: {points: 1}}\n")
    assert evaluate(thirds, {"a": 2, "b": 3}).indicators[0].met is False
    assert evaluate(thirds, {"a": 200001, "b": 300001}).indicators[0].met is True


@pytest.mark.parametrize(
    ("test", "passing", "failing"),
    [
        ("{gte: 5}", 5, 4),
        ("{gt: 5}", 6, 5),
        ("{lte: 5}", 5, 6),
        ("{lt: 5}", 4, 5),
        ("{eq: 5}", 5, 6),
        ("{gte: 2, lt: 5}", 4, 5),
        ("{any: [{lt: 2}, {gt: 8}]}", 9, 5),
        ("{all: [{gt: 2}, {not: {eq: 4}}]}", 5, 4),
    ],
)
def test_every_comparison(test: str, passing: int, failing: int) -> None:
    """Each word of a test, alone and combined."""
    rules = made(TWO + f"indicators:\n  - {{id: i, value: {{measure: a}}, test: {test}}}\n")
    assert evaluate(rules, {"a": passing}).indicators[0].met is True
    assert evaluate(rules, {"a": failing}).indicators[0].met is False
    assert evaluate(rules, {"a": passing}).as_json()["indicators"][0]["value"] == str(passing)


def test_awards_by_unit_stop_at_their_cap_and_count_whole_groups() -> None:
    """25 EUR for each 5 whole units, 60 EUR at most."""
    rules = made(
        TWO + "indicators:\n  - id: i\n    value: a\n    test: {gt: 0}\n"
        "    award: {per_unit: {rate: 25, measure: b, step: 5, cap: 60}}\n"
    )
    amounts = [evaluate(rules, {"a": 1, "b": b}).as_json()["total"]["amount"] for b in (4, 5, 14, 15)]
    assert amounts == ["0.00", "25.00", "50.00", "60.00"]
    assert evaluate(rules, {"a": 1}).amount is None


def test_a_penalty_is_owed_even_when_a_gate_is_closed() -> None:
    """A closed gate takes the awards away and not the penalty."""
    rules = made(
        TWO + "indicators:\n  - {id: gate, value: {flag: yes}, award: {points: 10}}\n"
        "  - {id: i, value: {ratio: [a, b]}, test: {gte: 0.5}, award: {amount: 100}, penalty: {amount: 2500}}\n"
        "gates: [gate]\npayment: {point_value: 7}\n"
    )
    assert evaluate(rules, {"yes": True, "a": 1, "b": 2}).as_json()["total"] == {"points": 10, "amount": "170.00"}
    assert evaluate(rules, {"yes": False, "a": 1, "b": 2}).as_json()["total"] == {"points": 0, "amount": "0.00"}
    assert evaluate(rules, {"yes": False, "a": 1, "b": 3}).as_json()["total"]["amount"] == "-2500.00"


def test_a_neutralised_indicator_counts_as_met_and_pays_nothing() -> None:
    """Its gate is open, its award is not paid, its value still shows."""
    rules = made(
        TWO + "indicators:\n"
        "  - {id: i, value: {ratio: [a, b]}, test: {gte: 0.5}, award: {amount: 9}, neutralised: true}\n"
        "gates: [i]\n"
    )
    result = evaluate(rules, {"a": 0, "b": 4})
    assert result.gates_open
    assert result.as_json()["indicators"][0] == {
        "id": "i", "value": "0/4", "met": True, "points": 0, "amount": "0.00",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("measures", "code"),
    [
        ({"fed_lineage": 488}, "FEED-MEASURE-001"),
        ({"consultations": -1}, "FEED-MEASURE-002"),
        ({"consultations": 4812.5}, "FEED-MEASURE-002"),
        ({"consultations": "4812"}, "FEED-MEASURE-002"),
        ({"consultations": None}, "FEED-MEASURE-002"),
        ({"consultations": 10**40}, "FEED-MEASURE-002"),
        ({"consultations": True}, "FEED-MEASURE-003"),
    ],
)
def test_measures_that_do_not_fit_the_rule_are_named(measures: dict[str, Any], code: str) -> None:
    """A wrong name or kind is an error with its place, never a silent 0."""
    with pytest.raises(MeasureError) as caught:
        evaluate(rule("fr.medecin.forfait-structure.2023.dmp", 2), measures)
    assert [finding.code for finding in caught.value.verdict.findings] == [code]


def test_a_declared_condition_is_yes_or_no() -> None:
    """A number where the rule wants a flag is refused."""
    with pytest.raises(MeasureError, match="FEED-MEASURE-003 /segur"):
        evaluate(rule("fr.officine.remu-num.2024"), PHARMACY | {"segur": 1})


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_amounts_round_half_up_exactly(top: int, bottom: int) -> None:
    """The text is the nearest cent, and half a cent goes up, whatever the fraction."""
    amount = Fraction(top, bottom)
    written = Fraction(decimal(amount))
    assert abs(written - amount) <= Fraction(1, 200)
    if abs(written - amount) == Fraction(1, 200):
        assert abs(written) > abs(amount)
    assert decimal(amount).partition(".")[2].isdigit()


def test_amounts_may_be_rounded_to_the_euro() -> None:
    """Whole euros when the scheme pays so."""
    assert decimal(Fraction(5, 2), "euro") == "3.00"
    assert decimal(Fraction(-1, 1000)) == "0.00"


def test_all_or_nothing_with_a_part_that_stays_due() -> None:
    """FAMI: one base criterion missed and the base is lost, while equipment is a rule of its own."""
    base: dict[str, int | bool] = dict.fromkeys(["dmp_software", "sesam_vitale", "scor", "mss", "coordinated"], True)
    rules = rule("fr.infirmier.fami.2025")
    met = evaluate(rules, base | {"fse": 70, "claims": 100}).as_json()["total"]
    missed = evaluate(rules, base | {"fse": 69, "claims": 100}).as_json()["total"]
    assert (met["amount"], missed["amount"]) == ("590.00", "0.00")
    equipment = evaluate(rule("fr.infirmier.fami.2025.equipement"), {"video": True, "devices": False})
    assert equipment.as_json()["total"]["amount"] == "350.00"


def test_a_mean_of_conditions_is_the_share_that_holds() -> None:
    """Two of four conditions: one half; all of them: one."""
    rules = made(TWO + "indicators:\n  - {id: m, value: {mean: [{flag: yes}, {ratio: [a, b]}]}, test: {gte: 1}}\n")
    assert evaluate(rules, {"yes": True, "a": 0, "b": 4}).as_json()["indicators"][0]["value"] == "1/2"
    assert evaluate(rules, {"yes": True, "a": 4, "b": 4}).indicators[0].met is True
