"""An e-prescription in a document Bundle (profiles, section 6.2; mapping table, sections 4 and 5)."""

from __future__ import annotations

from typing import Final

from mappings.document.prescription import DeviceLine, LineMarks, MedicationLine, Motive, Prescription, Substitution
from mappings.fhir.bundle_out import BundleOut
from mappings.fhir.dosage_out import mode_tags, posology
from mappings.fhir.medication_out import medication
from mappings.fhir.names import IDENTIFIERS, LOINC, SYSTEMS, uri_of
from mappings.fhir.narrative_out import narrative, paragraphs, table
from mappings.fhir.report_out import copy_section, loinc_section
from mappings.fhir.values_out import (
    Json,
    coding,
    concept,
    extension,
    period,
    quantity,
    typed,
    uuid_identifier,
)
from mappings.rendering.posology import sentence

__all__ = [
    "CIS_TERMS",
    "MARKS",
    "PREGNANT",
    "SUBSTITUTION",
    "context_events",
    "motive",
    "number_detail",
    "prescription_sections",
    "renewals_note",
    "substitution_reason",
]

CIS_TERMS: Final = "1.2.250.1.213.1.1.4.322"
SUBSTITUTION: Final = "2.16.840.1.113883.5.1070"
SNOMED: Final = "2.16.840.1.113883.6.96"
#: The marks that stand as Observations: code of TA_ASIP, words, profile.
MARKS: Final = {
    "ald": ("MED-574", "En rapport avec une Affection Longue Durée (ALD)", "observation-ald"),
    "work_accident": ("GEN-180", "En rapport avec un accident du travail", "observation-work-accident"),
    "prevention": ("GEN-295", "En rapport avec la prévention", "observation-prevention"),
}
#: Pregnancy status 11449-6: pregnant, not pregnant.
PREGNANT: Final = {True: ("77386006", "Enceinte"), False: ("60001007", "Non enceinte")}


def renewals_note(renewals: int) -> str:
    """The words that carry the renewals of a device (mapping 5: ``occurrence`` is a single choice)."""
    return "non renouvelable" if renewals == 0 else f"renouvelable {renewals} fois"


def rental_note(value: str, unit: str) -> str:
    """The words that carry the rental time of a device."""
    return f"durée de location : {value} {unit}"


def number_detail(document: Prescription) -> Json | None:
    """The number of the prescription, as the identifier of an event."""
    if document.number is None:
        return None
    return {"identifier": {"system": IDENTIFIERS["prescription"]["system"], "value": document.number}}


def context_events(document: Prescription) -> list[Json]:
    """The context marks: events that have only a code."""
    return [{"code": [typed(uri_of(CIS_TERMS), mark)]} for mark in document.context_marks]


def substitution_reason(value: Substitution) -> str:
    """The motive in words, its regulatory acronym first (e-prescription 4.4: no public code)."""
    if value.reason is None:
        return value.text or ""
    return f"{value.reason} : {value.text}" if value.text else value.reason


def _mark(out: BundleOut, name: str, value: bool) -> Json:
    if (known := out.shared((name, value))) is not None:
        return known
    code, words, profile = MARKS[name]
    sent: Json = {
        "status": "final",
        "code": typed(uri_of(CIS_TERMS), code, text=words),
        "subject": out.patient,
        "effectiveDateTime": out.date,
        "valueBoolean": value,
    }
    return out.share((name, value), out.add("Observation", f"/marks/{name}/{value}", sent, profile))


def _marks(out: BundleOut, value: LineMarks) -> list[Json]:
    # False is a statement too: CDA needs the booleans back (mapping 4).
    return [_mark(out, name, getattr(value, name)) for name in MARKS]


def motive(out: BundleOut, place: str, value: Motive, known: dict[object, Json]) -> Json:
    """The reference to why: the problem of the document when it is there, a Condition of its own, or an identifier."""
    if value.id is not None and value.concept is None:
        reference = known.get(value.id)
        return reference or {"type": "Condition", "identifier": uuid_identifier(value.id)}
    assert value.concept is not None  # noqa: S101 - one of the two, checked by the model
    sent: Json = {"identifier": [uuid_identifier(value.id)]} if value.id else {}
    sent |= {"code": concept(value.concept), "subject": out.patient}
    return out.add("Condition", place, sent)


def _medication_line(
    out: BundleOut, place: str, document: Prescription, line: MedicationLine, prescriber: Json
) -> Json:
    tags = mode_tags(line.posology)
    sent: Json = {"_tags": tags} if tags else {}
    reference = out.add("MedicationRequest", place, sent, "medication-request")
    resource: Json = out.entries[-1]["resource"]
    off_label = [{"url": "isOffLabelUse", "valueBoolean": line.marks.off_label}]
    if line.marks.off_label_reason:
        off_label.append({"url": "reason", "valueCodeableConcept": {"text": line.marks.off_label_reason}})
    dosages, extensions = posology(
        line.posology,
        line.medication,
        rendered="rendered-request",
        instruction=line.patient_instruction,
    )
    resource["extension"] = [
        extension("off-label", extension=off_label),
        extension("not-covered", valueBoolean=line.marks.not_reimbursable),
        *extensions,
    ]
    resource["identifier"] = [out.business_id(line.id, place)]
    resource |= {"status": "completed", "intent": "order"}
    resource["medicationReference"] = medication(out, f"{place}/medication", line.medication)
    resource |= {
        "subject": out.patient,
        "encounter": out.encounter,
        "authoredOn": out.date,
        "requester": prescriber,
    }
    resource["reasonReference"] = [
        *_marks(out, line.marks),
        *(motive(out, f"{place}/motives/{i}", why, {}) for i, why in enumerate(line.motives)),
    ]
    if line.treatment_plan_item is not None:
        resource["basedOn"] = [{"type": "MedicationRequest", "identifier": uuid_identifier(line.treatment_plan_item)}]
    if document.number is not None:
        resource["groupIdentifier"] = {
            "system": IDENTIFIERS["prescription"]["system"],
            "value": document.number,
        }
    resource["dosageInstruction"] = dosages
    dispense: Json = {}
    if line.dispenser_instruction:
        words = extension("dispenser-instruction", valueAnnotation={"text": line.dispenser_instruction})
        dispense["extension"] = [words]
    validity = line.renewal_period or document.acts[0].period
    if validity is not None and (when := period(validity)):
        dispense["validityPeriod"] = when
    if line.renewals is not None:
        dispense["numberOfRepeatsAllowed"] = line.renewals
    if line.quantity is not None:
        dispense["quantity"] = quantity(line.quantity)
    if dispense:
        resource["dispenseRequest"] = dispense
    allowed = typed(uri_of(SUBSTITUTION), "G" if line.substitution.permitted else "N")
    resource["substitution"] = {"allowedCodeableConcept": allowed}
    if reason := substitution_reason(line.substitution):
        resource["substitution"]["reason"] = {"text": reason}
    out.log.carried(place, "MedicationRequest")
    return reference


def _device_line(out: BundleOut, place: str, document: Prescription, line: DeviceLine, prescriber: Json) -> Json:
    sent: Json = {
        "extension": [extension("not-covered", valueBoolean=line.marks.not_reimbursable)],
        "identifier": [out.business_id(line.id, place)],
    }
    if document.number is not None:
        sent["groupIdentifier"] = {"system": IDENTIFIERS["prescription"]["system"], "value": document.number}
    sent |= {"status": "completed", "intent": "order"}
    reference = out.add("DeviceRequest", place, sent, "device-request")
    resource: Json = out.entries[-1]["resource"]
    kind: Json = {"coding": [coding(code) for code in line.codes]} if line.codes else {}
    kind["text"] = line.name
    resource["codeReference"] = out.add("Device", f"{place}/device", {"type": kind}, "device")
    if line.quantity is not None:
        resource["parameter"] = [{"valueQuantity": quantity(line.quantity)}]
    resource |= {"subject": out.patient, "encounter": out.encounter}
    if line.period is not None and (when := period(line.period)):
        resource["occurrencePeriod"] = when
    resource |= {"authoredOn": out.date, "requester": prescriber, "reasonReference": _marks(out, line.marks)}
    notes = []
    if line.renewals is not None:
        notes.append(renewals_note(line.renewals))
    if line.rental_duration is not None:
        notes.append(rental_note(format(line.rental_duration.value, "f"), line.rental_duration.unit))
    if line.text:
        notes.append(line.text)
    if notes:
        resource["note"] = [{"text": note} for note in notes]
    out.log.carried(place, "DeviceRequest")
    return reference


def _measures(out: BundleOut, document: Prescription) -> list[Json]:
    measured = []
    for name, code, words in (("weight", "29463-7", "Poids corporel"), ("height", "8302-2", "Taille corporelle")):
        value = getattr(document, name)
        if value is None:
            continue
        sent: Json = {
            "status": "final",
            "category": [typed(SYSTEMS["observation-category"], "vital-signs")],
            "code": typed(uri_of(LOINC), code, text=words),
            "subject": out.patient,
            "effectiveDateTime": out.date,
            "valueQuantity": quantity(value),
        }
        measured.append(out.add("Observation", f"/{name}", sent, "observation-vital-signs"))
        out.log.carried(f"/{name}", "Observation")
    return measured


def _pregnancy(out: BundleOut, pregnant: bool) -> Json:
    code, words = PREGNANT[pregnant]
    sent: Json = {
        "status": "final",
        "code": typed(uri_of(LOINC), "11449-6", text="Grossesse"),
        "subject": out.patient,
        "effectiveDateTime": out.date,
        "valueCodeableConcept": typed(uri_of(SNOMED), code, text=words),
    }
    out.log.carried("/pregnant", "Observation")
    return out.add("Observation", "/pregnant", sent, "observation-pregnancy")


def _marks_words(line: MedicationLine | DeviceLine) -> str:
    words = []
    if line.marks.ald:
        words.append("ALD")
    if line.marks.work_accident:
        words.append("accident du travail")
    if line.marks.prevention:
        words.append("prévention")
    if line.marks.not_reimbursable:
        words.append("non remboursable")
    if isinstance(line, MedicationLine):
        if line.marks.off_label:
            words.append("hors AMM")
        if not line.substitution.permitted:
            words.append(f"non substituable ({substitution_reason(line.substitution)})")
    return ", ".join(words)


def _count(line: MedicationLine | DeviceLine) -> str:
    words = []
    if line.quantity is not None:
        words.append(f"{line.quantity.value:f} {line.quantity.display or ''}".strip())
    if line.renewals is not None:
        words.append(renewals_note(line.renewals))
    return ", ".join(words)


def _row(line: MedicationLine) -> tuple[str, str, str, str, str]:
    instructions = " ".join(t for t in (line.patient_instruction, line.dispenser_instruction) if t)
    said = sentence(line.posology, line.medication)
    return (line.medication.label, said, _count(line), _marks_words(line), instructions)


def prescription_sections(out: BundleOut, document: Prescription, prescriber: Json) -> list[Json]:
    """The sections of a prescription: 2D code, medicines, devices, comment, measures, pregnancy, printed copy."""
    sections = []
    if document.code_image:
        content = {"contentType": "image/png", "data": out.file(document.code_image)}
        media = out.add(
            "Media",
            "/codeImage",
            {"status": "completed", "subject": out.patient, "createdDateTime": out.date, "content": content},
            "media",
        )
        out.log.carried("/codeImage", "Media")
        text = narrative(paragraphs("Code 2D de la prescription."))
        sections.append(loinc_section("57723-9", "Code à barres", text, [media]))
    medicines: list[tuple[MedicationLine, Json]] = []
    devices: list[tuple[DeviceLine, Json]] = []
    for i, line in enumerate(document.lines):
        if isinstance(line, MedicationLine):
            medicines.append((line, _medication_line(out, f"/lines/{i}", document, line, prescriber)))
        else:
            devices.append((line, _device_line(out, f"/lines/{i}", document, line, prescriber)))
    if medicines:
        titles = ("Médicament", "Posologie", "Quantité", "Mentions", "Instructions")
        text = narrative(table(titles, (_row(line) for line, _ in medicines)))
        sections.append(loinc_section("57828-6", "Médicaments", text, [r for _, r in medicines]))
    if devices:
        shown = ((line.name, _count(line), _marks_words(line), line.text or "") for line, _ in devices)
        text = narrative(table(("Dispositif", "Quantité", "Mentions", "Instructions"), shown))
        sections.append(loinc_section("46264-8", "Dispositifs médicaux", text, [r for _, r in devices]))
    if document.comment:
        out.log.carried("/comment", "section")
        text = narrative(paragraphs(document.comment), generated=False)
        sections.append(loinc_section("55112-7", "Commentaire", text))
    if measured := _measures(out, document):
        measures = [
            (name, f"{value.value:f} {value.display or value.unit}")
            for name, value in (("Poids", document.weight), ("Taille", document.height))
            if value is not None
        ]
        text = narrative(table(("Mesure", "Valeur"), measures))
        sections.append(loinc_section("8716-3", "Signes vitaux", text, measured))
    if document.pregnant is not None:
        text = narrative(paragraphs(PREGNANT[document.pregnant][1]))
        sections.append(loinc_section("10162-6", "Grossesse", text, [_pregnancy(out, document.pregnant)]))
    if document.pdf:
        sections.append(copy_section(out, document, document.pdf))
    return sections
