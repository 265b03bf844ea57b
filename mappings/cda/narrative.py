"""The narrative of a section: what people read, with an ID on each piece that an entry refers to.

Made in one pass beside the entries: a cell returns the reference (``#med-1``) that the entry then carries, so that
every reference resolves. Same document, same bytes.
"""

from __future__ import annotations

from mappings.cda.build import V3, Builder
from mappings.cda.tree import Element, sub_element

__all__ = ["Narrative", "Row", "Table"]


def _write(element: Element, text: str) -> None:
    """Put a text in an element, its line breaks as ``<br/>``."""
    if "\n" not in text:
        element.text = text
        return
    first, *others = text.split("\n")
    element.text = first
    for line in others:
        sub_element(element, V3 + "br").tail = line


def _content(element: Element, builder: Builder, text: str, stem: str | None) -> str:
    if stem is None:
        _write(element, text)
        return ""
    anchor = builder.anchor(stem)
    _write(sub_element(element, V3 + "content", {"ID": anchor}), text)
    return "#" + anchor


class Row:
    """A row of a table, filled from left to right."""

    __slots__ = ("_builder", "_row")

    def __init__(self, builder: Builder, row: Element) -> None:
        self._builder = builder
        self._row = row

    def cell(self, text: str | None, stem: str | None = None, *, span: int = 1) -> str:
        """Add a cell; with a ``stem`` the text gets an ID and its reference is returned (else an empty text)."""
        cell = sub_element(self._row, V3 + "td", {"colspan": str(span)} if span > 1 else {})
        return _content(cell, self._builder, text, stem) if text is not None else ""

    def cells(self, *pieces: tuple[str, str | None]) -> list[str]:
        """Add one cell made of several pieces (text, stem), in order; gives the reference of each."""
        cell = sub_element(self._row, V3 + "td")
        references = []
        for text, stem in pieces:
            if stem is not None:
                references.append(_content(cell, self._builder, text, stem))
                continue
            references.append("")
            if len(cell):
                cell.last.tail = (cell.last.tail or "") + text
            else:
                cell.text = (cell.text or "") + text
        return references


class Table:
    """A table with its headings."""

    __slots__ = ("_body", "_builder", "columns")

    def __init__(self, builder: Builder, parent: Element, headings: tuple[str, ...]) -> None:
        self._builder = builder
        self.columns = len(headings)
        table = sub_element(parent, V3 + "table", {"border": "0"})
        if headings:
            head = sub_element(sub_element(table, V3 + "thead"), V3 + "tr")
            for heading in headings:
                sub_element(head, V3 + "th").text = heading
        self._body = sub_element(table, V3 + "tbody")

    def row(self) -> Row:
        """Add a row."""
        return Row(self._builder, sub_element(self._body, V3 + "tr"))


class Narrative:
    """The ``text`` of a section. Create it after the title and before the entries: the CDA schema has that order."""

    __slots__ = ("_builder", "element")

    def __init__(self, builder: Builder, section: Element) -> None:
        self._builder = builder
        self.element = sub_element(section, V3 + "text")

    def table(self, *headings: str) -> Table:
        """Add a table."""
        return Table(self._builder, self.element, headings)

    def paragraph(self, text: str, stem: str | None = None) -> str:
        """Add a paragraph; with a ``stem`` it gets an ID, whose reference is returned (else an empty text)."""
        return _content(sub_element(self.element, V3 + "paragraph"), self._builder, text, stem)

    def media(self, anchor: str) -> None:
        """Show an observationMedia of the section, by its ID."""
        sub_element(self.element, V3 + "renderMultiMedia", {"referencedObject": anchor})
