"""Rules and figures as FHIR R4 ``Measure`` and ``MeasureReport``, as plain dictionaries.

Money is no part of a MeasureReport: it carries the population counts, the rate and the exclusions by reason.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final

from gateway.feeds.evaluate import IndicatorResult, Quantity
from gateway.feeds.measures import Figures
from gateway.feeds.periods import State
from gateway.feeds.scheme import Indicator, RuleSet, Value
from gateway.feeds.statements import reason_words

__all__ = ["measure", "measure_report"]

_POPULATION: Final = "http://terminology.hl7.org/CodeSystem/measure-population"
_SCORING: Final = "http://terminology.hl7.org/CodeSystem/measure-scoring"
#: Identifier systems of professionals and structures (ANS).
_SYSTEMS: Final = {
    "rpps": "https://rpps.esante.gouv.fr",
    "finess": "https://finess.esante.gouv.fr",
    "legal_finess": "https://finess.esante.gouv.fr",
}


def _concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def _url(base_url: str, rules: RuleSet) -> str:
    return f"{base_url}/fhir/Measure/{rules.id}"


def _operands(indicator: Indicator) -> list[tuple[str, str]]:
    """Population code and measure name, for a ratio of two named measures."""
    value = indicator.value
    if isinstance(value, Value) and value.ratio is not None:
        names = zip(("numerator", "denominator"), value.ratio, strict=True)
        return [(code, name) for code, name in names if isinstance(name, str)]
    return []


def measure(rules: RuleSet, *, base_url: str) -> dict[str, Any]:
    """The rule as a FHIR Measure: one group an indicator; who trusts it how far stands in ``description``."""
    trust = "Règle non vérifiée en partie." if rules.unverified else "Sources lues."
    groups: list[dict[str, Any]] = []
    for indicator in rules.indicators:
        populations = [
            {
                "code": _concept(_POPULATION, code),
                "description": rules.measures[name].label or name,
                "criteria": {"language": "text/x-passerelle-measure", "expression": name},
            }
            for code, name in _operands(indicator)
        ]
        group: dict[str, Any] = {"code": {"text": indicator.id}, "description": indicator.label or indicator.id}
        if populations:
            group["population"] = populations
        groups.append(group)
    return {
        "resourceType": "Measure",
        "id": rules.id[:64],
        "url": _url(base_url, rules),
        "identifier": [{"system": f"{base_url}/rules", "value": rules.id}],
        "version": str(rules.version),
        "name": "".join(part.capitalize() for part in rules.id.replace("-", ".").split(".")),
        "title": rules.title or rules.id,
        "status": "active",
        "experimental": rules.unverified,
        "date": rules.published.isoformat(),
        "description": trust + " " + " ; ".join(f"{one.text} [{one.mark}]" for one in rules.sources),
        "effectivePeriod": {"start": rules.period.start.isoformat(), "end": rules.period.end.isoformat()},
        "scoring": _concept(_SCORING, "proportion"),
        "group": groups,
    }


def measure_report(made: Figures, *, base_url: str, state: State) -> dict[str, Any]:
    """A figure as a FHIR MeasureReport (summary): counts, rates, and exclusions as stratifiers by reason."""
    rules = made.rules
    results = {result.id: result for result in made.evaluation.indicators}
    groups = [_group(made, indicator, results[indicator.id]) for indicator in rules.indicators]
    return {
        "resourceType": "MeasureReport",
        # A provisional figure is pending; a closed one complete.
        "status": "complete" if state in (State.CLOSED, State.AMENDED) else "pending",
        "type": "summary",
        "measure": f"{_url(base_url, rules)}|{rules.version}",
        "date": made.as_of.isoformat(),
        "reporter": {
            "type": "Practitioner" if made.subject.by == "rpps" else "Organization",
            "identifier": {"system": _SYSTEMS[made.subject.by], "value": made.subject.id},
        },
        "period": {"start": rules.period.start.isoformat(), "end": rules.period.end.isoformat()},
        "group": groups,
    }


def _group(made: Figures, indicator: Indicator, result: IndicatorResult) -> dict[str, Any]:
    group: dict[str, Any] = {"code": {"text": indicator.id}}
    populations: list[dict[str, Any]] = []
    stratifiers: list[dict[str, Any]] = []
    for code, name in _operands(indicator):
        measured = made.measures[name]
        if measured.value is None or isinstance(measured.value, bool):
            continue
        populations.append({"code": _concept(_POPULATION, code), "count": measured.value})
        if measured.funnel is not None:
            left_out = {**measured.funnel.repeats, **measured.funnel.excluded}
            strata = [
                {
                    "value": {"coding": [{"code": reason}], "text": reason_words(reason)},
                    "population": [{"code": _concept(_POPULATION, "denominator-exclusion"), "count": number}],
                }
                for reason, number in sorted(left_out.items())
            ]
            if strata:
                stratifiers.append({"code": [{"text": f"{name}: exclusions"}], "stratum": strata})
    if populations:
        group["population"] = populations
    if isinstance(result.value, Quantity):
        group["measureScore"] = {"value": _decimal(result.value.number)}
    if stratifiers:
        group["stratifier"] = stratifiers
    return group


def _decimal(number: Fraction) -> float:
    """The nearest decimal: FHIR has no fractions, the exact one stands in the statement."""
    return round(float(number), 6)
