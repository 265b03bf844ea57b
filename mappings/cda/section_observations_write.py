"""Habits and family history: FR-Observation-habitus and FR-Antecedents-familiaux (VSM 3.10)."""

from __future__ import annotations

from collections.abc import Sequence

from mappings.cda.build import Builder, code, concept, null, status, sub, templates
from mappings.cda.narrative import Narrative
from mappings.cda.section_parts import code_words, moment_cell, value, value_cell
from mappings.cda.sections_write import observation
from mappings.cda.tree import Element
from mappings.document.summary import FamilyMember, LifestyleObservation

__all__ = ["FAMILY", "HABIT", "RELATIVE", "family_history", "lifestyle"]


#: Social history observation (CCD), Simple Observation, Social History Observation (PCC), FR-Habitus-Mode-de-vie.
HABIT = (
    "2.16.840.1.113883.10.20.1.33",
    "1.3.6.1.4.1.19376.1.5.3.1.4.13",
    "1.3.6.1.4.1.19376.1.5.3.1.4.13.4",
    "1.2.250.1.213.1.1.3.52",
)
#: Family history organizer (CCD, PCC), FR-Antecedents-familiaux.
FAMILY = ("2.16.840.1.113883.10.20.1.23", "1.3.6.1.4.1.19376.1.5.3.1.4.15", "1.2.250.1.213.1.1.3.59")
#: Family history observation (CCD), Simple Observation, Family History Observation (PCC), FR-Antecedent-familial.
RELATIVE = (
    "2.16.840.1.113883.10.20.1.22",
    "1.3.6.1.4.1.19376.1.5.3.1.4.13",
    "1.3.6.1.4.1.19376.1.5.3.1.4.13.3",
    "1.2.250.1.213.1.1.3.51",
)
#: Subject participation (PCC), FR-Sujet.
SUBJECT = ("1.3.6.1.4.1.19376.1.5.3.1.4.15.2", "1.2.250.1.213.1.1.3.60")


def lifestyle(
    section: Element, narrative: Narrative, builder: Builder, entries: Sequence[LifestyleObservation], place: str
) -> None:
    """Add habits to a section, with their table."""
    table = narrative.table("Date", "Mode de vie", "Valeur")
    for index, habit in enumerate(entries):
        where = f"{place}/entries/{index}"
        row = table.row()
        moment_cell(row, habit.observed_at)
        row.cell(code_words(habit.code))
        reference = value_cell(row, habit.value, "habitus")
        element = observation(
            sub(section, "entry"),
            builder,
            HABIT,
            habit.code,
            reference,
            place=where,
            given=habit.id,
            when=habit.observed_at,
        )
        value(element, habit.value, reference)
        builder.log.carried(where, "FR-Habitus-Mode-de-vie")


def family_history(
    section: Element, narrative: Narrative, builder: Builder, entries: Sequence[FamilyMember], place: str
) -> None:
    """Add relatives and their diseases to a section, with their table."""
    table = narrative.table("Lien de parenté", "Antécédent", "Date")
    for index, relative in enumerate(entries):
        where = f"{place}/entries/{index}"
        organizer = sub(sub(section, "entry"), "organizer", classCode="CLUSTER", moodCode="EVN")
        templates(organizer, FAMILY)
        status(organizer)
        subject = sub(organizer, "subject", typeCode="SBJ")
        templates(subject, SUBJECT)
        related = sub(subject, "relatedSubject", classCode="PRS")
        if relative.relation is not None:
            code(related, relative.relation)
        else:
            null(related, "code", "UNK")
        for i, condition in enumerate(relative.conditions):
            row = table.row()
            row.cell(code_words(relative.relation) if relative.relation is not None else "Non précisé")
            reference = row.cell(condition.concept.label, "fam")
            moment_cell(row, condition.onset)
            element = observation(
                sub(organizer, "component", typeCode="COMP"),
                builder,
                RELATIVE,
                condition.category,
                reference,
                place=f"{where}/conditions/{i}",
                given=condition.id,
                when=condition.onset,
            )
            concept(element, condition.concept, reference, "value", xsi_type="CD")
        builder.log.carried(where, "FR-Antecedents-familiaux")
