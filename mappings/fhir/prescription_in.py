"""Prescribed lines read from a document Bundle."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

from conformance.verdict import Text
from mappings.document.header import Act
from mappings.document.medication import Posology
from mappings.document.prescription import (
    DeviceLine,
    LineMarks,
    MedicationLine,
    MedicationMarks,
    Substitution,
)
from mappings.document.values import Period, Quantity
from mappings.fhir.dosage_in import read_posology
from mappings.fhir.medication_in import medication_of
from mappings.fhir.names import IDENTIFIERS
from mappings.fhir.node import Node
from mappings.fhir.prescription_out import CIS_TERMS
from mappings.fhir.reasons_in import business_uuid, marks_and_motives
from mappings.fhir.source import Source, refuse
from mappings.fhir.values_in import code, codings, first_code, moment, period, quantity, uuid_of

__all__ = [
    "NOT_A_FACT",
    "by_author",
    "context_mark",
    "device_line",
    "group_number",
    "medication_line",
    "substitution_of",
]

_REASON: Final = re.compile(
    r"(?:non substituable\s*)?\(?(MTE|EFG|CIF)\b\)?(?:\s*[:\-–]\s*(?P<text>.+))?\Z", re.IGNORECASE | re.DOTALL
)
_RENEWABLE: Final = re.compile(r"(?:non renouvelable|renouvelable (\d{1,2}) fois)\Z")
_RENTAL: Final = re.compile(r"durée de location : (-?\d+(?:\.\d+)?) (\S+)\Z")
_PRESCRIPTION: Final = IDENTIFIERS["prescription"]["system"]
NOT_A_FACT = Text(
    "Le statut de cette ligne n'est pas celui d'une ligne prescrite : elle n'est pas reprise.",
    "The status of this line is not that of a prescribed line: it is not kept.",
)
_OTHER_PERSON = Text(
    "La ligne a un autre prescripteur, un autre exécutant ou une autre date que le document : non repris.",
    "The line has another prescriber, performer or date than the document: not kept.",
)
_LIVE: Final = frozenset({"completed", "active"})


def group_number(node: Node) -> str | None:
    """The number of the e-prescription of a line."""
    group = node.node("groupIdentifier")
    if group is None:
        return None
    group.use("use", "type", "assigner")
    value = group.text("value")
    return value if group.text("system") == _PRESCRIPTION else None


def context_mark(act: Act) -> str | None:
    """The context mark that an act without anything but a code of TA_ASIP is."""
    if act.code is None or act.code.system != CIS_TERMS or act.informative:
        return None
    return act.code.code if act.period is None and act.performer is None and act.id is None else None


def substitution_of(permitted: bool, words: str | None) -> Substitution:
    """The permission, its regulatory motive found at the head of the words (e-prescription 4.4)."""
    if not words:
        return Substitution(permitted=permitted)
    match = _REASON.match(words)
    if match is None:
        return Substitution(permitted=permitted, text=words)
    reason: Any = match[1].upper()
    return Substitution(permitted=permitted, reason=reason, text=match["text"])


def _substitution(node: Node) -> Substitution:
    part = node.node("substitution")
    if part is None:
        raise refuse(
            "FHIR-READ-050",
            f"{node.place}/substitution",
            "La ligne ne dit pas si la substitution est permise.",
            "The line does not say whether substitution is allowed.",
            "Donnez substitution.allowedCodeableConcept (G ou N).",
            "Give substitution.allowedCodeableConcept (G or N).",
        )
    allowed = first_code(part, "allowedCodeableConcept")
    flag = part.flag("allowedBoolean")
    if flag is None and allowed is None:
        raise refuse(
            "FHIR-READ-050",
            part.place,
            "La permission de substitution n'est pas dite.",
            "The permission to substitute is not said.",
            "Donnez substitution.allowedCodeableConcept (G ou N).",
            "Give substitution.allowedCodeableConcept (G or N).",
        )
    permitted = flag if flag is not None else allowed is not None and allowed.code != "N"
    reason = part.node("reason")
    words = None
    if reason is not None:
        words = reason.text("text")
        for item in codings(reason.value, reason.place):
            reason.use("coding")
            symbol, display = item.get("code"), item.get("display")
            if words is None and isinstance(symbol, str):
                words = f"{symbol} : {display}" if isinstance(display, str) else symbol
    return substitution_of(bool(permitted), words)


def _refused_line(source: Source, node: Node) -> bool:
    """True for a line that was not prescribed (cancelled, not to be given): it is lost, aloud."""
    status, intent = node.text("status"), node.text("intent")
    stopped = status not in _LIVE or (
        intent is not None and intent not in ("order", "original-order", "instance-order")
    )
    if stopped or node.flag("doNotPerform"):
        node.use(*node.value)
        source.log.lost(node.place, node.kind, NOT_A_FACT, clinical=True)
        return True
    if node.value.get("priority") == "routine":
        node.use("priority")
    return False


def by_author(source: Source, node: Node, key: str) -> None:
    """The prescriber or pharmacist of a line is an author of the document: another one is lost aloud."""
    target = source.resolve(node, key)
    if target is not None and id(target) not in source.authors:
        source.log.lost(f"{node.place}/{key}", f"{node.kind or 'performer'}.{key}", _OTHER_PERSON)
    written = moment(node, "authoredOn") if key == "requester" else None
    if written and source.date and written[:10] != source.date[:10]:
        source.log.lost(f"{node.place}/authoredOn", f"{node.kind}.authoredOn", _OTHER_PERSON)


def medication_line(source: Source, node: Node, validity: Period | None) -> MedicationLine | None:
    """A MedicationRequest; None when it is not a prescribed line."""
    if _refused_line(source, node):
        return None
    node.use("subject", "encounter", "groupIdentifier")
    by_author(source, node, "requester")
    medication = medication_of(source, node)
    read = read_posology(source, node, "dosageInstruction", "rendered-request", medication)
    if read.posology is None:
        words = read.instruction
        if words is None:
            raise refuse(
                "FHIR-READ-051",
                f"{node.place}/dosageInstruction",
                "La ligne n'a pas de posologie.",
                "The line has no posology.",
                "Donnez dosageInstruction, au moins son texte.",
                "Give dosageInstruction, its text at least.",
            )
        read.posology, read.instruction = Posology(text=words), None
    marks, why = marks_and_motives(source, node)
    off_label, off_reason = _off_label(node)
    covered = node.extension("not-covered")
    dispense = node.node("dispenseRequest")
    renewals = quantity_ = window = told = None
    if dispense is not None:
        renewals = dispense.integer("numberOfRepeatsAllowed")
        quantity_ = quantity(dispense, "quantity")
        window = period(dispense, "validityPeriod")
        words_node = dispense.extension("dispenser-instruction")
        note = words_node.node("valueAnnotation") if words_node is not None else None
        told = note.text("text") if note is not None else None
    plan = None
    for _, value, target in source.resolve_all(node, "basedOn"):
        if target is not None:
            plan = business_uuid(target)
        elif type(value.get("identifier")) is dict and isinstance(value["identifier"].get("value"), str):
            plan = uuid_of(value["identifier"]["value"])
    source.log.carried(node.place, "MedicationRequest")
    return source.attempt(
        lambda: MedicationLine(
            id=business_uuid(node),
            medication=medication,
            posology=read.posology,
            renewals=renewals,
            quantity=quantity_,
            renewal_period=None if window == validity else window,
            substitution=_substitution(node),
            marks=MedicationMarks(
                **marks,
                not_reimbursable=bool(covered.flag("valueBoolean")) if covered is not None else False,
                off_label=off_label,
                off_label_reason=off_reason,
            ),
            motives=why,
            treatment_plan_item=plan,
            patient_instruction=read.instruction,
            dispenser_instruction=told,
        ),
        node,
    )


def _off_label(node: Node) -> tuple[bool, str | None]:
    item = node.extension("off-label")
    if item is None:
        return False, None
    used, reason = False, None
    for url, parts in item.parts().items():
        for part in parts:
            if url == "isOffLabelUse":
                used = bool(part.flag("valueBoolean"))
            elif url == "reason":
                value = part.raw("valueCodeableConcept")
                if type(value) is dict:
                    reason = value.get("text") or next(
                        (c.get("display") for c in codings(value, part.place) if type(c) is dict), None
                    )
    return used, reason


def device_line(source: Source, node: Node) -> DeviceLine | None:
    """A DeviceRequest; None when it is not a prescribed line."""
    if _refused_line(source, node):
        return None
    node.use("subject", "encounter", "groupIdentifier")
    by_author(source, node, "requester")
    target = source.resolve(node, "codeReference")
    holder, key = (target, "type") if target is not None else (node, "codeCodeableConcept")
    value = holder.raw(key)
    place = f"{holder.place}/{key}"
    found = codings(value, place) if value is not None else []
    codes = tuple(c for i, x in enumerate(found) if (c := code(x, f"{place}/coding/{i}")) is not None)
    name = value.get("text") if type(value) is dict else None
    name = name or next((c.display or c.code for c in codes), None)
    if target is not None:
        target.use("patient", "status")
    amount = None
    for item in node.nodes("parameter"):
        item.use("code")
        amount = amount or quantity(item, "valueQuantity")
    when = period(node, "occurrencePeriod")
    timing = node.node("occurrenceTiming")
    renewals = rental = None
    if timing is not None and (repeat := timing.node("repeat")) is not None:
        renewals = repeat.integer("count")
        when = when or period(repeat, "boundsPeriod")
    texts: list[str] = []
    for note in node.nodes("note"):
        text = note.text("text") or ""
        if renewals is None and not texts and (match := _RENEWABLE.match(text)):
            renewals = int(match[1] or 0)
        elif rental is None and not texts and (match := _RENTAL.match(text)):
            rental = Quantity(value=Decimal(match[1]), unit=match[2])
        elif text:
            texts.append(text)
    marks, _ = marks_and_motives(source, node)
    covered = node.extension("not-covered")
    source.log.carried(node.place, "DeviceRequest")
    return source.attempt(
        lambda: DeviceLine(
            id=business_uuid(node),
            name=name or "",
            codes=codes,
            period=when,
            renewals=renewals,
            quantity=amount,
            rental_duration=rental,
            marks=LineMarks(
                **marks, not_reimbursable=bool(covered.flag("valueBoolean")) if covered is not None else False
            ),
            text="\n".join(texts) or None,
        ),
        node,
    )
