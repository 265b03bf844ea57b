"""Files carried in a CDA: base 64 that can be read, and content of the kind announced."""

from __future__ import annotations

from typing import Final

from lxml import etree
from pybase64 import b64decode

from conformance.cda import rules_document as rules
from conformance.cda.model import HL7
from conformance.cda.report import Report

__all__ = ["check_files", "is_base64"]

_SPACES: Final = b" \t\r\n"
_DIGITS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" + _SPACES
#: Digits over a multiple of four, and the padding they want. Padding after whole groups says nothing and is let be.
_WHOLE: Final = ((2, 2), (3, 1))
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


def is_base64(text: str) -> bool:
    """True when a text is whole base 64, white space aside (RFC 4648, 4)."""
    if not text.isascii():
        return False
    try:
        # By vector instructions: most files are written without white space, and so are all of ours.
        return len(b64decode(text, validate=True)) > 0
    except ValueError:
        return _is_spaced(text)


def _is_spaced(text: str) -> bool:
    """The same of a text in lines, or with more padding than it needs: five times quicker than decoding it."""
    data = text.encode("ascii")
    found = data.find(b"=")
    end = found if found >= 0 else len(data)
    padding = data.count(b"=", end)
    if len(data.translate(None, _DIGITS)) > padding or data[end:].strip(_SPACES + b"="):
        return False
    # A byte is looked for ten times quicker than it is counted, and mostly it is not there.
    number = end - sum(data.count(space, 0, end) for space in _SPACES if space in data)
    return number > 0 and (number % 4 == 0 or (number % 4, padding) in _WHOLE)


def _file(carrier: etree._Element, report: Report) -> None:
    text = carrier.text or ""
    start = text.lstrip()[:64]
    if not start:
        report.add(rules.FILE_EMPTY, carrier)
        return
    if not is_base64(text):
        report.add(rules.FILE_BASE64, carrier)
        return
    kind = carrier.get("mediaType", "")
    starts = _STARTS.get(kind)
    if starts is not None and not "".join(start.split()).startswith(starts):
        rule = rules.FILE_PDF if kind == "application/pdf" else rules.FILE_IMAGE
        report.add(rule, carrier, "mediaType", expected=kind)
