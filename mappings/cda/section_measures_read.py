"""Vital signs, results, functional status, pregnancies and planned care, read (VSM 3.13, IPS-FR section 7)."""

from __future__ import annotations

from typing import Any, TypeVar

from lxml import etree

from mappings.cda.entries_read import observation_code
from mappings.cda.medication_read import labelled
from mappings.cda.node import every, first, local, template_roots
from mappings.cda.section_content import SectionContent
from mappings.cda.section_measures_write import MOODS
from mappings.cda.section_observations_read import OBSERVED, accounted, observed, when
from mappings.document.summary import (
    CarePlanItem,
    FunctionalAssessment,
    PregnancyObservation,
    Result,
    ResultGroup,
    VitalSign,
    VitalSigns,
)
from mappings.document.values import Concept

__all__ = ["read_assessments", "read_care_plan", "read_pregnancies", "read_results", "read_vital_signs"]

_Element = etree._Element
F = TypeVar("F", FunctionalAssessment, PregnancyObservation)

_ORGANIZER = frozenset({"templateId", "id", "code", "statusCode", "effectiveTime", "component", "text"})
_INTERPRETED = OBSERVED | {"interpretationCode"}
_PLANNED = frozenset({"templateId", "id", "code", "text", "statusCode", "effectiveTime", "entryRelationship"})
_PLANNED_PRODUCT = _PLANNED | {"consumable"}


def _observations(content: SectionContent, inner: _Element) -> list[_Element]:
    """The observations of an entry: one, or those of an organizer, whose other parts are accounted for."""
    if local(inner) == "observation":
        return [inner]
    out = []
    for component in every(inner, "component"):
        observation = first(component, "observation")
        if observation is not None:
            out.append(observation)
        else:
            content.unheld(next(component.iterchildren("{*}*"), component), None)
    content.rest(inner, _ORGANIZER, None)
    return out


def read_vital_signs(content: SectionContent, entry: _Element, inner: _Element) -> list[VitalSigns]:
    """Measures taken together; their time is that of the first when the group has none."""
    reader = content.reader
    group = when(content, inner)
    signs: list[VitalSign] = []
    for observation in _observations(content, inner):
        code = observation_code(reader, observation)
        found = observed(content, observation)
        moment = when(content, observation)
        if code is None or found is None or found.quantity is None:
            content.unheld(observation, code.display or code.code if code is not None else None)
            continue
        accounted(content, observation, code.display or code.code, _INTERPRETED)
        group = group or moment
        made = reader.make(
            VitalSign,
            observation,
            id=reader.uuid(first(observation, "id")),
            code=code,
            quantity=found.quantity,
            observed_at=moment if moment != group else None,
            interpretation=reader.code(first(observation, "interpretationCode")),
        )
        if made is not None:
            signs.append(made)
    if not signs:
        return []
    organizer = local(inner) == "organizer"
    made_group = reader.make(
        VitalSigns,
        inner,
        id=reader.uuid(first(inner, "id")) if organizer else None,
        observed_at=group or content.created_at,
        signs=tuple(signs),
    )
    return [made_group] if made_group is not None else []


def read_results(content: SectionContent, entry: _Element, inner: _Element) -> list[ResultGroup]:
    """Results of one kind of examination."""
    reader = content.reader
    code = observation_code(reader, inner)
    if local(inner) != "organizer" or code is None:
        return []
    found: list[Result] = []
    for observation in _observations(content, inner):
        what, value = observation_code(reader, observation), observed(content, observation)
        if what is None or value is None:
            content.unheld(observation, code.display or code.code)
            continue
        accounted(content, observation, what.display or what.code, _INTERPRETED)
        made = reader.make(
            Result,
            observation,
            id=reader.uuid(first(observation, "id")),
            code=what,
            observed_at=when(content, observation),
            value=value,
            interpretation=reader.code(first(observation, "interpretationCode")),
        )
        if made is not None:
            found.append(made)
    if not found:
        return []
    group = reader.make(
        ResultGroup,
        inner,
        id=reader.uuid(first(inner, "id")),
        code=code,
        observed_at=when(content, inner),
        results=tuple(found),
    )
    return [group] if group is not None else []


def _facts(content: SectionContent, inner: _Element, cls: type[F]) -> list[F]:
    reader = content.reader
    out: list[F] = []
    for observation in _observations(content, inner):
        code, value = observation_code(reader, observation), observed(content, observation)
        if code is None or value is None:
            content.unheld(observation, None)
            continue
        accounted(content, observation, code.display or code.code)
        if observation.find("{*}code/{*}originalText") is not None:
            words = reader.words(observation.find("{*}code/{*}originalText"))
            if words and words != code.display and words != value.text:
                content.say(observation, "code", f"{code.display or code.code} : {words}")
        members: dict[str, Any] = {"code": code, "observed_at": when(content, observation), "value": value}
        made = reader.make(cls, observation, id=reader.uuid(first(observation, "id")), **members)
        if made is not None:
            out.append(made)
    return out


def read_assessments(content: SectionContent, entry: _Element, inner: _Element) -> list[FunctionalAssessment]:
    """Measures of what the person can do."""
    return _facts(content, inner, FunctionalAssessment)


def read_pregnancies(content: SectionContent, entry: _Element, inner: _Element) -> list[PregnancyObservation]:
    """Facts about pregnancies."""
    return _facts(content, inner, PregnancyObservation)


# --- Planned care ---------------------------------------------------------------------------------


def read_care_plan(content: SectionContent, entry: _Element, inner: _Element) -> list[CarePlanItem]:
    """Something planned: a request, an act, a meeting, or a product to give, kept by its name."""
    reader = content.reader
    known = _PLANNED
    what: Concept | None
    if local(inner) in ("substanceAdministration", "supply"):
        product = labelled(reader, inner)
        if product is None:
            return []
        known = _PLANNED_PRODUCT
        what = reader.make(
            Concept,
            inner,
            code=product.codes[0] if product.codes else None,
            translations=(*product.codes[1:], *((product.atc,) if product.atc is not None else ())),
            text=product.label,
        )
    else:
        what = content.labelled(first(inner, "code"), first(inner, "text"))
    if what is None:
        return []
    label = what.label
    for relationship in every(inner, "entryRelationship"):
        content.unheld(relationship, label)
    content.rest(inner, known, label)
    time = first(inner, "effectiveTime")
    if time is not None and (end := reader.moment(first(time, "high"))) is not None:
        content.say(time, "high", f"{label} : jusqu'au {end}")
    mood = inner.get("moodCode")
    made = reader.make(
        CarePlanItem,
        inner,
        id=reader.uuid(first(inner, "id")),
        concept=what,
        planned_for=when(content, inner),
        mood=mood if mood in MOODS else "INT",
    )
    return [made] if made is not None else []


def is_results(section: _Element) -> bool:
    """True when the section of results holds coded groups (IPS-FR), not the points of vigilance of a VSM."""
    return any(
        "1.2.250.1.213.1.1.3.208" in template_roots(inner)
        for each in every(section, "entry")
        for inner in each.iterchildren("{*}organizer")
    )
