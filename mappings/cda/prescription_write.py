"""The body of an e-prescription (CI-SIS eP-MED-DM 2024.01): medicines, devices, context, printed copy."""

from __future__ import annotations

from collections.abc import Sequence

from mappings.cda import sections_write
from mappings.cda.build import Builder, section
from mappings.cda.device_line_write import DEVICE_HEADINGS, device_line
from mappings.cda.header_write import HeaderPlan
from mappings.cda.medication_line_write import DELIVERY_HEADINGS, POSOLOGY_HEADINGS, medication_line
from mappings.cda.narrative import Narrative
from mappings.cda.tree import Element
from mappings.document.header import Act
from mappings.document.people import Identifier
from mappings.document.prescription import DeviceLine, MedicationLine, Prescription
from mappings.document.values import Code, Quantity

__all__ = ["CONTEXT_MARKS", "EPU", "HEIGHT", "TEMPLATES", "WEIGHT", "plan", "write_body"]

LOINC = sections_write.LOINC
TA_ASIP = "1.2.250.1.213.1.1.4.322"
#: Number of the e-prescription, given by the health insurance.
EPU = "1.2.250.1.215.500.1.1"

#: PCC, IHE PRE, eP-MED-DM.
TEMPLATES = (
    ("1.3.6.1.4.1.19376.1.5.3.1.1.1", None),
    ("1.3.6.1.4.1.19376.1.9.1.1.1", None),
    ("1.2.250.1.213.1.1.1.39", "2024.01"),
)
PRESCRIPTION = Code(code="57833-6", system=LOINC, display="Prescription de produits de santé", system_name="LOINC")
MEDICINES = Code(code="57828-6", system=LOINC, display="Prescriptions", system_name="LOINC")
DEVICES = Code(code="46264-8", system=LOINC, display="Dispositifs médicaux", system_name="LOINC")
WEIGHT = Code(code="29463-7", system=LOINC, display="Poids (mesuré)", system_name="LOINC")
HEIGHT = Code(code="8302-2", system=LOINC, display="Taille", system_name="LOINC")

#: Context marks (eP-MED-DM section 2), TA_ASIP.
CONTEXT_MARKS = {
    "MED-1096": "Prescription bizone",
    "MED-1097": "Prescription médicaments d'exception",
    "MED-1098": "Ordonnance sécurisée",
    "MED-1132": "Prescription grand appareillage",
    "MED-1094": "Exécution à domicile",
    "MED-1095": "Exécution en urgence",
    "MED-1159": "Affection militaire",
}


def plan(document: Prescription) -> HeaderPlan:
    """What a prescription adds to the header: its number, its context marks."""
    marks = tuple(
        Act(
            code=Code(code=mark, system=TA_ASIP, display=CONTEXT_MARKS.get(mark), system_name="TA_ASIP"),
            informative=True,
        )
        for mark in dict.fromkeys(document.context_marks)
    )
    return HeaderPlan(
        templates=TEMPLATES,
        act_code=PRESCRIPTION,
        act_id=Identifier(root=EPU, extension=document.number) if document.number else None,
        acts=marks,
        contact_required=True,
    )


def write_body(document: Prescription, builder: Builder) -> None:
    """Add the body; the printed copy is there (exactly one is imposed)."""
    assert builder.pdf is not None  # noqa: S101 - said missing otherwise
    body = builder.body()
    if document.code_image is not None:
        sections_write.code_image(body, builder, document.code_image)
    lines = list(enumerate(document.lines))
    _medicines(body, builder, document, [(i, each) for i, each in lines if isinstance(each, MedicationLine)])
    _devices(body, builder, document, [(i, each) for i, each in lines if isinstance(each, DeviceLine)])
    if document.comment is not None:
        sections_write.comment(body, builder, document.comment)
    measures: list[tuple[str, Code, Quantity]] = []
    if document.weight is not None:
        measures.append(("/weight", WEIGHT, document.weight))
    if document.height is not None:
        measures.append(("/height", HEIGHT, document.height))
    if measures:
        sections_write.vital_signs(body, builder, measures, document.created_at)
    if document.pregnant is not None:
        sections_write.pregnancy(body, builder, document.pregnant, document.created_at)
    sections_write.pdf_copy(body, builder, builder.pdf)


def _medicines(
    body: Element, builder: Builder, document: Prescription, lines: Sequence[tuple[int, MedicationLine]]
) -> None:
    if not lines:
        return
    element = section(
        body,
        builder,
        ("1.3.6.1.4.1.19376.1.9.1.2.1", "1.2.250.1.213.1.1.2.171"),
        MEDICINES,
        "Prescription de médicaments",
        "/lines#medicines",
    )
    narrative = Narrative(builder, element)
    structured = any(line.posology.structured for _, line in lines)
    posology = narrative.table(*(POSOLOGY_HEADINGS if structured else POSOLOGY_HEADINGS[:2]))
    delivery = narrative.table(*DELIVERY_HEADINGS)
    for index, line in lines:
        medication_line(element, builder, line, f"/lines/{index}", posology, delivery, structured=structured)
        builder.log.carried(f"/lines/{index}", "FR-Traitement-prescrit")


def _devices(body: Element, builder: Builder, document: Prescription, lines: Sequence[tuple[int, DeviceLine]]) -> None:
    if not lines:
        return
    element = section(
        body,
        builder,
        ("1.2.250.1.213.1.1.2.222",),
        DEVICES,
        "Prescription de dispositifs médicaux",
        "/lines#devices",
    )
    table = Narrative(builder, element).table(*DEVICE_HEADINGS)
    for index, line in lines:
        device_line(element, builder, line, f"/lines/{index}", table)
        builder.log.carried(f"/lines/{index}", "FR-Dispositif-medical")
