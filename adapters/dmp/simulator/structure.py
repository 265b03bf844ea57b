"""Check the form of a RegistryObjectList as a strict registry does: order, ids, references, schemes.

OASIS ``rim.xsd`` and IHE ITI TF-3 4.2.3.1; what a schema cannot say is said here too (references inside the list).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lxml import etree

from adapters.dmp.simulator.refusals import RegistryProblem
from mappings.xds import vocabulary as v
from mappings.xds.ebrim import RIM

__all__ = ["form_problems"]

_R: Final = f"{{{RIM}}}"
#: Order of children in a registry object (rim.xsd RegistryObjectType).
_ORDER: Final = {
    name: rank
    for rank, name in enumerate(
        ("Slot", "Name", "Description", "VersionInfo", "Classification", "ExternalIdentifier", "ContentVersionInfo")
    )
}
_OBJECTS: Final = ("ExtrinsicObject", "RegistryPackage", "Association", "Classification", "ExternalIdentifier")
#: Classifications an entry and a set may carry; all but authors and events need a coding scheme.
_ENTRY_SCHEMES: Final = {
    v.ENTRY_AUTHOR: False,
    v.ENTRY_CLASS: True,
    v.ENTRY_TYPE: True,
    v.ENTRY_CONFIDENTIALITY: True,
    v.ENTRY_FORMAT: True,
    v.ENTRY_FACILITY: True,
    v.ENTRY_PRACTICE: True,
    v.ENTRY_EVENT: True,
}
_SET_SCHEMES: Final = {v.SET_AUTHOR: False, v.SET_CONTENT_TYPE: True}
_ONCE: Final = (v.ENTRY_CLASS, v.ENTRY_TYPE, v.ENTRY_FORMAT, v.ENTRY_FACILITY, v.ENTRY_PRACTICE, v.SET_CONTENT_TYPE)
_LONG: Final = 256


def _problem(context: str, node: etree._Element) -> RegistryProblem:
    where = node.get("id", "")
    return RegistryProblem(code="XDSRegistryMetadataError", context=context, location=where[:80])


def form_problems(listed: etree._Element) -> Iterator[RegistryProblem]:
    """Give every fault of form in a RegistryObjectList."""
    children = [node for node in listed if isinstance(node.tag, str)]
    if not children:
        yield _problem("RegistryObjectList vide", listed)
        return
    ids: dict[str, etree._Element] = {}
    for node in listed.iter(*(_R + name for name in _OBJECTS)):
        identifier, parent = node.get("id", ""), node.getparent()
        if not identifier:
            yield _problem(f"{etree.QName(node).localname} sans id", node)
        # Nobody refers to a classification by its id: some writers number them anew in each object.
        elif identifier in ids and parent in (listed, ids[identifier].getparent()):
            yield _problem("id en double", node)
        ids.setdefault(identifier, node)
    for node in children:
        name = etree.QName(node)
        if name.namespace != RIM or name.localname not in (*_OBJECTS, "ObjectRef"):
            yield _problem(f"objet inattendu : {name.localname[:40]}", node)
            continue
        yield from _object(node, ids)


def _object(node: etree._Element, ids: dict[str, etree._Element]) -> Iterator[RegistryProblem]:
    name = etree.QName(node).localname
    yield from _children(node)
    if name == "ExtrinsicObject":
        if node.get("objectType") != v.STABLE_DOCUMENT:
            yield _problem("objectType n'est pas celui d'un document stable", node)
        if not node.get("mimeType"):
            yield _problem("mimeType absent", node)
        yield from _classified(node, _ENTRY_SCHEMES)
        yield from _identified(node, {v.ENTRY_PATIENT_ID, v.ENTRY_UNIQUE_ID})
    elif name == "RegistryPackage":
        yield from _classified(node, _SET_SCHEMES)
        yield from _identified(node, {v.SET_PATIENT_ID, v.SET_UNIQUE_ID, v.SET_SOURCE_ID})
    elif name == "Association":
        source, target = node.get("sourceObject", ""), node.get("targetObject", "")
        if source == target or node.get("id") in (source, target):
            yield _problem("association d'un objet à lui-même", node)
        for end in (source, target):
            if end not in ids and not end.startswith("urn:uuid:"):
                yield _problem("association vers un objet absent", node)
    elif name == "Classification" and node.get("classifiedObject") not in ids:
        yield _problem("classifiedObject absent de la liste", node)


def _children(node: etree._Element) -> Iterator[RegistryProblem]:
    last = -1
    slots: set[str] = set()
    for child in node:
        if not isinstance(child.tag, str):
            continue
        name = etree.QName(child).localname
        rank = _ORDER.get(name, -1)
        if rank < 0 or etree.QName(child).namespace != RIM:
            yield _problem(f"élément inattendu : {name[:40]}", node)
            continue
        if rank < last:
            yield _problem(f"{name} mal placé : Slot, Name, Description, VersionInfo, Classification attendus", node)
        last = max(last, rank)
        if name == "Slot":
            slot = child.get("name", "")
            if not slot or slot in slots:
                yield _problem(f"Slot sans nom ou en double : {slot[:40]}", node)
            slots.add(slot)
            values = child.findall(f"{_R}ValueList/{_R}Value")
            if not values or any(not (value.text or "").strip() for value in values):
                yield _problem(f"Slot sans valeur : {slot[:40]}", node)
            if any(len(value.text or "") > _LONG for value in values):
                yield _problem(f"valeur de plus de {_LONG} caractères : {slot[:40]}", node)
        elif name in ("Classification", "ExternalIdentifier"):
            yield from _children(child)


def _classified(node: etree._Element, schemes: dict[str, bool]) -> Iterator[RegistryProblem]:
    counts: dict[str, int] = {}
    for child in node.iterfind(_R + "Classification"):
        if child.get("classificationNode") is not None:
            if child.get("classificationNode") != v.SUBMISSION_SET_NODE or child.get("nodeRepresentation"):
                yield _problem("classificationNode inconnu", child)
            continue
        scheme = child.get("classificationScheme", "")
        if scheme not in schemes:
            yield _problem(f"classificationScheme inconnu : {scheme[-12:]}", child)
            continue
        counts[scheme] = counts.get(scheme, 0) + 1
        if child.get("classifiedObject") != node.get("id"):
            yield _problem("classifiedObject n'est pas l'objet qui porte la classification", child)
        coded = child.find(f"{_R}Slot[@name='codingScheme']")
        if schemes[scheme] and (
            coded is None or not child.get("nodeRepresentation") or child.find(f"{_R}Name/{_R}LocalizedString") is None
        ):
            yield _problem("code, codingScheme ou libellé absent", child)
    for scheme in _ONCE:
        if counts.get(scheme, 0) > 1:
            yield _problem(f"classification répétée : {scheme[-12:]}", node)


def _identified(node: etree._Element, schemes: set[str]) -> Iterator[RegistryProblem]:
    seen: set[str] = set()
    for child in node.iterfind(_R + "ExternalIdentifier"):
        scheme = child.get("identificationScheme", "")
        if scheme not in schemes or scheme in seen:
            yield _problem(f"identificationScheme inconnu ou répété : {scheme[-12:]}", child)
        seen.add(scheme)
        if child.get("registryObject") != node.get("id"):
            yield _problem("registryObject n'est pas l'objet qui porte l'identifiant", child)
        if child.find(f"{_R}Name/{_R}LocalizedString") is None:
            yield _problem("ExternalIdentifier sans Name", child)
