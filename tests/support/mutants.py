"""Single changes to valid documents: the same few operations everywhere, each place once, and some made by hand.

A mutant has a stable name (``summary|drop|/ClinicalDocument/title``), so that a failure can be made again. Two places
that follow the same templates are one: what is done to the first entry of a kind is not done to the second.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lxml import etree

from conformance.cda import place
from security import xml
from tests.support.cda import one, tree
from tests.support.mutant_bases import BASES, OUTLINES, base
from tests.support.mutations import ELEMENT_OPERATIONS, attribute_operations, type_changes, types

__all__ = ["BASES", "Mutant", "base", "made", "mutants", "sampled"]

H = "{urn:hl7-org:v3}"
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


def _signature(element: _Element) -> str:
    """What kind of place this is: names, and the templates followed on the way."""
    steps = []
    node: _Element | None = element
    while node is not None:
        ids = [each.get("root", "") for each in node.iterchildren(f"{H}templateId")]
        tag = etree.QName(node).localname
        own = ids[-1] if ids and tag != "ClinicalDocument" else ""
        if tag == "addr" and (first := next(node.iterchildren("{*}*"), None)) is not None:
            own = "lines" if first.tag == f"{H}streetAddressLine" else "parts"
        if "1.3.6.1.4.1.19376.1.5.3.1.4.13.2" in ids and (code := node.find(f"{H}code")) is not None:
            own += f" {code.get('code')}"  # vital signs: each has its units
        steps.append(f"{tag}({own})" if own else tag)
        if tag == "templateId" and node is element:
            steps[-1] += f"={node.get('root')}"
        node = node.getparent()
    return "/".join(reversed(steps))


# --- All of them ----------------------------------------------------------------------------------------------------


def _narrative(element: _Element) -> bool:
    """Inside a narrative, where only links and structure count."""
    return any(parent.tag == f"{H}text" and parent.getparent() is not None for parent in element.iterancestors())


#: What is done again in each model of document: the models ask for parts of the header and sections of their own.
DOCUMENT_OPERATIONS = frozenset(("drop", "null", "without-root", "other-root", "other-code", "without-code"))


def _outline(element: _Element) -> bool:
    """A section, or one of its identifiers."""
    section = element if element.tag == f"{H}section" else element.getparent()
    return section is not None and section.tag == f"{H}section" and element.tag in (f"{H}section", f"{H}templateId")


def _operations(
    root: _Element, known: set[str], outline: bool = False
) -> Iterator[tuple[str, str, Callable[[_Element], bool]]]:
    """Name, place and work of each change to a document, those of known places left out."""
    kinds = types(root)
    ids = [each.get("root", "") for each in root.iterchildren(f"{H}templateId")]
    model = "" if f"{H}nonXMLBody" in {child.tag for child in root[-1]} else f"{ids[-1]}|"
    for element in list(root.iter("{*}*")):
        if _narrative(element):
            continue
        path, signature, kind = place(element), _signature(element), kinds.get(element, "")
        header = path.split("/")[2:3] != ["component"]
        document = model if header or _outline(element) else ""
        if outline and not document:
            continue
        first = f"type|{kind}" not in known
        known.add(f"type|{kind}")
        for name, work in (
            *ELEMENT_OPERATIONS.items(),
            *attribute_operations(element, kind if header else ""),
            *type_changes(signature, kind, first, header),
        ):
            key = f"{name}|{document}{signature}" if document and name in DOCUMENT_OPERATIONS else f"{name}|{signature}"
            if key not in known:
                known.add(key)
                yield name, path, work


def mutants(name: str, seen: set[str] | None = None) -> Iterator[Mutant]:
    """Every single change of one document, in document order; places already in ``seen`` are left out."""
    data = base(name)
    for operation, path, work in _operations(tree(data), seen if seen is not None else set(), name in OUTLINES):
        root = tree(data)
        if work(one(root, path)):
            yield Mutant(name, operation, path, xml.serialize(root, declaration=False))


def sampled(name: str, count: int) -> Iterator[Mutant]:
    """Some of the changes of one document, always the same."""
    data = base(name)
    every = list(_operations(tree(data), set(), name in OUTLINES))
    random.Random(name).shuffle(every)
    found = 0
    for operation, path, work in every:
        root = tree(data)
        if found < count and work(one(root, path)):
            found += 1
            yield Mutant(name, operation, path, xml.serialize(root, declaration=False))
        if found >= count:
            return


def made(name: str) -> bytes:
    """The document of a mutant by its name, ``base|operation|place``."""
    start, operation, path = name.split("|")
    data = base(start)
    root = tree(data)
    element = one(root, path)
    kind = types(root).get(element, "")
    works = {
        **ELEMENT_OPERATIONS,
        **dict(attribute_operations(element, kind)),
        **dict(type_changes("", kind, True, True)),
    }
    assert works[operation](element), name
    return xml.serialize(root, declaration=False)
