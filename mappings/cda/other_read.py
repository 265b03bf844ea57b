"""Any other structured document, read: every section with its words, the entries whose family is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lxml import etree

from conformance.verdict import Text
from mappings.cda.entries_read import known_entries
from mappings.cda.families_read import family_entries
from mappings.cda.file_read import decode
from mappings.cda.node import Reader, every, first, flat, local, place, squeeze, template_roots
from mappings.document.other import Attachment, OtherDocument, OtherEntry, OtherSection
from mappings.loss import Fate
from security.xml import canonical

__all__ = ["read_other"]

_Element = etree._Element

HL7_FRANCE = "2.16.840.1.113883.2.8.2.1"
CI_SIS = "1.2.250.1.213.1.1.1.1"

_IN_NARRATIVE = Text(
    "La famille de l'entrée n'est pas connue : son contenu reste dans la partie narrative.",
    "The family of the entry is not known: its content remains in the narrative.",
)
_NOWHERE = Text(
    "La famille de l'entrée n'est pas connue et sa section n'a pas de texte.",
    "The family of the entry is not known and its section has no text.",
)
#: Children of a section that are carried.
_CARRIED = frozenset({"templateId", "id", "code", "title", "text", "entry", "component", "confidentialityCode"})


def read_other(reader: Reader, body: _Element, header: dict[str, Any]) -> OtherDocument:
    """The document. Raises :class:`NotCda` when it has no section."""
    templates = []
    for each in every(reader.root, "templateId"):
        if each.get("root") not in (HL7_FRANCE, CI_SIS) and (found := reader.identifier(each)) is not None:
            templates.append(found)
    return reader.document(
        OtherDocument,
        body,
        **header,
        templates=tuple(dict.fromkeys(templates)),
        sections=tuple(_sections(reader, body)),
    )


def _sections(reader: Reader, parent: _Element) -> list[OtherSection]:
    return [
        _section(reader, section)
        for component in every(parent, "component")
        if (section := first(component, "section")) is not None
    ]


def _section(reader: Reader, section: _Element) -> OtherSection:
    title, text = first(section, "title"), first(section, "text")
    where = place(section)
    reader.log.carried(where, "section")
    words = flat(text) if text is not None else None
    entries: list[OtherEntry] = []
    attachments: list[Attachment] = []
    for entry in every(section, "entry"):
        shown = _attachments(reader, entry)
        found = _entries(reader, section, entry, bool(words))
        attachments += shown
        entries += found
        if shown or found:
            reader.log.carried(place(entry), _name(entry))
        elif words:
            reader.log.text_only(place(entry), _name(entry), _IN_NARRATIVE, clinical=True)
        else:
            reader.log.lost(place(entry), _name(entry), _NOWHERE, clinical=True)
    for child in section.iterchildren("{*}*"):
        if local(child) not in _CARRIED:
            reader.lost(child, local(child))
    # A document may nest sections as deep as the reader's limits let it: the hub has as many levels.
    inner = _sections(reader, section)
    fields: dict[str, Any] = {
        "id": reader.uuid(first(section, "id")),
        "templates": tuple(sorted(template_roots(section))),
        "code": reader.code(first(section, "code")),
        "title": squeeze("".join(title.itertext())) if title is not None else None,
        "text": words,
        "markup": canonical(text, exclusive=True).decode() if text is not None else None,
        "attachments": tuple(attachments),
        "entries": tuple(entries),
        "sections": tuple(inner),
    }
    return reader.make(OtherSection, section, **fields) or OtherSection(sections=tuple(inner))


def _entries(reader: Reader, section: _Element, entry: _Element, told: bool) -> list[OtherEntry]:
    """The known families of an entry; a part of it that they do not hold remains in the narrative, which is kept."""
    before = len(reader.log.items)
    family = family_entries(reader, section, entry)
    found = known_entries(reader, entry) if family is None else family
    if told:
        items = reader.log.items
        for index in range(before, len(items)):
            if items[index].fate is Fate.LOST:
                items[index] = replace(items[index], fate=Fate.TEXT_ONLY, reason=_IN_NARRATIVE)
    return found


def _name(entry: _Element) -> str:
    inner = next(entry.iterchildren("{*}*"), None)
    return f"{local(inner)} {' '.join(sorted(template_roots(inner)))}".strip() if inner is not None else "entry"


def _attachments(reader: Reader, entry: _Element) -> list[Attachment]:
    out = []
    for index, media in enumerate(entry.iterfind(".//{*}observationMedia")):
        value = first(media, "value")
        content = decode(value) if value is not None else None
        made = None
        if content and value is not None:
            made = reader.make(
                Attachment,
                media,
                anchor=media.get("ID") or f"media-{index + 1}",
                media_type=(value.get("mediaType") or "application/octet-stream").partition(";")[0].strip(),
                content=content,
            )
        if made is None:
            reader.lost(media, "observationMedia", clinical=True)
        else:
            out.append(made)
    return out
