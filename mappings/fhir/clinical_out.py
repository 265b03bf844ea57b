"""Problems, allergies, procedures, family history, treatments, vaccines and devices of a summary (mapping 3)."""

from __future__ import annotations

from typing import Final

from mappings.document.medication import Medication
from mappings.document.prescription import Motive
from mappings.document.summary import Allergy, FamilyMember, Immunization, Problem, Procedure, Treatment, UsedDevice
from mappings.document.values import Code
from mappings.fhir.bundle_out import BundleOut
from mappings.fhir.dosage_out import mode_tags, posology
from mappings.fhir.medication_out import medication, medication_code
from mappings.fhir.names import LOINC, SYSTEMS, uri_of
from mappings.fhir.prescription_out import motive
from mappings.fhir.values_out import (
    Json,
    absent,
    code_concept,
    concept,
    date_time,
    extension,
    period,
    quantity,
    typed,
)

__all__ = [
    "ALLERGY_TYPES",
    "CLINICAL",
    "ENDED",
    "END_NOTE",
    "NO_DATE",
    "SEVERITIES",
    "allergy",
    "condition",
    "default_status",
    "family",
    "immunization",
    "needs_product",
    "procedure",
    "status_tag",
    "treatment",
    "used_device",
]

CONDITION_CLINICAL: Final = "2.16.840.1.113883.4.642.1.1074"
ALLERGY_CLINICAL: Final = "2.16.840.1.113883.4.642.4.1373"
CERTAINTY: Final = "2.16.840.1.113883.4.642.1.1075"
ACT_STATUS: Final = "2.16.840.1.113883.5.14"
ACT_CODE: Final = "2.16.840.1.113883.5.4"
#: JDV_HL7_ConditionClinical with its labels.
CLINICAL: Final = {
    "active": "Actif",
    "recurrence": "Récurrent",
    "relapse": "Rechute",
    "inactive": "Inactif",
    "remission": "En rémission",
    "resolved": "Résolu",
}
#: Statuses with which an end date goes (R4 con-4).
ENDED: Final = frozenset({"inactive", "remission", "resolved"})
END_NOTE: Final = "Date de fin : "
#: occurrence[x] of an Immunization is 1..1: an unknown date is said in words.
NO_DATE: Final = "Date inconnue"
#: JDV_SeveriteObservation (SNOMED CT) as the three grades of R4; between two, the graver.
SEVERITIES: Final = {
    "255604002": "mild",
    "371923003": "moderate",
    "6736007": "moderate",
    "371924009": "severe",
    "24484000": "severe",
    "442452003": "severe",
}
#: JDV_TypeEvenementIndesirablePrevisible (SNOMED CT) as type and category of R4.
ALLERGY_TYPES: Final = {
    "609328004": ("allergy", None),
    "416098002": ("allergy", "medication"),
    "414285001": ("allergy", "food"),
    "419199007": ("allergy", None),
    "609396006": ("intolerance", None),
    "609398007": ("intolerance", "medication"),
    "735449006": ("intolerance", "food"),
    "609397002": ("intolerance", None),
    "782197009": ("intolerance", None),
    "59037007": ("intolerance", "medication"),
    "235719002": ("intolerance", "food"),
    "1.2.250.1.213.1.1.5.794.1": ("intolerance", "environment"),
    "56840009": ("intolerance", None),
}
_STATUS_OF_ACT: Final = {
    "completed": "completed",
    "active": "in-progress",
    "aborted": "stopped",
    "cancelled": "not-done",
}


def status_tag(status: str, usual: str) -> list[Json]:
    """The tag that keeps the status of an act when it is not the usual one of its section."""
    return [] if status == usual else [{"system": uri_of(ACT_STATUS), "code": status}]


def _tagged(tags: list[Json]) -> Json:
    return {"_tags": tags} if tags else {}


def default_status(problem: Problem, *, past: bool) -> str:
    """The clinical status of a problem that does not say it (FR Condition Document: clinicalStatus 1..1)."""
    if problem.period.end:
        return "resolved"
    return "inactive" if past else "active"


def condition(out: BundleOut, place: str, value: Problem, *, past: bool) -> Json:
    """A Condition; what is past is told from what is active by clinicalStatus."""
    stated = value.clinical_status
    standard = stated is not None and stated.system == CONDITION_CLINICAL and stated.code in CLINICAL
    status = stated.code if stated is not None and standard else default_status(value, past=past)
    clinical: Json = typed(uri_of(CONDITION_CLINICAL), status)
    if stated is not None and standard:
        clinical = code_concept(stated)
    elif stated is not None:
        # The binding is required: a status of another terminology is only said in words.
        clinical["text"] = stated.display or stated.code
    tags = status_tag(value.act_status, "completed" if past else "active")
    if (status in ENDED) is not past:
        # The section of origin is kept where the status would tell the other one.
        tags.append({"system": uri_of(LOINC), "code": "11348-0" if past else "11450-4"})
    sent: Json = _tagged(tags)
    sent["identifier"] = [out.business_id(value.id, place)]
    sent["clinicalStatus"] = clinical
    if value.certainty is not None:
        sent["verificationStatus"] = typed(uri_of(CERTAINTY), value.certainty)
    sent["category"] = [code_concept(value.category)]
    if value.severity is not None:
        sent["severity"] = code_concept(value.severity)
    sent["code"] = concept(value.concept)
    sent["subject"] = out.patient
    notes = [value.comment] if value.comment else []
    if value.period.start:
        sent["onsetDateTime"] = date_time(value.period.start)
    else:
        sent["_onsetDateTime"] = absent()
    if value.period.end:
        if status in ENDED:
            sent["abatementDateTime"] = date_time(value.period.end)
        else:
            notes.append(END_NOTE + date_time(value.period.end))
    if value.health_status is not None:
        sent["stage"] = [{"summary": code_concept(value.health_status)}]
    if notes:
        sent["note"] = [{"text": note} for note in notes]
    out.log.carried(place, "Condition")
    return out.add("Condition", place, sent, "condition")


def _severity(value: Code) -> Json:
    exact = extension("alternate-codes", valueCodeableConcept=code_concept(value))
    out: Json = {"_severity": {"extension": [exact]}}
    if (grade := SEVERITIES.get(value.code)) is not None:
        out = {"severity": grade, **out}
    return out


def allergy(out: BundleOut, place: str, value: Allergy) -> Json:
    """An AllergyIntolerance; the exact SNOMED CT type beside the two words of R4."""
    sent: Json = _tagged(status_tag(value.act_status, "active"))
    sent["extension"] = [extension("allergy-type", valueCodeableConcept=code_concept(value.type))]
    sent["identifier"] = [out.business_id(value.id, place)]
    # ait-1: an absent status is written active (mapping 3).
    sent["clinicalStatus"] = typed(uri_of(ALLERGY_CLINICAL), value.clinical_status or "active")
    if value.certainty is not None:
        sent["verificationStatus"] = typed(SYSTEMS["allergy-verification"], value.certainty)
    kind, category = ALLERGY_TYPES.get(value.type.code, (None, None))
    if kind is not None:
        sent["type"] = kind
    if category is not None:
        sent["category"] = [category]
    if value.criticality is not None:
        sent["criticality"] = value.criticality
    sent["code"] = concept(value.agent)
    sent["patient"] = out.patient
    if when := period(value.period):
        sent["onsetPeriod"] = when
    if value.comment:
        sent["note"] = [{"text": value.comment}]
    reactions = []
    for reaction in value.reactions:
        seen: Json = {"manifestation": [concept(reaction.concept)]}
        if reaction.onset:
            seen["onset"] = date_time(reaction.onset)
        if reaction.severity is not None:
            seen |= _severity(reaction.severity)
        reactions.append(seen)
    if value.severity is not None:
        # R4 grades reactions only: the severity of the allergy itself is that of a reaction not described.
        reactions.append({"manifestation": [absent()], **_severity(value.severity)})
    if reactions:
        sent["reaction"] = reactions
    out.log.carried(place, "AllergyIntolerance")
    return out.add("AllergyIntolerance", place, sent, "allergy")


def _reasons(out: BundleOut, place: str, reasons: tuple[Motive, ...], known: dict[object, Json]) -> Json:
    if not reasons:
        return {}
    return {
        "reasonReference": [motive(out, f"{place}/reasons/{i}", why, known) for i, why in enumerate(reasons)],
    }


def procedure(out: BundleOut, place: str, value: Procedure, known: dict[object, Json]) -> Json:
    """A Procedure, or a ServiceRequest for an act only planned."""
    identified: Json = {"identifier": [out.business_id(value.id, place)]}
    coded: Json = {"code": concept(value.concept), "subject": out.patient}
    ended: Json = {"note": [{"text": value.comment}]} if value.comment else {}
    out.log.carried(place, "Procedure")
    if value.planned:
        off = value.status in ("aborted", "cancelled")
        sent = _tagged(status_tag(value.status, "active")) | identified
        sent |= {"status": "revoked" if off else "active", "intent": "plan", **coded}
        if value.performed:
            sent["occurrenceDateTime"] = date_time(value.performed)
        sent |= _reasons(out, place, value.reasons, known) | ended
        return out.add("ServiceRequest", place, sent, "service-request")
    sent = identified | {"status": _STATUS_OF_ACT[value.status], **coded}
    if value.performed:
        sent["performedDateTime"] = date_time(value.performed)
    else:
        sent["_performedDateTime"] = absent()
    sent |= _reasons(out, place, value.reasons, known) | ended
    return out.add("Procedure", place, sent, "procedure")


def family(out: BundleOut, place: str, value: FamilyMember) -> Json:
    """A FamilyMemberHistory."""
    sent: Json = {"status": "completed", "patient": out.patient}
    sent["relationship"] = code_concept(value.relation) if value.relation else absent()
    conditions = []
    for i, disease in enumerate(value.conditions):
        at = f"{place}/conditions/{i}"
        # No identifier in this element of R4: its element id holds it.
        seen: Json = {"id": out.business_id(disease.id, at)["value"][9:], "code": concept(disease.concept)}
        if disease.onset:
            seen["onsetPeriod"] = {"start": date_time(disease.onset)}
        conditions.append(seen)
    sent["condition"] = conditions
    out.log.carried(place, "FamilyMemberHistory")
    return out.add("FamilyMemberHistory", place, sent, "family-history")


def treatment(out: BundleOut, place: str, value: Treatment, known: dict[object, Json]) -> Json:
    """A MedicationStatement (always ``completed``: the profile fixes it, the end is effectivePeriod.end)."""
    reference = out.add("MedicationStatement", place, _tagged(mode_tags(value.posology)), "medication-statement")
    resource: Json = out.entries[-1]["resource"]
    dosages, extensions = posology(
        value.posology,
        value.medication,
        rendered="rendered-statement",
        ranges=False,
        instruction=value.patient_instruction,
    )
    if extensions:
        resource["extension"] = extensions
    resource["identifier"] = [out.business_id(value.id, place)]
    resource["status"] = "completed"
    resource["medicationReference"] = medication(out, f"{place}/medication", value.medication)
    resource["subject"] = out.patient
    resource["effectivePeriod"] = (period(value.period) if value.period else {}) or absent()
    resource |= _reasons(out, place, value.reasons, known)
    resource["dosage"] = dosages
    out.log.carried(place, "MedicationStatement")
    return reference


def needs_product(value: Medication) -> bool:
    """True when a vaccine says more than an Immunization holds: it gets a Medication of its own."""
    return bool(
        value.atc
        or value.form
        or value.ingredients
        or value.package
        or value.preparation
        or (value.expires_on and len(value.expires_on) > 10)
    )


def immunization(out: BundleOut, place: str, value: Immunization) -> Json:
    """An Immunization; first dose and booster are told apart by a tag, as R4 has no code for the act."""
    vaccine = value.vaccine
    tags = [] if value.act == "IMMUNIZ" else [{"system": uri_of(ACT_CODE), "code": value.act}]
    sent: Json = _tagged(tags)
    if needs_product(vaccine):
        product = medication(out, f"{place}/vaccine", vaccine)
        sent["extension"] = [extension("administered-product", valueReference=product)]
    sent["identifier"] = [out.business_id(value.id, place)]
    sent["status"] = "completed"
    sent["vaccineCode"] = medication_code(vaccine) | {"text": vaccine.label}
    sent["patient"] = out.patient
    if value.given_at:
        sent["occurrenceDateTime"] = date_time(value.given_at)
    else:
        sent["occurrenceString"] = NO_DATE
    if vaccine.lot_number:
        sent["lotNumber"] = vaccine.lot_number
    if vaccine.expires_on:
        sent["expirationDate"] = vaccine.expires_on[:10]
    if value.site is not None:
        sent["site"] = code_concept(value.site)
    if value.route is not None:
        sent["route"] = code_concept(value.route)
    if value.dose is not None:
        sent["doseQuantity"] = quantity(value.dose)
    if value.rank is not None:
        sent["protocolApplied"] = [{"doseNumberPositiveInt": value.rank}]
    out.log.carried(place, "Immunization")
    return out.add("Immunization", place, sent, "immunization")


def used_device(out: BundleOut, place: str, value: UsedDevice) -> Json:
    """A DeviceUseStatement and its Device."""
    over = value.period is not None and value.period.end is not None
    reference = out.add(
        "DeviceUseStatement",
        place,
        {
            "identifier": [out.business_id(value.id, place)],
            "status": "completed" if over else "active",
            "subject": out.patient,
        },
        "device-use",
    )
    resource: Json = out.entries[-1]["resource"]
    if value.period is not None and (when := period(value.period)):
        resource["timingPeriod"] = when
    resource["device"] = out.add(
        "Device", f"{place}/device", {"type": concept(value.concept), "patient": out.patient}, "device"
    )
    out.log.carried(place, "DeviceUseStatement")
    return reference
