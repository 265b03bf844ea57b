"""The posology sentence says the structure, in French, and nothing else."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.document.medication import Medication, Posology
from mappings.document.values import Quantity
from mappings.rendering.posology import NOT_SAID, made_sentence, sentence
from mappings.rendering.words import amount, number, unit_word

EDQM = "0.4.0.127.0.16.1.1.2.1"


def q(value: str, unit: str = "1", display: str | None = None) -> dict[str, Any]:
    """A quantity."""
    return {"value": value, "unit": unit, "display": display}


def fixed(value: str, unit: str = "{tablet}", display: str | None = None) -> dict[str, Any]:
    """A fixed amount."""
    return {"low": q(value, unit, display), "high": q(value, unit, display)}


def every(value: str, unit: str, at: str | None = None, text: str | None = None) -> dict[str, Any]:
    """A regular interval."""
    return {"kind": "every", "period": q(value, unit), "at": at, "text": text}


def at(moment: str) -> dict[str, Any]:
    """An instant alone."""
    return {"kind": "every", "at": moment}


def event(code: str, offset: dict[str, Any] | None = None, text: str | None = None) -> dict[str, Any]:
    """An event of the day."""
    return {"kind": "event", "event": code, "offset": offset, "text": text}


def said(**dosage: Any) -> str:
    """The sentence of a normal posology."""
    return made_sentence(Posology.model_validate({"dosage": dosage}))


@pytest.mark.parametrize(
    ("dose", "expected"),
    [
        (fixed("1"), "1 comprimé"),
        (fixed("2"), "2 comprimés"),
        (fixed("0.5"), "0,5 comprimé"),
        (fixed("1.5"), "1,5 comprimé"),
        (fixed("1.0"), "1 comprimé"),
        (fixed("2.50"), "2,5 comprimés"),
        (fixed("0.75", "15054000"), "0,75 comprimé"),
        (fixed("3", "15012000", "gélule"), "3 gélules"),
        (fixed("3", "15012000"), "3 gélules ou capsules molles"),
        # The sender's word wins over the code, even when the code says something else.
        (fixed("2", "15036000", "Comprimé"), "2 comprimés"),
        (fixed("500", "mg"), "500 mg"),
        (fixed("75", "ug"), "75 µg"),
        (fixed("5", "mL"), "5 mL"),
        (fixed("12000", "1", "UI anti-Xa"), "12\u00a0000 UI anti-Xa"),
        (fixed("4000", "[iU]"), "4000 UI"),
        (fixed("1", "1", "dose correspondant à la graduation de 7 kg"), "1 dose correspondant à la graduation de 7 kg"),
        (fixed("20", "[drp]"), "20 gouttes"),
        (fixed("2", "{puff}"), "2 bouffées"),
        (fixed("1000", "mg/m2"), "1000 mg/m²"),
        (fixed("2", "{mesurette}"), "2 mesurette"),
        (fixed("1", "1"), "dose : 1"),
        ({"low": q("1"), "high": q("2")}, "dose : 1 à 2"),
        ({"low": q("1", "{tablet}"), "high": q("2", "{tablet}")}, "1 à 2 comprimés"),
        ({"low": q("0.5", "{tablet}"), "high": q("1", "{tablet}")}, "0,5 à 1 comprimé"),
        ({"low": q("500", "mg"), "high": q("1", "g")}, "de 500 mg à 1 g"),
    ],
)
def test_the_dose_is_said_with_its_unit(dose: dict[str, Any], expected: str) -> None:
    """Singular below two, decimal comma, the sender's word first."""
    assert said(dose=dose) == expected


@pytest.mark.parametrize(
    ("timing", "expected"),
    [
        ([every("8", "h")], "toutes les 8 heures"),
        ([every("1", "h")], "toutes les heures"),
        ([every("24", "h")], "toutes les 24 heures"),
        ([every("1", "d")], "tous les jours"),
        ([every("2", "d")], "tous les 2 jours"),
        ([every("1", "wk")], "toutes les semaines"),
        ([every("3", "wk")], "toutes les 3 semaines"),
        ([every("1", "mo")], "tous les mois"),
        ([every("6", "mo")], "tous les 6 mois"),
        ([every("1", "a")], "tous les ans"),
        ([every("30", "min")], "toutes les 30 minutes"),
        ([every("0.5", "d")], "tous les 0,5 jour"),
        ([every("1.5", "h")], "toutes les 1,5 heure"),
        ([every("1", "d", "2026-11-20T08:00:00+01:00")], "tous les jours à 8 h"),
        ([every("1", "d", "2026-11-20")], "tous les jours à partir du 20/11/2026"),
        (
            [every("1", "d", f"2026-11-20T{hour}:00+01:00") for hour in ("08:00", "12:30", "20:00")],
            "tous les jours à 8 h, à 12 h 30 et à 20 h",
        ),
        ([every("1", "wk", "2026-11-24T18:00:00+01:00")], "toutes les semaines le mardi à 18 h"),
        ([every("2", "wk", "2026-11-24")], "toutes les 2 semaines le mardi, à partir du 24/11/2026"),
        ([every("1", "mo", "2026-11-01")], "tous les mois le 1"),
        ([every("3", "d", "2026-11-20T07:00:00+01:00")], "tous les 3 jours à partir du 20/11/2026 à 7 h"),
        ([every("6", "h", "2026-11-20T07:00:00+01:00")], "toutes les 6 heures à partir de 7 h"),
        ([at("2026-11-20T07:00:00+01:00")], "à 7 h"),
        ([at("2026-11-20T07:00:00+01:00"), at("2026-11-20T18:00:00+01:00")], "à 7 h et à 18 h"),
        ([at("2026-11-20")], "le 20/11/2026"),
        (
            [every("8", "h", text="trois prises espacées de 8 heures")],
            "toutes les 8 heures (trois prises espacées de 8 heures)",
        ),
        ([every("8", "h", text="Toutes les 8 heures strictement")], "Toutes les 8 heures strictement"),
        ([every("1", "d", "2026-11-20T08:00:00+01:00", "à 8 h")], "tous les jours à 8 h"),
        ([event("AC")], "avant les repas"),
        ([event("ACM")], "avant le petit-déjeuner"),
        ([event("ACD", q("30", "min"))], "30 minutes avant le déjeuner"),
        ([event("PCV", q("2", "h"))], "2 heures après le dîner"),
        ([event("HS")], "au coucher"),
        ([event("HS", q("-30", "min"))], "30 minutes avant le coucher"),
        ([event("WAKE", q("1", "h"))], "1 heure après le réveil"),
        ([event("C", q("0", "min"))], "pendant les repas"),
        ([event("CM", q("5", "min"))], "5 minutes après le début du repas (pendant le petit-déjeuner)"),
        ([event("ICD")], "entre le déjeuner et le dîner"),
        ([event("IC", q("2", "h"))], "entre les repas, 2 heures après le début de cet intervalle"),
        ([event("CM"), event("CV")], "pendant le petit-déjeuner et pendant le dîner"),
        ([event("HS", text="le soir au coucher")], "le soir au coucher"),
        ([every("12", "h"), event("C")], "toutes les 12 heures, pendant les repas"),
    ],
)
def test_the_timing_is_said_as_it_is(timing: list[dict[str, Any]], expected: str) -> None:
    """Intervals stay intervals; instants give times and week days; the sender's words stand beside."""
    assert said(timing=timing) == expected


@pytest.mark.parametrize(
    "code",
    [
        "AC",
        "ACD",
        "ACM",
        "ACV",
        "C",
        "CD",
        "CM",
        "CV",
        "HS",
        "IC",
        "ICD",
        "ICM",
        "ICV",
        "PC",
        "PCD",
        "PCM",
        "PCV",
        "WAKE",
    ],
)
@pytest.mark.parametrize("offset", [None, "15", "-15"])
def test_every_event_has_words(code: str, offset: str | None) -> None:
    """Each HL7 TimingEvent the model takes is said, with and without an offset."""
    words = said(timing=[event(code, q(offset, "min") if offset else None)])
    assert code not in words
    assert ("15 minutes" in words) == (offset is not None)


@pytest.mark.parametrize(
    ("dosage", "expected"),
    [
        ({"route": {"code": "20053000", "system": EDQM}}, "par voie orale"),
        ({"route": {"code": "20066000", "system": EDQM, "display": "Voie sous-cutanée"}}, "par voie sous-cutanée"),
        ({"route": {"code": "29999999", "system": EDQM, "display": "Voie nouvelle"}}, "par voie nouvelle"),
        ({"route": {"code": "29999999", "system": EDQM, "display": "Autre"}}, "voie : Autre"),
        ({"route": {"code": "29999999", "system": EDQM}}, "voie : 29999999"),
        ({"site": {"text": "bras gauche"}}, "site : bras gauche"),
        ({"rate": fixed("1500", "mg/d")}, "débit : 1500 mg/jour"),
        ({"rate": {"low": q("2", "mL/h"), "high": q("4", "mL/h")}}, "débit : 2 à 4 mL/h"),
        ({"duration": q("5", "d")}, "pendant 5 jours"),
        ({"duration": q("1", "d")}, "pendant 1 jour"),
        ({"duration": q("3", "mo")}, "pendant 3 mois"),
        ({"period": {"start": "2026-11-20", "end": "2026-11-25"}}, "du 20/11/2026 au 25/11/2026"),
        ({"period": {"start": "2026-11-20"}}, "à partir du 20/11/2026"),
        ({"period": {"end": "2026-11-25"}}, "jusqu'au 25/11/2026"),
        ({"period": {"start": "2026-11"}}, "à partir de 11/2026"),
        ({"period": {"start": "2026-11-20", "end": "2026-11-20"}}, "le 20/11/2026"),
        (
            {"period": {"start": "2026-11-20T08:30:00+01:00", "end": "2026-11-21T08:00:00+01:00"}},
            "du 20/11/2026 à 8 h 30 au 21/11/2026 à 8 h",
        ),
        ({"condition": "En cas de douleur"}, "en cas de douleur"),
        ({"condition": "si fièvre > 38,5 °C"}, "si fièvre > 38,5 °C"),
        ({"condition": "douleur"}, "si besoin : douleur"),
        (
            {"maximum": {"numerator": q("4", "{tablet}"), "denominator": q("1", "d")}},
            "sans dépasser 4 comprimés par jour",
        ),
        (
            {"maximum": {"numerator": q("4000", "mg"), "denominator": q("24", "h")}},
            "sans dépasser 4000 mg par 24 heures",
        ),
        ({"maximum": {"numerator": q("4"), "denominator": q("1", "d")}}, "sans dépasser 4 par jour"),
        ({"maximum": {"numerator": q("2", "{tablet}"), "denominator": q("1")}}, "sans dépasser 2 comprimés par prise"),
        ({"text": "comme avant"}, "comme avant"),
    ],
)
def test_the_rest_of_an_instruction_is_said(dosage: dict[str, Any], expected: str) -> None:
    """Route, site, rate, duration, dates, condition, maximum."""
    assert said(**dosage) == expected


def test_a_whole_instruction_reads_in_order() -> None:
    """How much, when, how, how long, on what condition, at most how much."""
    assert (
        said(
            dose={"low": q("1", "{tablet}"), "high": q("2", "{tablet}")},
            timing=[every("8", "h")],
            route={"code": "20053000", "system": EDQM},
            duration=q("5", "d"),
            condition="en cas de douleur",
            maximum={"numerator": q("6", "{tablet}"), "denominator": q("1", "d")},
        )
        == "1 à 2 comprimés toutes les 8 heures, par voie orale, pendant 5 jours, en cas de douleur, "
        "sans dépasser 6 comprimés par jour"
    )


def test_the_form_of_the_medicine_names_a_bare_count() -> None:
    """A dose without unit takes the form as its word; without a form it stays a count."""
    posology = Posology.model_validate({"dosage": {"dose": fixed("2", "1"), "timing": [every("12", "h")]}})
    tablet = Medication.model_validate({"name": "X", "form": {"code": "10219000", "system": EDQM}})
    other = Medication.model_validate({"name": "X", "form": {"code": "1", "system": EDQM, "display": "sirop"}})
    assert made_sentence(posology, tablet) == "2 comprimés toutes les 12 heures"
    assert made_sentence(posology, other) == "2 sirop toutes les 12 heures"
    assert made_sentence(posology) == "dose : 2, toutes les 12 heures"


STEP_1 = {"dose": fixed("60", "mg"), "timing": [event("WAKE")], "duration": q("1", "wk")}
STEP_2 = {"sequence": 4, "dose": fixed("50", "mg"), "timing": [event("WAKE")]}


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("tapered", "Doses progressives : 1) 60 mg au réveil, pendant 1 semaine ; puis 4) 50 mg au réveil"),
        ("split", "Doses fractionnées : 1) 60 mg au réveil, pendant 1 semaine ; 4) 50 mg au réveil"),
        ("conditional", "Doses conditionnelles : 1) 60 mg au réveil, pendant 1 semaine ; 4) 50 mg au réveil"),
        ("combination", "Doses combinées : 1) 60 mg au réveil, pendant 1 semaine ; 4) 50 mg au réveil"),
    ],
)
def test_each_mode_lists_its_steps(mode: str, expected: str) -> None:
    """Steps keep their order and their rank."""
    assert made_sentence(Posology.model_validate({"mode": mode, "steps": [STEP_1, STEP_2]})) == expected


def test_a_common_instruction_comes_before_the_steps() -> None:
    """What the line says for all steps opens the sentence; an empty step says that nothing is said."""
    posology = Posology.model_validate(
        {"mode": "split", "dosage": {"route": {"code": "20053000", "system": EDQM}}, "steps": [STEP_1, {}]}
    )
    assert made_sentence(posology) == (
        "par voie orale. Doses fractionnées : 1) 60 mg au réveil, pendant 1 semaine ; 2) posologie non précisée"
    )


def test_the_words_of_the_prescriber_win() -> None:
    """Text is shown as it is; the structure can still be said on demand."""
    posology = Posology.model_validate({"text": "1 cp matin et soir", "dosage": {"timing": [every("12", "h")]}})
    assert sentence(posology) == "1 cp matin et soir"
    assert made_sentence(posology) == "toutes les 12 heures"
    assert sentence(posology.model_copy(update={"text": None})) == "toutes les 12 heures"


def test_a_deferred_start_is_said() -> None:
    """The start that is not known yet is part of the instruction."""
    posology = Posology.model_validate(
        {"deferredStart": True, "dosage": {"dose": fixed("1"), "duration": q("10", "d")}}
    )
    assert made_sentence(posology) == "1 comprimé, pendant 10 jours. Début différé, à une date à préciser"


def test_nothing_said_is_said() -> None:
    """An empty structure never gives an empty sentence."""
    assert made_sentence(Posology.model_validate({"dosage": {}})) == NOT_SAID


@given(
    st.decimals("0.001", "99999", places=3),
    st.sampled_from(["h", "d", "wk", "mo", "min"]),
    st.decimals("0.25", "5000", places=2),
    st.sampled_from(["{tablet}", "mg", "[drp]", "15054000", "1"]),
)
def test_no_number_is_ever_changed(period: Decimal, unit: str, dose: Decimal, dose_unit: str) -> None:
    """Every figure of the structure stands in the sentence, exactly, and no other."""
    words = said(dose=fixed(str(dose), dose_unit), timing=[every(str(period), unit)])
    expected = [number(dose)] + ([number(period)] if period != 1 else [])
    for figure in expected:
        assert figure in words
    left = words
    for figure in sorted(expected, key=len, reverse=True):
        left = left.replace(figure, "", 1)
    assert not any(c.isdigit() for c in left)


def test_amounts_read_well() -> None:
    """The unit in words, for quantities to dispense too."""
    assert amount(Quantity(value=Decimal(2), unit="30009000")) == "2 boîtes"
    assert amount(Quantity(value=Decimal(1), unit="30009000", display="boîte")) == "1 boîte"
    assert amount(Quantity(value=Decimal(3))) == "3"
    assert unit_word("mg/kg/d", None) == "mg/kg/jour"
    assert unit_word("30099999", None) == "30099999"


def test_steps_of_one_rank_are_taken_together() -> None:
    """A dose in the morning and another in the evening are one step: the same number twice would mislead."""

    def step(rank: int, amount: str, event_code: str) -> dict[str, Any]:
        return {"sequence": rank, "dose": fixed(amount), "timing": [event(event_code)]}

    alone = Posology.model_validate({"mode": "split", "steps": [step(1, "2", "ACM"), step(1, "1", "ACV")]})
    assert made_sentence(alone) == (
        "Doses fractionnées : 2 comprimés avant le petit-déjeuner ; 1 comprimé avant le dîner"
    )
    more = Posology.model_validate(
        {"mode": "tapered", "steps": [step(1, "2", "ACM"), step(1, "1", "ACV"), step(2, "1", "ACM")]}
    )
    assert made_sentence(more) == (
        "Doses progressives : 1) 2 comprimés avant le petit-déjeuner ; et 1 comprimé avant le dîner"
        " ; puis 2) 1 comprimé avant le petit-déjeuner"
    )


@pytest.mark.parametrize(
    ("unit", "display", "expected"),
    [
        ("d", "d", "jour"),
        ("h", "h", "heure"),
        ("min", "min", "minute"),
        ("{Appln}", "Appln", "application"),
        ("{tablet}", "Tablet", "comprimé"),
        ("g", "g", "g"),
        ("{dose_kg}", "dose_kg", "dose_kg"),
    ],
)
def test_a_code_sent_as_a_word_is_put_into_words(unit: str, display: str, expected: str) -> None:
    """« 3 g par d » is no French; a word nobody knows stays as it came."""
    assert unit_word(unit, display) == expected
