"""Narrative read into plain blocks: paragraphs, lists, tables, images. The one gate for text written by others.

CDA section text (StrucDoc) and FHIR narrative (XHTML) both come through here; only what the tables below name becomes a
block, everything else is reduced to its words. Nothing executable can cross: a block holds text, never markup.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from lxml import etree

from mappings.rendering.layout import Run

__all__ = [
    "Block",
    "Bullets",
    "Grid",
    "GridCell",
    "Illustration",
    "Media",
    "Paragraph",
    "Resolve",
    "narrative_blocks",
    "words_of",
]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Words, with their appearance; ``level`` 1 to 6 for a heading."""

    runs: tuple[Run, ...]
    level: int = 0


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list; each item is made of blocks."""

    items: tuple[tuple[Block, ...], ...]
    ordered: bool = False
    caption: tuple[Run, ...] = ()


@dataclass(frozen=True, slots=True)
class GridCell:
    """A cell of a table."""

    blocks: tuple[Block, ...]
    heading: bool = False
    span: int = 1
    depth: int = 1  #: rows spanned


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: heading rows first, then the others."""

    rows: tuple[tuple[GridCell, ...], ...]
    headings: int = 0  #: how many of the rows are headings
    caption: tuple[Run, ...] = ()


@dataclass(frozen=True, slots=True)
class Illustration:
    """An image of the document (PNG, JPEG, GIF, TIFF or BMP)."""

    data: bytes
    words: str = ""


Block = Paragraph | Bullets | Grid | Illustration


@dataclass(frozen=True, slots=True)
class Media:
    """A file inside a document, pointed at by its narrative."""

    media_type: str
    data: bytes


# What elements of either vocabulary are; names are unlike enough to share one table.
_HEADINGS = {f"h{n}": n for n in range(1, 7)}
_PARAGRAPHS = frozenset({"paragraph", "p", "pre", "blockquote", "address", "dt", "dd", "footnote"})
_CONTAINERS = frozenset({"text", "div", "section", "article", "header", "footer", "main", "dl", "figure", "center"})
_LISTS = {"list": False, "ul": False, "ol": True}
_BOLD = frozenset({"b", "strong", "th"})
_ITALIC = frozenset({"i", "em", "cite"})
_UNDERLINE = frozenset({"u", "ins"})
_STRIKE = frozenset({"s", "strike", "del"})
#: Never words for people: dropped with all they hold.
_SILENT = frozenset(
    {"script", "style", "head", "meta", "link", "object", "embed", "applet", "iframe", "template", "noscript", "svg"}
)
_SPACES = re.compile(r"[ \t\r\n\f\v]+")
_IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/jpg", "image/gif", "image/tiff", "image/bmp"})
_MAX_SPAN = 200

Resolve = Callable[[str], Media | None]


def _name(node: etree._Element) -> str:
    tag = node.tag
    return tag.rpartition("}")[2].lower() if isinstance(tag, str) else ""


def _attribute(node: etree._Element, name: str) -> str:
    value = node.get(name)
    if value is None:
        value = node.get(name.lower())
    return value or ""


class _Flow:
    """Gathers runs into paragraphs, and blocks in order."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._runs: list[Run] = []

    def add(self, run: Run) -> None:
        self._runs.append(run)

    def block(self, block: Block) -> None:
        self.close()
        self.blocks.append(block)

    def close(self, level: int = 0) -> None:
        runs = _trimmed(self._runs)
        self._runs = []
        if runs:
            self.blocks.append(Paragraph(runs, level))


def _trimmed(runs: list[Run]) -> tuple[Run, ...]:
    """Runs with spaces collapsed as a browser does, without blank ends."""
    out: list[Run] = []
    spaced = True  # a space now would open a line: drop it
    for run in runs:
        text = run.text
        if spaced:
            text = text.lstrip(" ")
        if not text:
            continue
        spaced = text[-1] in " \n"
        out.append(run if text == run.text else replace(run, text=text))
    while out and not out[-1].text.rstrip(" \n"):
        out.pop()
    if out:
        last = out[-1].text.rstrip(" \n")
        if last != out[-1].text:
            out[-1] = replace(out[-1], text=last)
    return tuple(out)


def narrative_blocks(root: etree._Element, resolve: Resolve | None = None) -> tuple[Block, ...]:
    """The blocks of a narrative element (CDA ``text``, XHTML ``div``), in the order of reading.

    ``resolve`` gives the file that an ID names (CDA ``renderMultiMedia``), or None.
    """
    return _Reader(resolve or (lambda _: None)).blocks_in(root, Run(""))


class _Reader:
    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve

    def blocks_in(self, node: etree._Element, look: Run) -> tuple[Block, ...]:
        flow = _Flow()
        self._inside(node, look, flow)
        flow.close()
        return tuple(flow.blocks)

    def _inside(self, node: etree._Element, look: Run, flow: _Flow) -> None:
        keep = _name(node) == "pre"
        if node.text:
            flow.add(replace(look, text=node.text if keep else _SPACES.sub(" ", node.text)))
        for child in node:
            if isinstance(child.tag, str):
                self._one(child, look, flow)
            if child.tail:
                flow.add(replace(look, text=child.tail if keep else _SPACES.sub(" ", child.tail)))

    def _one(self, node: etree._Element, look: Run, flow: _Flow) -> None:
        name = _name(node)
        if name in _SILENT:
            return
        if name == "br":
            flow.add(replace(look, text="\n"))
        elif name in _HEADINGS:
            flow.close()
            self._inside(node, look, flow)
            flow.close(_HEADINGS[name])
        elif name in _PARAGRAPHS or name in _CONTAINERS:
            flow.close()
            self._inside(node, _styled(node, name, look), flow)
            flow.close()
        elif name in _LISTS:
            flow.block(self._list(node, look))
        elif name == "table":
            flow.block(self._table(node, look))
        elif name == "hr":
            flow.close()
        elif name == "rendermultimedia":
            self._media(node, look, flow)
        elif name == "img":
            self._image(node, look, flow)
        elif name in ("linkhtml", "a"):
            self._link(node, look, flow)
        else:
            self._inside(node, _styled(node, name, look), flow)

    def _link(self, node: etree._Element, look: Run, flow: _Flow) -> None:
        # Shown as words: where a link of a stranger leads is for the reader to see, not to be clicked.
        self._inside(node, look, flow)
        target = _attribute(node, "href")
        if target and not target.startswith("#"):
            words = words_of(node)
            if target not in words:
                flow.add(replace(look, text=f" ({target})" if words else target))

    def _media(self, node: etree._Element, look: Run, flow: _Flow) -> None:
        for identifier in _attribute(node, "referencedObject").split():
            media = self._resolve(identifier)
            if media is None:
                flow.add(replace(look, text="[objet joint absent du document]"))
            elif media.media_type.lower() in _IMAGE_TYPES:
                flow.block(Illustration(media.data, words_of(node)))
            else:
                flow.add(replace(look, text=f"[fichier joint : {media.media_type}, {len(media.data)} octets]"))
        self._inside(node, look, flow)

    def _image(self, node: etree._Element, look: Run, flow: _Flow) -> None:
        source, words = _attribute(node, "src"), _attribute(node, "alt")
        media = self._resolve(source[1:]) if source.startswith("#") else _data_uri(source)
        if media is not None and media.media_type.lower() in _IMAGE_TYPES:
            flow.block(Illustration(media.data, words))
        else:
            # An image elsewhere is never fetched.
            flow.add(replace(look, text=f"[image{f' : {words}' if words else ''}]"))

    def _list(self, node: etree._Element, look: Run) -> Bullets:
        name = _name(node)
        ordered = _LISTS[name] or _attribute(node, "listType").lower() == "ordered"
        items: list[tuple[Block, ...]] = []
        caption: tuple[Run, ...] = ()
        for child in node:
            kind = _name(child)
            if kind == "caption":
                caption = _flat(self.blocks_in(child, look))
            elif kind in ("item", "li"):
                items.append(self.blocks_in(child, _styled(child, kind, look)))
            elif kind and kind not in _SILENT:
                items.append(self.blocks_in(child, look))
        items += [(stray,) for stray in _stray_words(node, look)]
        return Bullets(tuple(items), ordered, caption)

    def _table(self, node: etree._Element, look: Run) -> Grid:
        caption: tuple[Run, ...] = ()
        parts: dict[str, list[tuple[GridCell, ...]]] = {"thead": [], "tbody": [], "tfoot": []}
        strays: list[Block] = [*_stray_words(node, look)]
        for child in node:
            kind = _name(child)
            if kind == "caption":
                caption = _flat(self.blocks_in(child, look))
            elif kind in parts:
                parts[kind] += [self._row(row, look, kind == "thead") for row in child if _name(row) == "tr"]
                strays += _stray_words(child, look)
                for other in child:
                    if _name(other) not in ("", "tr", *_SILENT):
                        strays += self.blocks_in(other, look)
            elif kind == "tr":
                parts["tbody"].append(self._row(child, look, False))
            elif kind and kind not in _SILENT and kind not in ("col", "colgroup"):
                # Words out of place are kept: a row of their own at the end.
                strays += self.blocks_in(child, look)
        rows = [row for part in ("thead", "tbody", "tfoot") for row in parts[part] if row]
        if strays:
            rows.append((GridCell(tuple(strays)),))
        return Grid(tuple(rows), len([row for row in parts["thead"] if row]), caption)

    def _row(self, node: etree._Element, look: Run, heading: bool) -> tuple[GridCell, ...]:
        cells = []
        for child in node:
            kind = _name(child)
            if kind in ("td", "th"):
                strong = heading or kind == "th"
                style = _styled(child, kind, look)
                cells.append(
                    GridCell(
                        self.blocks_in(child, replace(style, bold=strong or style.bold)),
                        strong,
                        _span(_attribute(child, "colspan")),
                        _span(_attribute(child, "rowspan")),
                    )
                )
            elif kind and kind not in _SILENT:
                cells.append(GridCell(self.blocks_in(child, look)))
        cells += [GridCell((stray,)) for stray in _stray_words(node, look)]
        return tuple(cells)


def _stray_words(node: etree._Element, look: Run) -> list[Paragraph]:
    """Words that stand where only rows, cells or items may: kept, for nothing written is dropped."""
    texts = [node.text, *(child.tail for child in node)]
    return [Paragraph((replace(look, text=" ".join(text.split())),)) for text in texts if text and text.strip()]


def _span(text: str) -> int:
    return min(max(int(text), 1), _MAX_SPAN) if text.isascii() and text.isdigit() and len(text) < 5 else 1


def _styled(node: etree._Element, name: str, look: Run) -> Run:
    """The appearance that an element gives to its words (CDA R2 narrative: styleCode; XHTML: its name)."""
    codes = _attribute(node, "styleCode").lower().split()
    bold = look.bold or name in _BOLD or "bold" in codes or "emphasis" in codes
    italic = look.italic or name in _ITALIC or "italics" in codes
    underline = look.underline or name in _UNDERLINE or "underline" in codes
    # A struck text must not read as a plain one (content revised="delete").
    strike = look.strike or name in _STRIKE or _attribute(node, "revised") == "delete"
    rise = {"sup": 1, "sub": -1, "footnoteref": 1}.get(name, look.rise)
    return Run("", bold, italic, underline, strike, rise)


_DATA = re.compile(r"data:(image/[a-z]+);base64,([A-Za-z0-9+/=\s]+)\Z")


def _data_uri(text: str) -> Media | None:
    match = _DATA.match(text)
    if match is None:
        return None
    data = decoded(match[2])
    return Media(match[1], data) if data is not None else None


def decoded(text: str) -> bytes | None:
    """Base64 with line breaks, or None when it is not."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def _flat(blocks: tuple[Block, ...]) -> tuple[Run, ...]:
    return tuple(run for block in blocks if isinstance(block, Paragraph) for run in block.runs)


def _texts(blocks: tuple[Block, ...]) -> Iterator[str]:
    for block in blocks:
        if isinstance(block, Paragraph):
            yield "".join(run.text for run in block.runs)
        elif isinstance(block, Bullets):
            for item in block.items:
                yield from _texts(item)
        elif isinstance(block, Grid):
            for row in block.rows:
                for cell in row:
                    yield from _texts(cell.blocks)
        elif block.words:
            yield block.words


def words_of(source: etree._Element | tuple[Block, ...]) -> str:
    """All the words of a narrative, spaces collapsed."""
    if isinstance(source, tuple):
        return " ".join(" ".join(_texts(source)).split())
    return " ".join("".join(part for part in source.itertext() if isinstance(part, str)).split())
