"""Habits and family history, read (VSM 3.10)."""

from __future__ import annotations

from lxml import etree

from mappings.cda.entries_read import observation_code, value
from mappings.cda.node import every, first, local
from mappings.cda.section_content import SectionContent
from mappings.document.summary import FamilyCondition, FamilyMember, LifestyleObservation, Value
from mappings.document.values import Moment

__all__ = ["OBSERVED", "accounted", "observed", "read_family", "read_lifestyle", "when"]

_Element = etree._Element

OBSERVED = frozenset(
    {"templateId", "id", "code", "text", "statusCode", "effectiveTime", "value", "entryRelationship", "languageCode"}
)


def when(content: SectionContent, element: _Element) -> Moment | None:
    """When something was observed: a moment, or the start of an interval."""
    time = first(element, "effectiveTime")
    if time is None:
        return None
    return content.reader.moment(time) or content.reader.moment(first(time, "low"))


def observed(content: SectionContent, element: _Element) -> Value | None:
    """The value of an observation; without one, the words of the entry."""
    found = value(content.reader, first(element, "value"))
    if found is None:
        words = content.reader.words(first(element, "text"))
        found = Value(text=words[:4000]) if words else None
    return found


def accounted(content: SectionContent, element: _Element, label: str, known: frozenset[str] = OBSERVED) -> None:
    """Account for what an observation holds beyond its code, its time and its value."""
    for relationship in every(element, "entryRelationship"):
        content.unheld(relationship, label)
    content.rest(element, known, label)
    if element.get("negationInd") == "true":
        content.say(element, "negationInd", f"{label} : non (négation)")


def read_lifestyle(content: SectionContent, entry: _Element, inner: _Element) -> list[LifestyleObservation]:
    """A habit."""
    if local(inner) != "observation":
        return []
    code = observation_code(content.reader, inner)
    found = observed(content, inner)
    if code is None or found is None:
        return []
    accounted(content, inner, code.display or code.code)
    made = content.reader.make(
        LifestyleObservation,
        inner,
        id=content.reader.uuid(first(inner, "id")),
        code=code,
        observed_at=when(content, inner),
        value=found,
    )
    return [made] if made is not None else []


_ORGANIZER = frozenset({"templateId", "id", "code", "statusCode", "effectiveTime", "subject", "component"})


def read_family(content: SectionContent, entry: _Element, inner: _Element) -> list[FamilyMember]:
    """A relative with their diseases."""
    reader = content.reader
    if local(inner) != "organizer":
        return []
    coded = inner.find("{*}subject/{*}relatedSubject/{*}code")
    conditions = []
    for component in every(inner, "component"):
        observation = first(component, "observation")
        made = _condition(content, observation) if observation is not None else None
        if made is None:
            content.unheld(observation if observation is not None else component, None)
        else:
            conditions.append(made)
    content.rest(inner, _ORGANIZER, None)
    if not conditions:
        return []
    relative = reader.make(FamilyMember, inner, relation=reader.code(coded), conditions=tuple(conditions))
    return [relative] if relative is not None else []


def _condition(content: SectionContent, observation: _Element) -> FamilyCondition | None:
    reader = content.reader
    what = content.labelled(first(observation, "value"), first(observation, "text"))
    if what is None:
        return None
    accounted(content, observation, what.label)
    category = reader.code(first(observation, "code"))
    return reader.make(
        FamilyCondition,
        observation,
        id=reader.uuid(first(observation, "id")),
        concept=what,
        onset=when(content, observation),
        **({"category": category} if category is not None else {}),
    )
