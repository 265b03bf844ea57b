"""What becomes of a member of a hub document in FHIR: the changes that the rows of the projection name."""

from __future__ import annotations

from typing import Any, Final

from mappings.document.header import Authentication
from mappings.document.medication import AfterEvent, Dosage, Medication, Posology, PosologyMode
from mappings.document.people import IdentityStatus
from mappings.document.prescription import MedicationLine
from mappings.document.summary import FamilyCondition, Problem
from mappings.document.values import Code, Quantity
from mappings.fhir.clinical_out import CLINICAL, CONDITION_CLINICAL, END_NOTE, ENDED, default_status
from mappings.fhir.dosage_out import offset_minutes, written_timings
from mappings.fhir.header_out import legal_of
from mappings.fhir.ids import derived_id
from mappings.fhir.markup_out import xhtml_of
from mappings.fhir.names import IDENTIFIERS
from mappings.fhir.narrative_in import plain_text
from mappings.fhir.people_out import INS_BY_AUTHORITY
from mappings.fhir.prescription_in import context_mark
from mappings.fhir.values_out import date_time
from mappings.projection import Where
from mappings.rendering.posology import sentence

__all__ = [
    "active",
    "answered",
    "by_kind",
    "context_marks",
    "disease",
    "dispensed_at",
    "goal_day",
    "goals_last",
    "group_time",
    "identified",
    "ins",
    "legal",
    "minutes",
    "other_section",
    "own_period",
    "posology",
    "prescription_acts",
    "prescription_number",
    "problem",
    "problem_period",
    "problem_status",
    "status",
    "timed",
    "timings",
]

_EPU: Final = IDENTIFIERS["prescription"]["system"][8:]


# --- Header ---------------------------------------------------------------------------------------


def ins(value: Any, where: Where) -> Any:
    """An INS leaves only with a qualified identity and a known authority."""
    return value if value and where.parent.qualified and value.authority in INS_BY_AUTHORITY else None


def status(value: Any, where: Where) -> Any:
    """The published FR Core model says qualified by an INS beside VALI: without it, only validated is left."""
    lacking = value is IdentityStatus.QUALIFIED and ins(where.parent.ins, where) is None
    return IdentityStatus.VALIDATED if lacking else value


def legal(value: Any, where: Where) -> Any:
    """The legal authenticator the writer takes when the document names none."""
    found = legal_of(where.document)
    return value if found is None else Authentication(professional=found[0], time=found[1])


def timed(value: Any, where: Where) -> Any:
    """An absent time is the document's (1..1 in the profile)."""
    if value is None:
        return None
    return value if value.time else value.model_copy(update={"time": where.document.created_at})


def prescription_number(value: Any, where: Where) -> Any:
    """A principal act identified by the number of an e-prescription gives that number."""
    main = where.document.acts[0].id
    if value is None and main is not None and main.root == _EPU:
        return main.extension
    return value


def prescription_acts(value: Any, where: Where) -> Any:
    """The act whose identifier is the number loses it; acts that are context marks become marks."""
    main = value[0]
    if where.document.number is None and main.id is not None and main.id.root == _EPU and main.id.extension:
        main = main.model_copy(update={"id": None})
    return (main, *(act for act in value[1:] if context_mark(act) is None))


def context_marks(value: Any, where: Where) -> Any:
    """The context marks, those held as acts first."""
    return (*(m for act in where.document.acts[1:] if (m := context_mark(act)) is not None), *value)


def answered(document: Any) -> Any:
    """The order taken for the prescription when a dispensation does not name it."""
    if document.prescription_id is not None or document.prescription_number is not None:
        return None
    return next((order for order in document.orders if order.accession_number is None), None)


# --- Lines ----------------------------------------------------------------------------------------


def identified(value: Any, where: Where) -> Any:
    """An absent id is derived from the document and the place, the same as in its CDA."""
    if value is None or value.id is not None:
        return value
    return value.model_copy(update={"id": derived_id(where.document.id, where.pointer)})


def by_kind(value: Any, where: Where) -> Any:
    """Medicines come before devices: each kind has its own resource."""
    return tuple(sorted(value, key=lambda line: not isinstance(line, MedicationLine)))


def own_period(value: Any, where: Where) -> Any:
    """A renewal period that is the document's own is not repeated."""
    return None if value == where.document.acts[0].period else value


def dispensed_at(value: Any, where: Where) -> Any:
    """A hand-over at the time of the document is not repeated."""
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


def posology(value: Any, where: Where) -> Any:
    """The words of a posology are its whole sentence; its structure keeps what R4 can say."""
    if value is None:
        return None
    return _said(where.parent.medication, value)


def timings(value: Any, where: Where) -> Any:
    """The timings that R4 can say; the others are in the words."""
    return written_timings(value)


def minutes(value: Any, where: Where) -> Any:
    """A delay comes back in minutes (R4 offset)."""
    minutes = offset_minutes(value) if isinstance(value, AfterEvent) else None
    return value if minutes is None else value.model_copy(update={"offset": Quantity(value=minutes, unit="min")})


# --- Summary --------------------------------------------------------------------------------------


def _past(where: Where) -> bool:
    return where.pointer.startswith("/history/")


def problem_status(value: Any, where: Where) -> Any:
    """A status of another terminology than the required one is only said in words."""
    return value if value is None else _clinical(where.parent, past=_past(where))


def problem_period(value: Any, where: Where) -> Any:
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


def problem(value: Any, where: Where) -> Any:
    """A problem with the required status, its unsaid end in a note."""
    if value is None:
        return None
    status = _clinical(value, past=_past(where))
    shown = status if status.display else status.model_copy(update={"display": CLINICAL[status.code]})
    changes: dict[str, Any] = {"clinical_status": shown}
    if value.period.end and status.code not in ENDED:
        note = END_NOTE + date_time(value.period.end)
        changes["comment"] = f"{value.comment}\n{note}" if value.comment else note
        # The row of the period comes later and sees the status kept here.
    return identified(value.model_copy(update=changes), where)


def active(value: Any, where: Where) -> Any:
    """An allergy without a status is active."""
    return value or "active"


def group_time(value: Any, where: Where) -> Any:
    """A measure made at the time of its group does not repeat it."""
    if value is None:
        return None
    same = date_time(value.observed_at)
    signs = tuple(
        s.model_copy(update={"observed_at": None}) if s.observed_at and date_time(s.observed_at) == same else s
        for s in value.signs
    )
    return value.model_copy(update={"signs": signs})


def goals_last(value: Any, where: Where) -> Any:
    """Goals come after the other entries of a care plan: they are resources of another type."""
    return tuple(sorted(value, key=lambda item: item.mood == "GOL"))


def goal_day(value: Any, where: Where) -> Any:
    """The date of a goal is a day."""
    return value[:10] if value and where.parent.mood == "GOL" else value


def disease(value: Any, where: Where) -> Any:
    """The kind of a relative's disease comes back as the usual one."""
    return FamilyCondition.model_fields["category"].default


# --- Other documents --------------------------------------------------------------------------


def other_section(value: Any, where: Where) -> Any:
    """The markup is read back as the words it holds; words beside it are those of the markup."""
    if value.markup is None:
        return value
    inside = xhtml_of(value.markup)
    said = plain_text(inside) if inside and inside.strip() else value.text
    return value.model_copy(update={"markup": None, "text": said or None})
