"""Vaccinations and medical devices, read (VSM 3.13)."""

from __future__ import annotations

from typing import Any

from lxml import etree

from mappings.cda.medication_read import labelled
from mappings.cda.node import every, first, local, template_roots, value_of
from mappings.cda.posology_read import site
from mappings.cda.section_content import SectionContent
from mappings.cda.section_products_write import ACTS, RANK
from mappings.document.summary import Immunization, UsedDevice

__all__ = ["read_devices", "read_immunizations"]

_Element = etree._Element

_VACCINE = frozenset(
    {
        "templateId",
        "id",
        "code",
        "text",
        "statusCode",
        "effectiveTime",
        "routeCode",
        "approachSiteCode",
        "doseQuantity",
        "consumable",
        "entryRelationship",
    }
)
_DEVICE = frozenset({"templateId", "id", "text", "statusCode", "effectiveTime", "participant", "entryRelationship"})


def read_immunizations(content: SectionContent, entry: _Element, inner: _Element) -> list[Immunization]:
    """A vaccine given."""
    reader = content.reader
    coded = first(inner, "code")
    if local(inner) != "substanceAdministration" or content.says_none(coded):
        return []
    product = labelled(reader, inner)
    if product is None:
        return []
    if inner.get("negationInd") == "true":
        content.say(inner, "negationInd", f"Non vacciné : {product.label}")
        return []
    fields: dict[str, Any] = {}
    for relationship in every(inner, "entryRelationship"):
        observation = first(relationship, "observation")
        if observation is not None and RANK[0] in template_roots(observation) and "rank" not in fields:
            rank = value_of(first(observation, "value"))
            if rank is not None and rank.isdigit() and 0 < int(rank) < 100:
                fields["rank"] = int(rank)
                continue
        content.unheld(relationship, product.label)
    content.rest(inner, _VACCINE, product.label)
    dose = first(inner, "doseQuantity")
    if dose is not None and (amounts := reader.range(dose)) is not None:
        if amounts.low == amounts.high:
            fields["dose"] = amounts.low
        else:
            content.say(dose, "doseQuantity", f"{product.label} : {amounts.low.value} à {amounts.high.value}")
    where = site(reader, first(inner, "approachSiteCode"))
    if where is not None:
        fields["site"] = where.code
    act = value_of(coded, "code")
    made = reader.make(
        Immunization,
        inner,
        id=reader.uuid(first(inner, "id")),
        act=act if act in ACTS else "IMMUNIZ",
        vaccine=product,
        given_at=next((found for each in every(inner, "effectiveTime") if (found := reader.moment(each))), None),
        route=reader.code(first(inner, "routeCode")),
        **fields,
    )
    return [made] if made is not None else []


def read_devices(content: SectionContent, entry: _Element, inner: _Element) -> list[UsedDevice]:
    """A device used by or implanted in the patient."""
    reader = content.reader
    if local(inner) not in ("supply", "procedure", "act", "organizer"):
        return []
    coded = inner.find(".//{*}participant/{*}participantRole/{*}playingDevice/{*}code")
    text = first(inner, "text")
    stated = content.says_none(coded)
    if stated:
        return []
    what = content.labelled(coded, text)
    if what is None:
        return []
    if stated is None:
        content.say(inner, "participant", what.label)
        return []
    for relationship in every(inner, "entryRelationship"):
        content.unheld(relationship, what.label)
    content.rest(inner, _DEVICE, what.label)
    for participant in list(every(inner, "participant"))[1:]:
        content.unheld(participant, what.label)
    role = inner.find("{*}participant/{*}participantRole")
    if role is not None:
        # A serial or lot number: the hub has no place for it.
        for each in every(role, "id"):
            if each.get("nullFlavor") is None and (number := each.get("extension")):
                content.say(each, "id", f"{what.label} : numéro {number}")
    made = reader.make(
        UsedDevice,
        inner,
        id=reader.uuid(first(inner, "id")),
        concept=what,
        period=reader.period(first(inner, "effectiveTime")),
    )
    return [made] if made is not None else []
