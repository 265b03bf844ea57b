"""Any other structured document, written: its sections with their words and their files."""

from __future__ import annotations

import pybase64
from lxml import etree

from conformance.verdict import Text
from mappings.cda.build import V3, Builder, code, root_element, sub, templates, text_element, uid
from mappings.cda.errors import Unwritable
from mappings.cda.header_write import HeaderPlan
from mappings.cda.tree import Element
from mappings.document.other import OtherDocument, OtherSection
from security.errors import UnsafeInput
from security.xml import CDA_LIMITS, parse

__all__ = ["plan", "write_body"]


_IN_WORDS = Text(
    "Ce genre de document garde ses entrées dans son texte : elles ne sont pas réécrites.",
    "This kind of document keeps its entries in its text: they are not written again.",
)


def plan(document: OtherDocument) -> HeaderPlan:
    """The templates the document claims to follow."""
    return HeaderPlan(templates=tuple((each.root, each.extension) for each in document.templates))


def write_body(document: OtherDocument, builder: Builder) -> None:
    """Add the body. Markup that is not a narrative block is noted in the faults of the builder."""
    body = builder.body()
    for index, section in enumerate(document.sections):
        _section(body, builder, section, f"/sections/{index}")


def _section(parent: Element, builder: Builder, section: OtherSection, place: str) -> None:
    element = sub(sub(parent, "component"), "section")
    templates(element, section.templates)
    uid(element, builder, section.id, place)
    if section.code is not None:
        code(element, section.code)
    if section.title is not None:
        text_element(element, "title", section.title)
    if section.markup is not None:
        element.append(_narrative(section.markup, f"{place}/markup", builder))
    elif section.text is not None:
        text = sub(element, "text")
        for line in section.text.split("\n"):
            text_element(text, "paragraph", line)
    for attachment in section.attachments:
        media = sub(sub(element, "entry"), "observationMedia", classCode="OBS", moodCode="EVN", ID=attachment.anchor)
        value = sub(media, "value", mediaType=attachment.media_type, representation="B64")
        value.text = pybase64.b64encode_as_string(attachment.content)
    builder.log.carried(place, "section")
    for index, _entry in enumerate(section.entries):
        builder.log.text_only(f"{place}/entries/{index}", "entry", _IN_WORDS, clinical=True)
    for index, inner in enumerate(section.sections):
        _section(element, builder, inner, f"{place}/sections/{index}")


def _narrative(markup: str, place: str, builder: Builder) -> Element | etree._Element:
    element: etree._Element | None
    try:
        element = parse(markup.encode(), CDA_LIMITS)
    except UnsafeInput:
        element = None
    if element is None or element.tag != V3 + "text":
        builder.faults.append(
            Unwritable(
                "CDA-WRITE-006",
                place,
                Text("Le balisage n'est pas un bloc narratif CDA.", "The markup is not a CDA narrative block."),
            )
        )
        return root_element("text")
    element.tail = None
    return element
