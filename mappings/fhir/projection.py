"""What a FHIR document Bundle holds of a document: the reviewed table behind the loss report and the round trips."""

from __future__ import annotations

from typing import Final

from conformance.verdict import Text
from mappings.document.base import Part
from mappings.document.medication import Medication, Package
from mappings.document.people import Organization
from mappings.document.prescription import Substitution
from mappings.document.values import Address, Code, Quantity, Telecom
from mappings.fhir import projection_changes as changes
from mappings.fhir import projection_forms as forms
from mappings.fhir.header_out import custodian_of
from mappings.loss import Fate
from mappings.projection import Change, Form, Row, Table

__all__ = ["TABLE"]

_PRESCRIPTION: Final = frozenset({"prescription"})
_DISPENSATION: Final = frozenset({"dispensation"})
_SUMMARY: Final = frozenset({"medical_summary"})
_OTHER: Final = frozenset({"other"})
#: How deep the rows of other documents go; CI-SIS nests sections three deep at most.
_DEPTHS: Final = 4


def _summary_rows(member: str, *paths: str) -> tuple[Row, ...]:
    return tuple(Row(path=f"{member}.{path}", becomes=changes.identified, kinds=_SUMMARY) for path in paths)


_IDENTIFIED: Final = (
    Row(path="attachments.*.title", becomes=lambda _value, where: where.parent.label, kinds=_SUMMARY),
    *_summary_rows("procedures", "entries.*"),
    *_summary_rows("allergies", "entries.*"),
    *_summary_rows("lifestyle", "entries.*"),
    *_summary_rows("family_history", "entries.*.conditions.*"),
    *_summary_rows("treatments", "entries.*"),
    *_summary_rows("immunizations", "entries.*"),
    *_summary_rows("devices", "entries.*"),
    *_summary_rows("vital_signs", "entries.*.signs.*", "entries.*"),
    *_summary_rows("results", "entries.*.results.*", "entries.*"),
    *_summary_rows("functional_status", "entries.*"),
    *_summary_rows("care_plan", "entries.*"),
    *_summary_rows("pregnancies", "entries.*"),
)
_UNSAID_TIMING = Text(
    "FHIR ne peut pas dire cette fréquence ou ce délai sous forme codée : le texte de la posologie le dit.",
    "FHIR cannot say this frequency or delay in code: the words of the posology say it.",
)


def _status_row(path: str, kinds: frozenset[str]) -> Row:
    return Row(
        path=f"{path}.clinical_status",
        becomes=changes.problem_status,
        fate=Fate.TEXT_ONLY,
        reason=Text(
            "FHIR n'admet ici que les statuts condition-clinical : celui-ci reste en texte.",
            "FHIR admits only condition-clinical statuses here: this one stays in words.",
        ),
        kinds=kinds,
    )


def _period_row(path: str, kinds: frozenset[str]) -> Row:
    return Row(
        path=f"{path}.period",
        becomes=changes.problem_period,
        fate=Fate.TEXT_ONLY,
        reason=Text(
            "Un problème déclaré actif ne peut pas avoir de fin en FHIR (con-4) : elle reste dans une note.",
            "A problem said to be active cannot have an end in FHIR (con-4): it stays in a note.",
        ),
        clinical=True,
        kinds=kinds,
    )


def _disease_row(path: str, kinds: frozenset[str]) -> Row:
    return Row(
        path=f"{path}.conditions.*.category",
        becomes=changes.disease,
        fate=Fate.LOST,
        reason=Text(
            "FHIR n'a pas de place pour la nature de la maladie d'un parent.",
            "FHIR has no place for the kind of a relative's disease.",
        ),
        kinds=kinds,
    )


def _other_rows(depth: int) -> tuple[Row, ...]:
    """The rows of the entries of another document, at one depth of its sections."""
    path = "sections.*." + "sections.*." * depth + "entries.*"
    becomes: dict[str, Change] = {
        f"{path}.problem": changes.problem,
        f"{path}.allergy.clinical_status": changes.active,
        f"{path}.treatment.posology": changes.posology,
        f"{path}.vital_signs": changes.group_time,
    }
    plain = [Row(path=at, becomes=change, kinds=_OTHER) for at, change in becomes.items()]
    named = (
        *("allergy", "procedure", "treatment", "immunization", "device", "lifestyle", "pregnancy", "result"),
        *("family.conditions.*", "vital_signs.signs.*", "vital_signs", "results.results.*", "results"),
    )
    return (
        _status_row(f"{path}.problem", _OTHER),
        *plain,
        _period_row(f"{path}.problem", _OTHER),
        _disease_row(f"{path}.family", _OTHER),
        *_timing_rows(_OTHER, f"{path}.treatment.posology"),
        *(Row(path=f"{path}.{name}", becomes=changes.identified, kinds=_OTHER) for name in named),
        Row(path=path.removesuffix(".entries.*"), becomes=changes.other_section, kinds=_OTHER),
    )


def _timing_rows(kinds: frozenset[str], *paths: str) -> tuple[Row, ...]:
    return tuple(
        Row(
            path=f"{path}.{part}.timing",
            becomes=changes.timings,
            fate=Fate.TEXT_ONLY,
            reason=_UNSAID_TIMING,
            clinical=True,
            kinds=kinds,
        )
        for path in paths
        for part in ("dosage", "steps.*")
    ) + tuple(
        Row(path=f"{path}.{part}.timing.*", becomes=changes.minutes, kinds=kinds)
        for path in paths
        for part in ("dosage", "steps.*")
    )


TABLE: Final = Table(
    rows=(
        Row(path="schema_version", becomes=lambda value, where: "1.0"),
        Row(path="set_id", becomes=lambda value, where: value or where.document.id),
        Row(
            path="replaces.version_number",
            becomes=lambda value, where: None,
            fate=Fate.LOST,
            reason=Text(
                "FHIR R4 n'a pas de place pour le numéro de la version remplacée.",
                "FHIR R4 has no place for the number of the replaced version.",
            ),
        ),
        Row(path="patient.status", becomes=changes.status),
        Row(
            path="patient.ins",
            becomes=changes.ins,
            fate=Fate.LOST,
            reason=Text(
                "Le matricule INS ne part que si l'identité est qualifiée.",
                "The INS leaves only with a qualified identity.",
            ),
        ),
        Row(path="patient.ins_checked_on", becomes=lambda value, where: value[:10] if value else value),
        Row(path="patient.deceased", becomes=lambda value, where: True if where.parent.deceased_at else value),
        Row(
            path="patient.guardian.addresses",
            becomes=lambda value, where: tuple(a for a in value if a != Address())[:1],
            fate=Fate.LOST,
            reason=Text(
                "Un contact du patient n'a qu'une adresse en FHIR.",
                "A contact of the patient has one address in FHIR.",
            ),
        ),
        Row(path="authors.*", becomes=changes.timed),
        Row(path="legal_authenticator", becomes=changes.legal),
        Row(path="authenticators.*", becomes=changes.timed),
        Row(path="data_enterer", becomes=changes.timed),
        Row(path="custodian", becomes=lambda value, where: custodian_of(where.document)),
        # Prescription
        Row(path="number", becomes=changes.prescription_number, kinds=_PRESCRIPTION),
        Row(path="acts", becomes=changes.prescription_acts, kinds=_PRESCRIPTION),
        Row(path="context_marks", becomes=changes.context_marks, kinds=_PRESCRIPTION),
        Row(path="lines.*.posology", becomes=changes.posology, kinds=_PRESCRIPTION),
        *_timing_rows(_PRESCRIPTION, "lines.*.posology"),
        Row(path="lines.*.renewal_period", becomes=changes.own_period, kinds=_PRESCRIPTION),
        Row(
            path="lines.*.rental_duration",
            becomes=lambda value, where: value.model_copy(update={"display": None}) if value else value,
            kinds=_PRESCRIPTION,
        ),
        Row(path="lines.*", becomes=changes.identified, kinds=_PRESCRIPTION),
        Row(path="lines", becomes=changes.by_kind, kinds=_PRESCRIPTION),
        # Dispensation
        Row(path="lines.*.changed_posology", becomes=changes.posology, kinds=_DISPENSATION),
        *_timing_rows(_DISPENSATION, "lines.*.changed_posology"),
        Row(path="lines.*.dispensed_at", becomes=changes.dispensed_at, kinds=_DISPENSATION),
        Row(path="lines.*", becomes=changes.identified, kinds=_DISPENSATION),
        Row(
            path="refused",
            becomes=lambda value, where: (),
            fate=Fate.LOST,
            reason=Text(
                "Une ligne non délivrée n'entre pas dans le document : c'est un évènement de la passerelle.",
                "A line not dispensed has no place in the document: it is an event of the gateway.",
            ),
            kinds=_DISPENSATION,
        ),
        Row(
            path="prescription_id",
            becomes=lambda value, where: o.id if (o := changes.answered(where.document)) is not None else value,
            kinds=_DISPENSATION,
        ),
        Row(
            path="orders",
            becomes=lambda value, where: tuple(o for o in value if o is not changes.answered(where.document)),
            kinds=_DISPENSATION,
        ),
        # Summary
        _status_row("problems.entries.*", _SUMMARY),
        _status_row("history.entries.*", _SUMMARY),
        Row(path="problems.entries.*", becomes=changes.problem, kinds=_SUMMARY),
        Row(path="history.entries.*", becomes=changes.problem, kinds=_SUMMARY),
        _period_row("problems.entries.*", _SUMMARY),
        _period_row("history.entries.*", _SUMMARY),
        Row(path="allergies.entries.*.clinical_status", becomes=changes.active, kinds=_SUMMARY),
        _disease_row("family_history.entries.*", _SUMMARY),
        Row(path="treatments.entries.*.posology", becomes=changes.posology, kinds=_SUMMARY),
        *_timing_rows(_SUMMARY, "treatments.entries.*.posology"),
        Row(path="vital_signs.entries.*", becomes=changes.group_time, kinds=_SUMMARY),
        Row(path="care_plan.entries.*.planned_for", becomes=changes.goal_day, kinds=_SUMMARY),
        *_IDENTIFIED,
        Row(path="care_plan.entries", becomes=changes.goals_last, kinds=_SUMMARY),
        # Other documents: entries at any depth a document has
        *(row for depth in range(_DEPTHS) for row in _other_rows(depth)),
    ),
    forms=(
        Form(cls=Part, becomes=forms.plain),
        Form(cls=Code, becomes=forms.code),
        Form(cls=Quantity, becomes=forms.quantity),
        Form(cls=Telecom, becomes=forms.telecom),
        Form(cls=Organization, becomes=forms.organization),
        Form(cls=Package, becomes=forms.package),
        Form(cls=Medication, becomes=forms.medication),
        Form(cls=Substitution, becomes=forms.substitution),
    ),
    texts=forms.spelling,
)
