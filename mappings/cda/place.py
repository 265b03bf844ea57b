"""Where an element is in a document, for findings and loss reports."""

from __future__ import annotations

import threading

from lxml import etree

__all__ = ["forget_places", "local", "place"]

_Element = etree._Element


def local(element: _Element) -> str:
    """The name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]


class _Positions(threading.local):
    """Names of the children of wide elements, while one document is read: ten thousand entries are counted once."""

    def __init__(self) -> None:
        self.names: dict[_Element, dict[_Element, str]] = {}


_POSITIONS = _Positions()
_WIDE = 32


def forget_places() -> None:
    """Drop what :func:`place` keeps of the document just read."""
    _POSITIONS.names = {}


def _named(parent: _Element) -> dict[_Element, str]:
    """The children of an element with their names and positions."""
    children: dict[str, list[_Element]] = {}
    for child in parent.iterchildren("{*}*"):
        children.setdefault(local(child), []).append(child)
    return {
        child: f"{name}[{index + 1}]" if len(same) > 1 else name
        for name, same in children.items()
        for index, child in enumerate(same)
    }


def place(element: _Element) -> str:
    """Where an element is: an XPath without prefixes, as ``/ClinicalDocument/component/structuredBody``."""
    steps = []
    node: _Element | None = element
    while node is not None:
        parent = node.getparent()
        if parent is not None and len(parent) > _WIDE:
            known = _POSITIONS.names.get(parent)
            if known is None or node not in known:
                known = _POSITIONS.names[parent] = _named(parent)
            name = known.get(node, local(node))
        else:
            tag = str(node.tag)
            name = tag.rpartition("}")[2]
            before = len(list(node.itersiblings(tag, preceding=True)))
            if before or next(node.itersiblings(tag), None) is not None:
                name = f"{name}[{before + 1}]"
        steps.append(name)
        node = parent
    return "/" + "/".join(reversed(steps))
