"""Acts and long-term treatments, read (VSM 3.2, 3.9, 3.11)."""

from __future__ import annotations

from typing import Any

from lxml import etree

from mappings.cda import findings as rules
from mappings.cda.medication_line_write import PATIENT_INSTRUCTION
from mappings.cda.medication_read import labelled, product_anchor
from mappings.cda.node import every, first, local, template_roots, value_of
from mappings.cda.posology_read import DOSAGE_PARTS, UNKNOWN_POSOLOGY, column, posology
from mappings.cda.prescription_read import words_beside
from mappings.cda.section_content import SectionContent
from mappings.document.medication import Dosage, Medication, Posology
from mappings.document.summary import Procedure, Treatment
from mappings.document.values import Period
from mappings.rendering.posology import made_sentence

__all__ = ["read_procedures", "read_treatments", "settled"]

_Element = etree._Element

_ACT = frozenset({"templateId", "id", "code", "text", "statusCode", "effectiveTime", "entryRelationship"})
_TREATMENT = DOSAGE_PARTS | {"templateId", "id", "code", "text", "statusCode", "consumable", "entryRelationship"}
_STATUSES = frozenset({"completed", "active", "aborted", "cancelled"})


def read_procedures(content: SectionContent, entry: _Element, inner: _Element) -> list[Procedure]:
    """An act done or planned."""
    reader = content.reader
    coded, text = first(inner, "code"), first(inner, "text")
    stated = content.says_none(coded)
    if stated or local(inner) not in ("procedure", "act", "observation"):
        return []
    what = content.labelled(coded, text)
    if what is None:
        return []
    if stated is None or inner.get("negationInd") == "true":
        content.say(inner, "negationInd", what.label if stated is None else f"Non réalisé : {what.label}")
        return []
    fields: dict[str, Any] = {}
    reasons = []
    for relationship in every(inner, "entryRelationship"):
        if relationship.get("typeCode") == "RSON" and (motive := content.motive(relationship)) is not None:
            reasons.append(motive)
        elif "comment" not in fields and (comment := content.comment(relationship)) is not None:
            fields["comment"] = comment
        else:
            content.unheld(relationship, what.label)
    content.rest(inner, _ACT, what.label)
    status = value_of(first(inner, "statusCode"), "code")
    if status in _STATUSES:
        fields["status"] = status
    time = first(inner, "effectiveTime")
    performed = None
    if time is not None:
        performed = reader.moment(time) or reader.moment(first(time, "low")) or reader.moment(first(time, "high"))
        if (end := reader.moment(first(time, "high"))) is not None and end != performed:
            content.say(time, "high", f"{what.label} : jusqu'au {end}")
    made = reader.make(
        Procedure,
        inner,
        id=reader.uuid(first(inner, "id")),
        concept=what,
        performed=performed,
        planned=inner.get("moodCode") not in (None, "EVN"),
        reasons=tuple(reasons),
        **fields,
    )
    return [made] if made is not None else []


# --- Treatments -----------------------------------------------------------------------------------


def read_treatments(content: SectionContent, entry: _Element, inner: _Element) -> list[Treatment]:
    """A treatment with how to take it."""
    reader = content.reader
    if local(inner) != "substanceAdministration" or content.says_none(first(inner, "code")):
        return []
    product = labelled(reader, inner)
    if product is None:
        return []
    label = product.label
    if inner.get("negationInd") == "true":
        content.say(inner, "negationInd", f"Ne prend pas : {label}")
        return []
    reasons = []
    advice: str | None = None
    for relationship in every(inner, "entryRelationship"):
        act = first(relationship, "act")
        kind = relationship.get("typeCode")
        if kind == "COMP" and first(relationship, "substanceAdministration") is not None:
            continue  # a step of the posology
        if kind == "RSON" and (motive := content.motive(relationship)) is not None:
            reasons.append(motive)
        elif act is not None and advice is None and PATIENT_INSTRUCTION[-1] in template_roots(act):
            advice = words_beside(reader, act, relationship)
        else:
            content.unheld(relationship, label)
    content.rest(inner, _TREATMENT, label)
    how, period = _posology(content, inner, product)
    if how.unsaid_unit(product):
        content.reader.finding(rules.DOSE_WITHOUT_UNIT, inner)
    made = reader.make(
        Treatment,
        inner,
        id=reader.uuid(first(inner, "id")),
        medication=product,
        posology=how,
        period=period,
        reasons=tuple(reasons),
        patient_instruction=advice,
    )
    return [made] if made is not None else []


def _posology(content: SectionContent, element: _Element, product: Medication) -> tuple[Posology, Period | None]:
    """How to take it, and since when."""
    reader = content.reader
    anchor = product_anchor(reader, element)
    found = posology(reader, element, anchor)
    return settled(found, product, column(reader, anchor, "posologie") if found.text is None else None)


def settled(found: Posology, product: Medication, said: str | None) -> tuple[Posology, Period | None]:
    """The posology without its dates, which are those of the treatment (effectivePeriod), and these dates.

    ``said`` is what stands beside the medicine in the narrative without any reference: it becomes the words of the
    posology, unless it only says the structure again.
    """
    period = found.dosage.period if found.dosage is not None else None
    kept = found
    if period is not None and found.dosage is not None:
        rest = found.dosage.model_copy(update={"period": None})
        kept = found.model_copy(update={"dosage": None if rest == Dosage() else rest})
    if kept.text is None and said and said not in (made_sentence(found, product), made_sentence(kept, product)):
        kept = kept.model_copy(update={"text": said})
    if kept.text is None and not kept.structured:
        kept = kept.model_copy(update={"text": said or UNKNOWN_POSOLOGY})
    return kept, period
