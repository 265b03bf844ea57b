"""CDA documents to check: those our writers make, the official examples, and single changes made to them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

from lxml import etree

from conformance.cda import place, resolve
from mappings import cda
from mappings import document as hub
from security import xml
from tests.support import documents, outside

__all__ = ["KINDS", "OFFICIAL", "changed", "codes", "official", "one", "tree", "written"]

#: The kinds our writers make.
KINDS = ("report", "prescription", "dispensation", "summary")
#: The official examples that break no official rule.
OFFICIAL = (
    "VSM_1.4_2022.01",
    "IPS-FR_2024.01",
    "eP-MED-DM_2024.01_PosoStruct",
    "eP-MED-DM_2024.01_PosoNonStruct",
    "DOC_NON_STRUCTURE_CDA-R2-N1",
)
Change = Callable[[etree._Element], object]


@functools.cache
def written(kind: str) -> bytes:
    """A CDA as our writers make it."""
    return cda.write(hub.load(getattr(documents, kind)()), pdf=documents.PDF).data


@functools.cache
def official(name: str) -> bytes:
    """An example of the official pack."""
    return (outside.packs() / "ans-cda" / "ExemplesCDA" / f"{name}.xml").read_bytes()


def tree(data: bytes) -> etree._Element:
    """A document as a tree."""
    return xml.parse(data, xml.CDA_LIMITS)


def one(root: etree._Element, path: str) -> etree._Element:
    """The element at a place; fails when there is none."""
    found = resolve(root, path if path.startswith("/ClinicalDocument") else f"/ClinicalDocument/{path}")
    assert found is not None, path
    return found


def changed(data: bytes, *changes: Change) -> bytes:
    """The document after some changes."""
    root = tree(data)
    for change in changes:
        change(root)
    return xml.serialize(root)


def codes(findings: Iterable[object]) -> set[str]:
    """The codes of some findings."""
    return {finding.code for finding in findings}  # type: ignore[attr-defined]


def where(element: etree._Element) -> str:
    """The place of an element."""
    return place(element)
