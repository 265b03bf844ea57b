"""Entries of any section, read by family: medicines, observations, groups of observations, and those of a summary."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from lxml import etree

from conformance.verdict import Text
from mappings.cda import findings as rules
from mappings.cda.medication_read import medication, product_anchor
from mappings.cda.node import Reader, every, first, local, place, squeeze, template_roots, value_of, xsi_type
from mappings.cda.posology_read import posology, site
from mappings.document.other import OtherEntry
from mappings.document.prescription import Motive
from mappings.document.summary import Immunization, Result, ResultGroup, Treatment, Value
from mappings.document.values import Code, Concept, Quantity

__all__ = ["interval_words", "known_entries", "observation_code", "value"]

_Element = etree._Element

IMMUNIZATION = "1.3.6.1.4.1.19376.1.5.3.1.4.12"
MEDICATION = "1.3.6.1.4.1.19376.1.5.3.1.4.7"
ATTACHED = "1.2.250.1.213.1.1.3.18"

#: Children of an observation that are carried; the others are named in the loss report.
_OBSERVED = frozenset(
    {"templateId", "id", "code", "text", "statusCode", "effectiveTime", "value", "interpretationCode", "languageCode"}
)
#: Statements that may say the contrary of a fact, and the moods in which each is one; a treatment may be ordered.
_SAID: dict[str, frozenset[str | None]] = {
    "observation": frozenset({None, "EVN"}),
    "organizer": frozenset({None, "EVN"}),
    "substanceAdministration": frozenset({None, "EVN", "INT", "RQO"}),
}
_NOT_A_FACT = Text(
    "L'entrée est niée, demandée ou proposée : elle n'est pas reprise comme un fait.",
    "The entry is negated, asked for or proposed: it is not read as a fact.",
)
_NO_VALUE = Text("L'observation n'a ni valeur ni texte.", "The observation has neither value nor text.")
_NO_FAMILY = Text("La famille de cet élément n'est pas connue ici.", "The family of this part is not known here.")
_UNREAD = Text(
    "Ces parties de l'entrée restent dans la partie narrative.", "These parts of the entry remain in the narrative."
)


def _is_fact(element: _Element) -> bool:
    return element.get("negationInd") != "true" and element.get("moodCode") in _SAID[local(element)]


def known_entries(reader: Reader, entry: _Element) -> list[OtherEntry]:
    """What an entry holds that is of a known family; nothing when none of it is."""
    return list(_walk(reader, entry))


def _walk(reader: Reader, parent: _Element) -> Iterator[OtherEntry]:
    """The known families inside an element, through the acts that only hold others (IHE XD-LAB, imaging)."""
    for child in parent.iterchildren("{*}*"):
        name = local(child)
        if name in _SAID and not _is_fact(child):
            # Not done, not there, only asked for or proposed: never read as a fact.
            reader.lost(child, f"{name} {child.get('moodCode') or ''}".strip(), clinical=True, reason=_NOT_A_FACT)
        elif name == "substanceAdministration":
            yield from _administration(reader, child)
        elif name == "organizer":
            # An attached file is no group of results.
            if ATTACHED not in template_roots(child):
                yield from _organizer(reader, child)
        elif name == "observation":
            found = _result(reader, child)
            if found is not None:
                yield OtherEntry(result=found)
            else:
                reader.lost(child, name, clinical=True, reason=_NO_VALUE)
            yield from _walk(reader, child)
        elif name in ("act", "entryRelationship", "component", "encounter"):
            yield from _walk(reader, child)
        elif name in ("procedure", "supply"):
            # What is done inside it is read (the product given for an examination); itself it has no place here.
            reader.lost(child, name, clinical=True, reason=_NO_FAMILY)
            yield from _walk(reader, child)


# --- Medicines ------------------------------------------------------------------------------------


def _administration(reader: Reader, element: _Element) -> Iterator[OtherEntry]:
    product = medication(reader, element)
    if product is None:
        return
    roots = template_roots(element)
    if IMMUNIZATION in roots:
        act = value_of(first(element, "code"), "code")
        times = [found for each in every(element, "effectiveTime") if (found := reader.moment(each)) is not None]
        dose = reader.quantity(first(element, "doseQuantity"))
        made = reader.make(
            Immunization,
            element,
            id=reader.uuid(first(element, "id")),
            act=act if act in ("IMMUNIZ", "INITIMMUNIZ", "BOOSTER") else "IMMUNIZ",
            vaccine=product,
            given_at=times[0] if times else None,
            dose=dose,
            route=reader.code(first(element, "routeCode")),
            site=getattr(site(reader, first(element, "approachSiteCode")), "code", None),
        )
        if made is not None:
            yield OtherEntry(immunization=made)
        return
    how = posology(reader, element, product_anchor(reader, element))
    if how.unsaid_unit(product):
        reader.finding(rules.DOSE_WITHOUT_UNIT, element)
    period = how.dosage.period if how.dosage is not None else None
    if period is not None and how.dosage is not None and element.get("moodCode") == "EVN":
        # What is taken: the dates are those of the treatment.
        rest = how.dosage.model_copy(update={"period": None})
        empty = not any(getattr(rest, name) for name in type(rest).model_fields)
        if not empty or how.steps or how.text:
            how = how.model_copy(update={"dosage": None if empty else rest})
    reasons = []
    for relationship in every(element, "entryRelationship"):
        act_element = first(relationship, "act")
        if relationship.get("typeCode") == "RSON" and act_element is not None:
            motive = reader.make(
                Motive,
                act_element,
                id=reader.uuid(first(act_element, "id")),
                concept=reader.concept(first(act_element, "code")),
            )
            if motive is not None:
                reasons.append(motive)
    made_treatment = reader.make(
        Treatment,
        element,
        id=reader.uuid(first(element, "id")),
        medication=product,
        posology=how,
        period=period,
        reasons=tuple(reasons),
    )
    if made_treatment is not None:
        yield OtherEntry(treatment=made_treatment)


# --- Observations ---------------------------------------------------------------------------------


def observation_code(reader: Reader, element: _Element) -> Code | None:
    """What is observed: the main code, else its first translation."""
    coded = first(element, "code")
    if coded is None:
        return None
    return reader.code(coded) or next(iter(reader.translations(coded)), None)


def value(reader: Reader, element: _Element | None) -> Value | None:
    """The value of an observation, by its type; what has no place of its own is told in words."""
    if element is None or element.get("nullFlavor") is not None:
        return None
    kind = xsi_type(element)
    fields: dict[str, Any] = {}
    if kind == "PQ":
        fields["quantity"] = reader.quantity(element)
    elif kind in ("INT", "REAL") and element.get("value"):
        try:
            fields["quantity"] = Quantity(value=Decimal(element.get("value") or ""))
        except InvalidOperation:
            fields["text"] = element.get("value")
    elif kind in ("CD", "CE", "CV", "CO", "CS"):
        fields["concept"] = reader.concept(element) or _labelled(element)
    elif kind == "BL":
        fields["boolean"] = element.get("value") == "true"
    elif kind in ("IVL_PQ", "IVL_INT", "RTO", "RTO_PQ_PQ", "RTO_QTY_QTY"):
        fields["text"] = interval_words(element)
    elif kind in ("TS", "IVL_TS"):
        fields["text"] = reader.moment(element) or reader.moment(first(element, "low"))
    else:
        fields["text"] = reader.words(element)
    fields = {name: found for name, found in fields.items() if found is not None}
    return reader.make(Value, element, **fields) if fields else None


def _labelled(element: _Element) -> Concept | None:
    label = squeeze(element.get("displayName")) or element.get("code")
    return Concept(text=label) if label else None


def interval_words(element: _Element) -> str | None:
    """An interval or a ratio in words: ``3,5 à 5 mmol/L``, ``1/64``."""

    def said(tag: str) -> str | None:
        part = first(element, tag)
        number = value_of(part)
        if number is None:
            return None
        unit = value_of(part, "unit")
        return f"{number.replace('.', ',')} {unit}" if unit and unit != "1" else number.replace(".", ",")

    if (numerator := said("numerator")) is not None:
        return f"{numerator}/{said('denominator') or '1'}"
    low, high = said("low"), said("high")
    if low and high:
        return f"{low} à {high}"
    return f"≥ {low}" if low else f"≤ {high}" if high else None


def _result(reader: Reader, element: _Element) -> Result | None:
    code = observation_code(reader, element)
    found = value(reader, first(element, "value"))
    if found is None:
        # No value of its own: the words are the result (a comment, a conclusion).
        text = first(element, "text")
        words = reader.words(text) if text is not None else None
        found = Value(text=words[:4000]) if words else None
    if code is None or found is None:
        return None
    unread = sorted({local(child) for child in element.iterchildren("{*}*")} - _OBSERVED - {"entryRelationship"})
    if unread:
        reader.log.text_only(place(element), f"observation: {', '.join(unread)}", _UNREAD)
    interpretation = reader.code(first(element, "interpretationCode"))
    time = first(element, "effectiveTime")
    return reader.make(
        Result,
        element,
        id=reader.uuid(first(element, "id")),
        code=code,
        observed_at=(reader.moment(time) or reader.moment(first(time, "low"))) if time is not None else None,
        value=found,
        interpretation=interpretation,
    )


def _organizer(reader: Reader, element: _Element) -> Iterator[OtherEntry]:
    """A group of observations; groups inside it, and entries of other families, stand on their own."""
    code = observation_code(reader, element)
    results = []
    inner: list[OtherEntry] = []
    for component in every(element, "component"):
        observation = first(component, "observation")
        found = _result(reader, observation) if observation is not None and _is_fact(observation) else None
        if found is not None and observation is not None:
            results.append(found)
            inner += _walk(reader, observation)
        else:
            inner += _walk(reader, component)
    time = first(element, "effectiveTime")
    if code is not None and results:
        made = reader.make(
            ResultGroup,
            element,
            id=reader.uuid(first(element, "id")),
            code=code,
            observed_at=(reader.moment(time) or reader.moment(first(time, "low"))) if time is not None else None,
            results=tuple(results),
        )
        if made is not None:
            yield OtherEntry(results=made)
    else:
        for found in results:
            yield OtherEntry(result=found)
    yield from inner
