"""The words of a narrative as people read them, line by line."""

from __future__ import annotations

import re

from lxml import etree

from mappings.cda.build import V3

__all__ = ["flat", "squeeze"]

_Element = etree._Element

_SPACES = re.compile(r"[ \t\r\n]+")
_SPACES_INLINE = re.compile(" {2,}")
_BLANK_LINES = re.compile(r" ?\n[ \n]*")

#: Elements of a narrative that stand on their own line.
_BLOCKS = {V3 + name for name in ("paragraph", "tr", "item", "caption", "table", "list")}
_BREAK = V3 + "br"
_CELLS = {V3 + "td", V3 + "th"}


def squeeze(text: str | None) -> str | None:
    """A text on one line, without the white space of an indented source; None when nothing is left."""
    if text is None:
        return None
    if not text.isspace() and "\n" not in text and "  " not in text and "\t" not in text:
        return text.strip(" \r") or None
    return _SPACES.sub(" ", text).strip(" ") or None


def _pieces(element: _Element, out: list[str]) -> None:
    tag = element.tag
    if tag == _BREAK:
        out.append("\n")
    elif isinstance(tag, str):
        block = tag in _BLOCKS
        if block:
            out.append("\n")
        if element.text:
            out.append(_SPACES.sub(" ", element.text))
        for child in element:
            _pieces(child, out)
            if child.tail:
                out.append(_SPACES.sub(" ", child.tail))
        if block:
            out.append("\n")
        elif tag in _CELLS:
            out.append(" ")


def flat(element: _Element) -> str | None:
    """The text of a piece of narrative, a line break for each ``br``, paragraph, row or item."""
    if len(element) == 0:
        return squeeze(element.text)
    out: list[str] = []
    _pieces(element, out)
    return _BLANK_LINES.sub("\n", _SPACES_INLINE.sub(" ", "".join(out))).strip(" \n") or None
