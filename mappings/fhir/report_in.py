"""A report read back: the file of the only section."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from mappings.fhir.node import Node
from mappings.fhir.report_out import ATTACHED
from mappings.fhir.source import Source, refuse

__all__ = ["attachment", "attachments_of", "is_report"]


def attachments_of(source: Source, section: Node) -> list[Node]:
    """The DocumentReference entries of a section."""
    found = [node for _, _, node in source.resolve_all(section, "entry") if node is not None]
    return [node for node in found if node.kind == "DocumentReference"]


def is_report(sections: list[tuple[str, Node]]) -> bool:
    """True when the document is one file: a single section of attached documents with one entry."""
    if len(sections) != 1:
        return False
    code, section = sections[0]
    entries = section.value.get("entry")
    return code == ATTACHED and type(entries) is list and len(entries) == 1


def attachment(source: Source, node: Node, place: str = "content") -> tuple[str, bytes]:
    """The media type and the bytes of a DocumentReference, Media or Binary."""
    node.use("status", "type", "subject", "date", "createdDateTime", "encounter")
    held: Any = node.nodes("content") if type(node.value.get("content")) is list else [node.node("content")]
    first = held[0] if held else None
    file = first.node("attachment") if first is not None and "attachment" in first.value else first
    if first is not None:
        first.use("format")
    if file is None:
        raise _no_data(node)
    file.use("language", "size", "title", "creation", "hash")
    media = file.text("contentType") or ""
    data = file.raw("data")
    url = file.text("url")
    if data is None and url is not None:
        binary = source.resolve(Node({"binary": {"reference": url}}, node, "content"), "binary")
        if binary is not None and binary.kind == "Binary":
            media = media or binary.text("contentType") or ""
            data = binary.raw("data")
            binary.use("securityContext")
    if not isinstance(data, str) or not data:
        raise _no_data(node)
    try:
        return media.split(";")[0].strip().lower(), base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise _no_data(node) from None


def _no_data(node: Node) -> Exception:
    return refuse(
        "FHIR-READ-041",
        f"{node.place}/content",
        "Le fichier n'est pas dans le Bundle, ou n'est pas en base64.",
        "The file is not in the Bundle, or is not base64.",
        "Placez le fichier dans attachment.data, en base64.",
        "Put the file into attachment.data, in base64.",
    )
