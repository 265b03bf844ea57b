"""The sections of a medical summary, in words and tables, in the order of the VSM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mappings.document.prescription import Motive
from mappings.document.summary import (
    Absence,
    Allergy,
    CarePlanItem,
    FamilyMember,
    FunctionalAssessment,
    Immunization,
    LifestyleObservation,
    MedicalSummary,
    PregnancyObservation,
    Problem,
    Procedure,
    ResultGroup,
    Treatment,
    UsedDevice,
    Value,
    VitalSigns,
)
from mappings.document.summary import Section as Entries
from mappings.document.values import Code
from mappings.rendering.narrative import Block, Paragraph
from mappings.rendering.posology import sentence
from mappings.rendering.view import Section, grid, paragraph
from mappings.rendering.words import amount, moment_text, period_text

__all__ = ["summary_sections"]

Row = tuple[str, ...]

_CERTAINTY = {"unconfirmed": "non confirmé", "confirmed": "confirmé", "refuted": "infirmé"}
_CRITICALITY = {"low": "faible", "high": "élevée", "unable-to-assess": "impossible à évaluer"}
_ALLERGY_STATUS = {"active": "active", "inactive": "inactive", "resolved": "résolue"}
_PROCEDURE_STATUS = {"completed": "", "active": "en cours", "aborted": "interrompu", "cancelled": "annulé"}
_CONCERN_STATUS = {"active": "", "suspended": "suspendu", "aborted": "interrompu", "completed": ""}
_IMMUNIZATION = {"IMMUNIZ": "", "INITIMMUNIZ": "primovaccination", "BOOSTER": "rappel"}
_MOODS = {
    "INT": "prévu",
    "ARQ": "rendez-vous demandé",
    "PRMS": "convenu",
    "PRP": "proposé",
    "RQO": "demandé",
    "GOL": "objectif",
}


def _label(code: Code | None) -> str:
    return (code.display or code.code) if code else ""


def _joined(*parts: str | None) -> str:
    return "\n".join(part for part in parts if part)


def _value(value: Value) -> str:
    if value.quantity:
        return amount(value.quantity)
    if value.concept:
        return value.concept.label
    if value.boolean is not None:
        return "oui" if value.boolean else "non"
    return value.text or ""


def _motives(motives: tuple[Motive, ...]) -> str:
    return ", ".join(motive.concept.label for motive in motives if motive.concept)


def _when(moment: str | None) -> str:
    return moment_text(moment) if moment else ""


# -- a table each ---------------------------------------------------------------------------------------------------


def _problem(entry: Problem) -> list[Row]:
    severity = f"sévérité : {_label(entry.severity)}" if entry.severity else ""
    return [
        (
            entry.concept.label,
            period_text(entry.period),
            _joined(
                _CONCERN_STATUS[entry.act_status],
                _label(entry.clinical_status),
                _label(entry.health_status),
                severity,
                _CERTAINTY.get(entry.certainty or ""),
            ),
            entry.comment or "",
        )
    ]


def _procedure(entry: Procedure) -> list[Row]:
    state = "prévu" if entry.planned else _PROCEDURE_STATUS[entry.status]
    return [(entry.concept.label, _when(entry.performed), state, _motives(entry.reasons), entry.comment or "")]


def _allergy(entry: Allergy) -> list[Row]:
    reactions = "\n".join(
        ", ".join(part for part in (r.concept.label, _label(r.severity), _when(r.onset)) if part)
        for r in entry.reactions
    )
    return [
        (
            entry.agent.label,
            _label(entry.type),
            reactions,
            _joined(
                f"criticité {_CRITICALITY[entry.criticality]}" if entry.criticality else "",
                _label(entry.severity),
                _CERTAINTY.get(entry.certainty or ""),
                _ALLERGY_STATUS.get(entry.clinical_status or "") or _CONCERN_STATUS[entry.act_status],
            ),
            period_text(entry.period),
            entry.comment or "",
        )
    ]


def _observation(entry: LifestyleObservation | FunctionalAssessment | PregnancyObservation) -> list[Row]:
    return [(_label(entry.code), _value(entry.value), _when(entry.observed_at))]


def _relative(entry: FamilyMember) -> list[Row]:
    who = _label(entry.relation) or "Lien non précisé"
    return [(who, condition.concept.label, _when(condition.onset)) for condition in entry.conditions]


def _treatment(entry: Treatment) -> list[Row]:
    return [
        (
            entry.medication.label,
            sentence(entry.posology, entry.medication),
            period_text(entry.period) if entry.period else "",
            _motives(entry.reasons),
            entry.patient_instruction or "",
        )
    ]


def _immunization(entry: Immunization) -> list[Row]:
    rank = f"rang {entry.rank}" if entry.rank else ""
    how = _joined(amount(entry.dose) if entry.dose else "", _label(entry.route), _label(entry.site))
    lot = f"lot {entry.vaccine.lot_number}" if entry.vaccine.lot_number else ""
    return [(entry.vaccine.label, _when(entry.given_at), _joined(_IMMUNIZATION[entry.act], rank), how, lot)]


def _device(entry: UsedDevice) -> list[Row]:
    return [(entry.concept.label, period_text(entry.period) if entry.period else "")]


def _vital_signs(entry: VitalSigns) -> list[Row]:
    return [
        (
            _label(sign.code),
            amount(sign.quantity),
            _when(sign.observed_at or entry.observed_at),
            _label(sign.interpretation),
        )
        for sign in entry.signs
    ]


def _results(entry: ResultGroup) -> list[Row]:
    return [
        (
            _label(entry.code),
            _label(r.code),
            _value(r.value),
            _label(r.interpretation),
            _when(r.observed_at or entry.observed_at),
        )
        for r in entry.results
    ]


def _planned(entry: CarePlanItem) -> list[Row]:
    return [(entry.concept.label, _when(entry.planned_for), _MOODS[entry.mood])]


_PROBLEM_HEADS = ("Problème", "Période", "État", "Commentaire")

#: Member of the summary, title, headings, maker of rows, words for "none known".
_TABLES: tuple[tuple[str, str, tuple[str, ...], Callable[[Any], list[Row]], str], ...] = (
    ("problems", "Problèmes actifs", _PROBLEM_HEADS, _problem, "Aucun problème actif connu"),
    ("history", "Antécédents médicaux", _PROBLEM_HEADS, _problem, "Aucun antécédent médical connu"),
    (
        "procedures",
        "Antécédents chirurgicaux et actes",
        ("Acte", "Date", "État", "Motif", "Commentaire"),
        _procedure,
        "Aucun acte connu",
    ),
    (
        "allergies",
        "Allergies et hypersensibilités",
        ("Agent", "Type", "Réactions", "État", "Période", "Commentaire"),
        _allergy,
        "Aucune allergie connue",
    ),
    ("lifestyle", "Habitus, mode de vie", ("Observation", "Valeur", "Date"), _observation, "Aucun élément connu"),
    ("occupational_risks", "Facteurs de risque professionnels", (), list, ""),
    (
        "family_history",
        "Antécédents familiaux",
        ("Parent", "Maladie", "Depuis"),
        _relative,
        "Aucun antécédent familial connu",
    ),
    ("vigilance", "Points de vigilance", (), list, ""),
    (
        "treatments",
        "Traitements au long cours",
        ("Médicament", "Posologie", "Période", "Motif", "Consigne"),
        _treatment,
        "Aucun traitement au long cours",
    ),
    (
        "immunizations",
        "Vaccinations",
        ("Vaccin", "Date", "Injection", "Administration", "Lot"),
        _immunization,
        "Aucune vaccination connue",
    ),
    ("devices", "Dispositifs médicaux", ("Dispositif", "Période"), _device, "Aucun dispositif connu"),
    ("vital_signs", "Signes vitaux", ("Mesure", "Valeur", "Date", "Interprétation"), _vital_signs, "Aucune mesure"),
    (
        "results",
        "Résultats d'examens",
        ("Examen", "Mesure", "Valeur", "Interprétation", "Date"),
        _results,
        "Aucun résultat",
    ),
    ("functional_status", "Statut fonctionnel", ("Échelle", "Valeur", "Date"), _observation, "Aucun élément connu"),
    ("care_plan", "Plan de soins", ("Élément", "Date", "État"), _planned, "Aucun élément prévu"),
    ("pregnancies", "Grossesses", ("Observation", "Valeur", "Date"), _observation, "Aucune grossesse connue"),
    ("advance_directives", "Directives anticipées", (), list, ""),
)


def _paragraphs(text: str) -> list[Paragraph]:
    return [paragraph(part) for part in text.replace("\r\n", "\n").split("\n\n") if part.strip()]


def summary_sections(document: MedicalSummary) -> Iterator[Section]:
    """The sections that the summary has, each as it is said."""
    for member, title, headings, rows_of, none in _TABLES:
        content = getattr(document, member)
        if content is None:
            continue
        if isinstance(content, str):
            if content.strip():
                yield Section(title, tuple(_paragraphs(content)))
            continue
        yield Section(title, _entries(content, headings, rows_of, none))
    if document.attachments:
        yield Section("Documents joints", tuple(paragraph(each.label) for each in document.attachments))


def _entries(
    content: Entries[Any], headings: tuple[str, ...], rows_of: Callable[[Any], list[Row]], none: str
) -> tuple[Block, ...]:
    blocks: list[Block] = []
    if content.entries:
        blocks.append(grid(headings, [row for entry in content.entries for row in rows_of(entry)]))
    elif content.absence is Absence.NONE_KNOWN:
        blocks.append(paragraph(none))
    elif content.absence is Absence.NO_INFORMATION:
        blocks.append(paragraph("Aucune information disponible"))
    if content.text:
        blocks += _paragraphs(content.text)
    return tuple(blocks)
