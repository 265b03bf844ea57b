"""The authority's own CDA-FHIR maps (drafts of 08/2026) beside our mapping: each difference has its reason here."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, Final

import pytest

from mappings import fhir
from tests.support import documents, outside
from tests.unit.mappings.fhir import full
from tests.unit.mappings.fhir.test_header_writing import full_header

MAPS: Final = (
    "HeaderDocument", "Patient", "Encounter", "MedicationRequest", "Medication", "MedicationDispense", "Condition",
    "AllergyIntolerance", "MedicationStatement", "FamilyMemberHistory", "Immunisation", "DeviceUse",
    "ObservationVitalSigns", "Procedure", "ObservationSocialHistory", "ObservationPregnancy", "Media", "Attachment",
    "Organisation", "HealthProfessional", "Consent", "Author", "Custodian", "LegalAuthentication", "DataEnterer",
    "Informant", "IntendedRecipient", "ParticipantHeader", "Order", "RelatedPerson", "Device", "ObservationAssessment",
)  # fmt: skip

NOT_IN_MODEL = "no member of the CI-SIS models that the hub holds (VSM, IPS-FR, eP-MED-DM, eDISP-MED)"
IN_WORDS = "R4 only: read into the words of the posology, never written (mapping 4, ours)"
PARTY = "the maps name the type of the resource as a path step; written as a reference, PractitionerRole or Device"
RELATIVE = "the hub keeps the name, relation and contact of a relative"
DEVICE_DETAIL = "details of a device that neither model asks for"

#: Path of the maps that our Bundles do not have -> why.
DIFFERENCES: Final[dict[str, str]] = {
    "AllergyIntolerance.reaction.substance": "the agent is that of the allergy itself",
    "Composition.attester.party.Device": "PractitionerRole only (profile of 10/2026)",
    "Composition.attester.party.Organization": "PractitionerRole only (profile of 10/2026)",
    "Composition.attester.party.Patient": "PractitionerRole only (profile of 10/2026)",
    "Composition.attester.party.PractitionerRole": PARTY,
    "Composition.author.Device": PARTY,
    "Composition.author.Organization": "never a bare Organization (profile of 10/2026)",
    "Composition.author.PractitionerRole": PARTY,
    "Condition.bodySite": NOT_IN_MODEL,
    "Condition.evidence.detail:FRDocumentReferenceDocument.content.attachment.url": NOT_IN_MODEL,
    "DocumentReference.content.attachment.url": "the file itself is in data: nothing to fetch",
    "Extension.extension:function.value[x]": "valueCodeableConcept of the header extensions, under Composition",
    "Extension.extension:party.value[x]": "valueReference of the header extensions, under Composition",
    "Extension.extension:time.value[x]": "valuePeriod of the header extensions, under Composition",
    "Extension.extension:type.value[x]": "valueCodeableConcept of the header extensions, under Composition",
    "Immunization.occurrencePeriod": "CI-SIS gives one date of vaccination: occurrenceDateTime",
    "Immunization.occurrencePeriod.end": "CI-SIS gives one date of vaccination: occurrenceDateTime",
    "Immunization.occurrencePeriod.start": "CI-SIS gives one date of vaccination: occurrenceDateTime",
    "Immunization.protocolApplied.doseNumber": "a choice in R4: doseNumberPositiveInt",
    "Medication.amount": "ihe-ext-medication-sizeofitem and package-type hold the package",
    "Medication.ingredient.itemReference": "itemCodeableConcept; references are read",
    "MedicationDispense.dosageInstruction.additionalInstruction": "patientInstruction (mapping 6); both are read",
    "MedicationRequest.dosageInstruction.patientInstruction": "additionalInstruction; both are read",
    "MedicationRequest.medication:FRMedicationDocument": "medicationReference",
    "MedicationStatement.dosage.patientInstruction": "additionalInstruction; both are read",
    "Observation.component": "a measure is an Observation of its own (it has an id); components are read",
    "Observation.component.valueQuantity": "valueQuantity (base vital signs); components are read",
    "Observation.value": "a choice in R4: valueQuantity, valueCodeableConcept, valueBoolean, valueString",
    "Procedure.reasonCode": "reasonReference; reasonCode is read",
    "DeviceUseStatement.reasonCode": NOT_IN_MODEL,
    **dict.fromkeys(
        (
            f"{kind}.{path}"
            for kind, path in (
                ("MedicationRequest", "dosageInstruction"),
                ("MedicationDispense", "dosageInstruction"),
                ("MedicationStatement", "dosage"),
            )
            for path in (
                f"{path}.maxDosePerAdministration",
                f"{path}.maxDosePerLifetime",
                f"{path}.timing.repeat.dayOfWeek",
                f"{path}.timing.repeat.duration",
                f"{path}.timing.repeat.durationMax",
                f"{path}.timing.repeat.durationUnit",
            )
        ),
        IN_WORDS,
    ),
    **{f"RelatedPerson.{path}": RELATIVE for path in (
        "birthDate", "communication", "communication.language", "communication.preferred", "gender", "identifier",
        "name.prefix", "name.suffix", "period", "photo",
    )},
    **{f"Device.{path}": DEVICE_DETAIL for path in (
        "expirationDate", "lotNumber", "manufactureDate", "manufacturer", "modelNumber", "note", "serialNumber",
        "udiCarrier.deviceIdentifier", "version.value",
    )},
    **dict.fromkeys((
        "DeviceUseStatement.bodySite", "DeviceUseStatement.extension:performer", "DeviceUseStatement.note",
        "DeviceUseStatement.reasonReference:FRObservationALDDocument",
        "DeviceUseStatement.reasonReference:FRObservationPreventionDocument",
        "DeviceUseStatement.reasonReference:FRObservationWorkRelatedAccidentDocument",
        "Encounter.author", "Encounter.basedOn", "Encounter.diagnosis.condition",
        "Encounter.hospitalization.admitSource", "Encounter.hospitalization.destination", "Encounter.location.period",
        "Encounter.partOf", "Encounter.priority", "Encounter.reasonCode", "Encounter.serviceProvider",
        "FamilyMemberHistory.condition.contributedToDeath",
        "FamilyMemberHistory.condition.extension:FRFamilyMemberHistoryBodySiteExtension",
        "FamilyMemberHistory.condition.outcome", "FamilyMemberHistory.note",
        "Immunization.basedOn", "Immunization.note", "Immunization.protocolApplied.targetDisease",
        "Immunization.reaction", "Immunization.reasonCode",
        "Media.identifier", "Media.note", "Media.operator", "Media.specimen",
        "Medication.ingredient.isActive", "Medication.ingredient.strength.extension:basisOfStrengthSubstance",
        "Medication.manufacturer", "MedicationDispense.receiver", "MedicationRequest.dispenseRequest.dispenseInterval",
        "MedicationRequest.statusReason", "MedicationStatement.derivedFrom[x]", "MedicationStatement.note",
        "MedicationStatement.extension:adherence-code",
        "Observation.bodySite", "Observation.dataAbsentReason", "Observation.derivedFrom:FRImagingStudyDocument",
        "Observation.derivedFrom:FRObservationLaboratoryReportResultsDocument", "Observation.derivedFrom:Observation",
        "Observation.extension:author", "Observation.method", "Observation.note", "Observation.referenceRange",
        "Observation.status.extension:statusReason",
        "Organization.partOf", "Patient.contact.organization",
        "Procedure.bodySite.ApproachSiteCode", "Procedure.bodySite.TargetSiteCode", "Procedure.complication",
        "Procedure.extension:difficulte", "Procedure.extension:priority",
        "Procedure.focalDevice.manipulated.device", "Procedure.outcome", "Procedure.usedReference",
        "ServiceRequest.authoredOn", "ServiceRequest.reasonCode", "ServiceRequest.requester",
    ), NOT_IN_MODEL),
}  # fmt: skip


def _walk(kind: str, value: Any, path: str, out: set[str]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            out.add(f"{kind}{path}.{key}")
            _walk(kind, inner, f"{path}.{key}", out)
    elif isinstance(value, list):
        for inner in value:
            _walk(kind, inner, path, out)


@cache
def written() -> frozenset[str]:
    """Every path of the Bundles of documents that say everything."""
    header = full_header()
    relative = header["patient"]["guardian"] | {"addresses": [{"city": "QUIMPER"}]}
    header["patient"]["guardian"] = relative
    header["informants"][0]["related"] = relative
    header["consents"][0]["id"] = {"root": "1.2.250.1.999.9.11", "extension": "C1"}
    out: set[str] = set()
    for value in (full.prescription(), full.dispensation(), full.summary(), header):
        bundle = fhir.write(documents.load(value)).bundle
        out.update(f"Bundle.{key}" for key in bundle)
        for entry in bundle["entry"]:
            _walk(entry["resource"]["resourceType"], entry["resource"], "", out)
    return frozenset(out)


def _path(code: str) -> str:
    """A target of the maps in the words of R4: the profile's name as the resource it is of."""
    root, _, rest = code.partition(".")
    root = re.sub(r"^FR(.*?)Document$", r"\1", root)
    root = re.sub(r"^Observation(Pregnancy|VitalSigns|Assessment|SocialHistory)$", "Observation", root)
    return f"{root}.{rest}" if rest else root


def _is_written(path: str) -> bool:
    root, *steps = [step.split(":")[0] for step in path.split(".")]
    found = {root}
    for step in steps:
        stem = step.removesuffix("[x]")
        found = {
            one
            for base in found
            for one in written()
            if one == f"{base}.{step}"
            or (stem != step and one.startswith(f"{base}.{stem}") and "." not in one[len(base) + 1 :])
        }
    return bool(found)


def targets(name: str) -> set[str]:
    """The FHIR targets of a map."""
    path = outside.packs() / "fhir" / "document-core-metier-0.1.0" / f"ConceptMap-FR{name}LMCDAFHIR.json"
    group = json.loads(path.read_text())["group"][1]
    codes = (target.get("code") for element in group["element"] for target in element.get("target", ()))
    return {_path(code) for code in codes if code and "." in code}


@pytest.mark.parametrize("name", MAPS)
def test_a_map_of_the_authority_is_followed_or_its_difference_is_reasoned(name: str) -> None:
    """Each target is a path of our Bundles, or stands in the table with why not."""
    assert {path for path in targets(name) if not _is_written(path)} <= set(DIFFERENCES)


def test_the_table_of_differences_holds_only_differences() -> None:
    """A path that we write since, or that no map names any more, leaves the table."""
    named = {path for name in MAPS for path in targets(name)}
    kept = {path for path in named if not _is_written(path)}
    assert set(DIFFERENCES) - kept <= {"MedicationStatement.extension:adherence-code"}
    assert all(DIFFERENCES.values())


def test_documents_that_say_everything_lose_nothing() -> None:
    """The fullest documents are carried whole; the version number of the replaced one apart."""
    for make in (full.prescription, full.dispensation, full.summary, full_header):
        loss = fhir.write(documents.load(make())).loss
        assert {i.place for i in loss.items if i.fate != "carried"} <= {"/replaces/versionNumber"}
