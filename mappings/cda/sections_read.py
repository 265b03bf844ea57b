"""Walking through the sections of a body, and what several kinds of document share in it."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from conformance.verdict import Text
from mappings.cda.file_read import decode
from mappings.cda.node import Reader, every, first, flat, place, template_roots, value_of

__all__ = ["SectionReader", "media", "unread_entries"]

_Element = etree._Element

_NOT_HELD = Text("Le modèle n'a pas de place pour cette section.", "The model has no place for this section.")


class SectionReader:
    """The sections of a body, each to be accounted for: carried, or named in the loss report."""

    __slots__ = ("_body", "_reader")

    def __init__(self, reader: Reader, body: _Element) -> None:
        self._reader = reader
        self._body = body

    def __iter__(self) -> Iterator[tuple[_Element, set[str], str | None]]:
        for component in every(self._body, "component"):
            section = first(component, "section")
            if section is not None:
                yield section, template_roots(section), value_of(first(section, "code"), "code")

    def carried(self, section: _Element) -> None:
        """Note a section whose content is in the document."""
        self._reader.log.carried(place(section), "section")

    def unknown(self, section: _Element) -> None:
        """Note a section that the document has no place for, its entries and its sub-sections too."""
        reader = self._reader
        code = value_of(first(section, "code"), "code") or ""
        text = first(section, "text")
        clinical = next(section.iterfind(".//{*}entry"), None) is not None or bool(text is not None and flat(text))
        reader.lost(section, f"section {code}".strip(), clinical=clinical, reason=_NOT_HELD)
        unread_entries(reader, section)
        for component in every(section, "component"):
            if (inner := first(component, "section")) is not None:
                self.unknown(inner)


def unread_entries(reader: Reader, section: _Element) -> None:
    """Report the entries of a section that is read for its words alone."""
    for entry in every(section, "entry"):
        inner = next(entry.iterchildren("{*}*"), None)
        name = " ".join(sorted(template_roots(inner))) if inner is not None else ""
        reader.lost(entry, f"entry {name}".strip(), clinical=True)


def media(reader: Reader, section: _Element, media_type: str) -> bytes | None:
    """The bytes of the first observationMedia of that type in a section; the others are named in the loss report."""
    found: bytes | None = None
    for entry in every(section, "entry"):
        for value in entry.iterfind(".//{*}observationMedia/{*}value"):
            content = decode(value) if (value.get("mediaType") or "").startswith(media_type) else None
            if content and found is None:
                found = content
            else:
                reader.lost(value, "observationMedia", clinical=True)
        reader.log.carried(place(entry), "observationMedia")
    return found
