"""Looking into a CDA, and making a broken one out of a good one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lxml import etree

from mappings import cda
from security.xml import CDA_LIMITS, canonical, parse
from tests.support import documents

NAMESPACES = {"h": "urn:hl7-org:v3", "p": "urn:ihe:pharm:medication", "s": "urn:hl7-org:sdtc"}


def tree(data: bytes) -> etree._Element:
    """The root of a document."""
    return parse(data, CDA_LIMITS)


def find(root: etree._Element, path: str) -> Any:
    """What an XPath finds (prefixes h, p, s)."""
    return root.xpath(path, namespaces=NAMESPACES)


def one(root: etree._Element, path: str) -> etree._Element:
    """The only element an XPath finds."""
    (found,) = find(root, path)
    assert isinstance(found, etree._Element)
    return found


def written(value: dict[str, Any], *, pdf: bytes | None = documents.PDF) -> etree._Element:
    """The CDA of a document given as JSON."""
    return tree(cda.write(documents.load(value), pdf=pdf).data)


def data_of(value: dict[str, Any]) -> bytes:
    """The bytes of the CDA of a document given as JSON."""
    return cda.write(documents.load(value), pdf=documents.PDF).data


def changed(data: bytes, change: Callable[[etree._Element], object]) -> bytes:
    """The document with something changed in its tree."""
    root = tree(data)
    change(root)
    return canonical(root)


def remove(path: str) -> Callable[[etree._Element], None]:
    """A change that removes all that an XPath finds."""

    def change(root: etree._Element) -> None:
        found = find(root, path)
        assert found, path
        for element in found:
            element.getparent().remove(element)

    return change


def setting(path: str, attribute: str, value: str | None) -> Callable[[etree._Element], None]:
    """A change that sets, or removes, an attribute of all that an XPath finds."""

    def change(root: etree._Element) -> None:
        found = find(root, path)
        assert found, path
        for element in found:
            if value is None:
                del element.attrib[attribute]
            else:
                element.set(attribute, value)

    return change
