"""The text of a section read back: the author's words, or the whole text in plain lines."""

from __future__ import annotations

import html
import re
from typing import Final

from lxml import etree

from conformance.verdict import Text
from mappings.fhir.narrative_out import WORDS
from mappings.fhir.node import Node
from mappings.loss import LossLog
from security.errors import UnsafeInput
from security.xml import XmlLimits, parse

__all__ = ["SectionText", "plain_text", "section_text"]

_LIMITS: Final = XmlLimits(max_bytes=2 * 1024 * 1024, max_elements=100_000, max_depth=100)
_UNREADABLE = Text(
    "Le texte de la section n'a pas pu être lu : mal formé, trop long ou trop profond.",
    "The text of the section could not be read: malformed, too long or too deep.",
)
_BLOCKS: Final = frozenset(
    {"p", "div", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "dt", "dd", "caption", "blockquote"}
)
_CELLS: Final = frozenset({"td", "th"})
_HIDDEN: Final = frozenset({"script", "style", "head"})
_NAMED: Final = re.compile(r"&(?!amp;|lt;|gt;|quot;|apos;|#)([A-Za-z]+);")


class SectionText:
    """The narrative of a section."""

    __slots__ = ("_root", "generated", "marked")

    def __init__(self, root: etree._Element, marked: list[tuple[str, str]], *, generated: bool) -> None:
        self._root = root
        self.marked = marked  #: words marked as the author's, with the class of the block that holds them
        self.generated = generated  #: True when it says no more than the entries

    @property
    def plain(self) -> str:
        """Everything, a line a block."""
        return _plain(self._root)


def _local(element: etree._Element) -> str:
    return etree.QName(element).localname.lower() if isinstance(element.tag, str) else ""


def _lines(element: etree._Element) -> str:
    """The text of an element, ``br`` as a line break, exactly otherwise."""
    out = [element.text or ""]
    for child in element:
        out.append("\n" if _local(child) == "br" else _lines(child))
        out.append(child.tail or "")
    return "".join(out)


def _plain(root: etree._Element) -> str:
    out: list[str] = []
    for event, element in etree.iterwalk(root, events=("start", "end")):
        name = _local(element)
        if event == "start":
            if name in _BLOCKS:
                out.append("\n")
            elif name in _CELLS and out and out[-1] not in ("\n", ""):
                out.append(" | ")
            if name not in _HIDDEN:
                out.append(re.sub(r"\s+", " ", element.text or ""))
        else:
            if name == "br" or name in _BLOCKS:
                out.append("\n")
            if element is not root:
                out.append(re.sub(r"\s+", " ", element.tail or ""))
    lines = (line.strip(" |").strip() for line in "".join(out).split("\n"))
    return "\n".join(line for line in lines if line)


def plain_text(inside: str) -> str:
    """The words of the inside of a ``div``, a line a block."""
    return _plain(parse(f'<div xmlns="http://www.w3.org/1999/xhtml">{inside}</div>'.encode(), _LIMITS))


def section_text(section: Node, log: LossLog, *, generated: bool = False) -> SectionText | None:
    """The narrative of a section; None when absent, unreadable, or only the words of its entries.

    ``generated`` gives the words of the entries too. A narrative that cannot be read (too long, too deep, malformed) is
    lost aloud: it may say more than the entries.
    """
    value = section.value.get("text")
    if type(value) is not dict or type(div := value.get("div")) is not str or not div.strip():
        return None
    made = value.get("status") in ("generated", "extensions", "empty")
    if made and not generated and section.value.get("entry") and f'class="{WORDS}"' not in div:
        return None  # it says what the entries say: nothing to read in it
    # XHTML may name characters that XML does not know (&nbsp;).
    safe = _NAMED.sub(lambda m: html.unescape(m[0]), div)
    try:
        root = parse(safe.encode(), _LIMITS)
    except (UnsafeInput, UnicodeEncodeError):
        log.lost(f"{section.place}/text/div", "text", _UNREADABLE, clinical=True)
        return None
    marked = []
    for element in root.iter("{*}p"):
        if element.get("class") == WORDS:
            parent = element.getparent()
            holder = parent.get("class", "") if parent is not None else ""
            marked.append((holder, _lines(element).strip()))
    return SectionText(root, marked, generated=made)
