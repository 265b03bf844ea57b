"""A document as it is shown: who, when, and sections of blocks. Page and screen are both made from it."""

from __future__ import annotations

from dataclasses import dataclass

from mappings.rendering.layout import Run
from mappings.rendering.narrative import Block, Bullets, Grid, GridCell, Paragraph

__all__ = ["Fact", "Group", "Section", "View", "bullets", "grid", "paragraph"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing said of the document, with its label."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Group:
    """Facts that belong together: the patient, the author..."""

    title: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A section with its own sections."""

    title: str
    blocks: tuple[Block, ...] = ()
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that is shown of a document."""

    title: str
    kind: str = ""  #: document type in words
    date: str = ""  #: ISO 8601, as precise as known
    language: str = "fr-FR"
    author: str = ""  #: first author, for the properties of a file
    groups: tuple[Group, ...] = ()
    sections: tuple[Section, ...] = ()
    notices: tuple[str, ...] = ()  #: what the reader must know first (not qualified, replaced, damaged...)


def paragraph(text: str, *, bold: bool = False) -> Paragraph:
    """A paragraph of plain words."""
    return Paragraph((Run(text, bold=bold),))


def bullets(*texts: str) -> Bullets:
    """A list of plain words."""
    return Bullets(tuple((paragraph(text),) for text in texts))


def grid(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> Grid:
    """A table of plain words; columns that stay empty all the way down are left out."""
    kept = [n for n in range(len(headings)) if any(row[n] for row in rows)] or list(range(len(headings)))
    head = tuple(GridCell((paragraph(headings[n], bold=True),), heading=True) for n in kept)
    body = tuple(tuple(GridCell((paragraph(row[n]),) if row[n] else ()) for n in kept) for row in rows)
    return Grid((head, *body), 1)
