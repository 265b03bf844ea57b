"""Bricks shared by the writers of the sections of a summary: severities, statuses, comments, reasons, values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mappings.cda import words
from mappings.cda.build import (
    V3,
    XSI_TYPE,
    Builder,
    code,
    concept,
    pq,
    reference_text,
    section,
    status,
    sub,
    templates,
    ts,
    uid,
)
from mappings.cda.narrative import Narrative, Row
from mappings.cda.section_plans import SectionPlan
from mappings.cda.sections_write import LOINC, SIMPLE
from mappings.cda.tree import Element, sub_element
from mappings.document.summary import Value
from mappings.document.values import Code, Concept, Moment

__all__ = [
    "CERTAINTIES",
    "CRITICALITIES",
    "Columns",
    "certainty",
    "clinical_status",
    "code_words",
    "comment",
    "criticality",
    "health_status",
    "open_section",
    "severity",
    "value",
    "value_cell",
]

#: Severity (VSM 3.4), statuses (3.5, 3.6), certainty and criticality (3.7), comment (3.8): their templates.
SEVERITY = ("2.16.840.1.113883.10.20.1.55", "1.3.6.1.4.1.19376.1.5.3.1.4.1", "1.2.250.1.213.1.1.3.29")
CLINICAL_STATUS = (
    "2.16.840.1.113883.10.20.1.50",
    "2.16.840.1.113883.10.20.1.57",
    "1.3.6.1.4.1.19376.1.5.3.1.4.1.1",
    "1.2.250.1.213.1.1.3.30",
)
HEALTH_STATUS = ("2.16.840.1.113883.10.20.1.51", "1.3.6.1.4.1.19376.1.5.3.1.4.1.2", "1.2.250.1.213.1.1.3.31")
CERTAINTY = (*SIMPLE, "1.2.250.1.213.1.1.3.171")
CRITICALITY = (*SIMPLE, "1.2.250.1.213.1.1.3.172")
COMMENT = ("2.16.840.1.113883.10.20.1.40", "1.3.6.1.4.1.19376.1.5.3.1.4.2", "1.2.250.1.213.1.1.3.32")

_SEV = Code(code="SEV", system="2.16.840.1.113883.5.4", display="Sévérité", system_name="HL7:ActCode")
_STATUS = Code(code="33999-4", system=LOINC, display="Statut", system_name="LOINC")
_HEALTH = Code(code="11323-3", system=LOINC, display="Statut clinique du patient", system_name="LOINC")
_CERTAINTY = Code(code="66455-7", system=LOINC, display="Certitude", system_name="LOINC")
_CRITICALITY = Code(code="82606-5", system=LOINC, display="Criticité", system_name="LOINC")
_COMMENT = Code(code="48767-8", system=LOINC, display="Commentaire", system_name="LOINC")


def _coded(system: str, name: str, labels: dict[str, str]) -> dict[str, Code]:
    return {value: Code(code=value, system=system, display=label, system_name=name) for value, label in labels.items()}


#: JDV_HL7_condition_ver_status.
CERTAINTIES = _coded(
    "2.16.840.1.113883.4.642.1.1075",
    "HL7:condition-ver-status",
    {"unconfirmed": "Non confirmé", "confirmed": "Confirmé", "refuted": "Réfuté"},
)
#: JDV_HL7_allergy_intolerance_criticality.
CRITICALITIES = _coded(
    "2.16.840.1.113883.4.642.4.130",
    "HL7:allergy-intolerance-criticality",
    {"low": "Faible risque", "high": "Risque élevé", "unable-to-assess": "Impossible à évaluer"},
)


def code_words(value: Code) -> str:
    """What people read of a code."""
    return value.display or value.code


# --- Sections -------------------------------------------------------------------------------------


def open_section(
    parent: Element,
    builder: Builder,
    plan: SectionPlan,
    place: str,
    text: str | None = None,
    *,
    bare: bool = False,
) -> tuple[Element, Narrative]:
    """Add a section and begin its narrative, with the words that stand beside its entries.

    ``bare`` leaves out the templates that impose an entry.
    """
    oids = [oid for oid in plan.templates if oid not in plan.coded] if bare and plan.coded else plan.templates
    element = section(parent, builder, oids, plan.code, plan.title, f"{place}#section")
    narrative = Narrative(builder, element)
    if text is not None:
        narrative.paragraph(text)
    return element, narrative


class Columns:
    """The columns of a table that at least one entry fills, besides those that are always shown."""

    __slots__ = ("headings", "shown")

    def __init__(self, entries: Sequence[Any], always: Sequence[str], optional: Sequence[tuple[str, str]]) -> None:
        found = [(name, heading) for name, heading in optional if any(_filled(each, name) for each in entries)]
        self.headings = (*always, *(heading for _, heading in found))
        self.shown = tuple(name for name, _ in found)

    def cells(self, row: Row, filled: dict[str, tuple[str, str]]) -> dict[str, str]:
        """Add the optional cells of a row, ``name: (text, stem)``; gives the reference of each that is filled."""
        references = {}
        for name in self.shown:
            if name in filled:
                text, stem = filled[name]
                references[name] = row.cell(text, stem)
            else:
                row.cell(None)
        return references


def _filled(entry: Any, name: str) -> bool:
    found = getattr(entry, name)
    return found is not None and found != ()


# --- Details of a problem or an allergy -----------------------------------------------------------


def _detail(
    parent: Element,
    kind: str,
    oids: Sequence[str],
    what: Code,
    reference: str,
    value: Code,
    xsi_type: str,
    identity: tuple[Builder, str] | None = None,
) -> None:
    inverted = "true" if kind == "SUBJ" else "false"
    relationship = sub(parent, "entryRelationship", typeCode=kind, inversionInd=inverted)
    observation = sub(relationship, "observation", classCode="OBS", moodCode="EVN")
    templates(observation, oids)
    if identity is not None:
        uid(observation, identity[0], None, identity[1])
    code(observation, what)
    reference_text(observation, reference)
    status(observation)
    if identity is not None:
        # A simple observation has a time; no one knows when certainty was reached.
        sub(observation, "effectiveTime", nullFlavor="UNK")
    code(observation, value, "value", xsi_type=xsi_type)


def severity(parent: Element, value: Code, reference: str) -> None:
    """Add how severe it is (FR-Severite)."""
    _detail(parent, "SUBJ", SEVERITY, _SEV, reference, value, "CD")


def clinical_status(parent: Element, value: Code, reference: str) -> None:
    """Add the clinical status (FR-Statut-du-probleme)."""
    _detail(parent, "REFR", CLINICAL_STATUS, _STATUS, reference, value, "CE")


def health_status(parent: Element, value: Code, reference: str) -> None:
    """Add the health status of the patient (FR-Statut-clinique-du-patient)."""
    _detail(parent, "REFR", HEALTH_STATUS, _HEALTH, reference, value, "CE")


def certainty(parent: Element, builder: Builder, value: str, reference: str, place: str) -> None:
    """Add how certain it is (FR-Certitude)."""
    _detail(parent, "SUBJ", CERTAINTY, _CERTAINTY, reference, CERTAINTIES[value], "CD", (builder, f"{place}#certainty"))


def criticality(parent: Element, builder: Builder, value: str, reference: str, place: str) -> None:
    """Add how critical the allergy is (FR-Criticite)."""
    identity = (builder, f"{place}#criticality")
    _detail(parent, "SUBJ", CRITICALITY, _CRITICALITY, reference, CRITICALITIES[value], "CD", identity)


def comment(parent: Element, reference: str) -> None:
    """Add a comment (FR-Commentaire-ER)."""
    relationship = sub(parent, "entryRelationship", typeCode="SUBJ", inversionInd="true")
    act = sub(relationship, "act", classCode="ACT", moodCode="EVN")
    templates(act, COMMENT)
    code(act, _COMMENT)
    reference_text(act, reference)
    status(act)


# --- Values of observations -----------------------------------------------------------------------


def value_cell(row: Row, found: Value, stem: str) -> str:
    """Add the cell of a value; gives its reference."""
    if found.quantity is not None:
        return row.cell(words.amount(found.quantity), stem)
    if found.concept is not None:
        return row.cell(found.concept.label, stem)
    if found.boolean is not None:
        return row.cell(words.yes_no(found.boolean), stem)
    return row.cell(found.text, stem)


def value(parent: Element, found: Value, reference: str) -> Element:
    """Add the value of an observation: PQ, CD, BL, or the words of the narrative (ED)."""
    if found.quantity is not None:
        return pq(parent, "value", found.quantity, xsi_type="PQ", reference=reference)
    if found.concept is not None:
        return concept_value(parent, found.concept, reference)
    element = sub_element(parent, V3 + "value")
    if found.boolean is not None:
        element.set(XSI_TYPE, "BL")
        element.set("value", "true" if found.boolean else "false")
    else:
        element.set(XSI_TYPE, "ED")
        sub_element(element, V3 + "reference", {"value": reference})
    return element


def concept_value(parent: Element, found: Concept, reference: str) -> Element:
    """Add a coded value; it refers to the narrative when the clinician used words of their own."""
    return concept(parent, found, reference if found.text is not None else None, "value", xsi_type="CD")


def moment_cell(row: Row, moment: Moment | None) -> None:
    """Add the cell of a date."""
    row.cell(words.moment_text(moment) if moment is not None else None)


def times(parent: Element, start: Moment | None, end: Moment | None, *, closed: bool | None = None) -> None:
    """Add an effectiveTime with its low, unknown or not, and its high: always when ``closed``, never when it is False,
    when known otherwise."""
    element = sub(parent, "effectiveTime")
    ts(element, "low", start)
    if closed or (closed is None and end is not None):
        ts(element, "high", end)
