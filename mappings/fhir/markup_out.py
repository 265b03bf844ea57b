"""A CDA narrative block as the XHTML of a FHIR narrative: tables, lists and identifiers kept, the rest as text."""

from __future__ import annotations

from html import escape
from typing import Final

from lxml import etree

from security.errors import UnsafeInput
from security.xml import CDA_LIMITS, parse

__all__ = ["xhtml_of"]

#: CDA R2 narrative block (NarrativeBlock.xsd) -> XHTML allowed in a FHIR Narrative.
_TAGS: Final = {
    "paragraph": "p",
    "content": "span",
    "list": "ul",
    "item": "li",
    "table": "table",
    "thead": "thead",
    "tbody": "tbody",
    "tfoot": "tfoot",
    "tr": "tr",
    "th": "th",
    "td": "td",
    "caption": "b",
    "sub": "sub",
    "sup": "sup",
    "br": "br",
    "linkHtml": "span",
    "footnote": "span",
    "colgroup": "",
    "col": "",
    "footnoteRef": "",
    "renderMultiMedia": "",
}
_SPANS: Final = ("colspan", "rowspan")
_TABLE_CAPTION: Final = "caption"


def xhtml_of(markup: str) -> str | None:
    """The inside of a ``div`` for a narrative block given as XML; None when it is not one."""
    try:
        root = parse(markup.encode(), CDA_LIMITS)
    except (UnsafeInput, UnicodeEncodeError):
        return None
    out: list[str] = []
    # Explicit stack: a hostile block is as deep as the parser allows.
    stack: list[tuple[etree._Element, bool]] = [(root, False)]
    while stack:
        element, ending = stack.pop()
        name = etree.QName(element).localname if isinstance(element.tag, str) else ""
        tag = _tag(element, name) if element is not root else ""
        if ending:
            if tag:
                out.append(f"</{tag}>")
            if element is not root and element.tail:
                out.append(escape(element.tail))
            continue
        if name and name not in _TAGS and element is not root:
            tag = ""
        if tag == "br":
            out.append("<br/>")
            if element.tail:
                out.append(escape(element.tail))
            continue
        if tag:
            out.append(f"<{tag}{_attributes(element, tag)}>")
        if name and element.text:
            out.append(escape(element.text))
        stack.append((element, True))
        stack.extend((child, False) for child in reversed(element))
    return "".join(out)


def _tag(element: etree._Element, name: str) -> str:
    if name == "list" and element.get("listType") == "ordered":
        return "ol"
    parent = element.getparent()
    if name == _TABLE_CAPTION and parent is not None and etree.QName(parent).localname == "table":
        return _TABLE_CAPTION
    return _TAGS.get(name, "")


def _attributes(element: etree._Element, tag: str) -> str:
    kept = [("id", element.get("ID"))]
    if tag in ("td", "th"):
        kept += [(name, element.get(name)) for name in _SPANS]
    return "".join(f' {name}="{escape(value)}"' for name, value in kept if value)
