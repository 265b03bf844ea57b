"""The text of a section as XHTML: what a person reads when a program cannot read the entries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from mappings.fhir.values_out import Json

__all__ = ["WORDS", "narrative", "paragraphs", "table"]

#: Class of the paragraph that holds the author's own words, so that a reader knows them from what was generated.
WORDS: Final = "mots"
# XML 1.0, production Char: what no XHTML can hold.
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


def _text(value: str) -> str:
    # A carriage return alone would be read back as a line feed (XML 1.0, 2.11).
    return escape(_FORBIDDEN.sub("\ufffd", value), quote=True).replace("\r", "&#13;")


def paragraphs(words: str) -> str:
    """The author's words, line by line."""
    return f'<p class="{WORDS}">' + "<br/>".join(map(_text, words.split("\n"))) + "</p>"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a cell may be empty. Columns that are empty in every row are left out."""
    lines = [tuple(row) for row in rows]
    kept = [i for i in range(len(titles)) if any(line[i] for line in lines)]
    head = "".join(f"<th>{_text(titles[i])}</th>" for i in kept)
    body = "".join("<tr>" + "".join(f"<td>{_text(line[i])}</td>" for i in kept) + "</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def narrative(*blocks: str, generated: bool = True) -> Json:
    """A Narrative; ``generated`` is False when it says more than the entries do (R4 NarrativeStatus)."""
    content = "".join(blocks)
    return {
        "status": "generated" if generated else "additional",
        "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{content}</div>',
    }
