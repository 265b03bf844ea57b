"""Problems and allergies, read: concern acts around observations (VSM 3.1, 3.3 to 3.8)."""

from __future__ import annotations

from typing import Any

from lxml import etree

from mappings.cda.entries_read import value as read_value
from mappings.cda.node import every, first, local, squeeze, template_roots, value_of
from mappings.cda.section_content import SectionContent
from mappings.cda.section_parts import CERTAINTY, CLINICAL_STATUS, CRITICALITY, HEALTH_STATUS, SEVERITY
from mappings.document.summary import Allergy, Problem, Reaction
from mappings.document.values import Concept, Period

__all__ = ["problem", "read_allergies", "read_problems"]

_Element = etree._Element

_ACT = frozenset({"templateId", "id", "code", "statusCode", "effectiveTime", "entryRelationship", "text"})
_OBSERVATION = frozenset(
    {"templateId", "id", "code", "text", "statusCode", "effectiveTime", "value", "entryRelationship", "participant"}
)
_ALLERGY = "1.3.6.1.4.1.19376.1.5.3.1.4.6"
#: LOINC codes of the details, for documents whose templates are incomplete.
_DETAILS = {
    SEVERITY[1]: "severity",
    CLINICAL_STATUS[2]: "clinical_status",
    HEALTH_STATUS[1]: "health_status",
    CERTAINTY[-1]: "certainty",
    CRITICALITY[-1]: "criticality",
}
_DETAIL_CODES = {
    "SEV": "severity",
    "33999-4": "clinical_status",
    "11323-3": "health_status",
    "66455-7": "certainty",
    "82606-5": "criticality",
}
#: Details whose value is a word of the hub, not a code.
_WORDS = {
    "certainty": frozenset({"unconfirmed", "confirmed", "refuted"}),
    "criticality": frozenset({"low", "high", "unable-to-assess"}),
}
_CLINICAL = {"clinical_status": frozenset({"active", "inactive", "resolved"})}


def read_problems(content: SectionContent, entry: _Element, inner: _Element) -> list[Problem]:
    """The problems of a concern act; a bare observation is met too."""
    found = []
    for observation in _observations(content, inner):
        made = problem(content, inner, observation)
        if made is not None:
            found.append(made)
    return found


def _observations(content: SectionContent, inner: _Element) -> list[_Element]:
    if local(inner) == "observation":
        return [inner]
    out = []
    for relationship in every(inner, "entryRelationship"):
        observation = first(relationship, "observation")
        if observation is not None and relationship.get("typeCode") == "SUBJ":
            out.append(observation)
        else:
            content.unheld(relationship, None)
    content.rest(inner, _ACT, None)
    return out


def problem(content: SectionContent, act: _Element, observation: _Element) -> Problem | None:
    """A problem; None when it says that there is none, or that one is absent."""
    reader = content.reader
    value, text = first(observation, "value"), first(observation, "text")
    stated = content.says_none(value)
    if stated:
        return None
    what = _what(content, value, text)
    if what is None:
        return None
    if stated is None:
        content.say(observation, "observation", what.label)
        return None
    if observation.get("negationInd") == "true":
        content.say(observation, "negationInd", f"Absence de : {what.label}")
        return None
    fields: dict[str, Any] = {}
    _details(content, observation, fields, what.label, Problem)
    content.rest(observation, _OBSERVATION, what.label)
    for participant in every(observation, "participant"):
        content.unheld(participant, what.label)
    if (category := reader.code(first(observation, "code"))) is not None:
        fields["category"] = category
    if (found := value_of(first(act, "statusCode"), "code")) is not None and act is not observation:
        fields["act_status"] = found
    return reader.make(
        Problem,
        observation,
        id=reader.uuid(first(observation, "id")),
        concept=what,
        period=_period(content, act, observation),
        **fields,
    )


def _period(content: SectionContent, act: _Element, observation: _Element) -> Period:
    reader = content.reader
    found = reader.period(first(observation, "effectiveTime"))
    if found is None and act is not observation:
        found = reader.period(first(act, "effectiveTime"))
    return found or Period()


def _what(content: SectionContent, value: _Element | None, text: _Element | None) -> Concept | None:
    """What an observation says: a code, its words, or those of the entry."""
    if value is None:
        return content.labelled(None, text)
    found = content.reader.concept(value) or None
    if found is not None:
        return found
    other = read_value(content.reader, value)
    if other is not None and other.text is not None:
        return Concept(text=other.text)
    return content.labelled(value, text)


def _details(
    content: SectionContent,
    observation: _Element,
    fields: dict[str, Any],
    label: str,
    cls: type[Problem] | type[Allergy] | type[Reaction],
) -> list[_Element]:
    """Take what stands beside a problem or an allergy; gives the reactions."""
    reactions = []
    for relationship in every(observation, "entryRelationship"):
        if (comment := content.comment(relationship)) is not None:
            if "comment" in cls.model_fields and "comment" not in fields:
                fields["comment"] = comment
            else:
                content.unheld(relationship, label, "comment")
            continue
        inner = first(relationship, "observation")
        if inner is None:
            content.unheld(relationship, label)
        elif relationship.get("typeCode") == "MFST":
            reactions.append(relationship)
        elif not _detail(content, inner, fields, cls):
            content.unheld(relationship, label)
    return reactions


def _detail(content: SectionContent, inner: _Element, fields: dict[str, Any], cls: Any) -> bool:
    roots = template_roots(inner)
    name = next((_DETAILS[oid] for oid in roots if oid in _DETAILS), None)
    name = name or _DETAIL_CODES.get(value_of(first(inner, "code"), "code") or "")
    if name is None or name not in cls.model_fields or name in fields:
        return False
    value = first(inner, "value")
    words = _WORDS.get(name) or (_CLINICAL.get(name) if cls is Allergy else None)
    if words is not None:
        found = value_of(value, "code")
        if found not in words:
            return False
        fields[name] = found
        return True
    code = content.reader.code(value)
    if code is None:
        return False
    fields[name] = code
    return True


# --- Allergies ------------------------------------------------------------------------------------


def read_allergies(content: SectionContent, entry: _Element, inner: _Element) -> list[Allergy]:
    """The allergies of a concern act."""
    found = []
    for observation in _observations(content, inner):
        made = _allergy(content, inner, observation)
        if made is not None:
            found.append(made)
    return found


def _allergy(content: SectionContent, act: _Element, observation: _Element) -> Allergy | None:
    reader = content.reader
    value, text = first(observation, "value"), first(observation, "text")
    stated = content.says_none(value)
    if stated:
        return None
    agent = _agent(content, observation)
    if agent is None:
        agent = _what(content, value, text)
    elif value is not None and value.get("code") is not None and stated is False:
        content.unheld(value, agent.label)
    if agent is None:
        return None
    if stated is None or observation.get("negationInd") == "true":
        content.say(observation, "observation", agent.label if stated is None else f"Pas d'allergie : {agent.label}")
        return None
    fields: dict[str, Any] = {}
    relationships = _details(content, observation, fields, agent.label, Allergy)
    reactions = [made for each in relationships if (made := _reaction(content, each, agent.label)) is not None]
    content.rest(observation, _OBSERVATION, agent.label)
    if (category := reader.code(first(observation, "code"))) is not None:
        fields["type"] = category
    if (found := value_of(first(act, "statusCode"), "code")) is not None and act is not observation:
        fields["act_status"] = found
    return reader.make(
        Allergy,
        observation,
        id=reader.uuid(first(observation, "id")),
        agent=agent,
        period=_period(content, act, observation),
        reactions=tuple(reactions),
        **fields,
    )


def _agent(content: SectionContent, observation: _Element) -> Concept | None:
    """The substance: the first consumable; others are kept as words."""
    found: Concept | None = None
    for participant in every(observation, "participant"):
        entity = participant.find("{*}participantRole/{*}playingEntity")
        if entity is None or found is not None or participant.get("typeCode") != "CSM":
            content.unheld(participant, None)
            continue
        name = first(entity, "name")
        words = squeeze(name.text) if name is not None else None
        coded = first(entity, "code")
        found = content.reader.concept(coded, text=words) if coded is not None else None
        if found is None and words:
            found = Concept(text=words)
    return found


def _reaction(content: SectionContent, relationship: _Element, label: str) -> Reaction | None:
    reader = content.reader
    observation = first(relationship, "observation")
    if observation is None:
        return None
    what = _what(content, first(observation, "value"), first(observation, "text"))
    if what is None:
        reader.lost(relationship, "reaction", clinical=True)
        return None
    fields: dict[str, Any] = {}
    lead = f"{label}, {what.label}"
    _details(content, observation, fields, lead, Reaction)
    content.rest(observation, _OBSERVATION, lead)
    time = first(observation, "effectiveTime")
    onset = reader.period(time) if time is not None else None
    if onset is not None and onset.end is not None and time is not None:
        content.say(time, "high", f"{lead} : fin le {onset.end}")
    return reader.make(Reaction, observation, concept=what, onset=onset.start if onset is not None else None, **fields)
