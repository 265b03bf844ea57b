"""The rows of the rules on what a French document Bundle says: prescriptions, dispensations, summaries.

``FHIR-MED`` prescriptions, ``-DIS`` dispensations, ``-SUM`` summaries. Rows marked as warnings are demanded by the
draft guides of things that a sender may rightly not hold.
"""

from __future__ import annotations

from typing import Final

from conformance.verdict import Severity

__all__ = ["ROWS", "Row"]

#: Code, French, English, mend in French, mend in English, clause, severity.
Row = tuple[str, str, str, str, str, str, Severity | None]

_W: Final = Severity.WARNING
_BASE: Final = "HL7 FHIR R4"
_LINE: Final = "FR Document Core 0.1.0, fr-medication-request-document"
_DRUG: Final = "FR Document Core 0.1.0, fr-medication-document"
_DISPENSE: Final = "FR Document Core 0.1.0, fr-medication-dispense-document"
_SUMMARY: Final = "FR Patient Summary 0.1.0, fr-composition-document-ips"
_COMPOSITION: Final = "FR Document Core 0.1.0 (source of 10/2026), fr-composition-document"

ROWS: Final[tuple[Row, ...]] = (
    # --- Prescription -------------------------------------------------------------------------------------------
    ("MED-001", "La prescription n'a ni section de médicaments ni section de dispositifs.", "No medicine nor device.",
     "Ajoutez la section 57828-6 ou 46264-8.", "Add section 57828-6 or 46264-8.", _COMPOSITION, None),
    ("MED-002", "Le statut de la ligne n'est pas « completed ».", "The status of the line is not completed.",
     "Mettez status à completed (profil de document).", "Set status to completed (document profile).", _LINE, None),
    ("MED-003", "L'intention de la ligne n'est pas « order ».", "The intent of the line is not order.",
     "Mettez intent à order.", "Set intent to order.", _LINE, None),
    ("MED-004", "La ligne ne désigne pas le patient.", "The line does not refer to the patient.",
     "Référencez le Patient dans subject.", "Refer to the Patient in subject.", _LINE, None),
    ("MED-005", "La ligne n'a pas de médicament.", "The line has no medicine.", "Donnez medicationReference.",
     "Give medicationReference.", _LINE, None),
    ("MED-006", "La permission de substitution manque ou n'est ni N ni G.", "The substitution is missing or unknown.",
     "Donnez substitution.allowedCodeableConcept (N ou G).", "Give substitution.allowedCodeableConcept (N or G).",
     _LINE, None),
    ("MED-007", "Une interdiction de substituer n'a pas de motif.", "A substitution ban has no reason.",
     "Donnez substitution.reason (MTE, EFG ou CIF).", "Give substitution.reason (MTE, EFG or CIF).",
     "Code de la santé publique, R5125-54; eP-MED-DM 2024.01", None),
    ("MED-008", "Une dose ou un débit n'a pas ses deux bornes.", "A dose or rate has not both bounds.",
     "Donnez low et high, les mêmes pour une dose fixe.", "Give low and high.", _LINE, None),
    ("MED-009", "Un maximum n'a pas de numérateur ou de dénominateur.", "A maximum has no numerator or denominator.",
     "Complétez maxDosePerPeriod.", "Complete maxDosePerPeriod.", f"{_BASE}, rat-1", None),
    ("MED-010", "La ligne n'a pas de posologie.", "The line has no posology.",
     "Donnez dosageInstruction, au moins son texte.", "Give dosageInstruction, its text at least.", _LINE, None),
    ("MED-011", "Le médicament n'a pas de nom (productname).", "The medicine has no product name.",
     "Donnez l'extension ihe-ext-medication-productname.", "Give ihe-ext-medication-productname.", _DRUG, None),
    ("MED-012", "Le médicament n'a pas de code ni de libellé.", "The medicine has no code nor words.",
     "Donnez Medication.code.", "Give Medication.code.", _DRUG, None),
    ("MED-013", "Le dosage d'une substance n'a pas de numérateur ou de dénominateur.", "A strength is incomplete.",
     "Complétez ingredient.strength.", "Complete ingredient.strength.", _DRUG, None),
    ("MED-014", "Une mention (ALD, accident, prévention) n'a pas de valeur booléenne.", "A mark has no boolean value.",
     "Donnez valueBoolean.", "Give valueBoolean.", "FR Document Core, fr-observation-ald-document", None),
    ("MED-015", "La ligne n'a pas de prescripteur.", "The line has no requester.", "Donnez requester.",
     "Give requester.", _LINE, _W),
    ("MED-016", "La ligne n'a pas d'identifiant.", "The line has no identifier.",
     "Donnez identifier (UUID) : c'est ce que désigne une dispensation.", "Give identifier (UUID).", _LINE, _W),
    ("MED-017", "La ligne répond à plusieurs demandes.", "The line answers several requests.",
     "Gardez un seul basedOn.", "Keep one basedOn.", _LINE, None),
    ("MED-018", "Le dispositif prescrit n'est pas désigné.", "The prescribed device is not referred to.",
     "Référencez un Device dans codeReference.", "Refer to a Device in codeReference.",
     "FR Document Core, fr-device-request-document", None),
    ("MED-019", "La voie d'administration n'est pas un code EDQM.", "The route is not an EDQM code.",
     "Codez la voie dans EDQM Standard Terms.", "Code the route in EDQM Standard Terms.", _LINE, _W),
    ("MED-020", "L'usage hors AMM est annoncé sans valeur.", "Off-label use is stated without a value.",
     "Donnez la sous-extension isOffLabelUse.", "Give the sub-extension isOffLabelUse.", "IHE PHARM MPD", None),
    # --- Dispensation -------------------------------------------------------------------------------------------
    ("DIS-001", "La section de dispensation (60590-7) manque.", "The section 60590-7 is missing.",
     "Ajoutez la section 60590-7.", "Add section 60590-7.", _COMPOSITION, None),
    ("DIS-002", "La complétude (FFC, FFP, RFC, RFP) manque.", "The completeness is missing.",
     "Donnez type.", "Give type.", _DISPENSE, None),
    ("DIS-003", "La quantité délivrée manque.", "The quantity is missing.", "Donnez quantity.", "Give quantity.",
     _DISPENSE, None),
    ("DIS-004", "Le produit délivré manque.", "The product is missing.", "Donnez medicationReference.",
     "Give medicationReference.", _DISPENSE, None),
    ("DIS-005", "Le statut n'est pas « completed ».", "The status is not completed.", "Mettez status à completed.",
     "Set status to completed.", _DISPENSE, None),
    ("DIS-006", "La substitution est annoncée sans wasSubstituted, ou d'un autre type que G.",
     "A substitution lacks wasSubstituted or is not of type G.", "Donnez wasSubstituted et le type G.",
     "Give wasSubstituted and type G.", _DISPENSE, None),
    ("DIS-007", "La délivrance répond à plusieurs lignes.", "The dispensation answers several lines.",
     "Gardez un seul authorizingPrescription.", "Keep one authorizingPrescription.", _DISPENSE, None),
    ("DIS-008", "La prescription délivrée n'est pas désignée.", "The prescription answered is not referred to.",
     "Donnez l'extension event-basedOn vers un ServiceRequest.", "Give event-basedOn to a ServiceRequest.",
     _COMPOSITION, _W),
    # --- Summary ------------------------------------------------------------------------------------------------
    ("SUM-001", "Une section obligatoire de la synthèse manque.", "A required section is missing.",
     "Ajoutez la section, au besoin avec emptyReason.", "Add the section, with emptyReason if need be.",
     _SUMMARY, None),
    ("SUM-002", "Une section obligatoire est vide sans raison.", "A required section is empty without a reason.",
     "Ajoutez une entrée ou emptyReason.", "Add an entry or emptyReason.", _SUMMARY, None),
    ("SUM-003", "Un problème n'a pas de statut clinique, de code ou de patient.", "A condition is incomplete.",
     "Donnez clinicalStatus, code et subject.", "Give clinicalStatus, code and subject.",
     "FR Document Core, fr-condition-document", None),
    ("SUM-004", "Un problème n'a pas de catégorie ou de date de début.", "A condition has no category or onset.",
     "Donnez category et onsetDateTime, au besoin avec data-absent-reason.", "Give category and onset.",
     "FR Document Core, fr-condition-document", None),
    ("SUM-005", "Une allergie n'a pas de patient, de code ou de statut clinique.", "An allergy is incomplete.",
     "Donnez patient, code et clinicalStatus.", "Give patient, code and clinicalStatus.",
     "FR Document Core, fr-allergy-intolerance-document; ait-1", None),
    ("SUM-006", "Un traitement n'a pas le statut « completed ».", "A treatment is not of status completed.",
     "Mettez status à completed : la fin est effectivePeriod.end.", "Set status to completed.",
     "FR Document Core, fr-medication-statement-document", None),
    ("SUM-007", "Un traitement n'a pas de patient ou de médicament.", "A treatment has no subject or medicine.",
     "Donnez subject et medicationReference.", "Give subject and medicationReference.",
     "FR Document Core, fr-medication-statement-document", None),
    ("SUM-008", "La période d'un traitement n'est pas une Period.", "The time of a treatment is not a Period.",
     "Donnez effectivePeriod.", "Give effectivePeriod.", "FR Document Core, fr-medication-statement-document", None),
    ("SUM-009", "Un problème actif a une date de fin.", "An active condition has an end.",
     "Mettez clinicalStatus à inactive, remission ou resolved.", "Set clinicalStatus accordingly.",
     f"{_BASE}, con-4", None),
)  # fmt: skip
