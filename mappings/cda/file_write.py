"""A level-1 body: one file carried whole (CI-SIS header section 11)."""

from __future__ import annotations

import pybase64

from mappings.cda.build import Builder, sub
from mappings.cda.header_write import HeaderPlan
from mappings.cda.tree import Element
from mappings.document.report import Report

__all__ = ["PLAN", "write_file"]

#: IHE XDS-SD scanned document; an unstructured document has exactly three templateIds.
PLAN = HeaderPlan(templates=(("1.3.6.1.4.1.19376.1.2.20", None),))


def write_file(document: Report, builder: Builder) -> Element:
    """Add the body of a report, a PDF or a text."""
    body = sub(sub(builder.root, "component"), "nonXMLBody")
    text = sub(body, "text", mediaType=document.media_type, representation="B64")
    text.text = pybase64.b64encode_as_string(document.content)
    builder.log.carried("/content", "nonXMLBody")
    return body
