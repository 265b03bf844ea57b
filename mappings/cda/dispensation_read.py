"""A dispensation (eDISP-MED 2024.01), read."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from lxml import etree

from mappings.cda import findings as rules
from mappings.cda.dispensation_write import COMPLETENESS, NOTE, POSOLOGY, PRESCRIPTION_ITEM, SUBSTITUTED
from mappings.cda.medication_line_write import PATIENT_INSTRUCTION
from mappings.cda.medication_read import labelled, product_anchor
from mappings.cda.node import Reader, every, first, local, place, template_roots, value_of
from mappings.cda.posology_read import posology
from mappings.cda.prescription_read import unknown_relationship, words_beside
from mappings.cda.prescription_write import EPU
from mappings.cda.sections_read import SectionReader
from mappings.document.dispensation import Dispensation, DispensedLine, SubstitutionMade
from mappings.document.header import Order
from mappings.document.people import Identifier
from mappings.document.values import Quantity

__all__ = ["read_dispensation"]

_Element = etree._Element

_PARTS = frozenset({"templateId", "id", "code", "text", "effectiveTime", "quantity", "product", "entryRelationship"})


def read_dispensation(reader: Reader, body: _Element, header: dict[str, Any]) -> Dispensation:
    """The dispensation. Raises :class:`NotCda` when it has no line that can be read."""
    sections = SectionReader(reader, body)
    lines: list[DispensedLine] = []
    for section, roots, code in sections:
        if "1.2.250.1.213.1.1.2.236" not in roots and code != "60590-7":
            sections.unknown(section)
            continue
        for entry in every(section, "entry"):
            supply = first(entry, "supply")
            line = _line(reader, supply) if supply is not None else None
            if line is None:
                reader.lost(entry, "entry", clinical=True)
                continue
            reader.log.carried(place(entry), "supply")
            lines.append(line)
        if (author := first(section, "author")) is not None:
            reader.lost(author, "author")
        sections.carried(section)
    header["orders"], prescription, number = _orders(header["orders"])
    return reader.document(
        Dispensation, body, **header, prescription_id=prescription, prescription_number=number, lines=tuple(lines)
    )


def _orders(orders: tuple[Order, ...]) -> tuple[tuple[Order, ...], Identifier | None, str | None]:
    """The prescription answered, by id and by number, and the other orders."""
    prescription, number, others = None, None, []
    for order in orders:
        if order.id.root == EPU and number is None:
            number = order.id.extension
        elif prescription is None and order.accession_number is None:
            prescription = order.id
        else:
            others.append(order)
    return tuple(others), prescription, number


def _line(reader: Reader, element: _Element) -> DispensedLine | None:
    product = labelled(reader, element, "product")
    if product is None:
        return None
    completeness = value_of(first(element, "code"), "code")
    if completeness not in COMPLETENESS:
        # Absent from the official document: a first complete delivery is assumed, and said.
        reader.finding(rules.UNUSABLE_VALUE, element)
        completeness = "FFC"
    quantity = reader.quantity(first(element, "quantity"))
    if quantity is None:
        reader.finding(rules.UNUSABLE_VALUE, element)
        quantity = Quantity(value=Decimal(1))
    fields: dict[str, Any] = {}
    for child in element.iterchildren("{*}*"):
        name = local(child)
        if name == "entryRelationship":
            _relationship(reader, child, fields)
        elif name not in _PARTS:
            reader.lost(child, name, clinical=True)
    return reader.make(
        DispensedLine,
        element,
        id=reader.uuid(first(element, "id")),
        completeness=completeness,
        medication=product,
        quantity=quantity,
        dispensed_at=reader.moment(first(element, "effectiveTime")),
        **fields,
    )


def _relationship(reader: Reader, element: _Element, fields: dict[str, Any]) -> None:
    inner = next(element.iterchildren("{*}*"), None)
    if inner is None:
        return
    roots = template_roots(inner)
    if PRESCRIPTION_ITEM[-1] in roots or PRESCRIPTION_ITEM[0] in roots:
        fields["prescribed_line"] = reader.uuid(first(inner, "id"))
        if (author := first(inner, "author")) is not None:
            reader.lost(author, "author")
    elif PATIENT_INSTRUCTION[-1] in roots:
        fields["patient_instruction"] = words_beside(reader, inner, element)
    elif NOTE[-1] in roots or NOTE[1] in roots:
        fields["note"] = words_beside(reader, inner, element)
    elif POSOLOGY[-1] in roots:
        line = element.getparent()
        anchor = product_anchor(reader, line, "product") if line is not None else None
        fields["changed_posology"] = posology(reader, inner, anchor)
    elif SUBSTITUTED[-1] in roots or SUBSTITUTED[0] in roots:
        coded = first(inner, "code")
        code = value_of(coded, "code")
        if code == "N":
            return
        reason = reader.words(first(coded, "originalText")) if coded is not None else None
        fields["substitution"] = SubstitutionMade(reason=reason[:400] if reason else None)
    else:
        unknown_relationship(reader, element, inner, roots)
