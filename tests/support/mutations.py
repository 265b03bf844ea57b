"""The operations that make mutants: on an element, on an attribute, and those that break a data type."""

from __future__ import annotations

import copy
import functools
import re
import zlib
from collections.abc import Callable, Iterator

from lxml import etree

from conformance.cda.model import Model, root_model, type_model
from security import xml
from tests.support.datatype_changes import CHANGES, NEAR_TYPES, Change

__all__ = ["ELEMENT_OPERATIONS", "attribute_operations", "type_changes", "types"]

H = "{urn:hl7-org:v3}"
XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_Element = etree._Element

# --- Operations on an element ---------------------------------------------------------------------------------------


def _drop(element: _Element) -> bool:
    parent = element.getparent()
    if parent is None:
        return False
    parent.remove(element)
    return True


def _twice(element: _Element) -> bool:
    if element.getparent() is None:
        return False
    again = copy.deepcopy(element)
    for each in again.iter():
        each.attrib.pop("ID", None)
    element.addnext(again)
    return True


def _null(element: _Element) -> bool:
    if element.getparent() is None or element.get("nullFlavor"):
        return False
    for name in list(element.attrib):
        if name not in ("classCode", "moodCode", "typeCode", "determinerCode", XSI + "type", "inversionInd"):
            del element.attrib[name]
    for child in list(element):
        element.remove(child)
    element.text = None
    element.set("nullFlavor", "UNK")
    return True


def _null_beside(element: _Element) -> bool:
    if element.getparent() is None or element.get("nullFlavor") or not (element.attrib or len(element)):
        return False
    element.set("nullFlavor", "UNK")
    return True


def _swap(element: _Element) -> bool:
    following = element.getnext()
    if following is None or following.tag == element.tag:
        return False
    following.addnext(element)
    return True


def _empty(element: _Element) -> bool:
    if len(element) or not (element.text or "").strip():
        return False
    element.text = None
    return True


def _hollow(element: _Element) -> bool:
    if not len(element) or element.getparent() is None:
        return False
    for child in list(element):
        element.remove(child)
    return True


def _many(element: _Element) -> bool:
    if element.tag not in (f"{H}family", f"{H}streetAddressLine"):
        return False
    for _ in range(8):
        element.addnext(copy.deepcopy(element))
    return True


def _alone(element: _Element) -> bool:
    """The only template its element claims."""
    parent = element.getparent()
    if element.tag != f"{H}templateId" or parent is None or len(parent.findall(f"{H}templateId")) < 2:
        return False
    for other in parent.findall(f"{H}templateId"):
        if other is not element:
            parent.remove(other)
    return True


def _outside(element: _Element) -> bool:
    """The template of a section claimed by the component around it."""
    section = element.getparent()
    if element.tag != f"{H}templateId" or section is None or section.tag != f"{H}section":
        return False
    around = section.getparent()
    if around is None:
        return False
    around.insert(0, element)
    return True


#: Children of the acts of a body in the order of CDA, as far as something is inserted between them.
_ORDER = (
    "realmCode typeId templateId id code derivationExpr text statusCode effectiveTime priorityCode repeatNumber "
    "confidentialityCode uncertaintyCode independentInd quantity expectedUseTime routeCode approachSiteCode "
    "doseQuantity rateQuantity maxDoseQuantity administrationUnitCode consumable product languageCode value "
    "interpretationCode methodCode targetSiteCode subject specimen performer author informant participant "
    "entryRelationship reference"
).split()
_CODED = 'code="A" codeSystem="1.2.3"'
_INSERTED = {
    "repeatNumber": '<repeatNumber value="1"/>',
    "uncertaintyCode": f"<uncertaintyCode {_CODED}/>",
    "confidentialityCode": f"<confidentialityCode {_CODED}/>",
    "interpretationCode": f"<interpretationCode {_CODED}/>",
    "methodCode": f"<methodCode {_CODED}/>",
    "targetSiteCode": f"<targetSiteCode {_CODED}/>",
    "performer": '<performer typeCode="SPRF"><assignedEntity><id nullFlavor="UNK"/></assignedEntity></performer>',
    "author": '<author><time value="2026"/><assignedAuthor><id nullFlavor="UNK"/></assignedAuthor></author>',
    "participant": '<participant typeCode="LOC"><participantRole classCode="ROL"/></participant>',
    "reference": '<reference typeCode="REFR"><externalDocument><text>a</text></externalDocument></reference>',
}


def _inserted(element: _Element, name: str) -> bool:
    """Two more children of a name that an act of the body may have, where the schema has them."""
    acts = ("observation", "act", "procedure", "substanceAdministration", "supply", "encounter")
    if etree.QName(element).localname not in acts or not str(element.tag).startswith(H):
        return False
    before = set(_ORDER[: _ORDER.index(name) + 1])
    at = sum(1 for child in element.iterchildren("{*}*") if etree.QName(child).localname in before)
    more = xml.parse(f'<x xmlns="urn:hl7-org:v3">{_INSERTED[name] * 2}</x>'.encode(), xml.CDA_LIMITS)
    element[at:at] = more[:]
    return True


ELEMENT_OPERATIONS: dict[str, Callable[[_Element], bool]] = {
    "drop": _drop,
    "twice": _twice,
    "null": _null,
    "null-beside": _null_beside,
    "swap": _swap,
    "empty": _empty,
    "hollow": _hollow,
    "many": _many,
    "alone": _alone,
    "outside": _outside,
    **{f"insert-{name}": functools.partial(_inserted, name=name) for name in _INSERTED},
}

# --- Operations on an attribute -------------------------------------------------------------------------------------

_OTHER = {
    "code": "XXX-99",
    "codeSystem": "1.2.250.1.999.1",
    "root": "1.2.250.1.999.77",
    "extension": "X",
    "typeCode": "ELNK",
    "classCode": "ACCM",
    "moodCode": "DEF",
    "use": "XX",
    "qualifier": "SP",
    "unit": "foo",
    "mediaType": "image/bmp",
    "displayName": "Autre libellé",
    "inversionInd": "maybe",
    "operator": "Z",
}


def _other(name: str, value: str) -> str | None:
    local = name.rpartition("}")[2]
    if name == XSI + "type":
        return "ST" if value != "ST" else "INT"
    if local == "value":
        if re.fullmatch(r"[0-9]{8,}([+-][0-9]{4})?", value):
            return "20241399"
        if value.startswith("#"):
            return "#nowhere"
        return "not a value"
    found = _OTHER.get(local)
    return found if found != value else None


def _attribute_changes(element: _Element) -> Iterator[tuple[str, str, str | None]]:
    """Name of the operation, attribute, and its new value: None removes it."""
    for name, value in element.items():
        local = name.rpartition("}")[2]
        yield f"without-{local}", name, None
        if (other := _other(name, value)) is not None:
            yield f"other-{local}", name, other
        if local in ("code", "root", "extension", "displayName", "value", "codeSystem", "use", "qualifier"):
            yield f"blank-{local}", name, ""


# --- Changes of a data type -----------------------------------------------------------------------------------------


def types(root: _Element) -> dict[_Element, str]:
    """The type of CDA of each element that has one."""
    found: dict[_Element, str] = {}

    def walk(element: _Element, model: Model) -> None:
        found[element] = model.name
        names = model.names()
        for child in element.iterchildren("{*}*"):
            kind = type_model(child.get(XSI + "type") or names.get(str(child.tag), ""))
            if kind is not None:
                walk(child, kind)

    walk(root, root_model())
    return found


def _changed(element: _Element, change: Change) -> bool:
    parent = element.getparent()
    if parent is None:
        return False
    if change.beside:
        other = copy.deepcopy(element)
        other.tail = None
        for name, value in change.set:
            element.set(name, value)
            other.set(name, value)
        word, _, value = change.beside.partition("=")
        if word:
            for child in list(other):
                other.remove(child)
            other.text = None
            other.attrib.clear()
            other.set(word, value.strip('"'))
        elif value:
            other.attrib.pop("extension", None)
        element.addnext(other)
        return True
    if change.clear:
        for child in list(element):
            element.remove(child)
        element.text = None
        element.attrib.clear()
    for name, value in change.set:
        element.set(name, value)
    if change.text is not None:
        element.text = change.text
    if change.inside:
        element.extend(xml.parse(f'<x xmlns="urn:hl7-org:v3">{change.inside}</x>'.encode(), xml.CDA_LIMITS))
    return True


def _typed(element: _Element, kind: str) -> bool:
    if element.get(XSI + "type") is not None or ":" in kind or kind == "PQ":
        return False
    element.set(XSI + "type", kind)
    return True


#: Changes of the data type made at each place of the header, beyond all of them at the first place of a type.
PER_PLACE = 4


def type_changes(
    signature: str, kind: str, first: bool, header: bool
) -> Iterator[tuple[str, Callable[[_Element], bool]]]:
    if kind in CHANGES:
        every = CHANGES[kind]
        draw = zlib.crc32(signature.encode())
        chosen = every if first else [every[(draw + n * 7) % len(every)] for n in range(min(PER_PLACE, len(every)))]
        for change in chosen if first or header else ():
            yield f"type-{change.name}", lambda element, change=change: _changed(element, change)  # type: ignore[misc]
    if header:
        yield "typed-far", lambda element: _typed(element, "PIVL_PPD_TS")
        if kind in NEAR_TYPES:
            yield "typed-near", lambda element: _typed(element, NEAR_TYPES[kind])


#: Attributes added where they are not: wrong, or empty.
_ADDED = {
    "classCode": "ACCM",
    "moodCode": "DEF",
    "typeCode": "ELNK",
    "extension": "",
    "codeSystemName": "",
    "displayName": "",
    "operator": "Z",
}


def _additions(element: _Element, kind: str) -> Iterator[tuple[str, str, str]]:
    model = type_model(kind) if kind else None
    for name, value in _ADDED.items():
        if model is not None and name in model.attributes and element.get(name) is None:
            yield f"with-{name}", name, value
    if element.tag == f"{H}addr":
        yield "with-foreign-use", f"{H}use", ""


def attribute_operations(element: _Element, kind: str) -> Iterator[tuple[str, Callable[[_Element], bool]]]:
    for operation, attribute, value in (*_attribute_changes(element), *_additions(element, kind)):

        def work(target: _Element, attribute: str = attribute, value: str | None = value) -> bool:
            if value is None:
                del target.attrib[attribute]
            else:
                target.set(attribute, value)
            return True

        yield operation, work
