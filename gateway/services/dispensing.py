"""A dispensation as a pharmacy sends it, and the eDISP-MED document made of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
from pydantic import Field, ValidationError

from conformance.verdict import Finding
from gateway.orders.life import Refused
from gateway.orders.rules import NO_PRODUCT, Asked, AskedLine, Plan
from gateway.problems import Invalid
from gateway.services.faults import findings_of
from gateway.services.order_store import StoredOrder
from mappings import document as hub
from mappings.document.base import Part
from mappings.document.medication import Medication, Posology
from mappings.document.people import Ins, Patient, Professional
from mappings.document.values import Moment, Quantity, moment_key

__all__ = [
    "DispensationIn",
    "as_kept",
    "asked_of",
    "document_of",
    "letter",
    "read_dispensation",
    "relay_of",
    "written",
]

PARIS = ZoneInfo("Europe/Paris")


class SubstitutionIn(Part):
    """A substitution."""

    reason: str | None = Field(None, max_length=400)


class AgreementIn(Part):
    """The prescriber agreed to another product, and when."""

    at: Moment
    by: str | None = Field(None, max_length=200)


class LineIn(Part):
    """One product given."""

    line: UUID | None = Field(None, description="Line of the e-prescription; absent for a product beside it.")
    medication: Medication | None = Field(None, description="What was given; the product prescribed when absent.")
    quantity: Quantity
    complete: bool | None = Field(
        None, description="This delivery is complete, or not; told by the quantity if absent."
    )
    substitution: SubstitutionIn | None = None
    agreement: AgreementIn | None = None
    changed_posology: Posology | None = None
    excess_reason: str | None = Field(None, min_length=3, max_length=400, description="Why more than what is left.")
    late_reason: str | None = Field(None, min_length=3, max_length=400)
    early_reason: str | None = Field(None, min_length=3, max_length=400)
    patient_instruction: str | None = Field(None, max_length=2000)
    note: str | None = Field(None, max_length=1000, description="The pharmacist's note on the line.")


class RefusedIn(Part):
    """A line not given."""

    line: UUID
    reason: str = Field(min_length=3, max_length=400)


class PaperIn(Part):
    """A prescription on paper, without number."""

    prescriber: Professional
    issued_at: Moment


class TellIn(Part):
    """What the prescriber is told by MSSanté."""

    address: str | None = Field(
        None, pattern=r"^[^\s@]+@[^\s@]+$", max_length=254, description="The prescriber's; that of the order if absent."
    )
    question: str | None = Field(None, max_length=2000)


class DispensationIn(Part):
    """What a pharmacy gave, refused or asks about, in one go."""

    number: str | None = Field(None, min_length=1, max_length=64, description="Number of the e-prescription.")
    code: str | None = Field(None, max_length=400, description="Text of the scanned 2D code, instead of the number.")
    ins: Ins | None = Field(None, description="The patient's INS, with a number or a code.")
    patient: Patient | None = Field(None, description="The pharmacy's own file; that of the prescription if absent.")
    pharmacist: Professional
    dispensed_at: Moment | None = Field(None, description="Now when absent.")
    order_version: int | None = Field(None, ge=1, description="Version of the order that the pharmacist saw.")
    lines: tuple[LineIn, ...] = Field((), max_length=200)
    refused: tuple[RefusedIn, ...] = Field((), max_length=200)
    note: str | None = Field(None, max_length=1000)
    paper: PaperIn | None = None
    tell_prescriber: TellIn | None = None
    to_dmp: bool = True


def read_dispensation(value: Any) -> DispensationIn:
    """Read what a pharmacy sends; raises :class:`Invalid` with every fault."""
    nameless = [] if not isinstance(value, dict) else list(_nameless(value))
    if nameless:
        raise Invalid(nameless)
    try:
        return DispensationIn.model_validate(value)
    except ValidationError as exc:
        raise Invalid(list(findings_of(exc))) from None


def _nameless(value: dict[str, Any]) -> list[Finding]:
    """Products that nothing names: told in a pharmacist's words rather than in those of the format."""
    lines = value.get("lines")
    found = []
    for rank, line in enumerate(lines if isinstance(lines, list) else ()):
        product = line.get("medication") if isinstance(line, dict) else None
        if isinstance(product, dict) and not (
            product.get("name") or product.get("codes") or product.get("preparation")
        ):
            found.append(NO_PRODUCT.finding(f"/lines/{rank}/medication"))
    return found


def asked_of(said: DispensationIn, now: datetime) -> Asked:
    """What is to be judged of a dispensation."""
    return Asked(
        at=moment_key(said.dispensed_at) if said.dispensed_at and len(said.dispensed_at) > 10 else _day(said, now),
        lines=tuple(
            AskedLine(
                line=str(one.line) if one.line else None,
                medication=one.medication,
                quantity=one.quantity.value,
                unit=one.quantity.unit,
                complete=one.complete,
                substituted=one.substitution is not None,
                agreed=one.agreement is not None,
                excess_reason=one.excess_reason,
                late_reason=one.late_reason,
                early_reason=one.early_reason,
            )
            for one in said.lines
        ),
        refused=tuple(Refused(line=str(one.line), reason=one.reason) for one in said.refused),
    )


def _day(said: DispensationIn, now: datetime) -> datetime:
    """A day without its time counts from noon, or now when it is today."""
    if said.dispensed_at is None:
        return now
    at = moment_key(said.dispensed_at).replace(hour=11)
    return min(at, now) if at.date() == now.date() else at


def written(at: datetime) -> str:
    """An instant as documents write it: Paris time, to the second."""
    return at.astimezone(PARIS).isoformat(timespec="seconds")


def _note(one: LineIn, said: DispensationIn) -> str | None:
    parts = [one.note]
    if one.agreement:
        who = f" ({one.agreement.by})" if one.agreement.by else ""
        parts.append(f"Accord du prescripteur{who} le {one.agreement.at[:10]}")
    for label, reason in (
        ("Au-delà de la quantité prescrite", one.excess_reason),
        ("Délivrance tardive", one.late_reason),
        ("Délivrance anticipée", one.early_reason),
    ):
        if reason:
            parts.append(f"{label} : {reason}")
    parts.append(said.note)
    text = ". ".join(part.rstrip(". ") for part in parts if part)
    return text[:2000] or None


def document_of(
    said: DispensationIn,
    plan: Plan,
    order: StoredOrder | None,
    *,
    patient: Patient,
    identifier: str,
    at: datetime,
    now: datetime,
    lineage: dict[str, Any],
) -> bytes | None:
    """The dispensation document as JSON; None when no medicine was given, for which no document exists."""
    lines = []
    for one, code in zip(said.lines, plan.codes, strict=True):
        line = order.order.line(str(one.line)) if order and one.line else None
        if line is not None and line.device:
            continue  # no eDISP is published for devices (cda-eprescription.md 7)
        medication = one.medication or (line.medication if line else None)
        if medication is None:
            raise Invalid([NO_PRODUCT.finding("/lines")])
        lines.append(
            {
                "completeness": code,
                "medication": medication.model_dump(mode="json", exclude_none=True),
                "quantity": one.quantity.model_dump(mode="json", exclude_none=True),
                "dispensedAt": written(at),
                **({"prescribedLine": str(one.line)} if one.line else {}),
                **(
                    {"changedPosology": one.changed_posology.model_dump(mode="json", exclude_none=True)}
                    if one.changed_posology
                    else {}
                ),
                **(
                    {"substitution": one.substitution.model_dump(mode="json", exclude_none=True)}
                    if one.substitution
                    else {}
                ),
                **({"patientInstruction": one.patient_instruction} if one.patient_instruction else {}),
                **({"note": note} if (note := _note(one, said)) else {}),
            }
        )
    if not lines:
        return None
    pharmacist = said.pharmacist.model_dump(mode="json", exclude_none=True)
    organization = said.pharmacist.organization
    value: dict[str, Any] = {
        "kind": "dispensation",
        "id": {"root": identifier},
        "title": "Dispensation de médicaments",
        "createdAt": written(now),
        "patient": patient.model_dump(mode="json", exclude_none=True),
        "authors": [{"professional": pharmacist, "time": written(now)}],
        "acts": [{"period": {"start": written(at)}, "performer": pharmacist}],
        "encounter": {
            "code": {"code": "AMB", "display": "Ambulatoire (hors établissement)", "system": "2.16.840.1.113883.5.4"},
            "period": {"start": written(at)},
            "facility": {"code": "SA33", "display": "Pharmacie d'officine", "system": "1.2.250.1.71.4.2.4"},
        },
        "lines": lines,
        **lineage,
    }
    if organization is not None:
        value["custodian"] = organization.model_dump(mode="json", exclude_none=True, include={"id", "name"})
    prescriber, issued = _prescriber(said, order)
    if prescriber is not None:
        value["participants"] = [_referrer(prescriber, issued)]
    if order is not None:
        value["prescriptionNumber"] = order.number
        if order.prescription.id is not None:
            value["prescriptionId"] = order.prescription.id.model_dump(mode="json", exclude_none=True)
        if plan.refused:
            value["refused"] = [{"prescribedLine": one.line, "reason": one.reason} for one in plan.refused]
    # Read once as the model so that a fault of ours is seen here, not by a reader elsewhere.
    return hub.load(value).model_dump_json(exclude_none=True).encode()


def _prescriber(said: DispensationIn, order: StoredOrder | None) -> tuple[Professional | None, str]:
    if order is not None:
        return order.prescription.first_professional, order.prescription.created_at
    return (said.paper.prescriber, said.paper.issued_at) if said.paper else (None, "")


def _referrer(prescriber: Professional, issued: str) -> dict[str, Any]:
    out = prescriber.model_dump(
        mode="json",
        exclude_none=True,
        include={"id", "family", "given", "prefix", "suffix", "addresses", "telecoms"},
    )
    if prescriber.organization is not None:
        out["organization"] = prescriber.organization.model_dump(mode="json", exclude_none=True, include={"id", "name"})
    return {"type": "REF", "time": {"start": issued}, **out}


def relay_of(said: DispensationIn, plan: Plan, order: StoredOrder, dispensation: str, at: datetime) -> dict[str, Any]:
    """What the national service is told of a dispensation."""
    organization = said.pharmacist.organization
    identifier = organization.id.extension if organization and organization.id else ""
    return {
        "number": order.number,
        "ins": order.ins.model_dump(mode="json"),
        "execution": dispensation,
        "at": at.isoformat(),
        "pharmacy": identifier or "",
        "lines": [
            {
                "line": one.line,
                "quantity": str(one.quantity),
                "complete": one.closes,
                "code": one.code,
                **({"excessReason": one.excess_reason} if one.excess_reason else {}),
            }
            for one in plan.given
        ],
        "refused": [{"line": one.line, "reason": one.reason} for one in plan.refused],
    }


def letter(said: DispensationIn, plan: Plan, order: StoredOrder | None) -> str:
    """What the prescriber is told, in words: substitutions, refusals, what went over, and the question."""
    label = {line.id: line.label for line in order.order.lines} if order else {}
    out = []
    for one in said.lines:
        name = label.get(str(one.line), one.medication.label if one.medication else "produit")
        if one.substitution is not None:
            given = one.medication.label if one.medication else "un autre produit"
            why = f" ({one.substitution.reason})" if one.substitution.reason else ""
            out.append(f"Substitution : {name} remplacé par {given}{why}.")
        if one.excess_reason:
            out.append(f"Quantité au-delà de la prescription : {name} ({one.excess_reason}).")
    out += [f"Non délivré : {label.get(one.line, 'ligne')} ({one.reason})." for one in plan.refused]
    if said.tell_prescriber and said.tell_prescriber.question:
        out.append(f"Question du pharmacien : {said.tell_prescriber.question}")
    return "\n".join(out or ["Dispensation effectuée."])[:4000]


def as_kept(said: DispensationIn) -> bytes:
    """What was asked, to be kept sealed."""
    return orjson.dumps(said.model_dump(mode="json", exclude_none=True))
