"""Treatments and vaccines of a summary read from FHIR."""

from __future__ import annotations

from uuid import UUID

from mappings.document.medication import Medication, Posology
from mappings.document.prescription import Motive
from mappings.document.summary import Immunization, Treatment
from mappings.document.values import Period
from mappings.fhir.clinical_in import not_a_fact
from mappings.fhir.dosage_in import read_posology
from mappings.fhir.medication_in import medication_of, read_medication
from mappings.fhir.medication_out import ATC
from mappings.fhir.node import Node
from mappings.fhir.reasons_in import business_uuid, motives
from mappings.fhir.source import Source, refuse
from mappings.fhir.values_in import concept_of, first_code, moment, period, quantity

__all__ = ["immunization", "treatment"]


def treatment(source: Source, node: Node, known: dict[int, UUID], day: str | None) -> Treatment | None:
    """A MedicationStatement (or a MedicationRequest); None when not taken."""
    if not_a_fact(source, node, "not-taken", "intended", "cancelled", "draft"):
        return None
    node.use("status", "intent", "subject", "context", "encounter")
    medication = medication_of(source, node)
    request = node.kind == "MedicationRequest"
    key, rendered = ("dosageInstruction", "rendered-request") if request else ("dosage", "rendered-statement")
    read = read_posology(source, node, key, rendered, medication, day=day)
    posology = read.posology or Posology(text=read.instruction or "Posologie non précisée")
    when = period(node, "effectivePeriod")
    start = moment(node, "effectiveDateTime")
    why: tuple[Motive, ...] = motives(source, node, None, known)
    source.log.carried(node.place, node.kind)
    return source.attempt(
        lambda: Treatment(
            id=business_uuid(node),
            medication=medication,
            posology=posology,
            period=when or (Period(start=start) if start else None),
            reasons=why,
            patient_instruction=read.instruction if read.posology is not None else None,
        ),
        node,
    )


def immunization(source: Source, node: Node) -> Immunization | None:
    """An Immunization; None when not given."""
    if not_a_fact(source, node, "not-done"):
        return None
    node.use("status", "patient", "encounter")
    node.use("_occurrenceDateTime", "occurrenceString")
    product = node.extension("administered-product")
    target = source.resolve(product, "valueReference") if product is not None else None
    lot, expires = node.text("lotNumber"), moment(node, "expirationDate")
    if target is not None:
        vaccine = read_medication(source, target)
        node.use("vaccineCode")
    else:
        value = node.raw("vaccineCode")
        read = concept_of(source.log, value, f"{node.place}/vaccineCode") if value is not None else None
        if read is None:
            raise refuse(
                "FHIR-READ-040",
                f"{node.place}/vaccineCode",
                "La vaccination ne désigne pas son vaccin.",
                "The immunization does not name its vaccine.",
                "Donnez vaccineCode.",
                "Give vaccineCode.",
            )
        every = ((read.code,) if read.code else ()) + read.translations
        atc = next((c for c in every if c.system == ATC), None)
        kept = tuple(c for c in every if c.system != ATC)
        vaccine = source.attempt(
            lambda: Medication(name=read.label, codes=kept, atc=atc, lot_number=lot, expires_on=expires), node
        )
    act = next((symbol for _, symbol, _ in node.tags() if symbol in ("INITIMMUNIZ", "BOOSTER")), "IMMUNIZ")
    rank = None
    for item in node.nodes("protocolApplied"):
        rank = rank or item.integer("doseNumberPositiveInt")
    source.log.carried(node.place, "Immunization")
    return source.attempt(
        lambda: Immunization(
            id=business_uuid(node),
            act=act,
            vaccine=vaccine,
            given_at=moment(node, "occurrenceDateTime"),
            rank=rank,
            dose=quantity(node, "doseQuantity"),
            route=first_code(node, "route"),
            site=first_code(node, "site"),
        ),
        node,
    )
