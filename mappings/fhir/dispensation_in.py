"""Dispensed lines read from a document Bundle."""

from __future__ import annotations

from typing import Any

from mappings.document.dispensation import DispensedLine, SubstitutionMade
from mappings.fhir.dosage_in import read_posology
from mappings.fhir.medication_in import medication_of
from mappings.fhir.node import Node
from mappings.fhir.prescription_in import NOT_A_FACT, by_author
from mappings.fhir.reasons_in import business_uuid
from mappings.fhir.source import Source
from mappings.fhir.values_in import first_code, moment, quantity, uuid_of

__all__ = ["dispensed_line"]


def dispensed_line(source: Source, node: Node, header_time: str | None) -> DispensedLine | None:
    """A MedicationDispense; None when nothing was given."""
    if node.text("status") != "completed":
        node.use(*node.value)
        source.log.lost(node.place, "MedicationDispense", NOT_A_FACT, clinical=True)
        return None
    node.use("subject", "context")
    for performer in node.nodes("performer"):
        by_author(source, performer, "actor")
    medication = medication_of(source, node)
    read = read_posology(source, node, "dosageInstruction", "rendered-dispense", medication)
    line = None
    for _, value, target in source.resolve_all(node, "authorizingPrescription"):
        if target is not None:
            line = line or business_uuid(target)
        elif type(value.get("identifier")) is dict and isinstance(value["identifier"].get("value"), str):
            line = line or uuid_of(value["identifier"]["value"])
    kind = first_code(node, "type")
    when = moment(node, "whenHandedOver")
    swap = None
    part = node.node("substitution")
    if part is not None:
        part.use("type", "reason")
    if part is not None and part.flag("wasSubstituted"):
        reasons = part.raw("reason")
        words = None
        for item in reasons if type(reasons) is list else []:
            words = words or (item.get("text") if type(item) is dict else None)
        swap = SubstitutionMade(reason=words)
    notes = [t for n in node.nodes("note") if (t := n.text("text"))]
    source.log.carried(node.place, "MedicationDispense")
    given: Any = quantity(node, "quantity")
    completeness: Any = kind.code if kind else None
    return source.attempt(
        lambda: DispensedLine(
            id=business_uuid(node),
            completeness=completeness,
            medication=medication,
            quantity=given,
            dispensed_at=None if when == header_time else when,
            prescribed_line=line,
            changed_posology=read.posology,
            substitution=swap,
            patient_instruction=read.instruction,
            note="\n".join(notes) or None,
        ),
        node,
    )
