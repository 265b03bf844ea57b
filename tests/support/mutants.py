"""Single changes to valid documents: the same few operations everywhere, each place once, and some made by hand.

A mutant has a stable name (``summary|drop|/ClinicalDocument/title``), so that a failure can be made again. Two places
that follow the same templates are one: what is done to the first entry of a kind is not done to the second.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lxml import etree

from conformance.cda import place
from security import xml
from tests.support.cda import official, one, tree, written

__all__ = ["BASES", "Mutant", "base", "mutants"]

H = "{urn:hl7-org:v3}"
XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
TINY_PDF = "JVBERi0xLjQKJSVFT0YK"
TINY_IMAGE = "/9j/4AAQSkZJRg=="
_Element = etree._Element


@dataclass(frozen=True, slots=True)
class Mutant:
    """A document that differs from a valid one by one change."""

    base: str
    operation: str
    where: str
    data: bytes

    @property
    def name(self) -> str:
        return f"{self.base}|{self.operation}|{self.where}"


def _small(root: _Element) -> None:
    """Without comments, and with files of some bytes: what is judged is not in them."""
    etree.strip_tags(root, etree.Comment)
    for element in root.iter(f"{H}value", f"{H}text"):
        if element.get("representation") == "B64" and len(element) == 0:
            element.text = TINY_IMAGE if (element.get("mediaType") or "").startswith("image") else TINY_PDF


def _mended(root: _Element) -> None:
    """The official dispensation without its known defect."""
    one(root, "recordTarget/patientRole/patient/name/family[2]").set("qualifier", "CL")


_SOURCES: dict[str, tuple[Callable[[], bytes], tuple[Callable[[_Element], object], ...]]] = {
    "report": (lambda: written("report"), ()),
    "summary": (lambda: written("summary"), ()),
    "prescription": (lambda: written("prescription"), ()),
    "dispensation": (lambda: written("dispensation"), ()),
    "official-vsm": (lambda: official("VSM_1.4_2022.01"), ()),
    "official-edisp": (lambda: official("eDISP-MED_2024.01"), (_mended,)),
    "official-ep": (lambda: official("eP-MED-DM_2024.01_PosoStruct"), ()),
    "official-ips": (lambda: official("IPS-FR_2024.01"), ()),
    "official-n1": (lambda: official("DOC_NON_STRUCTURE_CDA-R2-N1"), ()),
}
BASES = tuple(_SOURCES)


def base(name: str) -> bytes:
    """A valid document to start from."""
    make, changes = _SOURCES[name]
    root = tree(make())
    _small(root)
    for change in changes:
        change(root)
    return xml.serialize(root, declaration=False)


def _signature(element: _Element) -> str:
    """What kind of place this is: names, and the templates followed on the way."""
    steps = []
    node: _Element | None = element
    while node is not None:
        ids = [each.get("root", "") for each in node.iterchildren(f"{H}templateId")]
        tag = etree.QName(node).localname
        own = ids[-1] if ids and tag != "ClinicalDocument" else ""
        steps.append(f"{tag}({own})" if own else tag)
        if tag == "templateId" and node is element:
            steps[-1] += f"={node.get('root')}"
        node = node.getparent()
    return "/".join(reversed(steps))


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


ELEMENT_OPERATIONS: dict[str, Callable[[_Element], bool]] = {
    "drop": _drop,
    "twice": _twice,
    "null": _null,
    "null-beside": _null_beside,
    "swap": _swap,
    "empty": _empty,
    "hollow": _hollow,
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


# --- All of them ----------------------------------------------------------------------------------------------------


def _narrative(element: _Element) -> bool:
    """Inside a narrative, where only links and structure count."""
    return any(parent.tag == f"{H}text" and parent.getparent() is not None for parent in element.iterancestors())


def mutants(name: str, seen: set[str] | None = None) -> Iterator[Mutant]:
    """Every single change of one document, in document order; places already in ``seen`` are left out."""
    known = seen if seen is not None else set()
    data = base(name)
    root = tree(data)
    for path, signature, narrative in [(place(e), _signature(e), _narrative(e)) for e in root.iter("{*}*")]:
        if narrative:
            continue
        for operation in ELEMENT_OPERATIONS:
            if f"{operation}|{signature}" in known:
                continue
            made = tree(data)
            if ELEMENT_OPERATIONS[operation](one(made, path)):
                known.add(f"{operation}|{signature}")
                yield Mutant(name, operation, path, xml.serialize(made, declaration=False))
        for operation, attribute, value in list(_attribute_changes(one(root, path))):
            if f"{operation}|{signature}" in known:
                continue
            known.add(f"{operation}|{signature}")
            made = tree(data)
            target = one(made, path)
            if value is None:
                del target.attrib[attribute]
            else:
                target.set(attribute, value)
            yield Mutant(name, operation, path, xml.serialize(made, declaration=False))
