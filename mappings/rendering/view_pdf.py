"""A view as PDF/A-1b: header data in a box, then the narrative as it was written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mappings.rendering.images import ImageUnreadable, flattened, opened
from mappings.rendering.layout import GREY, Line, Picture, Run, Style, lines_of
from mappings.rendering.narrative import Block, Bullets, Grid, GridCell, Illustration, Paragraph
from mappings.rendering.parts import BODY, NOTE, SECTION, SMALL, TITLE, page_footer
from mappings.rendering.pdfa import BOLD, REGULAR, PdfMeta, printable, text_width
from mappings.rendering.sheet import Cell, Sheet
from mappings.rendering.view import Group, Section, View
from mappings.rendering.words import date_text, moment_text

__all__ = ["view_pdf"]

_PAD = 3.0
#: Styles of cells, from the usual to that of a crowded table.
_CELLS = (Style(size=8.5, leading=11), Style(size=7.5, leading=9.5), Style(size=6.5, leading=8.5))
#: What names the patient again on each page.
_IDENTITY = ("Nom de naissance", "Prénom(s) de naissance", "Premier prénom de naissance", "Date de naissance")
_HEADS = {1: 11.5, 2: 10.5, 3: 10, 4: 9.5, 5: 9.5, 6: 9.5}
_MAX_COLUMNS = 24
_LONG_WORD = 95.0  #: points; a longer word (a web address) is cut rather than starve the other columns


def view_pdf(view: View, meta: PdfMeta, *, running: str = "") -> bytes:
    """The pages of a view. ``running`` names the document at the foot of each page (its title when absent)."""
    label = running or " – ".join(part for part in (view.title, date_text(view.date) if view.date else "") if part)

    def continued(sheet: Sheet, number: int) -> None:
        patient = next((g for g in view.groups if g.title == "Patient"), None)
        facts = [f for f in patient.facts if f.label in _IDENTITY] if patient else []
        words = " – ".join(f"{f.label} : {f.value}" for f in facts) or label
        sheet.y += sheet.write(sheet.left, sheet.y, f"{words} (suite)", sheet.inner, NOTE)
        sheet.rule(sheet.left, sheet.y + 3, sheet.right, sheet.y + 3)
        sheet.y += 10

    sheet = Sheet(header=continued, footer=page_footer(label))
    sheet.paragraph(view.title, TITLE)
    under = " – ".join(part for part in (view.kind if view.kind != view.title else "", _dated(view)) if part)
    if under:
        sheet.paragraph(under, Style(align="centre", after=8))
    for notice in view.notices:
        sheet.paragraph([Run(notice, bold=True)], Style(align="centre", after=5))
    _groups(sheet, view.groups)
    tables: Tables = {}
    for section in view.sections:
        _section(sheet, section, 0, tables)
    return sheet.finish(meta)


def _dated(view: View) -> str:
    return moment_text(view.date) if view.date else ""


def _groups(sheet: Sheet, groups: Sequence[Group]) -> None:
    """The header data: two columns, label and values."""
    widths = (sheet.inner * 0.19, sheet.inner * 0.81)
    for group in groups:
        runs: list[Run] = []
        for rank, fact in enumerate(group.facts):
            if rank:
                runs.append(Run("   "))
            if fact.label:
                runs.append(Run(f"{fact.label}\u00a0:\u00a0"))
            runs.append(Run(fact.value, bold=True))
        title = lines_of([Run(group.title, bold=True)], widths[0] - 2 * _PAD, SMALL)
        words = lines_of(runs, widths[1] - 2 * _PAD, SMALL)
        sheet.row([Cell(lines=tuple(title), shade=True), Cell(lines=tuple(words))], widths)
    if groups:
        sheet.space(6)


def _section(sheet: Sheet, section: Section, depth: int, tables: Tables) -> None:
    if section.title:
        style = SECTION if depth == 0 else replace(SECTION, size=max(9.5, 11 - depth * 0.75), before=5)
        sheet.y += style.before
        # A title never stands alone at the foot of a page: what it opens comes with it.
        sheet.need(style.leading + style.after + _opening(sheet, section, tables))
        sheet.paragraph(section.title, replace(style, before=0))
    _blocks(sheet, section.blocks, tables)
    for inner in section.sections:
        _section(sheet, inner, depth + 1, tables)


def _opening(sheet: Sheet, section: Section, tables: Tables) -> float:
    """Height of what must follow a title: the first lines, the first rows of a table, a picture."""
    if not section.blocks:
        return 20.0 + (_opening(sheet, section.sections[0], tables) if section.sections else 0.0)
    height = 0.0
    for block in section.blocks[:2]:
        if isinstance(block, Grid):
            rows = _table(sheet, block, tables).heights
            return height + min(sum(rows[: block.headings + 1]), 300.0)
        lines = block_lines(block, sheet.inner, BODY, sheet.limit - sheet.top - 40)
        height += sum(line.height for line in lines[:2])
        if len(lines) > 2:
            break
    return height


def _blocks(sheet: Sheet, blocks: Sequence[Block], tables: Tables) -> None:
    for block in blocks:
        if isinstance(block, Grid):
            _grid(sheet, block, tables)
            sheet.space(5)
            continue
        lines = block_lines(block, sheet.inner, BODY, sheet.limit - sheet.top - 40)
        sheet.need(sum(line.height for line in lines[:2]))
        sheet.flow(lines)
        sheet.space(3)


def block_lines(block: Block, width: float, style: Style, tallest: float) -> list[Line]:
    """A block as lines ``width`` points wide; a table inside a cell or a list is said row by row."""
    if isinstance(block, Paragraph):
        if block.level:
            style = replace(style, bold=True, size=_HEADS[block.level], leading=_HEADS[block.level] + 3)
        return lines_of(block.runs, width, style)
    if isinstance(block, Illustration):
        return _picture(block, width, style, tallest)
    if isinstance(block, Bullets):
        return _bullets(block, width, style, tallest)
    out = lines_of([replace(run, bold=True) for run in block.caption], width, style) if block.caption else []
    for row in block.rows:
        runs: list[Run] = []
        for rank, cell in enumerate(row):
            if rank:
                runs.append(Run(" | "))
            runs += [run for inner in cell.blocks for run in _inline(inner)]
        out += lines_of(runs, width, style)
    return out


def _inline(block: Block) -> list[Run]:
    if isinstance(block, Paragraph):
        return [*block.runs, Run(" ")]
    if isinstance(block, Bullets):
        return [run for item in block.items for inner in item for run in (Run("• "), *_inline(inner))]
    if isinstance(block, Grid):
        return [run for row in block.rows for cell in row for inner in cell.blocks for run in _inline(inner)]
    return [Run(f"[image{f' : {block.words}' if block.words else ''}]")]


def _bullets(block: Bullets, width: float, style: Style, tallest: float) -> list[Line]:
    out = lines_of([replace(run, bold=True) for run in block.caption], width, style) if block.caption else []
    indent = 18.0 if block.ordered else 12.0
    narrow = max(width - indent, 40.0)
    for rank, item in enumerate(block.items, 1):
        lines = [line for inner in item for line in block_lines(inner, narrow, style, tallest)]
        if not lines:
            continue
        mark = lines_of(f"{rank}." if block.ordered else "•", indent + 20, style)[0]
        first = lines[0].moved(indent)
        out.append(Line(first.height, (*mark.spans, *first.spans), first.picture, first.keep))
        out += [line.moved(indent) for line in lines[1:]]
    return out


def _picture(block: Illustration, width: float, style: Style, tallest: float) -> list[Line]:
    try:
        data = flattened(block.data)
        image = opened(data)
    except ImageUnreadable:
        return lines_of([Run("[image illisible]", italic=True), Run(f" {block.words}")], width, style)
    wide, tall = image.width * 0.75, image.height * 0.75  # 96 dots an inch, as browsers take them
    scale = min(1.0, width / wide, tallest / tall)
    out = [Line(tall * scale + 4, picture=Picture(0, data, wide * scale, tall * scale))]
    if block.words:
        out += lines_of(block.words, width, replace(style, colour=GREY))
    return out


# -- tables ---------------------------------------------------------------------------------------------------------


def _spread(grid: Grid) -> tuple[list[list[tuple[int, GridCell | None]]], int]:
    """Rows as (span, cell) with None where a cell from above reaches down, and the number of columns."""
    columns = 0
    rows: list[list[tuple[int, GridCell | None]]] = []
    reaching: dict[int, int] = {}
    for row in grid.rows:
        out: list[tuple[int, GridCell | None]] = []
        column = 0
        waiting = list(row)
        while waiting or any(c >= column for c in reaching):
            if reaching.get(column, 0) > 0:
                out.append((1, None))
                reaching[column] -= 1
                if not reaching[column]:
                    del reaching[column]
                column += 1
                continue
            if not waiting:
                if column > max(reaching, default=-1):
                    break
                out.append((1, GridCell(())))
                column += 1
                continue
            cell = waiting.pop(0)
            span = min(cell.span, max(1, _MAX_COLUMNS - column))
            for n in range(column, column + span):
                if cell.depth > 1:
                    reaching[n] = reaching.get(n, 0) + cell.depth - 1
            out.append((span, cell))
            column += span
            if column >= _MAX_COLUMNS:
                # Wider than a page can hold: the other cells follow in the last column, none is lost.
                rest = tuple(block for other in waiting for block in other.blocks)
                if rest:
                    out[-1] = (span, GridCell((*cell.blocks, *rest), cell.heading))
                waiting = []
                break
        columns = max(columns, column)
        rows.append(out)
    return rows, max(columns, 1)


class _Table:
    """A table laid out for a width: the style its crowd allows, the widths of its columns, its cells as lines."""

    def __init__(self, grid: Grid, width: float, tallest: float) -> None:
        rows, columns = _spread(grid)
        for style in _CELLS:
            least, amount = _needs(rows, columns, width, style)
            if sum(least) <= width:
                break
        self.widths = _widths(least, amount, width)
        self.rows = [_cells(row, self.widths, tallest, style) for row in rows]
        self.heights = [max((cell.height for cell in cells), default=0.0) for cells in self.rows]


#: Tables of one document already laid out: a title asks for the height of the table that it opens.
Tables = dict[int, _Table]


def _table(sheet: Sheet, grid: Grid, tables: Tables) -> _Table:
    known = tables.get(id(grid))
    if known is None:
        known = tables[id(grid)] = _Table(grid, sheet.inner, sheet.limit - sheet.top - 90)
    return known


def _needs(
    rows: list[list[tuple[int, GridCell | None]]], columns: int, width: float, style: Style
) -> tuple[list[float], list[float]]:
    """For each column the width of its longest word, and how much text it has."""
    least, amount = [16.0] * columns, [1.0] * columns
    for row in rows[:200]:
        column = 0
        for span, cell in row:
            if cell is not None and span == 1:
                runs = [run for block in cell.blocks for run in _inline(block)]
                font = BOLD if cell.heading else REGULAR
                for word in {word for run in runs for word in run.text.split()}:
                    wide = text_width(printable(word), font, style.size) + 2 * _PAD + 0.5
                    least[column] = max(least[column], min(wide, _LONG_WORD, width / 3))
                amount[column] = max(amount[column], min(sum(len(run.text) for run in runs), 160))
            column += span
    return least, amount


def _widths(least: list[float], amount: list[float], width: float) -> list[float]:
    total = sum(least)
    if total >= width:
        return [value * width / total for value in least]
    spare, weights = width - total, sum(amount)
    return [low + spare * part / weights for low, part in zip(least, amount, strict=True)]


def _grid(sheet: Sheet, grid: Grid, tables: Tables) -> None:
    if grid.caption:
        sheet.paragraph([replace(run, bold=True) for run in grid.caption], SMALL)
    tallest = sheet.limit - sheet.top - 90
    table = _table(sheet, grid, tables)
    heads = table.rows[: grid.headings] if grid.headings < len(table.rows) else []
    for rank, (cells, height) in enumerate(zip(table.rows, table.heights, strict=True)):
        if rank == 0 and len(table.rows) > 1:
            sheet.need(sum(table.heights[: len(heads) + 1]))
        elif rank >= len(heads) and height > sheet.room and height < tallest:
            sheet.new_page()
            # The headings are said again where the table goes on.
            for head in heads:
                sheet.row(head, table.widths)
        if cells:
            sheet.row(cells, table.widths)


def _cells(row: list[tuple[int, GridCell | None]], widths: list[float], tallest: float, style: Style) -> list[Cell]:
    cells: list[Cell] = []
    column = 0
    for span, cell in row:
        room = sum(widths[column : column + span]) - 2 * _PAD
        lines: list[Line] = []
        for block in cell.blocks if cell is not None else ():
            lines += block_lines(block, room, style, tallest)
        cells.append(Cell(lines=tuple(lines), span=span, shade=bool(cell and cell.heading)))
        column += span
    while column < len(widths):
        cells.append(Cell(lines=()))
        column += 1
    return cells
