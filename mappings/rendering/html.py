"""A view as an HTML page: own stylesheet, every word escaped, no script, no outside link; for screen and printer."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import Any

from mappings.document import AnyDocument
from mappings.rendering.images import ImageUnreadable, flattened
from mappings.rendering.layout import Run
from mappings.rendering.narrative import Block, Bullets, Grid, GridCell, Illustration, Paragraph
from mappings.rendering.view import Group, Section, View
from mappings.rendering.words import moment_text

__all__ = ["CONTENT_SECURITY_POLICY", "bundle_html", "cda_html", "document_html", "view_html"]

#: What a server should send with the page: nothing but its own style and its own images.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)

_STYLE = """
:root{color-scheme:light}
body{font:15px/1.45 system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;color:#111;background:#fff;
max-width:62rem;margin:0 auto;padding:1.2rem}
h1{font-size:1.5rem;line-height:1.2;color:#003873;margin:.2rem 0}
h2{font-size:1.15rem;color:#003873;border-bottom:1px solid #b9c6d6;margin:1.4rem 0 .5rem;padding-bottom:.15rem}
h3{font-size:1.02rem;color:#003873;margin:1rem 0 .4rem}h4,h5,h6{font-size:.95rem;margin:.8rem 0 .3rem}
p{margin:.35rem 0}.under{color:#444;margin:0 0 .8rem}
.notice{border:2px solid #b34700;padding:.4rem .7rem;font-weight:600}
table{border-collapse:collapse;width:100%;margin:.5rem 0}td,th{border:1px solid #8a97a6;padding:.25rem .45rem;
text-align:left;vertical-align:top;overflow-wrap:break-word}th{background:#e9eef4}caption{text-align:left;font-weight:600}
.head th{width:10.5rem;font-weight:600}.head span{display:inline-block;margin-right:1.1rem}
img{max-width:100%;height:auto}ul,ol{margin:.35rem 0;padding-left:1.5rem}
.scroll{overflow-x:auto;font-size:.93rem}footer{margin-top:2rem;color:#555;font-size:.8rem}
@media print{body{font-size:10pt;max-width:none;padding:0}h2,h3{break-after:avoid}tr,img{break-inside:avoid}
thead{display:table-header-group}.scroll{overflow:visible}td,th{overflow-wrap:anywhere}@page{size:A4;margin:16mm}}
"""


def cda_html(data: bytes) -> str:
    """The page of a CDA.

    Raises :class:`mappings.rendering.view_cda.NotCda`, and what :func:`security.xml.parse` raises.
    """
    from mappings.rendering.view_cda import root_of, view_of_cda

    return view_html(view_of_cda(root_of(data)))


def bundle_html(bundle: dict[str, Any]) -> str:
    """The page of a FHIR Bundle, as plain values: a document's, or the resources of another kind.

    Raises :class:`mappings.rendering.view_bundle.NotBundle`.
    """
    from mappings.rendering.view_bundle import view_of_bundle

    return view_html(view_of_bundle(bundle))


def document_html(document: AnyDocument) -> str:
    """The page of a document of the hub model."""
    from mappings.rendering.view_document import view_of_document

    return view_html(view_of_document(document))


def view_html(view: View) -> str:
    """The page of a view."""
    under = " – ".join(
        part
        for part in (view.kind if view.kind != view.title else "", moment_text(view.date) if view.date else "")
        if part
    )
    language = view.language if view.language.replace("-", "").isalnum() else "fr-FR"
    return "".join(
        (
            f'<!DOCTYPE html>\n<html lang="{escape(language)}"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(_META_POLICY)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{escape(view.title)}</title><style>{_STYLE}</style></head><body><main>",
            f"<header><h1>{escape(view.title)}</h1>",
            f'<p class="under">{escape(under)}</p>' if under else "",
            "".join(f'<p class="notice" role="note">{escape(notice)}</p>' for notice in view.notices),
            _groups(view.groups),
            "</header>",
            "".join(_section(section, 2) for section in view.sections),
            "</main></body></html>\n",
        )
    )


#: frame-ancestors has no effect in a meta element, and browsers complain of it there.
_META_POLICY = CONTENT_SECURITY_POLICY.rpartition("; ")[0]


def _groups(groups: Sequence[Group]) -> str:
    if not groups:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(group.title)}</th><td>'
        + " ".join(
            f"<span>{escape(fact.label)}\u00a0: <strong>{escape(fact.value)}</strong></span>"
            if fact.label
            else f"<span><strong>{escape(fact.value)}</strong></span>"
            for fact in group.facts
        )
        + "</td></tr>"
        for group in groups
    )
    return f'<table class="head"><tbody>{rows}</tbody></table>'


def _section(section: Section, level: int) -> str:
    tag = f"h{min(level, 6)}"
    head = f"<{tag}>{escape(section.title)}</{tag}>" if section.title else ""
    inner = "".join(_section(child, level + 1) for child in section.sections)
    return f"<section>{head}{''.join(_block(block, level + 1) for block in section.blocks)}{inner}</section>"


def _block(block: Block, level: int) -> str:
    if isinstance(block, Paragraph):
        tag = f"h{min(level + block.level - 1, 6)}" if block.level else "p"
        return f"<{tag}>{_runs(block.runs)}</{tag}>"
    if isinstance(block, Bullets):
        tag = "ol" if block.ordered else "ul"
        caption = f"<p><strong>{_runs(block.caption)}</strong></p>" if block.caption else ""
        items = "".join(f"<li>{_inside(item, level)}</li>" for item in block.items)
        return f"{caption}<{tag}>{items}</{tag}>"
    if isinstance(block, Grid):
        caption = f"<caption>{_runs(block.caption)}</caption>" if block.caption else ""
        head = "".join(_row(row, level) for row in block.rows[: block.headings])
        body = "".join(_row(row, level) for row in block.rows[block.headings :])
        return (
            f'<div class="scroll"><table>{caption}{f"<thead>{head}</thead>" if head else ""}'
            f"<tbody>{body}</tbody></table></div>"
        )
    return _image(block)


def _row(row: Sequence[GridCell], level: int) -> str:
    cells = []
    for cell in row:
        tag = "th" if cell.heading else "td"
        span = f' colspan="{cell.span}"' if cell.span > 1 else ""
        depth = f' rowspan="{cell.depth}"' if cell.depth > 1 else ""
        cells.append(f"<{tag}{span}{depth}>{_inside(cell.blocks, level)}</{tag}>")
    return f"<tr>{''.join(cells)}</tr>"


def _inside(blocks: Sequence[Block], level: int) -> str:
    # One paragraph alone needs no <p>: rows stay low.
    if len(blocks) == 1 and isinstance(blocks[0], Paragraph) and not blocks[0].level:
        return _runs(blocks[0].runs)
    return "".join(_block(block, level) for block in blocks)


def _runs(runs: Sequence[Run]) -> str:
    out = []
    for run in runs:
        words = escape(run.text).replace("\n", "<br>")
        for wanted, tag in (
            (run.bold, "strong"),
            (run.italic, "em"),
            (run.underline, "u"),
            (run.strike, "s"),
            (run.rise > 0, "sup"),
            (run.rise < 0, "sub"),
        ):
            if wanted:
                words = f"<{tag}>{words}</{tag}>"
        out.append(words)
    return "".join(out)


def _image(block: Illustration) -> str:
    try:
        # Written anew from its pixels: whatever else the file held does not reach the browser.
        data = flattened(block.data)
    except ImageUnreadable:
        return f"<p><em>[image illisible]</em> {escape(block.words)}</p>"
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    source = base64.b64encode(data).decode("ascii")
    return f'<p><img alt="{escape(block.words)}" src="data:image/{kind};base64,{source}"></p>'
