"""A dispensation in a document Bundle (profiles, section 6.3; mapping table, section 6)."""

from __future__ import annotations

from typing import Final

from mappings.document.dispensation import Dispensation, DispensedLine
from mappings.fhir.bundle_out import BundleOut
from mappings.fhir.dosage_out import mode_tags, posology
from mappings.fhir.medication_out import medication
from mappings.fhir.names import IDENTIFIERS, LOINC, uri_of
from mappings.fhir.narrative_out import narrative, table
from mappings.fhir.prescription_out import SUBSTITUTION
from mappings.fhir.report_out import loinc_section
from mappings.fhir.values_out import Json, date_time, extension, identifier, quantity, typed, uuid_identifier
from mappings.rendering.posology import sentence

__all__ = ["COMPLETENESS", "PRESCRIPTION", "dispensation_sections", "prescription_order"]

ACT_CODE: Final = "2.16.840.1.113883.5.4"
PRESCRIPTION: Final = "57833-6"
#: JDV_CompletudeDispensation.
COMPLETENESS: Final = {
    "FFC": "Première délivrance complète",
    "FFP": "Première délivrance partielle",
    "RFC": "Délivrance suivante complète",
    "RFP": "Délivrance suivante partielle",
}


def prescription_order(out: BundleOut, document: Dispensation) -> list[Json]:
    """The extension that points at the prescription answered: its document, and the number of the e-prescription."""
    sent: Json = {}
    if document.prescription_id is not None:
        sent["identifier"] = [identifier(document.prescription_id)]
    if document.prescription_number is not None:
        sent["requisition"] = {
            "system": IDENTIFIERS["prescription"]["system"],
            "value": document.prescription_number,
        }
    if not sent:
        return []
    sent |= {
        "status": "unknown",
        "intent": "order",
        "code": typed(uri_of(LOINC), PRESCRIPTION),
        "subject": out.patient,
    }
    out.log.carried("/prescriptionId", "event-basedOn")
    return [extension("based-on", valueReference=out.add("ServiceRequest", "/prescriptionId", sent, "service-request"))]


def _line(out: BundleOut, place: str, document: Dispensation, line: DispensedLine, pharmacist: Json) -> Json:
    changed = line.changed_posology
    tags = mode_tags(changed) if changed else []
    reference = out.add("MedicationDispense", place, {"_tags": tags} if tags else {}, "medication-dispense")
    resource: Json = out.entries[-1]["resource"]
    dosages: list[Json] = []
    if changed is not None:
        dosages, extensions = posology(changed, line.medication, rendered="rendered-dispense")
        if extensions:
            resource["extension"] = extensions
    resource["identifier"] = [out.business_id(line.id, place)]
    resource["status"] = "completed"
    resource["medicationReference"] = medication(out, f"{place}/medication", line.medication)
    resource["subject"] = out.patient
    resource["performer"] = [{"actor": pharmacist}]
    if line.prescribed_line is not None:
        asked = uuid_identifier(line.prescribed_line)
        # The request is not in the Bundle: the line is named by its identifier.
        resource["authorizingPrescription"] = [{"type": "MedicationRequest", "identifier": asked}]
    completeness = typed(uri_of(ACT_CODE), line.completeness)
    completeness["coding"][0]["display"] = COMPLETENESS[line.completeness]
    resource["type"] = completeness
    resource["quantity"] = quantity(line.quantity)
    start = document.acts[0].period.start if document.acts[0].period else None
    if when := line.dispensed_at or start:
        resource["whenHandedOver"] = date_time(when)
    if line.note:
        resource["note"] = [{"text": line.note}]
    if line.patient_instruction:
        dosages = dosages or [{}]
        dosages[0]["patientInstruction"] = line.patient_instruction
    if dosages:
        resource["dosageInstruction"] = dosages
    if line.substitution is None:
        resource["substitution"] = {"wasSubstituted": False}
    else:
        resource["substitution"] = {"wasSubstituted": True, "type": typed(uri_of(SUBSTITUTION), "G")}
        if line.substitution.reason:
            resource["substitution"]["reason"] = [{"text": line.substitution.reason}]
    out.log.carried(place, "MedicationDispense")
    return reference


def dispensation_sections(out: BundleOut, document: Dispensation, pharmacist: Json) -> list[Json]:
    """The one section of a dispensation."""
    entries = [_line(out, f"/lines/{i}", document, line, pharmacist) for i, line in enumerate(document.lines)]
    rows = []
    for line in document.lines:
        given = f"{line.quantity.value:f} {line.quantity.display or ''}".strip()
        made = ""
        if line.substitution is not None:
            made = f"Substitution : {line.substitution.reason}" if line.substitution.reason else "Substitution"
        changed = sentence(line.changed_posology, line.medication) if line.changed_posology else ""
        notes = " ".join(t for t in (made, line.patient_instruction, line.note) if t)
        rows.append((line.medication.label, given, COMPLETENESS[line.completeness], changed, notes))
    titles = ("Médicament délivré", "Quantité", "Délivrance", "Posologie modifiée", "Remarques")
    return [loinc_section("60590-7", "Dispensation de médicaments", narrative(table(titles, rows)), entries)]
