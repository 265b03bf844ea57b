"""Breaking text into lines: runs of words in, positioned spans out. No drawing here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mappings.rendering.pdfa import BOLD, REGULAR, printable, text_width

__all__ = ["BLACK", "BLUE", "GREY", "Line", "Picture", "Run", "Span", "Style", "break_runs", "lines_of"]

Colour = tuple[float, float, float]
BLACK: Colour = (0.0, 0.0, 0.0)
GREY: Colour = (0.35, 0.35, 0.35)
BLUE: Colour = (0.0, 0.22, 0.45)


@dataclass(frozen=True, slots=True)
class Run:
    """Words of one appearance; a line feed inside breaks the line."""

    text: str
    bold: bool = False
    italic: bool = False
    underline: bool = False
    strike: bool = False
    rise: int = 0  #: 1 superscript, -1 subscript


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a paragraph looks; lengths in points."""

    size: float = 9.5
    leading: float = 12.5
    bold: bool = False
    colour: Colour = BLACK
    before: float = 0.0
    after: float = 3.0
    align: str = "left"  #: left, right or centre
    indent: float = 0.0


@dataclass(frozen=True, slots=True)
class Span:
    """Words at their place in a line."""

    x: float
    text: str
    font: str
    size: float
    colour: Colour = BLACK
    italic: bool = False
    underline: bool = False
    strike: bool = False
    rise: float = 0.0
    width: float = 0.0


@dataclass(frozen=True, slots=True)
class Picture:
    """An image at its place in a line."""

    x: float
    data: bytes  #: PNG or JPEG
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its height, and what stands in it."""

    height: float
    spans: tuple[Span, ...] = ()
    picture: Picture | None = None
    keep: bool = False  #: not to be parted from the next line

    def moved(self, dx: float) -> Line:
        """The same line further right."""
        if not dx:
            return self
        spans = tuple(
            Span(s.x + dx, s.text, s.font, s.size, s.colour, s.italic, s.underline, s.strike, s.rise, s.width)
            for s in self.spans
        )
        picture = self.picture and Picture(
            self.picture.x + dx, self.picture.data, self.picture.width, self.picture.height
        )
        return Line(self.height, spans, picture, self.keep)


_TOKEN = re.compile(r"\n| +|[^ \n]+")
# French typography: never a line that starts with these, nor one that ends with an opening mark.
_CLOSING = re.compile(r" +(?=[:;!?»%])")
_OPENING = re.compile(r"(?<=«) +")


def _tokens(text: str) -> list[str]:
    text = printable(text)
    if " " in text:
        text = _OPENING.sub("\u00a0", _CLOSING.sub("\u00a0", text))
    return _TOKEN.findall(text)


def _chop(word: str, font: str, size: float, width: float) -> list[str]:
    """Cut a word that no line can hold."""
    pieces, current = [], ""
    for char in word:
        if current and text_width(current + char, font, size) > width:
            pieces.append(current)
            current = char
        else:
            current += char
    return [*pieces, current]


@dataclass(slots=True)
class _Piece:
    text: str
    run: Run
    font: str
    size: float
    width: float


def _finish(pieces: list[_Piece], style: Style, width: float) -> Line:
    while pieces and pieces[-1].text.isspace() and "\u00a0" not in pieces[-1].text:
        pieces.pop()
    total = sum(p.width for p in pieces)
    x = style.indent
    if style.align == "right":
        x = max(x, width - total)
    elif style.align == "centre":
        x = max(x, (width - total) / 2)
    spans: list[Span] = []
    group: list[_Piece] = []

    def flush(at: float) -> float:
        if not group:
            return at
        first = group[0]
        wide = sum(p.width for p in group)
        rise = first.run.rise * style.size * (0.33 if first.run.rise > 0 else 0.16)
        spans.append(
            Span(
                at,
                "".join(p.text for p in group),
                first.font,
                first.size,
                style.colour,
                first.run.italic,
                first.run.underline,
                first.run.strike,
                rise,
                wide,
            )
        )
        group.clear()
        return at + wide

    for piece in pieces:
        if group and piece.run is not group[0].run:
            x = flush(x)
        group.append(piece)
    flush(x)
    return Line(style.leading, tuple(spans))


def break_runs(runs: Iterable[Run], width: float, style: Style) -> list[Line]:
    """Break runs into lines no wider than ``width`` points; at least one line, even for nothing."""
    room = width - style.indent
    lines: list[Line] = []
    current: list[_Piece] = []
    used = 0.0
    for run in runs:
        font = BOLD if run.bold or style.bold else REGULAR
        size = style.size * 0.7 if run.rise else style.size
        for word in _tokens(run.text):
            if word == "\n":
                lines.append(_finish(current, style, width))
                current, used = [], 0.0
                continue
            wide = text_width(word, font, size)
            if word[0] == " ":
                if current:
                    current.append(_Piece(word, run, font, size, wide))
                    used += wide
                continue
            if used + wide > room and current:
                # Words glued across runs (bold then plain, no space between) stay together when they can.
                glued: list[_Piece] = []
                while current and not current[-1].text.isspace():
                    glued.insert(0, current.pop())
                if not current or sum(p.width for p in glued) + wide > room:
                    current, glued = current + glued, []
                lines.append(_finish(current, style, width))
                current = glued
                used = sum(p.width for p in glued)
            if wide > room:
                *full, word = _chop(word, font, size, room)
                for piece in full:
                    lines.append(_finish([_Piece(piece, run, font, size, room)], style, width))
                wide = text_width(word, font, size)
            current.append(_Piece(word, run, font, size, wide))
            used += wide
    lines.append(_finish(current, style, width))
    return lines


def lines_of(text: str | Sequence[Run], width: float, style: Style) -> list[Line]:
    """Lines of a text or of runs."""
    return break_runs([Run(text)] if isinstance(text, str) else text, width, style)
