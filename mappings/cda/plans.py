"""What each kind of document adds to the common CDA header."""

from __future__ import annotations

from dataclasses import replace

from mappings.cda import dispensation_write, file_write, other_write, prescription_write
from mappings.cda.header_write import HeaderPlan
from mappings.document import AnyDocument, Dispensation, MedicalSummary, OtherDocument, Prescription, Report
from mappings.document.values import Code

__all__ = ["SUMMARIES", "plan_of"]

_LOINC = "2.16.840.1.113883.6.1"
#: Summary templates and code of the act documented (VSM section 1, IPS-FR section 7).
SUMMARIES = {
    "VSM-2023.01": HeaderPlan(
        templates=(("1.2.250.1.213.1.1.1.13", "2023.01"),),
        act_code=Code(code="34117-2", system=_LOINC, display="Historique et clinique", system_name="LOINC"),
    ),
    "IPS-FR-2024.01": HeaderPlan(
        # HL7 International Patient Summary, then its French form.
        templates=(("2.16.840.1.113883.10.22.1.1", None), ("1.2.250.1.213.1.1.1.51", "2024.01")),
    ),
}

#: Types that each kind of summary may have (VSM section 1, IPS-FR section 7); the first is imposed on any other.
SUMMARY_TYPES = {
    "VSM-2023.01": (Code(code="SYNTH", system="1.2.250.1.213.1.1.4.12", display="Synthèse"),),
    "IPS-FR-2024.01": (
        Code(code="60591-5", system=_LOINC, display="Synthèse médicale", system_name="LOINC"),
        Code(code="74207-2", system=_LOINC, display="Dossier de liaison d'urgence", system_name="LOINC"),
    ),
}


def plan_of(document: AnyDocument) -> HeaderPlan:
    """The templates, the code of the main act and the links of a document."""
    if isinstance(document, Prescription):
        return prescription_write.plan(document)
    if isinstance(document, Dispensation):
        return dispensation_write.plan(document)
    if isinstance(document, Report):
        return file_write.PLAN
    if isinstance(document, OtherDocument):
        return other_write.plan(document)
    return _summary_plan(document)


def _summary_plan(document: MedicalSummary) -> HeaderPlan:
    plan, types = SUMMARIES[document.profile], SUMMARY_TYPES[document.profile]
    if any(document.type.code == each.code and document.type.system == each.system for each in types):
        return plan
    return replace(plan, document_type=types[0])
