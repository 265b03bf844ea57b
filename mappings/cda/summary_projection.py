"""What a CDA can hold of a medical summary: the rows of the projection table that concern it alone."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from conformance.verdict import Text
from mappings.cda.build import derived_id
from mappings.cda.medication_write import main_code
from mappings.cda.plans import plan_of
from mappings.cda.section_plans import NOTHING_SAID, PLANS
from mappings.cda.section_procedures_read import settled
from mappings.cda.section_treatments_write import main_dosage
from mappings.cda.summary_write import IPS_REQUIRED
from mappings.document.medication import Medication
from mappings.document.summary import Absence, MedicalSummary, Section, Treatment
from mappings.document.values import Code, Concept, Moment, Period
from mappings.loss import Fate
from mappings.projection import Row, Where
from mappings.rendering.posology import made_sentence

__all__ = ["FORMS", "LOSSES"]

KIND = frozenset({"medical_summary"})
#: Parts that a VSM tells in the text of the section that holds them, when they have no entry.
_TOLD = frozenset({"problems", "history", "procedures", "allergies", "treatments"})
_WORDS = ("occupational_risks", "vigilance", "advance_directives")


def _treatment_of(where: Where) -> Treatment:
    """The treatment as given, in which a value stands."""
    index = int(where.pointer.split("/")[3])
    found: Treatment = where.document.treatments.entries[index]
    return found


def _known(period: Period | None) -> bool:
    return period is not None and bool(period.start or period.end)


def _other_extent(value: Any, where: Where) -> Any:
    """A second extent: the dates of the treatment are written, those of its instruction are only told."""
    treatment = _treatment_of(where)
    if not _known(treatment.period) or value == treatment.period:
        return value
    return None


_SECOND = Text(
    "Une entrée a une seule durée : celle du traitement ; l'autre est dite dans le texte.",
    "An entry has one extent, that of the treatment; the other is told in the narrative.",
)

LOSSES = tuple(
    Row(
        path=f"treatments.entries.*.posology.dosage.{name}",
        becomes=_other_extent,
        fate=Fate.TEXT_ONLY,
        reason=_SECOND,
        kinds=KIND,
    )
    for name in ("period", "duration")
)


# --- Forms ----------------------------------------------------------------------------------------


def _treatment(value: Treatment, where: Where) -> Treatment:
    """The dates belong to the treatment, the words are those of the narrative when they say more."""
    given = _treatment_of(where)
    said = made_sentence(given.posology, given.medication) if given.posology.text is None else None
    dosage = main_dosage(given)
    posology = value.posology
    changes: dict[str, Any] = {}
    if dosage is not None:
        kept = posology.dosage or dosage
        changes["dosage"] = kept.model_copy(
            update={"period": dosage.period if _known(dosage.period) else None, "duration": dosage.duration}
        )
    found = posology.model_copy(update=changes)
    main = found.dosage
    if found.text is None and not found.steps and (main is None or (not main.timing and main.dose is None)):
        found = found.model_copy(update={"text": said})
    medication = _medication(value.medication, where)
    settled_posology, period = settled(found, medication, said)
    return value.model_copy(update={"posology": settled_posology, "period": period, "medication": medication})


def _medication(value: Medication, _where: Where) -> Medication:
    """The main code first, and a name: the label that the narrative shows."""
    main = None if value.preparation is not None else main_code(value)
    codes = value.codes if main is None else (main, *(each for each in value.codes if each is not main))
    changes: dict[str, Any] = {"codes": codes}
    if value.name is None and value.preparation is None:
        changes["name"] = value.label
    return value.model_copy(update=changes)


def _identified(value: UUID | None, where: Where) -> UUID | None:
    return value or derived_id(where.document.id, where.pointer.removesuffix("/id"))


def _labelled(value: Concept | None, _where: Where) -> Concept | None:
    if value is None or value.text is not None:
        return value
    return value.model_copy(update={"text": value.label})


def _no_period(value: Period | None, _where: Where) -> Period | None:
    return value if _known(value) else None


def _own_time(value: Moment | None, where: Where) -> Moment | None:
    """A measure taken with the others has no time of its own."""
    index = int(where.pointer.split("/")[3])
    return None if value == where.document.vital_signs.entries[index].observed_at else value


def _type(value: Code, where: Where) -> Code:
    return plan_of(where.document).document_type or value


def _words(value: str | None, _where: Where) -> str | None:
    return value if value and value != NOTHING_SAID else None


def _section(value: Section[Any] | None, where: Where) -> Section[Any] | None:
    """A part that must hold an entry says that it has no information when it has none."""
    document: MedicalSummary = where.document
    name = _MEMBERS[where.pointer]
    ips = document.profile != "VSM-2023.01"
    if value is None:
        return Section(absence=Absence.NO_INFORMATION) if ips and name in IPS_REQUIRED else None
    if value.text == "":
        value = value.model_copy(update={"text": None})
    told = name in _TOLD and not ips
    if not value.entries and value.absence is None and PLANS[name].none_code is not None and not told:
        return value.model_copy(update={"absence": Absence.NO_INFORMATION})
    return value


_SECTIONS = tuple(name for name in PLANS if name not in _WORDS)
_MEMBERS = {"/" + (MedicalSummary.model_fields[name].alias or name): name for name in _SECTIONS}

_IDS = (
    "problems.entries.*",
    "history.entries.*",
    "procedures.entries.*",
    "procedures.entries.*.reasons.*",
    "allergies.entries.*",
    "lifestyle.entries.*",
    "family_history.entries.*.conditions.*",
    "treatments.entries.*",
    "treatments.entries.*.reasons.*",
    "immunizations.entries.*",
    "devices.entries.*",
    "vital_signs.entries.*",
    "vital_signs.entries.*.signs.*",
    "results.entries.*",
    "results.entries.*.results.*",
    "functional_status.entries.*",
    "care_plan.entries.*",
    "pregnancies.entries.*",
)
_CONCEPTS = (
    "problems.entries.*.concept",
    "history.entries.*.concept",
    "procedures.entries.*.concept",
    "procedures.entries.*.reasons.*.concept",
    "allergies.entries.*.agent",
    "allergies.entries.*.reactions.*.concept",
    "family_history.entries.*.conditions.*.concept",
    "treatments.entries.*.reasons.*.concept",
    "devices.entries.*.concept",
    "care_plan.entries.*.concept",
)

FORMS = (
    Row(path="type", becomes=_type, kinds=KIND),
    *(Row(path=f"{path}.id", becomes=_identified, kinds=KIND) for path in _IDS),
    *(Row(path=path, becomes=_labelled, kinds=KIND) for path in _CONCEPTS),
    Row(path="treatments.entries.*", becomes=_treatment, kinds=KIND),
    Row(path="immunizations.entries.*.vaccine", becomes=_medication, kinds=KIND),
    Row(path="devices.entries.*.period", becomes=_no_period, kinds=KIND),
    Row(path="vital_signs.entries.*.signs.*.observed_at", becomes=_own_time, kinds=KIND),
    Row(path="attachments.*.title", becomes=lambda _value, where: where.parent.label, kinds=KIND),
    *(Row(path=name, becomes=_words, kinds=KIND) for name in _WORDS),
    *(Row(path=name, becomes=_section, kinds=KIND) for name in _SECTIONS),
)
