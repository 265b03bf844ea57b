"""Problems, active and past: FR-Liste-des-problemes around FR-Probleme (VSM 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from mappings.cda import words
from mappings.cda.build import Builder, code, concept, null, reference_text, status, sub, templates, uid
from mappings.cda.narrative import Narrative
from mappings.cda.section_parts import (
    Columns,
    certainty,
    clinical_status,
    code_words,
    comment,
    health_status,
    severity,
    times,
)
from mappings.cda.section_plans import SectionPlan, absence_words
from mappings.cda.sections_write import SNOMED
from mappings.cda.tree import Element
from mappings.document.summary import Absence, Problem
from mappings.document.values import Code, Concept, Moment

__all__ = ["CONCERN", "NO_PROBLEM", "PROBLEM", "concern", "no_problem", "problem_observation", "problems"]


#: Problem Act (CCD), Concern Entry (PCC), Problem Concern (PCC), FR-Liste-des-problemes.
CONCERN = (
    "2.16.840.1.113883.10.20.1.27",
    "1.3.6.1.4.1.19376.1.5.3.1.4.5.1",
    "1.3.6.1.4.1.19376.1.5.3.1.4.5.2",
    "1.2.250.1.213.1.1.3.39",
)
#: Problem observation (CCD), Problem Entry (PCC), FR-Probleme.
PROBLEM = ("2.16.840.1.113883.10.20.1.28", "1.3.6.1.4.1.19376.1.5.3.1.4.5", "1.2.250.1.213.1.1.3.37")

#: Kind of the observation that says there is no problem.
NO_PROBLEM = Code(code="55607006", system=SNOMED, display="problème", system_name="SNOMED CT")

#: Statuses of a concern that is over: its effectiveTime has both ends (VSM 3.1).
_OVER = ("completed", "aborted")


def problems(
    section: Element,
    narrative: Narrative,
    builder: Builder,
    plan: SectionPlan,
    entries: Sequence[Problem],
    place: str,
) -> None:
    """Add problems to a section, with their table."""
    columns = Columns(
        entries,
        ("Problème", "Période"),
        (
            ("clinical_status", "Statut clinique"),
            ("severity", "Sévérité"),
            ("health_status", "État de santé"),
            ("certainty", "Certitude"),
            ("comment", "Commentaire"),
        ),
    )
    table = narrative.table(*columns.headings)
    for index, problem in enumerate(entries):
        where = f"{place}/entries/{index}"
        row = table.row()
        label = row.cell(problem.concept.label, "pb")
        row.cell(words.period_text(problem.period))
        filled = {
            name: (code_words(found), stem)
            for name, stem in (("clinical_status", "statut"), ("severity", "severite"), ("health_status", "sante"))
            if (found := getattr(problem, name)) is not None
        }
        if problem.certainty is not None:
            filled["certainty"] = (_CERTAINTY_WORDS[problem.certainty], "certitude")
        if problem.comment is not None:
            filled["comment"] = (problem.comment, "comment")
        references = columns.cells(row, filled)
        period = problem.period
        act = concern(section, builder, CONCERN, where, problem.act_status, period.start, period.end)
        observation = problem_observation(
            sub(act, "entryRelationship", typeCode="SUBJ", inversionInd="false"),
            builder,
            where,
            problem.id,
            problem.category,
            problem.concept,
            label,
            (period.start, period.end),
        )
        if problem.severity is not None:
            severity(observation, problem.severity, references["severity"])
        if problem.clinical_status is not None:
            clinical_status(observation, problem.clinical_status, references["clinical_status"])
        if problem.health_status is not None:
            health_status(observation, problem.health_status, references["health_status"])
        if problem.certainty is not None:
            certainty(observation, builder, problem.certainty, references["certainty"], where)
        if problem.comment is not None:
            comment(observation, references["comment"])
        builder.log.carried(where, "FR-Probleme")


_CERTAINTY_WORDS = {"unconfirmed": "Non confirmé", "confirmed": "Confirmé", "refuted": "Réfuté"}


def concern(
    section: Element,
    builder: Builder,
    oids: Sequence[str],
    place: str,
    act_status: str,
    start: Moment | None,
    end: Moment | None,
) -> Element:
    """Add the act around a problem or an allergy: who minds it, and since when."""
    act = sub(sub(section, "entry"), "act", classCode="ACT", moodCode="EVN")
    templates(act, oids)
    uid(act, builder, None, f"{place}#concern")
    null(act, "code", "NA")
    status(act, act_status)
    times(act, start, end, closed=act_status in _OVER)
    return act


def problem_observation(
    parent: Element,
    builder: Builder,
    place: str,
    given: UUID | None,
    category: Code,
    what: Concept,
    reference: str,
    period: tuple[Moment | None, Moment | None],
    *,
    negated: bool = False,
) -> Element:
    """Add what the problem is; its details come next."""
    observation = sub(
        parent, "observation", classCode="OBS", moodCode="EVN", negationInd="true" if negated else "false"
    )
    templates(observation, PROBLEM)
    uid(observation, builder, given, place)
    code(observation, category)
    reference_text(observation, reference)
    status(observation)
    times(observation, *period)
    concept(observation, what, reference, "value", xsi_type="CD")
    return observation


def no_problem(
    section: Element, narrative: Narrative, builder: Builder, plan: SectionPlan, absence: Absence, place: str
) -> None:
    """Add the entry that says there is no known problem, or no information (VSM section 4)."""
    reference = narrative.paragraph(absence_words(plan, absence), "absence")
    act = concern(section, builder, CONCERN, place, "completed", None, None)
    problem_observation(
        sub(act, "entryRelationship", typeCode="SUBJ", inversionInd="false"),
        builder,
        f"{place}#absence",
        None,
        NO_PROBLEM,
        Concept(code=plan.absence_code(absence)),
        reference,
        (None, None),
        negated=absence is Absence.NONE_KNOWN,
    )
