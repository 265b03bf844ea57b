"""Vital signs, results, functional status, pregnancies and planned care (VSM 3.13, IPS-FR section 7)."""

from __future__ import annotations

from collections.abc import Sequence

from mappings.cda import words
from mappings.cda.build import Builder, code, concept, null, pq, reference_text, status, sub, templates, ts, uid
from mappings.cda.narrative import Narrative
from mappings.cda.section_parts import code_words, moment_cell, value, value_cell
from mappings.cda.sections_write import SIMPLE, VITAL_GROUP, observation
from mappings.cda.tree import Element
from mappings.document.summary import (
    CarePlanItem,
    FunctionalAssessment,
    PregnancyObservation,
    ResultGroup,
    VitalSigns,
)

__all__ = ["assessments", "care_plan", "pregnancies", "results", "vital_signs"]


#: Result and vital signs organizers (CCD), Vital Signs Organizer (PCC), FR-Signes-vitaux.
VITAL_SIGNS = (
    "2.16.840.1.113883.10.20.1.32",
    "2.16.840.1.113883.10.20.1.35",
    "1.3.6.1.4.1.19376.1.5.3.1.4.13.1",
    "1.2.250.1.213.1.1.3.49",
)
#: Result observation (CCD), Simple Observation, Vital Signs Observation (PCC), FR-Signe-vital-observe.
VITAL_SIGN = (
    "2.16.840.1.113883.10.20.1.31",
    "1.3.6.1.4.1.19376.1.5.3.1.4.13",
    "1.3.6.1.4.1.19376.1.5.3.1.4.13.2",
    "1.2.250.1.213.1.1.3.50",
)
#: FR-Resultats and FR-Resultat.
RESULTS = ("1.2.250.1.213.1.1.3.208",)
RESULT = (*SIMPLE, "1.2.250.1.213.1.1.3.209")
#: Result organizer (CCD), Survey Panel (PCC), FR-Groupe-de-questionnaires-d-evaluation.
SURVEY = ("2.16.840.1.113883.10.20.1.32", "1.3.6.1.4.1.19376.1.5.3.1.1.12.3.7", "1.2.250.1.213.1.1.3.95")
#: Result observation (CCD), Survey Observation, Simple Observation (PCC), FR-Evaluation.
SURVEYED = (
    "2.16.840.1.113883.10.20.1.31",
    "1.3.6.1.4.1.19376.1.5.3.1.1.12.3.6",
    "1.3.6.1.4.1.19376.1.5.3.1.4.13",
    "1.2.250.1.213.1.1.3.25",
)
#: Simple Observation, Pregnancy Observation (PCC), FR-Observation-sur-la-grossesse.
PREGNANCY = ("1.3.6.1.4.1.19376.1.5.3.1.4.13", "1.3.6.1.4.1.19376.1.5.3.1.4.13.5", "1.2.250.1.213.1.1.3.53")
#: Plan of care activity (CCD), then Observation Request (PCC) and FR-Demande-d-examen-ou-de-suivi.
PLANNED = "2.16.840.1.113883.10.20.1.25"
REQUEST = (PLANNED, "1.3.6.1.4.1.19376.1.5.3.1.1.20.3.1", "1.2.250.1.213.1.1.3.27")
#: Plan of care activity (CCD), Encounters (PCC), FR-Rencontre.
ENCOUNTER = (PLANNED, "1.3.6.1.4.1.19376.1.5.3.1.4.14", "1.2.250.1.213.1.1.3.58")
#: Moods that an Observation Request may have (PCC).
_REQUESTED = frozenset({"INT", "PRP", "GOL"})


def vital_signs(
    section: Element, narrative: Narrative, builder: Builder, entries: Sequence[VitalSigns], place: str
) -> None:
    """Add groups of measures to a section, with their table."""
    interpreted = any(sign.interpretation is not None for group in entries for sign in group.signs)
    headings = ("Date", "Signe vital", "Valeur")
    table = narrative.table(*headings, *(("Interprétation",) if interpreted else ()))
    for index, group in enumerate(entries):
        where = f"{place}/entries/{index}"
        organizer = _organizer(section, VITAL_SIGNS)
        uid(organizer, builder, group.id, where)
        code(organizer, VITAL_GROUP)
        status(organizer)
        ts(organizer, "effectiveTime", group.observed_at)
        for i, sign in enumerate(group.signs):
            moment = sign.observed_at or group.observed_at
            row = table.row()
            moment_cell(row, moment)
            row.cell(code_words(sign.code))
            reference = row.cell(words.amount(sign.quantity), "mesure")
            if interpreted:
                row.cell(code_words(sign.interpretation) if sign.interpretation is not None else None)
            measure = observation(
                sub(organizer, "component", typeCode="COMP"),
                builder,
                VITAL_SIGN,
                sign.code,
                reference,
                place=f"{where}/signs/{i}",
                given=sign.id,
                when=moment,
            )
            pq(measure, "value", sign.quantity, xsi_type="PQ", reference=reference)
            if sign.interpretation is not None:
                code(measure, sign.interpretation, "interpretationCode")
        builder.log.carried(where, "FR-Signes-vitaux")


def _organizer(section: Element, oids: Sequence[str]) -> Element:
    organizer = sub(sub(section, "entry"), "organizer", classCode="CLUSTER", moodCode="EVN")
    templates(organizer, oids)
    return organizer


def results(
    section: Element, narrative: Narrative, builder: Builder, entries: Sequence[ResultGroup], place: str
) -> None:
    """Add groups of results to a section, with a table each."""
    for index, group in enumerate(entries):
        where = f"{place}/entries/{index}"
        table = narrative.table("Date", code_words(group.code), "Résultat", "Interprétation")
        organizer = _organizer(section, RESULTS)
        uid(organizer, builder, group.id, where)
        code(organizer, group.code)
        status(organizer)
        ts(organizer, "effectiveTime", group.observed_at)
        for i, result in enumerate(group.results):
            row = table.row()
            moment_cell(row, result.observed_at or group.observed_at)
            row.cell(code_words(result.code))
            reference = value_cell(row, result.value, "resultat")
            row.cell(code_words(result.interpretation) if result.interpretation is not None else None)
            found = observation(
                sub(organizer, "component"),
                builder,
                RESULT,
                result.code,
                reference,
                place=f"{where}/results/{i}",
                given=result.id,
                when=result.observed_at,
            )
            value(found, result.value, reference)
            if result.interpretation is not None:
                code(found, result.interpretation, "interpretationCode")
        builder.log.carried(where, "FR-Resultats")


def assessments(
    section: Element, narrative: Narrative, builder: Builder, entries: Sequence[FunctionalAssessment], place: str
) -> None:
    """Add measures of what the person can do: one group, a row each."""
    table = narrative.table("Date", "Évaluation", "Valeur")
    organizer = _organizer(section, SURVEY)
    uid(organizer, builder, None, f"{place}#survey")
    null(organizer, "code", "NA")
    status(organizer)
    null(organizer, "effectiveTime", "NA")
    for index, assessment in enumerate(entries):
        where = f"{place}/entries/{index}"
        row = table.row()
        moment_cell(row, assessment.observed_at)
        row.cell(code_words(assessment.code))
        reference = value_cell(row, assessment.value, "evaluation")
        found = observation(
            sub(organizer, "component", typeCode="COMP"),
            builder,
            SURVEYED,
            assessment.code,
            reference,
            place=where,
            given=assessment.id,
            when=assessment.observed_at,
        )
        value(found, assessment.value, reference)
        builder.log.carried(where, "FR-Evaluation")


def pregnancies(
    section: Element, narrative: Narrative, builder: Builder, entries: Sequence[PregnancyObservation], place: str
) -> None:
    """Add facts about pregnancies to a section, with their table."""
    table = narrative.table("Date", "Grossesse", "Valeur")
    for index, fact in enumerate(entries):
        where = f"{place}/entries/{index}"
        row = table.row()
        moment_cell(row, fact.observed_at)
        row.cell(code_words(fact.code))
        reference = value_cell(row, fact.value, "grossesse")
        found = observation(
            sub(section, "entry"),
            builder,
            PREGNANCY,
            fact.code,
            reference,
            place=where,
            given=fact.id,
            when=fact.observed_at,
        )
        value(found, fact.value, reference)
        builder.log.carried(where, "FR-Observation-sur-la-grossesse")


#: What people read of a mood (HL7 ActMood).
MOODS = {
    "INT": "Prévu",
    "ARQ": "Rendez-vous demandé",
    "PRMS": "Engagement",
    "PRP": "Proposé",
    "RQO": "Demandé",
    "GOL": "Objectif",
}


def care_plan(
    section: Element, narrative: Narrative, builder: Builder, entries: Sequence[CarePlanItem], place: str
) -> None:
    """Add planned care to a section, with its table: a meeting for a request of appointment, else a request."""
    table = narrative.table("Soin", "Date envisagée", "Nature")
    for index, item in enumerate(entries):
        where = f"{place}/entries/{index}"
        row = table.row()
        label = row.cell(item.concept.label, "plan")
        moment_cell(row, item.planned_for)
        row.cell(MOODS[item.mood])
        entry = sub(section, "entry")
        if item.mood == "ARQ":
            element = sub(entry, "encounter", classCode="ENC", moodCode="ARQ")
            templates(element, ENCOUNTER)
        else:
            element = sub(entry, "observation", classCode="OBS", moodCode=item.mood)
            templates(element, REQUEST if item.mood in _REQUESTED else (PLANNED,))
        uid(element, builder, item.id, where)
        concept(element, item.concept, label, uncoded="UNK")
        reference_text(element, label)
        if item.mood != "ARQ":
            status(element, "active")
        ts(element, "effectiveTime", item.planned_for)
        builder.log.carried(where, "FR-Demande-d-examen-ou-de-suivi" if item.mood != "ARQ" else "FR-Rencontre")
