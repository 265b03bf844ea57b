"""Lines are broken without losing a letter or leaving the column."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.rendering.layout import Line, Picture, Run, Style, break_runs, lines_of
from mappings.rendering.pdfa import BOLD, printable
from mappings.rendering.sheet import Cell, Sheet

WORDS = st.text(st.sampled_from("abcé 1:;?«»\n\u00a0"), max_size=60)


def text_of(lines: list[Line]) -> list[str]:
    """The words of each line."""
    return ["".join(span.text for span in line.spans) for line in lines]


@given(st.lists(st.tuples(WORDS, st.booleans()), max_size=5), st.floats(20, 300))
def test_no_letter_is_lost_and_no_line_is_too_wide(pieces: list[tuple[str, bool]], width: float) -> None:
    """Whatever the runs and the width, the letters are there in order and inside."""
    lines = break_runs([Run(text, bold=bold) for text, bold in pieces], width, Style())
    squeezed = "".join("".join(text_of(lines)).split())
    assert squeezed == "".join("".join(printable(text) for text, _ in pieces).split())
    for line in lines:
        for span in line.spans:
            assert span.x + span.width <= width + 12.01


def test_a_line_never_starts_with_a_closing_mark() -> None:
    """A colon, a question mark, a closing quote stay with their word."""
    for width in range(50, 200, 7):
        for line in text_of(lines_of("Nom : mot ; dit « oui » ? certes ! fin", width, Style())):
            assert line[:1] not in ":;?!»"
            assert not line.endswith("«")


def test_words_glued_across_runs_stay_together() -> None:
    """A bold figure and the plain comma after it are one word."""
    for width in range(40, 160, 5):
        lines = text_of(break_runs([Run("prendre "), Run("12", bold=True), Run(", puis")], width, Style()))
        assert not any(line.startswith(",") for line in lines)


def test_a_word_longer_than_the_column_is_cut() -> None:
    """A web address fills lines and goes on."""
    lines = text_of(lines_of("x" * 300, 100, Style()))
    assert len(lines) > 5
    assert "".join(lines) == "x" * 300


@pytest.mark.parametrize(("align", "least"), [("left", 0.0), ("centre", 80.0), ("right", 170.0)])
def test_lines_align(align: str, least: float) -> None:
    """Left, centre and right."""
    (line,) = lines_of("mot", 200, Style(align=align))
    assert line.spans[0].x >= least
    assert line.spans[0].x + line.spans[0].width <= 200


def test_looks_become_faces_and_places() -> None:
    """Bold takes the bold face; superscript is smaller and higher."""
    (line,) = break_runs([Run("10"), Run("9", rise=1), Run("x", bold=True, underline=True)], 200, Style())
    assert [span.text for span in line.spans] == ["10", "9", "x"]
    assert line.spans[1].size < line.spans[0].size
    assert line.spans[1].rise > 0
    assert line.spans[2].font == BOLD
    assert line.spans[2].underline


def test_nothing_is_still_a_line() -> None:
    """An empty text keeps its height."""
    assert text_of(lines_of("", 100, Style())) == [""]
    assert text_of(lines_of("a\n\nb", 100, Style())) == ["a", "", "b"]


def test_a_moved_line_moves_all_it_holds() -> None:
    """Spans and picture."""
    line = Line(10, lines_of("mot", 100, Style())[0].spans, Picture(1, b"", 5, 5))
    moved = line.moved(7)
    assert moved.spans[0].x == 7
    assert moved.picture is not None
    assert moved.picture.x == 8
    assert line.moved(0) is line


def test_a_kept_line_goes_with_the_next() -> None:
    """A name is not left alone at the foot of the page."""
    sheet = Sheet()
    sheet.y = sheet.limit - 15
    sheet.flow([Line(12, keep=True), Line(12)])
    assert len(sheet.pages) == 2


def test_a_row_taller_than_a_page_is_cut() -> None:
    """Each page takes what it can; a line that fits nowhere does not hang."""
    sheet = Sheet()
    sheet.row([Cell(lines=tuple(Line(20) for _ in range(100))), Cell(lines=())], [200, 200])
    assert len(sheet.pages) == 3
    other = Sheet()
    other.row([Cell(lines=(Line(5000), Line(10)))], [200])
    assert len(other.pages) <= 2
