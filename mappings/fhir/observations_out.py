"""Observations of a summary: habits, vital signs, results, assessments, pregnancies, and the care plan (mapping 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mappings.document.summary import (
    CarePlanItem,
    FunctionalAssessment,
    LifestyleObservation,
    PregnancyObservation,
    Result,
    ResultGroup,
    Value,
    VitalSign,
    VitalSigns,
)
from mappings.fhir.bundle_out import BundleOut
from mappings.fhir.names import LOINC, SYSTEMS, uri_of
from mappings.fhir.values_out import Json, code_concept, concept, date_time, quantity, typed

__all__ = [
    "INTENTS",
    "assessment",
    "care_plan",
    "lifestyle",
    "pregnancy",
    "result",
    "result_group",
    "value_of",
    "vital_signs",
]

ACT_MOOD: Final = "2.16.840.1.113883.5.1001"
SYSTOLIC, DIASTOLIC = "8480-6", "8462-4"
#: Moods of a planned act (JDV_HL7_ActMoodIntent) as intents of R4; what R4 lacks is kept in a tag.
INTENTS: Final = {"INT": "plan", "RQO": "order", "PRP": "proposal", "PRMS": "directive", "ARQ": "plan"}


def value_of(value: Value) -> Json:
    """The ``value[x]`` of an Observation."""
    if value.quantity is not None:
        return {"valueQuantity": quantity(value.quantity)}
    if value.concept is not None:
        return {"valueCodeableConcept": concept(value.concept)}
    if value.boolean is not None:
        return {"valueBoolean": value.boolean}
    return {"valueString": value.text}


def _observation(out: BundleOut, place: str, value: Any, category: str | None, profile: str | None) -> Json:
    sent: Json = {"identifier": [out.business_id(value.id, place)], "status": "final"}
    if category is not None:
        sent["category"] = [typed(SYSTEMS["observation-category"], category)]
    sent |= {"code": code_concept(value.code), "subject": out.patient}
    if value.observed_at:
        sent["effectiveDateTime"] = date_time(value.observed_at)
    sent |= value_of(value.value)
    if getattr(value, "interpretation", None) is not None:
        sent["interpretation"] = [code_concept(value.interpretation)]
    out.log.carried(place, "Observation")
    return out.add("Observation", place, sent, profile)


def lifestyle(out: BundleOut, place: str, value: LifestyleObservation) -> Json:
    """A habit."""
    return _observation(out, place, value, "social-history", "observation-social-history")


def assessment(out: BundleOut, place: str, value: FunctionalAssessment) -> Json:
    """A measure of what the person can do."""
    return _observation(out, place, value, "survey", "observation-assessment")


def pregnancy(out: BundleOut, place: str, value: PregnancyObservation) -> Json:
    """A fact about a pregnancy."""
    return _observation(out, place, value, None, "observation-pregnancy")


def result(out: BundleOut, place: str, value: Result) -> Json:
    """A result of an examination."""
    return _observation(out, place, value, None, "observation-result")


def _sign(out: BundleOut, place: str, group: VitalSigns, sign: VitalSign) -> Json:
    sent: Json = {"identifier": [out.business_id(sign.id, place)], "status": "final"}
    sent["category"] = [typed(SYSTEMS["observation-category"], "vital-signs")]
    sent |= {"code": code_concept(sign.code), "subject": out.patient}
    sent["effectiveDateTime"] = date_time(sign.observed_at or group.observed_at)
    sent["valueQuantity"] = quantity(sign.quantity)
    if sign.interpretation is not None:
        sent["interpretation"] = [code_concept(sign.interpretation)]
    return out.add("Observation", place, sent, "observation-vital-signs")


def vital_signs(out: BundleOut, place: str, value: VitalSigns) -> Json:
    """A panel and its measures, each an Observation of its own (they have an identifier and a time)."""
    reference = out.add("Observation", place, {}, "observation-vital-signs-panel")
    resource: Json = out.entries[-1]["resource"]
    resource |= {
        "identifier": [out.business_id(value.id, place)],
        "status": "final",
        "category": [typed(SYSTEMS["observation-category"], "vital-signs")],
        "code": typed(uri_of(LOINC), "85353-1"),
        "subject": out.patient,
        "effectiveDateTime": date_time(value.observed_at),
        "hasMember": [_sign(out, f"{place}/signs/{i}", value, sign) for i, sign in enumerate(value.signs)],
    }
    out.log.carried(place, "Observation panel")
    return reference


def result_group(out: BundleOut, place: str, value: ResultGroup) -> Json:
    """A DiagnosticReport and its results."""
    reference = out.add("DiagnosticReport", place, {})
    resource: Json = out.entries[-1]["resource"]
    resource |= {
        "identifier": [out.business_id(value.id, place)],
        "status": "final",
        "code": code_concept(value.code),
        "subject": out.patient,
    }
    if value.observed_at:
        resource["effectiveDateTime"] = date_time(value.observed_at)
    resource["result"] = [result(out, f"{place}/results/{i}", found) for i, found in enumerate(value.results)]
    return reference


def _planned(out: BundleOut, place: str, item: CarePlanItem) -> Json:
    tags = [{"system": uri_of(ACT_MOOD), "code": "ARQ"}] if item.mood == "ARQ" else []
    sent: Json = {"_tags": tags} if tags else {}
    sent |= {
        "identifier": [out.business_id(item.id, place)],
        "status": "active",
        "intent": INTENTS[item.mood],
        "code": concept(item.concept),
        "subject": out.patient,
    }
    if item.planned_for:
        sent["occurrenceDateTime"] = date_time(item.planned_for)
    return out.add("ServiceRequest", place, sent, "service-request")


def _goal(out: BundleOut, place: str, item: CarePlanItem) -> Json:
    sent: Json = {
        "identifier": [out.business_id(item.id, place)],
        "lifecycleStatus": "planned",
        "description": concept(item.concept),
        "subject": out.patient,
    }
    if item.planned_for:
        sent["target"] = [{"dueDate": item.planned_for[:10]}]
    return out.add("Goal", place, sent)


def care_plan(out: BundleOut, place: str, items: Sequence[CarePlanItem]) -> Json:
    """One CarePlan: what is planned as activities, what is aimed at as goals."""
    reference = out.add("CarePlan", place, {}, "care-plan")
    resource: Json = out.entries[-1]["resource"]
    resource |= {"status": "active", "intent": "plan", "subject": out.patient}
    goals, activities = [], []
    for i, item in enumerate(items):
        at = f"{place}/entries/{i}"
        if item.mood == "GOL":
            goals.append(_goal(out, at, item))
        else:
            activities.append({"reference": _planned(out, at, item)})
        out.log.carried(at, "CarePlan")
    if goals:
        resource["goal"] = goals
    if activities:
        resource["activity"] = activities
    return reference
