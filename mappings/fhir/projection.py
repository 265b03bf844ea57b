"""What a FHIR document Bundle holds of a document: the reviewed table behind the loss report and the round trips."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

from conformance.verdict import Text
from mappings.document.base import Part
from mappings.document.header import Authentication
from mappings.document.medication import ATC, AfterEvent, Dosage, Medication, Package, Posology, PosologyMode
from mappings.document.people import IdentityStatus, Organization
from mappings.document.prescription import MedicationLine, Substitution
from mappings.document.summary import FamilyCondition, Problem
from mappings.document.values import Address, Code, Period, Quantity, Telecom
from mappings.fhir.clinical_out import CLINICAL, CONDITION_CLINICAL, END_NOTE, ENDED, default_status
from mappings.fhir.dosage_out import offset_minutes, written_timings
from mappings.fhir.header_out import custodian_of, legal_of
from mappings.fhir.ids import derived_id
from mappings.fhir.markup_out import xhtml_of
from mappings.fhir.names import IDENTIFIERS, system_name
from mappings.fhir.narrative_in import plain_text
from mappings.fhir.people_out import INS_BY_AUTHORITY
from mappings.fhir.prescription_in import context_mark, substitution_of
from mappings.fhir.prescription_out import substitution_reason
from mappings.fhir.values_out import annotation, date_time, number, plain_spaces
from mappings.loss import Fate
from mappings.projection import Change, Form, Row, Table, Where
from mappings.rendering.posology import sentence

__all__ = ["TABLE"]

_EDQM: Final = "0.4.0.127.0.16.1.1.2.1"
_EPU: Final = IDENTIFIERS["prescription"]["system"][8:]
_NO_SECONDS: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?:Z|[+-]\d{2}:\d{2})\Z")
_PRESCRIPTION: Final = frozenset({"prescription"})
_DISPENSATION: Final = frozenset({"dispensation"})
_SUMMARY: Final = frozenset({"medical_summary"})
_OTHER: Final = frozenset({"other"})
#: How deep the rows of other documents go; CI-SIS nests sections three deep at most.
_DEPTHS: Final = 4


# --- Header ---------------------------------------------------------------------------------------


def _ins(value: Any, where: Where) -> Any:
    return value if value and where.parent.qualified and value.authority in INS_BY_AUTHORITY else None


def _status(value: Any, where: Where) -> Any:
    """The published FR Core model says qualified by an INS beside VALI: without it, only validated is left."""
    lacking = value is IdentityStatus.QUALIFIED and _ins(where.parent.ins, where) is None
    return IdentityStatus.VALIDATED if lacking else value


def _legal(value: Any, where: Where) -> Any:
    found = legal_of(where.document)
    return value if found is None else Authentication(professional=found[0], time=found[1])


def _timed(value: Any, where: Where) -> Any:
    """An absent time is the document's (1..1 in the profile)."""
    if value is None:
        return None
    return value if value.time else value.model_copy(update={"time": where.document.created_at})


def _number(value: Any, where: Where) -> Any:
    main = where.document.acts[0].id
    if value is None and main is not None and main.root == _EPU:
        return main.extension
    return value


def _prescription_acts(value: Any, where: Where) -> Any:
    main = value[0]
    if where.document.number is None and main.id is not None and main.id.root == _EPU and main.id.extension:
        main = main.model_copy(update={"id": None})
    return (main, *(act for act in value[1:] if context_mark(act) is None))


def _context_marks(value: Any, where: Where) -> Any:
    return (*(m for act in where.document.acts[1:] if (m := context_mark(act)) is not None), *value)


def _answered(document: Any) -> Any:
    """The order taken for the prescription when a dispensation does not name it."""
    if document.prescription_id is not None or document.prescription_number is not None:
        return None
    return next((order for order in document.orders if order.accession_number is None), None)


# --- Lines ----------------------------------------------------------------------------------------


def _identified(value: Any, where: Where) -> Any:
    """An absent id is derived from the document and the place, the same as in its CDA."""
    if value is None or value.id is not None:
        return value
    return value.model_copy(update={"id": derived_id(where.document.id, where.pointer)})


def _by_kind(value: Any, where: Where) -> Any:
    return tuple(sorted(value, key=lambda line: not isinstance(line, MedicationLine)))


def _own_period(value: Any, where: Where) -> Any:
    return None if value == where.document.acts[0].period else value


def _dispensed_at(value: Any, where: Where) -> Any:
    return None if value and date_time(value) == date_time(where.document.acts[0].period.start) else value


def _said(medication: Medication, value: Posology) -> Posology:
    said = sentence(value, medication)
    changes: dict[str, Any] = {"text": said}
    if value.dosage is not None and value.mode is PosologyMode.NORMAL:
        dosage = value.dosage
        if dosage.text == said:
            dosage = dosage.model_copy(update={"text": None})
        kept_timing = written_timings(dosage.timing)
        empty = dosage.model_copy(update={"sequence": None, "text": None, "timing": kept_timing})
        kept = dosage if empty != Dosage() else None
        if kept is None and dosage.text:
            kept = dosage
        changes["dosage"] = kept
    return value.model_copy(update=changes)


def _posology(value: Any, where: Where) -> Any:
    if value is None:
        return None
    return _said(where.parent.medication, value)


def _timings(value: Any, where: Where) -> Any:
    return written_timings(value)


def _minutes(value: Any, where: Where) -> Any:
    """A delay comes back in minutes (R4 offset)."""
    minutes = offset_minutes(value) if isinstance(value, AfterEvent) else None
    return value if minutes is None else value.model_copy(update={"offset": Quantity(value=minutes, unit="min")})


# --- Summary --------------------------------------------------------------------------------------


def _past(where: Where) -> bool:
    return where.pointer.startswith("/history/")


def _problem_status(value: Any, where: Where) -> Any:
    """A status of another terminology than the required one is only said in words."""
    return value if value is None else _clinical(where.parent, past=_past(where))


def _problem_period(value: Any, where: Where) -> Any:
    """An end beside a status that says the problem goes on stays in a note (con-4)."""
    if value.end and _clinical(where.parent, past=_past(where)).code not in ENDED:
        return value.model_copy(update={"end": None})
    return value


def _clinical(problem: Problem, *, past: bool) -> Code:
    stated = problem.clinical_status
    if stated is not None and stated.system == CONDITION_CLINICAL and stated.code in CLINICAL:
        return stated
    code = default_status(problem, past=past)
    return Code(code=code, system=CONDITION_CLINICAL, display=CLINICAL[code])


def _problem(value: Any, where: Where) -> Any:
    if value is None:
        return None
    status = _clinical(value, past=_past(where))
    shown = status if status.display else status.model_copy(update={"display": CLINICAL[status.code]})
    changes: dict[str, Any] = {"clinical_status": shown}
    if value.period.end and status.code not in ENDED:
        note = END_NOTE + date_time(value.period.end)
        changes["comment"] = f"{value.comment}\n{note}" if value.comment else note
        # The row of the period comes later and sees the status kept here.
    return _identified(value.model_copy(update=changes), where)


def _active(value: Any, where: Where) -> Any:
    return value or "active"


def _group_time(value: Any, where: Where) -> Any:
    """A measure made at the time of its group does not repeat it."""
    if value is None:
        return None
    same = date_time(value.observed_at)
    signs = tuple(
        s.model_copy(update={"observed_at": None}) if s.observed_at and date_time(s.observed_at) == same else s
        for s in value.signs
    )
    return value.model_copy(update={"signs": signs})


def _goals_last(value: Any, where: Where) -> Any:
    return tuple(sorted(value, key=lambda item: item.mood == "GOL"))


def _goal_day(value: Any, where: Where) -> Any:
    return value[:10] if value and where.parent.mood == "GOL" else value


def _disease(value: Any, where: Where) -> Any:
    return FamilyCondition.model_fields["category"].default


def _summary_rows(member: str, *paths: str) -> tuple[Row, ...]:
    return tuple(Row(path=f"{member}.{path}", becomes=_identified, kinds=_SUMMARY) for path in paths)


# --- Forms ----------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """Empty texts, periods and addresses are not written: they come back absent."""
    changes: dict[str, Any] = {}
    for name, field in type(value).model_fields.items():
        held = getattr(value, name)
        if field.default is None and (held in ("", Period(), Address(), b"")):
            changes[name] = None
        elif isinstance(held, tuple) and any(item in ("", Address()) for item in held):
            changes[name] = tuple(item for item in held if item not in ("", Address()))
    return value.model_copy(update=changes) if changes else value


def _code(value: Any) -> Any:
    name = system_name(value.system)
    return value if value.system_name == name else value.model_copy(update={"system_name": name})


def _quantity(value: Any) -> Any:
    exact = Decimal(repr(number(value.value)))
    changes: dict[str, Any] = {} if exact == value.value else {"value": exact}
    words = value.unit.startswith("{") and value.unit.endswith("}")
    if words and value.display and annotation(value.display) != value.unit:
        changes["display"] = None
    return value.model_copy(update=changes) if changes else value


def _telecom(value: Any) -> Any:
    scheme = value.value.partition(":")[0]
    use = {"HP": "H", "HV": "H", "DIR": "WP", "PUB": "WP", "EC": None}.get(value.use, value.use)
    if use == "PG" and scheme != "tel":
        use = None
    return value if use == value.use else value.model_copy(update={"use": use})


def _package(value: Any) -> Any:
    """Container and code come back by their terminology: EDQM is the container."""
    known = [c for c in (value.container, value.code) if c is not None]
    container = next((c for c in known if c.system == _EDQM), None)
    other = next((c for c in known if c.system != _EDQM), None)
    return value.model_copy(update={"container": container, "code": other})


def _organization(value: Any) -> Any:
    """Nothing of a structure is of use home (org-2, org-3)."""
    places = tuple(
        kept
        for a in value.addresses
        if (kept := a.model_copy(update={"use": None}) if a.use in ("H", "HP", "HV") else a) != Address()
    )
    calls = tuple(t.model_copy(update={"use": None}) if t.use == "H" else t for t in value.telecoms)
    return value.model_copy(update={"addresses": places, "telecoms": calls})


def _medication(value: Any) -> Any:
    changes: dict[str, Any] = {}
    atc = next((code for code in value.codes if code.system == ATC), None)
    if atc is not None:
        changes |= {"atc": atc, "codes": tuple(code for code in value.codes if code.system != ATC)}
    if value.preparation:
        if value.name == value.preparation:
            changes["name"] = None
    elif not value.name:
        changes["name"] = value.label
    if value.package is not None and not any(getattr(value.package, n) for n in type(value.package).model_fields):
        changes["package"] = None
    return value.model_copy(update=changes) if changes else value


def _substitution(value: Any) -> Any:
    return substitution_of(value.permitted, substitution_reason(value))


def _spelling(text: str) -> str:
    """R4 wants seconds beside an hour, and knows no other space than the plain one in a string."""
    return date_time(text) if _NO_SECONDS.match(text) else plain_spaces(text)


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
        becomes=_problem_status,
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
        becomes=_problem_period,
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
        becomes=_disease,
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
        f"{path}.problem": _problem,
        f"{path}.allergy.clinical_status": _active,
        f"{path}.treatment.posology": _posology,
        f"{path}.vital_signs": _group_time,
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
        *(Row(path=f"{path}.{name}", becomes=_identified, kinds=_OTHER) for name in named),
        Row(path=path.removesuffix(".entries.*"), becomes=_other_section, kinds=_OTHER),
    )


def _other_section(value: Any, where: Where) -> Any:
    """The markup is read back as the words it holds; words beside it are those of the markup."""
    if value.markup is None:
        return value
    inside = xhtml_of(value.markup)
    said = plain_text(inside) if inside and inside.strip() else value.text
    return value.model_copy(update={"markup": None, "text": said or None})


def _timing_rows(kinds: frozenset[str], *paths: str) -> tuple[Row, ...]:
    return tuple(
        Row(
            path=f"{path}.{part}.timing",
            becomes=_timings,
            fate=Fate.TEXT_ONLY,
            reason=_UNSAID_TIMING,
            clinical=True,
            kinds=kinds,
        )
        for path in paths
        for part in ("dosage", "steps.*")
    ) + tuple(
        Row(path=f"{path}.{part}.timing.*", becomes=_minutes, kinds=kinds)
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
        Row(path="patient.status", becomes=_status),
        Row(
            path="patient.ins",
            becomes=_ins,
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
        Row(path="authors.*", becomes=_timed),
        Row(path="legal_authenticator", becomes=_legal),
        Row(path="authenticators.*", becomes=_timed),
        Row(path="data_enterer", becomes=_timed),
        Row(path="custodian", becomes=lambda value, where: custodian_of(where.document)),
        # Prescription
        Row(path="number", becomes=_number, kinds=_PRESCRIPTION),
        Row(path="acts", becomes=_prescription_acts, kinds=_PRESCRIPTION),
        Row(path="context_marks", becomes=_context_marks, kinds=_PRESCRIPTION),
        Row(path="lines.*.posology", becomes=_posology, kinds=_PRESCRIPTION),
        *_timing_rows(_PRESCRIPTION, "lines.*.posology"),
        Row(path="lines.*.renewal_period", becomes=_own_period, kinds=_PRESCRIPTION),
        Row(
            path="lines.*.rental_duration",
            becomes=lambda value, where: value.model_copy(update={"display": None}) if value else value,
            kinds=_PRESCRIPTION,
        ),
        Row(path="lines.*", becomes=_identified, kinds=_PRESCRIPTION),
        Row(path="lines", becomes=_by_kind, kinds=_PRESCRIPTION),
        # Dispensation
        Row(path="lines.*.changed_posology", becomes=_posology, kinds=_DISPENSATION),
        *_timing_rows(_DISPENSATION, "lines.*.changed_posology"),
        Row(path="lines.*.dispensed_at", becomes=_dispensed_at, kinds=_DISPENSATION),
        Row(path="lines.*", becomes=_identified, kinds=_DISPENSATION),
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
            becomes=lambda value, where: o.id if (o := _answered(where.document)) is not None else value,
            kinds=_DISPENSATION,
        ),
        Row(
            path="orders",
            becomes=lambda value, where: tuple(o for o in value if o is not _answered(where.document)),
            kinds=_DISPENSATION,
        ),
        # Summary
        _status_row("problems.entries.*", _SUMMARY),
        _status_row("history.entries.*", _SUMMARY),
        Row(path="problems.entries.*", becomes=_problem, kinds=_SUMMARY),
        Row(path="history.entries.*", becomes=_problem, kinds=_SUMMARY),
        _period_row("problems.entries.*", _SUMMARY),
        _period_row("history.entries.*", _SUMMARY),
        Row(path="allergies.entries.*.clinical_status", becomes=_active, kinds=_SUMMARY),
        _disease_row("family_history.entries.*", _SUMMARY),
        Row(path="treatments.entries.*.posology", becomes=_posology, kinds=_SUMMARY),
        *_timing_rows(_SUMMARY, "treatments.entries.*.posology"),
        Row(path="vital_signs.entries.*", becomes=_group_time, kinds=_SUMMARY),
        Row(path="care_plan.entries.*.planned_for", becomes=_goal_day, kinds=_SUMMARY),
        *_IDENTIFIED,
        Row(path="care_plan.entries", becomes=_goals_last, kinds=_SUMMARY),
        # Other documents: entries at any depth a document has
        *(row for depth in range(_DEPTHS) for row in _other_rows(depth)),
    ),
    forms=(
        Form(cls=Part, becomes=_plain),
        Form(cls=Code, becomes=_code),
        Form(cls=Quantity, becomes=_quantity),
        Form(cls=Telecom, becomes=_telecom),
        Form(cls=Organization, becomes=_organization),
        Form(cls=Package, becomes=_package),
        Form(cls=Medication, becomes=_medication),
        Form(cls=Substitution, becomes=_substitution),
    ),
    texts=_spelling,
)
