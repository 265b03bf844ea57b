"""Why a line was prescribed or a treatment taken, read from FHIR: the regulatory marks and the other reasons."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from conformance.verdict import Rule, Severity, Text
from mappings.document.prescription import Motive
from mappings.fhir.names import URI_SYSTEM
from mappings.fhir.node import Node
from mappings.fhir.prescription_out import MARKS
from mappings.fhir.source import Source
from mappings.fhir.values_in import concept, concept_of, first_code, uuid_of

__all__ = ["business_uuid", "marks_and_motives", "motives"]

NO_MARK = Rule(
    code="FHIR-READ-052",
    message=Text(
        "Une mention (ALD, accident du travail, prévention) n'est pas dite : elle est lue « non ».",
        "A mark (ALD, work accident, prevention) is not said: it is read as false.",
    ),
    fix=Text("Donnez les trois Observations, même fausses.", "Give the three Observations, even when false."),
    source="FR Document Core, fr-medication-request-document.reasonReference (senders write the true ones only)",
    severity=Severity.INFORMATION,
)
_REASON_LOST = Text("Ce motif ne peut pas être repris.", "This reason cannot be kept.")


def business_uuid(node: Node) -> UUID | None:
    """The UUID of an entry, from its identifiers."""
    for item in node.nodes("identifier"):
        item.use("use", "type", "assigner", "period")
        system, value = item.text("system"), item.text("value")
        if value and (system is None or system == URI_SYSTEM) and (found := uuid_of(value)) is not None:
            return found
    return None


def marks_and_motives(source: Source, node: Node) -> tuple[dict[str, bool], tuple[Motive, ...]]:
    """The marks among the reasons, and the other reasons."""
    codes = {MARKS[name][0]: name for name in MARKS}
    said: dict[str, bool] = {}
    others: list[tuple[str, Any, Node | None]] = []
    for place, value, target in source.resolve_all(node, "reasonReference"):
        if target is not None and target.kind == "Observation":
            mark = first_code(target, "code")
            if mark is not None and mark.code in codes:
                said[codes[mark.code]] = bool(target.flag("valueBoolean"))
                target.use("status", "subject", "effectiveDateTime", "identifier", "category", "encounter")
                continue
        others.append((place, value, target))
    for name in MARKS:
        if name not in said:
            source.findings.append(NO_MARK.finding(f"{node.place}/reasonReference", expected=MARKS[name][0]))
            said[name] = False
    return said, motives(source, node, others)


def motives(
    source: Source,
    node: Node,
    references: list[tuple[str, Any, Node | None]] | None = None,
    known: dict[int, UUID] | None = None,
) -> tuple[Motive, ...]:
    """The reasons of an entry. ``known`` gives the ids of the problems of the same document."""
    out: list[Motive] = []
    for place, value, target in references if references is not None else source.resolve_all(node, "reasonReference"):
        if target is None:
            logical = value.get("identifier")
            key = None
            if type(logical) is dict and isinstance(logical.get("value"), str):
                key = uuid_of(logical["value"])
            words = value.get("display")
            if key is not None:
                out.append(Motive(id=key))
            elif isinstance(words, str) and words.strip():
                out.append(Motive.model_validate({"concept": {"text": words}}))
            else:
                source.log.lost(place, "reasonReference", _REASON_LOST)
        elif known is not None and id(target) in known:
            out.append(Motive(id=known[id(target)]))
        elif target.kind in ("Condition", "Observation"):
            why = concept(source.log, target, "code")
            target.use("subject", "clinicalStatus", "verificationStatus", "category", "encounter", "status")
            key = business_uuid(target)
            if why is not None or key is not None:
                out.append(Motive(id=key, concept=why))
        else:
            target.use(*target.value)
            source.log.lost(place, "reasonReference", _REASON_LOST)
    value = node.raw("reasonCode")
    for i, item in enumerate(value if type(value) is list else []):
        read = concept_of(source.log, item, f"{node.place}/reasonCode/{i}")
        if read is not None:
            out.append(Motive(concept=read))
    return tuple(out)
