"""Files carried in a CDA: base 64 that can be read, and content of the kind announced."""

from __future__ import annotations

import binascii
from typing import Final

from lxml import etree

from conformance.cda import rules_document as rules
from conformance.cda.model import HL7
from conformance.cda.report import Report

__all__ = ["check_files"]

_SPACES: Final = b" \t\r\n"
#: First bytes of a file, in base 64; each covers whole groups of three bytes or a part of one.
_STARTS: Final = {
    "application/pdf": ("JVBERi",),
    "image/jpeg": ("/9j/",),
    "image/png": ("iVBORw0KGg",),
    "image/gif": ("R0lGOD",),
    "image/tiff": ("SUkq", "TU0A"),
    "text/rtf": ("e1xyd",),
    "application/rtf": ("e1xyd",),
}


def check_files(root: etree._Element, media: list[etree._Element], report: Report) -> None:
    """Check the unstructured body and every ``observationMedia``."""
    body = root.find(f"{HL7}component/{HL7}nonXMLBody/{HL7}text")
    carriers = [each.find(HL7 + "value") for each in media]
    for carrier in (body, *carriers):
        if carrier is not None and carrier.get("representation") == "B64" and len(carrier) == 0:
            _file(carrier, report)


def _file(carrier: etree._Element, report: Report) -> None:
    text = carrier.text or ""
    start = text.lstrip()[:64]
    if not start:
        report.add(rules.FILE_EMPTY, carrier)
        return
    try:
        binascii.a2b_base64(text.encode("ascii").translate(None, _SPACES), strict_mode=True)
    except (UnicodeEncodeError, binascii.Error):
        report.add(rules.FILE_BASE64, carrier)
        return
    kind = carrier.get("mediaType", "")
    starts = _STARTS.get(kind)
    if starts is not None and not "".join(start.split()).startswith(starts):
        rule = rules.FILE_PDF if kind == "application/pdf" else rules.FILE_IMAGE
        report.add(rule, carrier, "mediaType", expected=kind)
