"""The sections of any other structured document: its words as written, its images, its files by name."""

from __future__ import annotations

from collections.abc import Iterator

from mappings.document.other import Attachment, OtherDocument, OtherSection
from mappings.rendering.narrative import Block, Illustration, Media, Resolve, narrative_blocks
from mappings.rendering.view import Section, paragraph
from security.errors import UnsafeInput
from security.xml import CDA_LIMITS, parse

__all__ = ["other_sections"]


def other_sections(document: OtherDocument) -> Iterator[Section]:
    """The sections in their order; a narrative shows a file by an anchor of any section (they are one ID space)."""
    files = {file.anchor: file for section in document.sections for file in _files(section)}
    for section in document.sections:
        yield _section(section, files)


def _files(section: OtherSection) -> Iterator[Attachment]:
    yield from section.attachments
    for inner in section.sections:
        yield from _files(inner)


def _section(section: OtherSection, files: dict[str, Attachment]) -> Section:
    shown: set[str] = set()

    def resolve(anchor: str) -> Media | None:
        file = files.get(anchor)
        if file is None:
            return None
        shown.add(anchor)
        return Media(file.media_type, file.content)

    blocks = [*_narrative(section, resolve)]
    # A file that the words do not show is shown, or named, after them.
    for file in section.attachments:
        if file.anchor not in shown:
            blocks.append(_file(file))
    title = section.title or (section.code.display or section.code.code if section.code else "")
    return Section(title, tuple(blocks), tuple(_section(inner, files) for inner in section.sections))


def _narrative(section: OtherSection, resolve: Resolve) -> tuple[Block, ...]:
    if section.markup is not None:
        try:
            return narrative_blocks(parse(section.markup.encode(), CDA_LIMITS), resolve)
        except UnsafeInput:
            if section.text is None:
                return (paragraph("[narratif illisible]"),)
    return tuple(paragraph(line) for line in (section.text or "").split("\n") if line.strip())


def _file(file: Attachment) -> Block:
    if file.media_type.startswith("image/"):
        return Illustration(file.content)
    return paragraph(f"[fichier joint : {file.media_type}, {len(file.content)} octets]")
