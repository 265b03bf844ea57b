"""A level-1 body, read: one file carried whole."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from lxml import etree

from conformance.verdict import Text
from mappings.cda.errors import NotCda
from mappings.cda.node import Reader, first, flat, place
from mappings.document.report import Report

__all__ = ["decode", "read_file"]

#: Other names of the types that are read.
MEDIA_TYPES = {"image/jpg": "image/jpeg", "application/rtf": "text/rtf", "image/tif": "image/tiff"}

READ = frozenset({"application/pdf", "text/plain", "text/rtf", "image/jpeg", "image/tiff"})


def decode(element: etree._Element) -> bytes | None:
    """The bytes of an encapsulated datum (ED) in base64, line breaks allowed; None when they are not base64."""
    try:
        return base64.b64decode("".join((element.text or "").split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def read_file(reader: Reader, body: etree._Element, header: dict[str, Any]) -> Report:
    """The report carried by a ``nonXMLBody``. Raises :class:`NotCda` when its file cannot be read."""
    text = first(body, "text")
    if text is None:
        raise NotCda("CDA-READ-004", place(body), Text("Le corps du document est vide.", "The body is empty."))
    media_type = (text.get("mediaType") or "application/pdf").partition(";")[0].strip().lower()
    media_type = MEDIA_TYPES.get(media_type, media_type)
    encoded = text.get("representation") == "B64"
    content = decode(text) if encoded else (flat(text) or "").encode()
    made = None
    if content and media_type in READ:
        made = reader.make(Report, text, **header, media_type=media_type, content=content)
    if made is None:
        raise NotCda(
            "CDA-READ-004",
            place(text),
            Text("Le fichier du corps est illisible ou d'un type inconnu.", "The file cannot be read or is unknown."),
        )
    reader.log.carried(place(text), "nonXMLBody")
    return made
