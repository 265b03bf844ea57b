"""An e-prescription (eP-MED-DM 2024.01), read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lxml import etree

from conformance.verdict import Text
from mappings.cda import findings as rules
from mappings.cda.marks_read import MARK_TEMPLATES, MarkReader, repeat_number
from mappings.cda.medication_line_write import (
    DISPENSER_INSTRUCTION,
    LINE,
    PATIENT_INSTRUCTION,
    PERMISSION,
    PLAN_ITEM,
    QUANTITY,
    REFERENCE,
    RENEWAL_PERIOD,
    STEP,
    SUBSTITUTION_REASONS,
)
from mappings.cda.medication_read import labelled, product_anchor
from mappings.cda.node import Reader, every, first, local, place, template_roots, value_of
from mappings.cda.posology_read import DOSAGE_PARTS, posology
from mappings.cda.prescription_write import EPU, HEIGHT, TA_ASIP, WEIGHT
from mappings.cda.sections_read import SectionReader, media, unread_entries
from mappings.cda.sections_write import PREGNANT
from mappings.document.header import Act
from mappings.document.medication import Medication, Posology
from mappings.document.people import Identifier
from mappings.document.prescription import (
    DeviceLine,
    LineMarks,
    MedicationLine,
    MedicationMarks,
    Motive,
    Prescription,
    Substitution,
)
from mappings.document.values import Code, Quantity

__all__ = ["read_prescription", "unknown_relationship", "words_beside"]

_Element = etree._Element

_LINE_PARTS = DOSAGE_PARTS | {
    "templateId",
    "id",
    "code",
    "text",
    "statusCode",
    "repeatNumber",
    "consumable",
    "entryRelationship",
}
_DEVICE_PARTS = frozenset(
    {
        "templateId",
        "id",
        "text",
        "effectiveTime",
        "repeatNumber",
        "quantity",
        "expectedUseTime",
        "participant",
        "entryRelationship",
    }
)
_REASON = re.compile(r"(?:non substituable\s*\()?\b(MTE|EFG|CIF)\b\)?\s*[:-]?\s*", re.IGNORECASE)
#: Words that say a regulatory motive without its acronym, as in the official documents.
_SAID = (("MTE", "marge thérapeutique"), ("EFG", "forme galénique"), ("CIF", "contre-indication formelle"))


def read_prescription(reader: Reader, body: _Element, header: dict[str, Any]) -> Prescription:
    """The prescription. Raises :class:`NotCda` when it has no line that can be read."""
    sections = SectionReader(reader, body)
    lines: list[MedicationLine | DeviceLine] = []
    out: dict[str, Any] = {}
    for section, roots, code in sections:
        if "1.2.250.1.213.1.1.2.171" in roots or "1.3.6.1.4.1.19376.1.9.1.2.1" in roots:
            lines += _lines(reader, section, "substanceAdministration")
        elif "1.2.250.1.213.1.1.2.222" in roots or code == "46264-8":
            lines += _lines(reader, section, "supply")
        elif "1.2.250.1.213.1.1.2.243" in roots:
            out["pdf"] = media(reader, section, "application/pdf")
        elif "1.2.250.1.213.1.1.2.223" in roots:
            out["code_image"] = media(reader, section, "image/")
        elif "1.2.250.1.213.1.1.2.73" in roots:
            out["comment"] = reader.words(first(section, "text"))
            unread_entries(reader, section)
        elif "1.2.250.1.213.1.1.2.75" in roots:
            _vital_signs(reader, section, out)
        elif "1.2.250.1.213.1.1.2.77" in roots:
            _pregnancy(reader, section, out)
        else:
            sections.unknown(section)
            continue
        sections.carried(section)
    header["acts"], number, marks = _acts(header["acts"], reader)
    return reader.document(Prescription, body, **header, number=number, context_marks=marks, lines=tuple(lines), **out)


def _acts(acts: tuple[Act, ...], reader: Reader) -> tuple[tuple[Act, ...], str | None, tuple[str, ...]]:
    """The acts without what the prescription holds elsewhere: its number, its context marks."""
    main, *others = acts
    number = None
    identifiers = _main_identifiers(reader)
    if identifiers and identifiers[0].root == EPU:
        number = identifiers.pop(0).extension
        main = main.model_copy(update={"id": identifiers[0] if identifiers else None})
    marks, kept = [], []
    for act in others:
        if act.informative and act.code is not None and act.code.system == TA_ASIP and act.period is None:
            marks.append(act.code.code)
        else:
            kept.append(act)
    return (main, *kept), number, tuple(dict.fromkeys(marks))


def _main_identifiers(reader: Reader) -> list[Identifier]:
    event = reader.root.find("{*}documentationOf/{*}serviceEvent")
    if event is None:
        return []
    return [found for each in every(event, "id") if (found := reader.identifier(each)) is not None]


def _lines(reader: Reader, section: _Element, kind: str) -> Iterator[MedicationLine | DeviceLine]:
    for entry in every(section, "entry"):
        element = first(entry, kind)
        made: MedicationLine | DeviceLine | None = None
        # What is not to be given is no line of a prescription.
        if element is not None and element.get("negationInd") != "true":
            made = _medication_line(reader, element) if kind == "substanceAdministration" else _device(reader, element)
        if made is None:
            reader.lost(entry, "entry", clinical=True)
            continue
        reader.log.carried(place(entry), kind)
        yield made


# --- Medicines ------------------------------------------------------------------------------------


def _medication_line(reader: Reader, element: _Element) -> MedicationLine | None:
    product = labelled(reader, element)
    if product is None:
        return None
    fields: dict[str, Any] = {"motives": []}
    marks = MarkReader(reader)
    for child in element.iterchildren("{*}*"):
        name = local(child)
        if name == "entryRelationship":
            _relationship(reader, child, fields, marks)
        elif name not in _LINE_PARTS:
            reader.lost(child, name, clinical=True)
    _report_template(reader, element, LINE[-1])
    if "substitution" not in fields:
        reader.finding(rules.NO_PERMISSION, element)
    fields["motives"] = tuple(fields["motives"])
    return reader.make(
        MedicationLine,
        element,
        id=reader.uuid(first(element, "id")),
        medication=product,
        posology=_posology(reader, element, product),
        renewals=repeat_number(element),
        marks=MedicationMarks(**marks.fields(element, medicine=True)),
        **fields,
    )


def _posology(reader: Reader, element: _Element, product: Medication) -> Posology:
    found = posology(reader, element, product_anchor(reader, element))
    if found.unsaid_unit(product):
        reader.finding(rules.DOSE_WITHOUT_UNIT, element)
    return found


def _report_template(reader: Reader, element: _Element, expected: str) -> None:
    """Say that an entry is not of the template expected there, though it was read."""
    if expected not in template_roots(element):
        reader.findings.append(
            rules.UNUSABLE_VALUE.finding(place(element), expected=f"templateId {expected}", line=element.sourceline)
        )


def _relationship(reader: Reader, element: _Element, fields: dict[str, Any], marks: MarkReader) -> None:
    """Take one entryRelationship of a line; what is not known is named in the loss report."""
    inner = next((child for child in element.iterchildren("{*}*") if local(child) != "sequenceNumber"), None)
    if inner is None:
        return
    roots = template_roots(inner)
    mark = next((MARK_TEMPLATES[oid] for oid in roots if oid in MARK_TEMPLATES), None)
    if mark is not None:
        marks.add(mark, inner)
    elif PATIENT_INSTRUCTION[-1] in roots:
        fields["patient_instruction"] = words_beside(reader, inner, element)
    elif DISPENSER_INSTRUCTION[-1] in roots:
        fields["dispenser_instruction"] = words_beside(reader, inner, element)
    elif QUANTITY[-1] in roots or QUANTITY[0] in roots:
        fields["quantity"] = reader.quantity(first(inner, "quantity"))
    elif RENEWAL_PERIOD[-1] in roots or RENEWAL_PERIOD[0] in roots:
        fields["renewal_period"] = reader.period(first(inner, "effectiveTime"))
    elif PERMISSION[-1] in roots or PERMISSION[0] in roots:
        fields["substitution"] = _substitution(reader, inner)
    elif PLAN_ITEM[-1] in roots or PLAN_ITEM[0] in roots:
        fields["treatment_plan_item"] = reader.uuid(first(inner, "id"))
    elif REFERENCE[-1] in roots or REFERENCE[0] in roots:
        if (motive := _motive(reader, inner)) is not None:
            fields["motives"].append(motive)
    elif STEP in roots or (element.get("typeCode") == "COMP" and local(inner) == "substanceAdministration"):
        return  # a step of the posology
    else:
        unknown_relationship(reader, element, inner, roots)


def unknown_relationship(reader: Reader, element: _Element, inner: _Element, roots: set[str]) -> None:
    """Name a relationship of an unknown template: its words are kept in the narrative, or it is lost."""
    name = f"{local(inner)} {' '.join(sorted(roots))}".strip()
    if reader.words(first(inner, "text")):
        reader.log.text_only(place(element), name, _IN_WORDS, clinical=True)
    else:
        reader.lost(element, name, clinical=True)


_IN_WORDS = Text("Modèle inconnu : son texte reste dans la partie narrative.", "Unknown template: its text remains.")


def words_beside(reader: Reader, act: _Element, relationship: _Element) -> str | None:
    """The words of an instruction; None when it points at the product, or says a dash as official documents do."""
    line = relationship.getparent()
    text = first(act, "text")
    if line is not None and (anchor := reader.anchor(text)) is not None:
        tag = "product" if local(line) == "supply" else "consumable"
        if anchor == product_anchor(reader, line, tag):
            return None
    words = reader.words(text)
    return None if words in (None, "-") else words


def _substitution(reader: Reader, act: _Element) -> Substitution:
    coded = first(act, "code")
    permitted = value_of(coded, "code") != "N"
    text = reader.words(first(coded, "originalText")) if coded is not None else None
    reason = None
    if text is not None and (match := _REASON.match(text)):
        reason = match[1].upper()
        text = text[match.end() :] or None
        if text == SUBSTITUTION_REASONS[reason]:
            text = None
    elif text is not None and not permitted:
        reason = next((code for code, words in _SAID if words in text.lower()), None)
    if not permitted and reason is None and text is None:
        reader.finding(rules.NO_REASON, act)
        text = "(motif non renseigné)"
    made = reader.make(Substitution, act, permitted=permitted, reason=reason, text=text)
    return made or Substitution(permitted=permitted, text="(motif illisible)")


def _motive(reader: Reader, act: _Element) -> Motive | None:
    identifier, concept = reader.uuid(first(act, "id")), reader.concept(first(act, "code"))
    if identifier is None and concept is None:
        reader.lost(act, "act", clinical=True)
        return None
    return Motive(id=identifier, concept=concept)


# --- Devices --------------------------------------------------------------------------------------


def _device(reader: Reader, element: _Element) -> DeviceLine | None:
    coded = element.find("{*}participant/{*}participantRole/{*}playingDevice/{*}code")
    text = first(element, "text")
    words = reader.words(text)
    name = anchor = None
    codes: list[Code] = []
    if coded is not None:
        if (main := reader.code(coded)) is not None:
            codes.append(main)
        codes += reader.translations(coded)
        original = first(coded, "originalText")
        name, anchor = reader.words(original), reader.anchor(original)
    if anchor is not None and reader.anchor(text) == anchor:
        words = None
    if name is None:
        # Official documents point at the name from the text of the entry.
        name, words = words, None
    name = name or next((each.display or each.code for each in codes), None)
    if name is None:
        return None
    marks = MarkReader(reader)
    for child in element.iterchildren("{*}*"):
        tag = local(child)
        if tag == "entryRelationship":
            inner = next(child.iterchildren("{*}*"), None)
            if inner is None:
                continue
            roots = template_roots(inner)
            mark = next((MARK_TEMPLATES[oid] for oid in roots if oid in MARK_TEMPLATES), None)
            if mark is not None:
                marks.add(mark, inner)
            else:
                unknown_relationship(reader, child, inner, roots)
        elif tag not in _DEVICE_PARTS:
            reader.lost(child, tag, clinical=True)
    rental: Quantity | None = None
    if (use := first(element, "expectedUseTime")) is not None:
        rental = reader.quantity(first(use, "width"))
    return reader.make(
        DeviceLine,
        element,
        id=reader.uuid(first(element, "id")),
        name=name,
        codes=tuple(codes),
        period=reader.period(first(element, "effectiveTime")),
        renewals=repeat_number(element),
        quantity=reader.quantity(first(element, "quantity")),
        rental_duration=rental,
        marks=LineMarks(**marks.fields(element, medicine=False)),
        text=words,
    )


# --- Context --------------------------------------------------------------------------------------


def _vital_signs(reader: Reader, section: _Element, out: dict[str, Any]) -> None:
    for entry in every(section, "entry"):
        for observation in entry.iterfind("{*}organizer/{*}component/{*}observation"):
            code = value_of(first(observation, "code"), "code")
            quantity = reader.quantity(first(observation, "value"))
            if quantity is not None and code == WEIGHT.code and "weight" not in out:
                out["weight"] = quantity
            elif quantity is not None and code == HEIGHT.code and "height" not in out:
                out["height"] = quantity
            else:
                reader.lost(observation, f"observation {code}", clinical=True)
        reader.log.carried(place(entry), "organizer")


def _pregnancy(reader: Reader, section: _Element, out: dict[str, Any]) -> None:
    statuses = {code.code: pregnant for pregnant, code in PREGNANT.items()}
    for entry in every(section, "entry"):
        observation = first(entry, "observation")
        value = value_of(first(observation, "value"), "code") if observation is not None else None
        if value in statuses and "pregnant" not in out:
            out["pregnant"] = statuses[value]
            reader.log.carried(place(entry), "observation")
        else:
            reader.lost(entry, "observation", clinical=True)
