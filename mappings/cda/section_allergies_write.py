"""Allergies and intolerances: FR-Liste-des-allergies around FR-Allergie-ou-hypersensibilite (VSM 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

from mappings.cda import words
from mappings.cda.build import Builder, code, concept, reference_text, status, sub, templates, text_element, uid
from mappings.cda.narrative import Narrative, Row
from mappings.cda.section_parts import (
    CERTAINTIES,
    CRITICALITIES,
    Columns,
    certainty,
    clinical_status,
    code_words,
    comment,
    criticality,
    severity,
    times,
)
from mappings.cda.section_plans import SectionPlan, absence_words
from mappings.cda.section_problems_write import concern, problem_observation
from mappings.cda.sections_write import SNOMED
from mappings.cda.tree import Element
from mappings.document.summary import Absence, Allergy, Problem, Reaction
from mappings.document.values import Code, Concept

__all__ = ["ALLERGY", "CONCERN", "STATUSES", "allergies", "no_allergy"]


#: Problem Act (CCD), Concern Entry (PCC), Allergy and Intolerance Concern (PCC), FR-Liste-des-allergies.
CONCERN = (
    "2.16.840.1.113883.10.20.1.27",
    "1.3.6.1.4.1.19376.1.5.3.1.4.5.1",
    "1.3.6.1.4.1.19376.1.5.3.1.4.5.3",
    "1.2.250.1.213.1.1.3.40",
)
#: Alert and Problem observations (CCD), Problem Entry, Allergies and Intolerances (PCC), FR-Allergie.
ALLERGY = (
    "2.16.840.1.113883.10.20.1.18",
    "2.16.840.1.113883.10.20.1.28",
    "1.3.6.1.4.1.19376.1.5.3.1.4.5",
    "1.3.6.1.4.1.19376.1.5.3.1.4.6",
    "1.2.250.1.213.1.1.3.41",
)
_ALLERGY_TYPE = Code(code="609328004", system=SNOMED, display="allergie", system_name="SNOMED CT")
#: JDV_HL7_allergyintolerance_clinical.
STATUSES = {
    value: Code(
        code=value,
        system="2.16.840.1.113883.4.642.4.1373",
        display=label,
        system_name="HL7:allergyintolerance-clinical",
    )
    for value, label in (("active", "Active"), ("inactive", "Inactive"), ("resolved", "Résolue"))
}
#: Kind of the problem that a reaction is.
REACTION = Problem.model_fields["category"].default


def allergies(
    section: Element,
    narrative: Narrative,
    builder: Builder,
    plan: SectionPlan,
    entries: Sequence[Allergy],
    place: str,
) -> None:
    """Add allergies to a section, with their table."""
    columns = Columns(
        entries,
        ("Allergie", "Type", "Période"),
        (
            ("clinical_status", "Statut clinique"),
            ("severity", "Sévérité"),
            ("certainty", "Certitude"),
            ("criticality", "Criticité"),
            ("comment", "Commentaire"),
        ),
    )
    with_reactions = any(each.reactions for each in entries)
    table = narrative.table(*columns.headings, *(("Réactions",) if with_reactions else ()))
    for index, allergy in enumerate(entries):
        where = f"{place}/entries/{index}"
        row = table.row()
        label = row.cell(allergy.agent.label, "all")
        row.cell(code_words(allergy.type))
        row.cell(words.period_text(allergy.period))
        references = columns.cells(row, _filled(allergy))
        reactions = _reactions_cell(row, allergy.reactions) if with_reactions else []

        period = allergy.period
        act = concern(section, builder, CONCERN, where, allergy.act_status, period.start, period.end)
        observation = _observation(act, builder, where, allergy, label)
        _agent(observation, allergy.agent, label)
        for i, (reaction, found) in enumerate(zip(allergy.reactions, reactions, strict=True)):
            _reaction(observation, builder, reaction, found, f"{where}/reactions/{i}")
        if allergy.severity is not None:
            severity(observation, allergy.severity, references["severity"])
        if allergy.clinical_status is not None:
            clinical_status(observation, STATUSES[allergy.clinical_status], references["clinical_status"])
        if allergy.certainty is not None:
            certainty(observation, builder, allergy.certainty, references["certainty"], where)
        if allergy.criticality is not None:
            criticality(observation, builder, allergy.criticality, references["criticality"], where)
        if allergy.comment is not None:
            comment(observation, references["comment"])
        builder.log.carried(where, "FR-Allergie-ou-hypersensibilite")


def _filled(allergy: Allergy) -> dict[str, tuple[str, str]]:
    filled: dict[str, tuple[str, str]] = {}
    if allergy.clinical_status is not None:
        filled["clinical_status"] = (code_words(STATUSES[allergy.clinical_status]), "statut")
    if allergy.severity is not None:
        filled["severity"] = (code_words(allergy.severity), "severite")
    if allergy.certainty is not None:
        filled["certainty"] = (code_words(CERTAINTIES[allergy.certainty]), "certitude")
    if allergy.criticality is not None:
        filled["criticality"] = (code_words(CRITICALITIES[allergy.criticality]), "criticite")
    if allergy.comment is not None:
        filled["comment"] = (allergy.comment, "comment")
    return filled


def _reactions_cell(row: Row, reactions: Sequence[Reaction]) -> list[tuple[str, str]]:
    """Add the cell of the reactions; gives the references of each and of its severity."""
    pieces: list[tuple[str, str | None]] = []
    for reaction in reactions:
        pieces.append((", " if pieces else "", None))
        pieces.append((reaction.concept.label, "reac"))
        if reaction.severity is not None:
            pieces.append((" (", None))
            pieces.append((code_words(reaction.severity), "severite"))
        else:
            pieces += [("", None), ("", None)]
        day = words.moment_text(reaction.onset) if reaction.onset is not None else ""
        closing = ")" if reaction.severity is not None else ""
        pieces.append((f"{closing} {day}" if day else closing, None))
    references = row.cells(*pieces)
    return [(references[i + 1], references[i + 3]) for i in range(0, len(references), 5)]


def _observation(act: Element, builder: Builder, place: str, allergy: Allergy, reference: str) -> Element:
    relationship = sub(act, "entryRelationship", typeCode="SUBJ", inversionInd="false")
    observation = sub(relationship, "observation", classCode="OBS", moodCode="EVN", negationInd="false")
    templates(observation, ALLERGY)
    uid(observation, builder, allergy.id, place)
    code(observation, allergy.type)
    reference_text(observation, reference)
    status(observation)
    times(observation, allergy.period.start, allergy.period.end)
    concept(observation, Concept(text=allergy.agent.label), reference, "value", xsi_type="CD")
    return observation


def _agent(observation: Element, agent: Concept, reference: str) -> None:
    role = sub(sub(observation, "participant", typeCode="CSM"), "participantRole", classCode="MANU")
    entity = sub(role, "playingEntity", classCode="MMAT")
    concept(entity, agent, reference, uncoded="UNK")
    text_element(entity, "name", agent.label)


def _reaction(
    observation: Element, builder: Builder, reaction: Reaction, references: tuple[str, str], place: str
) -> None:
    relationship = sub(observation, "entryRelationship", typeCode="MFST")
    problem = problem_observation(
        relationship, builder, place, None, REACTION, reaction.concept, references[0], (reaction.onset, None)
    )
    if reaction.severity is not None:
        severity(problem, reaction.severity, references[1])


def no_allergy(
    section: Element, narrative: Narrative, builder: Builder, plan: SectionPlan, absence: Absence, place: str
) -> None:
    """Add the entry that says there is no known allergy, or no information (VSM section 4): never a negation."""
    reference = narrative.paragraph(absence_words(plan, absence), "absence")
    act = concern(section, builder, CONCERN, place, "completed", None, None)
    relationship = sub(act, "entryRelationship", typeCode="SUBJ", inversionInd="false")
    observation = sub(relationship, "observation", classCode="OBS", moodCode="EVN", negationInd="false")
    templates(observation, ALLERGY)
    uid(observation, builder, None, f"{place}#absence")
    code(observation, _ALLERGY_TYPE)
    reference_text(observation, reference)
    status(observation)
    times(observation, None, None)
    concept(observation, Concept(code=plan.absence_code(absence)), reference, "value", xsi_type="CD")
