"""PDF/A-1b: what a page file needs beside its pages (ISO 19005-1): embedded fonts, colour, metadata, no surprise.

Pages are drawn by ReportLab, then dressed by pikepdf. The same input gives the same bytes: dates come in as arguments,
the file identifier is drawn from the content.
"""

from __future__ import annotations

import functools
import io
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import Any
from xml.sax.saxutils import escape

from mappings.rendering.icc import srgb_profile

__all__ = ["BOLD", "REGULAR", "PdfMeta", "dress", "font_of", "new_canvas", "printable", "text_width"]

REGULAR = "PasserelleSans"
BOLD = "PasserelleSans-Bold"
_FILES = {REGULAR: "DejaVuSansCondensed.ttf", BOLD: "DejaVuSansCondensed-Bold.ttf"}
_PRODUCER = "Passerelle"


@dataclass(frozen=True, slots=True, kw_only=True)
class PdfMeta:
    """What a PDF says about itself. No patient trait belongs here: file managers and logs show these."""

    title: str
    created: datetime  #: with its offset
    author: str = ""
    subject: str = ""
    language: str = "fr-FR"


@functools.cache
def _fonts() -> dict[str, Any]:
    # Loaded on first use: importing the package must stay light.
    from reportlab import rl_config
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    rl_config.useA85 = 0  # plain Flate streams: a third smaller, and what pikepdf passes through untouched
    folder = resources.files("mappings.rendering.fonts")
    loaded: dict[str, Any] = {}
    for name, file in _FILES.items():
        # asciiReadable off: only the glyphs used are embedded, a third of the file less.
        font = TTFont(name, io.BytesIO(folder.joinpath(file).read_bytes()), asciiReadable=False)
        pdfmetrics.registerFont(font)
        loaded[name] = font
    return loaded


def font_of(name: str) -> Any:
    """One of the two faces, as the drawing library holds it (``reportlab.pdfbase.ttfonts.TTFont``)."""
    return _fonts()[name]


@functools.cache
def _glyphs() -> frozenset[int]:
    # Only what both faces have, so that bold never loses a character; simple 16-bit codes only.
    faces = [set(font.face.charToGlyph) for font in _fonts().values()]
    return frozenset(code for code in faces[0] & faces[1] if 32 <= code <= 0xFFFF)


def printable(text: str) -> str:
    """The text as it can be printed: composed, without controls; a character no typeface has shows as ``[U+1F600]``.

    Nothing is dropped in silence, save marks that have no shape of their own (zero-width, direction marks).
    """
    if text.isascii() and text.isprintable():
        return text
    glyphs = _glyphs()
    out = []
    for char in unicodedata.normalize("NFC", text):
        code = ord(char)
        if char in "\n\u00a0":
            out.append(char)
        elif char in "\t\r\v\f\u2028\u2029\u0085":
            out.append(" ")
        elif char in "\u2009\u202f\u2007\u2060\u200a":
            out.append("\u00a0")
        elif char == "\u2011":
            out.append("-")
        elif (category := unicodedata.category(char)) == "Cf":
            continue
        elif category == "Cc" or code not in glyphs:
            out.append(f"[U+{code:04X}]")
        else:
            out.append(char)
    return "".join(out)


@functools.lru_cache(maxsize=8192)
def _unit_width(text: str, font: str) -> float:
    face = _fonts()[font].face
    widths, default = face.charWidths, face.defaultWidth
    return float(sum(widths.get(32 if char == "\u00a0" else ord(char), default) for char in text)) / 1000


def text_width(text: str, font: str, size: float) -> float:
    """Width in points of a printable text on one line."""
    return _unit_width(text, font) * size


def new_canvas(width: float, height: float) -> tuple[Any, io.BytesIO]:
    """A drawing surface (``reportlab.pdfgen.canvas.Canvas``) and the buffer that it will fill when saved."""
    from reportlab.pdfgen.canvas import Canvas

    _fonts()
    buffer = io.BytesIO()
    # initialFontName: the default Helvetica would be declared without being embedded.
    canvas = Canvas(
        buffer,
        pagesize=(width, height),
        pageCompression=1,
        invariant=1,
        initialFontName=REGULAR,
        enforceColorSpace="RGB",
    )
    return canvas, buffer


def _xmp(meta: PdfMeta) -> bytes:
    stamp = meta.created.isoformat(timespec="seconds")
    lang = 'xml:lang="x-default"'
    author = (
        f"<dc:creator><rdf:Seq><rdf:li>{escape(meta.author)}</rdf:li></rdf:Seq></dc:creator>" if meta.author else ""
    )
    subject = (
        f"<dc:description><rdf:Alt><rdf:li {lang}>{escape(meta.subject)}</rdf:li></rdf:Alt></dc:description>"
        if meta.subject
        else ""
    )
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/">\
<pdfaid:part>1</pdfaid:part><pdfaid:conformance>B</pdfaid:conformance></rdf:Description>
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:format>application/pdf</dc:format>\
<dc:title><rdf:Alt><rdf:li {lang}>{escape(meta.title)}</rdf:li></rdf:Alt></dc:title>{author}{subject}</rdf:Description>
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"><xmp:CreatorTool>{_PRODUCER}</xmp:CreatorTool>\
<xmp:CreateDate>{stamp}</xmp:CreateDate><xmp:ModifyDate>{stamp}</xmp:ModifyDate></rdf:Description>
<rdf:Description rdf:about="" xmlns:pdf="http://ns.adobe.com/pdf/1.3/"><pdf:Producer>{_PRODUCER}</pdf:Producer></rdf:Description>
</rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>""".encode()


def _pdf_date(moment: datetime) -> str:
    offset = moment.strftime("%z")
    return moment.strftime("D:%Y%m%d%H%M%S") + (f"{offset[:3]}'{offset[3:5]}'" if offset else "Z")


def _clean(text: str) -> str:
    return "".join(c for c in text if c.isprintable())


def dress(drawn: bytes, meta: PdfMeta) -> bytes:
    """Make PDF/A-1b of a drawn file: metadata that agree, output intent, language, an identifier from the content."""
    import pikepdf

    meta = PdfMeta(
        title=_clean(meta.title),
        created=meta.created,
        author=_clean(meta.author),
        subject=_clean(meta.subject),
        language=meta.language,
    )
    with pikepdf.open(io.BytesIO(drawn)) as pdf:
        packet = pdf.make_stream(_xmp(meta))
        packet.Type, packet.Subtype = pikepdf.Name.Metadata, pikepdf.Name.XML
        profile = pdf.make_stream(srgb_profile())
        profile.N = 3
        root = pdf.Root
        for unwanted in ("/Outlines", "/PageMode"):
            if unwanted in root:
                del root[unwanted]
        root.Metadata = pdf.make_indirect(packet)
        root.Lang = pikepdf.String(meta.language)
        root.ViewerPreferences = pikepdf.Dictionary(DisplayDocTitle=True)
        root.OutputIntents = pikepdf.Array(
            [
                pikepdf.Dictionary(
                    Type=pikepdf.Name.OutputIntent,
                    S=pikepdf.Name.GTS_PDFA1,
                    OutputConditionIdentifier=pikepdf.String("sRGB IEC61966-2.1"),
                    Info=pikepdf.String("sRGB IEC61966-2.1"),
                    DestOutputProfile=profile,
                )
            ]
        )
        stamp = _pdf_date(meta.created)
        info = pikepdf.Dictionary(
            Title=pikepdf.String(meta.title),
            Creator=pikepdf.String(_PRODUCER),
            Producer=pikepdf.String(_PRODUCER),
            CreationDate=pikepdf.String(stamp),
            ModDate=pikepdf.String(stamp),
        )
        if meta.author:
            info.Author = pikepdf.String(meta.author)
        if meta.subject:
            info.Subject = pikepdf.String(meta.subject)
        pdf.trailer.Info = pdf.make_indirect(info)
        out = io.BytesIO()
        pdf.save(
            out,
            force_version="1.4",
            deterministic_id=True,
            fix_metadata_version=False,
            object_stream_mode=pikepdf.ObjectStreamMode.disable,
            stream_decode_level=pikepdf.StreamDecodeLevel.none,
            compress_streams=False,
        )
    return out.getvalue()
