"""Pages: where lines, rows and boxes go, when a new page starts, and the header and footer of each page."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mappings.rendering.layout import BLACK, GREY, Colour, Line, Picture, Run, Span, Style, lines_of
from mappings.rendering.pdfa import PdfMeta, dress, font_of, new_canvas

__all__ = ["Cell", "Sheet"]

A4 = (595.28, 841.89)
_PAD = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell of a table: lines already broken to its width, and how many columns it spans."""

    lines: tuple[Line, ...]
    span: int = 1
    shade: bool = False

    @property
    def height(self) -> float:
        """Height of the content and its padding."""
        return sum(line.height for line in self.lines) + 2 * _PAD


@dataclass(slots=True)
class _Page:
    ops: list[tuple[Any, ...]] = field(default_factory=list)


class Sheet:
    """A flow of content over as many A4 pages as it takes; ``top`` is measured downwards, in points."""

    def __init__(
        self,
        *,
        margin: float = 45.0,
        top: float = 45.0,
        bottom: float = 55.0,
        header: Callable[[Sheet, int], None] | None = None,
        footer: Callable[[Sheet, int, int], None] | None = None,
    ) -> None:
        """``header`` is called when a page starts (from the second on), ``footer`` at the end, knowing the total."""
        self.width, self.height = A4
        self.left, self.right = margin, A4[0] - margin
        self.top, self.limit = top, A4[1] - bottom
        self.y = top
        self._header, self._footer = header, footer
        self.pages = [_Page()]
        self._current = self.pages[0]

    @property
    def inner(self) -> float:
        """Width between the margins."""
        return self.right - self.left

    @property
    def room(self) -> float:
        """Height left on the page."""
        return self.limit - self.y

    # -- drawing, at absolute places --------------------------------------------------------------------------------

    def draw_line(self, x: float, y: float, line: Line) -> None:
        """Put a broken line with its top at ``y``."""
        ops = self._current.ops
        for span in line.spans:
            ops.append(("text", x, y + line.height, line.height, span))
        if line.picture:
            ops.append(("image", x + line.picture.x, y, line.picture))

    def rule(self, x1: float, y1: float, x2: float, y2: float, *, weight: float = 0.5, colour: Colour = GREY) -> None:
        """A straight line."""
        self._current.ops.append(("rule", x1, y1, x2, y2, weight, colour))

    def box(self, x: float, y: float, width: float, height: float, *, fill: Colour | None = None) -> None:
        """A frame, or a filled rectangle without frame."""
        self._current.ops.append(("box", x, y, width, height, fill))

    def modules(self, x: float, y: float, side: float, rows: Sequence[Sequence[bool]]) -> None:
        """A 2D code drawn as rectangles, sharp at any size; ``rows`` with True for dark."""
        self._current.ops.append(("modules", x, y, side, rows))

    def picture(self, x: float, y: float, width: float, height: float, data: bytes) -> None:
        """An image (PNG or JPEG) at a place."""
        self._current.ops.append(("image", x, y, Picture(0, data, width, height)))

    def write(self, x: float, y: float, text: str | Sequence[Run], width: float, style: Style) -> float:
        """Write a paragraph at a place, without page break; gives the height it took."""
        start = y
        for line in lines_of(text, width, style):
            self.draw_line(x, y, line)
            y += line.height
        return y - start

    # -- flow -------------------------------------------------------------------------------------------------------

    def new_page(self) -> None:
        """Start a page."""
        self._current = _Page()
        self.pages.append(self._current)
        self.y = self.top
        if self._header:
            self._header(self, len(self.pages))

    def need(self, height: float) -> None:
        """Start a page unless ``height`` points are left; what is taller than a page starts where it is."""
        if height > self.room and self.y > self.top and height <= self.limit - self.top:
            self.new_page()

    def space(self, height: float) -> None:
        """Leave a gap."""
        self.y += height

    def flow(self, lines: Sequence[Line], *, x: float | None = None) -> None:
        """Put lines one under the other, over pages as needed; a kept line goes with the next one."""
        left = self.left if x is None else x
        for index, line in enumerate(lines):
            wanted = line.height
            if line.keep and index + 1 < len(lines):
                wanted += lines[index + 1].height
            if wanted > self.room:
                self.new_page()
            self.draw_line(left, self.y, line)
            self.y += line.height

    def paragraph(self, text: str | Sequence[Run], style: Style, *, x: float | None = None, width: float = 0) -> None:
        """A paragraph in the flow."""
        left = self.left if x is None else x
        lines = lines_of(text, width or self.right - left, style)
        self.y += style.before
        # No lonely first line at the foot of a page.
        self.need(sum(line.height for line in lines[:2]))
        self.flow(lines, x=left)
        self.y += style.after

    def row(self, cells: Sequence[Cell], widths: Sequence[float], *, x: float | None = None) -> None:
        """A table row, framed; cut over pages only when taller than one."""
        left = self.left if x is None else x
        height = max(cell.height for cell in cells)
        if height <= self.limit - self.top - 60:
            if height > self.room:
                self.new_page()
            self._row(cells, widths, left, height)
            return
        rest = [list(cell.lines) for cell in cells]
        while any(rest):
            part: list[Cell] = []
            for cell, lines in zip(cells, rest, strict=True):
                room, taken = self.room - 2 * _PAD, []
                while lines and lines[0].height <= room:
                    taken.append(lines.pop(0))
                    room -= taken[-1].height
                part.append(Cell(lines=tuple(taken), span=cell.span, shade=cell.shade))
            if not any(cell.lines for cell in part):
                if self.y <= self.top + 60:
                    # A line higher than a page cannot be: pictures are scaled before. Never loop for ever.
                    break
                self.new_page()
                continue
            self._row(part, widths, left, max(cell.height for cell in part))
            if any(rest):
                self.new_page()

    def _row(self, cells: Sequence[Cell], widths: Sequence[float], left: float, height: float) -> None:
        x, column = left, 0
        for cell in cells:
            wide = sum(widths[column : column + cell.span])
            column += cell.span
            if cell.shade:
                self.box(x, self.y, wide, height, fill=(0.92, 0.94, 0.96))
            self.box(x, self.y, wide, height)
            y = self.y + _PAD
            for line in cell.lines:
                self.draw_line(x + _PAD, y, line)
                y += line.height
            x += wide
        self.y += height

    # -- output -----------------------------------------------------------------------------------------------------

    def finish(self, meta: PdfMeta) -> bytes:
        """The PDF/A-1b file."""
        total = len(self.pages)
        if self._footer:
            for number, page in enumerate(self.pages, 1):
                self._current = page
                self._footer(self, number, total)
        canvas, buffer = new_canvas(self.width, self.height)
        for page in self.pages:
            for op in page.ops:
                _DRAW[op[0]](canvas, self.height, *op[1:])
            canvas.showPage()
        canvas.save()
        return dress(buffer.getvalue(), meta)


# Page operators are written here rather than through the canvas' methods, which cost three times as much: a page of a
# dense table has a thousand of them. Fonts, images and the file itself stay the library's.


def _colour(colour: Colour, operator: str) -> str:
    return f"{colour[0]:g} {colour[1]:g} {colour[2]:g} {operator}"


def _text(canvas: Any, height: float, x: float, bottom: float, leading: float, span: Span) -> None:
    # The baseline sits so that ascent and descent share the leading.
    base = height - bottom + leading * 0.5 - span.size * 0.36 + span.rise
    at = x + span.x
    font, document = font_of(span.font), canvas._doc
    out = [f"BT {_colour(span.colour, 'rg')} 1 0 {0.21 if span.italic else 0:g} 1 {at:.2f} {base:.2f} Tm"]
    for subset, codes in font.splitString(span.text, document):
        name = font.getSubsetInternalName(subset, document)
        out.append(f"{name} {span.size:g} Tf ({canvas._escape(codes)}) Tj")
    out.append("ET")
    canvas._code.append(" ".join(out))
    for drawn, dy in ((span.underline, -1.4), (span.strike, span.size * 0.3)):
        if drawn:
            _rule(canvas, height, at, height - base - dy, at + span.width, height - base - dy, 0.5, span.colour)


def _rule(
    canvas: Any, height: float, x1: float, y1: float, x2: float, y2: float, weight: float, colour: Colour
) -> None:
    line = f"{x1:.2f} {height - y1:.2f} m {x2:.2f} {height - y2:.2f} l S"
    canvas._code.append(f"{weight:g} w {_colour(colour, 'RG')} {line}")


def _box(canvas: Any, height: float, x: float, y: float, wide: float, tall: float, fill: Colour | None) -> None:
    paint = f"{_colour(fill, 'rg')}" if fill else f"0.5 w {_colour(GREY, 'RG')}"
    shape = f"{x:.2f} {height - y - tall:.2f} {wide:.2f} {tall:.2f} re"
    canvas._code.append(f"{paint} {shape} {'f' if fill else 'S'}")


def _modules(canvas: Any, height: float, x: float, y: float, side: float, rows: Sequence[Sequence[bool]]) -> None:
    size = side / len(rows)
    shapes = []
    for number, row in enumerate(rows):
        column = 0
        while column < len(row):
            start = column
            while column < len(row) and row[column]:
                column += 1
            if column > start:
                bottom = height - y - (number + 1) * size
                shapes.append(f"{x + start * size:.3f} {bottom:.3f} {(column - start) * size:.3f} {size:.3f} re")
            column += 1
    canvas._code.append(f"{_colour(BLACK, 'rg')} {' '.join(shapes)} f")


def _image(canvas: Any, height: float, x: float, y: float, picture: Picture) -> None:
    from reportlab.lib.utils import ImageReader

    from mappings.rendering.images import flattened

    reader = ImageReader(io.BytesIO(flattened(picture.data)))
    canvas.drawImage(reader, x, height - y - picture.height, picture.width, picture.height)


_DRAW: dict[str, Callable[..., None]] = {
    "text": _text,
    "rule": _rule,
    "box": _box,
    "modules": _modules,
    "image": _image,
}
