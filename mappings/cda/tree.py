"""The tree a CDA is written as, and its canonical bytes: plain objects, half the cost of a tree of libxml2.

What is written is XML canonical form (C14N 1.0 with comments): the same bytes as libxml2 makes of the same tree, which
is how a document that holds markup of others is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

from lxml import etree

from security.xml import canonical

__all__ = ["Element", "Leaves", "grown", "sub_element", "written"]

HL7: Final = "urn:hl7-org:v3"
PHARM: Final = "urn:ihe:pharm:medication"
SDTC: Final = "urn:hl7-org:sdtc"
XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
ACCESSION: Final = "urn:dicom-org:ps3-20"

#: Namespaces declared once, by the root, in the order of canonical form.
ROOT_SPACES: Final[dict[str | None, str]] = {None: HL7, "pharm": PHARM, "sdtc": SDTC, "xsi": XSI}
#: A namespace met too seldom for that: declared where it stands.
RARE_SPACES: Final = {"ps3-20": ACCESSION}


class Leaves:
    """Empty elements in a row, written once: they may be held in many places."""

    __slots__ = ("elements", "text")

    def __init__(self, elements: Sequence[tuple[str, dict[str, str]]]) -> None:
        self.elements = tuple(elements)
        out: list[str] = []
        for tag, attrib in self.elements:
            _write(Element(tag, attrib), out.append)
        self.text = "".join(out)


class Element:
    """An element: its name, its attributes and what it holds, in order; names with their namespace (``{uri}local``)."""

    __slots__ = ("attrib", "held", "tag", "tail", "text")

    def __init__(self, tag: str, attrib: dict[str, str] | None = None) -> None:
        self.tag = tag
        self.attrib = {} if attrib is None else attrib
        self.text: str | None = None
        self.tail: str | None = None
        self.held: list[Element | Leaves | etree._Element] = []  #: the last is markup of others

    def __len__(self) -> int:
        return len(self.held)

    def __bool__(self) -> bool:
        return True

    def get(self, name: str) -> str | None:
        """An attribute, None when it is absent."""
        return self.attrib.get(name)

    def set(self, name: str, value: str) -> None:
        """Give an attribute its value."""
        self.attrib[name] = value

    def append(self, piece: Element | etree._Element) -> None:
        """Add a piece at the end."""
        self.held.append(piece)

    def insert(self, index: int, piece: Element) -> None:
        """Add an element before the one at an index."""
        self.held.insert(index, piece)

    @property
    def last(self) -> Element:
        """The last element held; raises LookupError when there is none."""
        found = self.held[-1] if self.held else None
        if not isinstance(found, Element):
            raise LookupError("no element is held")
        return found


def sub_element(parent: Element, tag: str, attrib: dict[str, str] | None = None) -> Element:
    """Add an element to another, which takes the attributes as its own."""
    made = Element(tag, attrib)
    parent.held.append(made)
    return made


# --- Canonical form -------------------------------------------------------------------------------

_IN_VALUE: Final = re.compile('[&<"\t\n\r]').search
_TEXT: Final = {38: "&amp;", 60: "&lt;", 62: "&gt;", 13: "&#xD;"}
_VALUE: Final = {38: "&amp;", 60: "&lt;", 34: "&quot;", 9: "&#x9;", 10: "&#xA;", 13: "&#xD;"}
#: What XML 1.0 cannot hold (production 2), but for surrogates, which UTF-8 cannot, and the two below.
_CONTROLS: Final = tuple(bytes((each,)) for each in range(32) if each not in b"\t\n\r")
_NONCHARACTERS: Final = re.compile(b"\xef\xbf[\xbe\xbf]")
_PREFIXES: Final = {uri: prefix for prefix, uri in (ROOT_SPACES | RARE_SPACES).items()}


@cache
def _names(tag: str) -> tuple[str, str]:
    """How the start of a tag is written, up to its attributes, and its end."""
    uri, _, local = tag[1:].partition("}")
    prefix = _PREFIXES[uri]
    name = f"{prefix}:{local}" if prefix else local
    declared = f' xmlns:{prefix}="{uri}"' if prefix in RARE_SPACES else ""
    return f"<{name}{declared}", f"</{name}>"


@cache
def _order(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Attributes in canonical order (by namespace, then name), each with what is written before its value."""
    split = sorted((name[1:].partition("}")[::2] if name[0] == "{" else ("", name)) for name in names)
    return tuple(
        (f"{{{uri}}}{local}", f' {_PREFIXES[uri]}:{local}="') if uri else (local, f' {local}="') for uri, local in split
    )


def _write(element: Element, add: Callable[[str], None]) -> None:
    start, end = _names(element.tag)
    add(start)
    if element.attrib:
        _attributes(element.attrib, add)
    add(">")
    _inside(element, add)
    add(end)


def _attributes(attrib: dict[str, str], add: Callable[[str], None]) -> None:
    for name, before in _order(tuple(attrib)):
        value = attrib[name]
        add(before)
        add(value.translate(_VALUE) if _IN_VALUE(value) else value)
        add('"')


def _text(text: str) -> str:
    # A search for one sign at a time: a hundred times quicker in a file than one for any of them.
    if "&" in text or "<" in text or ">" in text or "\r" in text:
        return text.translate(_TEXT)
    return text


def _inside(element: Element, add: Callable[[str], None]) -> None:
    if element.text:
        add(_text(element.text))
    for piece in element.held:
        if isinstance(piece, Element):
            _write(piece, add)
            if piece.tail:
                add(_text(piece.tail))
        elif isinstance(piece, Leaves):
            add(piece.text)
        else:
            raise _OthersMarkup


class _OthersMarkup(Exception):
    """The document holds markup that was read: libxml2 writes it as it read it."""


def written(root: Element) -> bytes:
    """The canonical bytes of a document; raises ValueError for a character that XML cannot hold."""
    out = [_names(root.tag)[0]]
    out += [f' xmlns:{prefix}="{uri}"' if prefix else f' xmlns="{uri}"' for prefix, uri in ROOT_SPACES.items()]
    _attributes(root.attrib, out.append)
    out.append(">")
    try:
        _inside(root, out.append)
    except _OthersMarkup:
        return canonical(grown(root))
    out.append(_names(root.tag)[1])
    data = "".join(out).encode()
    if any(each in data for each in _CONTROLS) or (b"\xef" in data and _NONCHARACTERS.search(data)):
        raise ValueError("a character that XML cannot hold")
    return data


def grown(root: Element) -> etree._Element:
    """The same tree in libxml2; the markup of others moves there. Raises ValueError as :func:`written`."""
    made = etree.Element(root.tag, root.attrib, nsmap=ROOT_SPACES)
    _grow(root, made)
    return made


def _grow(source: Element, made: etree._Element) -> None:
    made.text = source.text
    for piece in source.held:
        if isinstance(piece, Element):
            rare = {prefix: uri for prefix, uri in RARE_SPACES.items() if piece.tag.startswith(f"{{{uri}}}")}
            inner = etree.SubElement(made, piece.tag, piece.attrib, nsmap=rare)
            _grow(piece, inner)
            inner.tail = piece.tail
        elif isinstance(piece, Leaves):
            for tag, attrib in piece.elements:
                etree.SubElement(made, tag, attrib)
        else:
            made.append(piece)
