"""Reports that arrive as RTF, JPEG, TIFF or text, made into PDF/A-1b: the form in which a level-1 document leaves."""

from __future__ import annotations

import io
import re

from mappings.rendering.images import ImageUnreadable, fitted, frames
from mappings.rendering.layout import Run, Style, lines_of
from mappings.rendering.parts import BODY, NOTE, TITLE, page_footer
from mappings.rendering.pdfa import PdfMeta
from mappings.rendering.sheet import Sheet

__all__ = ["CONVERTED", "Unconvertible", "rtf_losses", "rtf_text", "to_pdfa"]

#: Media types that become a PDF.
CONVERTED = frozenset({"text/rtf", "application/rtf", "text/plain", "image/jpeg", "image/tiff", "image/png"})
_MAX_TEXT = 5 * 1024 * 1024
_MAX_PAGES = 500
_MARGIN = 28.0


class Unconvertible(ValueError):
    """The content is not what its media type says, or too large; the text names the fault, never the content."""


def to_pdfa(content: bytes, media_type: str, meta: PdfMeta) -> bytes:
    """The content as PDF/A-1b: text in pages, each image on a page of its own.

    Raises :class:`Unconvertible`.
    """
    if media_type in ("text/rtf", "application/rtf"):
        return _text_pages(rtf_text(content), meta, rtf_losses(content))
    if media_type == "text/plain":
        try:
            return _text_pages(content.decode("utf-8-sig"), meta, ())
        except UnicodeDecodeError:
            raise Unconvertible("the text is not UTF-8") from None
    if media_type.startswith("image/") and media_type in CONVERTED:
        return _image_pages(content, meta)
    raise Unconvertible(f"no conversion from {media_type[:60]!r} to PDF")


# -- RTF ------------------------------------------------------------------------------------------------------------

# What has no words: its presence is said on the page and in the loss report.
_WORDLESS = {
    "image": re.compile(rb"\\pict\b|\\shppict\b"),
    "objet incorporé": re.compile(rb"\\object\b|\\objdata\b"),
}


def rtf_text(content: bytes) -> str:
    """The words of an RTF file, cells of tables parted by ``|``.

    Raises :class:`Unconvertible`.
    """
    from striprtf.striprtf import rtf_to_text

    if not content.lstrip().startswith(b"{\\rtf"):
        raise Unconvertible("the content is not RTF")
    if len(content) > _MAX_TEXT:
        raise Unconvertible(f"the RTF is larger than {_MAX_TEXT} bytes")
    try:
        text = str(rtf_to_text(content.decode("cp1252", "replace"), errors="replace"))  # type: ignore[no-untyped-call]
    except (OverflowError, ValueError, LookupError) as exc:
        raise Unconvertible("the RTF is damaged") from exc
    # RTF writes characters beyond U+FFFF as two halves.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def rtf_losses(content: bytes) -> tuple[str, ...]:
    """What of an RTF file the PDF does not show, in French words: images, embedded objects."""
    return tuple(name for name, pattern in _WORDLESS.items() if pattern.search(content))


def _text_pages(text: str, meta: PdfMeta, lost: tuple[str, ...]) -> bytes:
    sheet = Sheet(footer=page_footer(meta.title))
    sheet.paragraph(meta.title, TITLE)
    if meta.author:
        sheet.paragraph(meta.author, Style(align="centre", after=8))
    if lost:
        words = f"[Le document d'origine contient aussi : {', '.join(lost)}, non reproduit ici]"
        sheet.paragraph([Run(words, bold=True)], NOTE)
    for line in text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n").split("\n"):
        if not line.strip():
            sheet.space(6)
            continue
        # Leading spaces carry the layout of typed tables.
        indent = len(line) - len(line.lstrip(" \t"))
        style = Style(size=BODY.size, leading=BODY.leading, indent=min(indent * 2.7, 200), after=0)
        sheet.flow(lines_of(line.expandtabs(4), sheet.inner, style))
        if len(sheet.pages) > _MAX_PAGES:
            raise Unconvertible(f"the text makes more than {_MAX_PAGES} pages")
    return sheet.finish(meta)


# -- images ---------------------------------------------------------------------------------------------------------


def _image_pages(content: bytes, meta: PdfMeta) -> bytes:
    try:
        pages = frames(content)
    except ImageUnreadable as exc:
        raise Unconvertible(str(exc)) from exc
    sheet = Sheet(margin=_MARGIN, top=_MARGIN, bottom=55.0, footer=page_footer(meta.title))
    for rank, frame in enumerate(pages):
        if rank:
            sheet.new_page()
        image = fitted(frame)
        out = io.BytesIO()
        if frame.mode == "RGB" and len(content) < 3 * frame.width * frame.height:
            # A photograph stays one: a PNG of it would be ten times as large.
            image.save(out, "JPEG", quality=90, optimize=True)
        else:
            image.save(out, "PNG")
        wide, tall = sheet.inner, sheet.limit - sheet.top
        scale = min(wide / image.width, tall / image.height)
        width, height = image.width * scale, image.height * scale
        sheet.picture(sheet.left + (wide - width) / 2, sheet.top, width, height, out.getvalue())
    return sheet.finish(meta)
