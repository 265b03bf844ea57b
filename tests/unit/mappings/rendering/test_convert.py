"""Reports in other forms become PDF/A-1b."""

from __future__ import annotations

import base64
import io
import re
from datetime import datetime
from pathlib import Path

import pytest
from PIL import Image

from mappings.rendering.convert import Unconvertible, rtf_losses, rtf_text, to_pdfa
from mappings.rendering.images import ImageUnreadable, fitted, flattened, frames, opened
from mappings.rendering.pdf import render_pdf
from mappings.rendering.pdfa import PdfMeta
from tests.support import documents
from tests.support.pdf_checker import page_texts, pdfa_faults
from tests.unit.mappings.rendering.test_prescription_pdf import scan

META = PdfMeta(
    title="Compte rendu",
    author="Dr Odile KERVELLA",
    created=datetime.fromisoformat("2026-11-20T10:00:00+01:00"),
)

RTF = (
    rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}\f0\fs20 Compte rendu d'op\'e9ration\par "
    rb"Douleur \b importante\b0 , 10\u8313? G/L\par {\trowd\cellx1\cellx2 Hb\cell 12,5\cell\row}}"
)


def image(kind: str, mode: str = "RGB", size: tuple[int, int] = (200, 100), **options: object) -> bytes:
    """A half-black picture."""
    made = Image.new("RGB", size, (255, 255, 255))
    made.paste((0, 0, 0), (0, 0, size[0] // 2, size[1]))
    out = io.BytesIO()
    made.convert(mode).save(out, kind, **options)  # type: ignore[arg-type]
    return out.getvalue()


def test_every_form_becomes_pdf_a_1b(tmp_path: Path) -> None:
    """RTF, text, and images of every mode conform for both outside checkers."""
    tiff = io.BytesIO()
    pages = [Image.new("1", (170, 220), 1), Image.new("L", (170, 220), 90), Image.new("RGB", (220, 170))]
    pages[0].save(tiff, "TIFF", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    made = {
        "rtf": to_pdfa(RTF, "text/rtf", META),
        "text": to_pdfa("Une ligne\n\n   en retrait\ttabulée".encode(), "text/plain", META),
        "jpeg": to_pdfa(image("JPEG"), "image/jpeg", META),
        "jpeg grey": to_pdfa(image("JPEG", "L"), "image/jpeg", META),
        "jpeg cmyk": to_pdfa(image("JPEG", "CMYK"), "image/jpeg", META),
        "png palette": to_pdfa(image("PNG", "P"), "image/png", META),
        "png alpha": to_pdfa(image("PNG", "RGBA"), "image/png", META),
        "tiff fax": to_pdfa(image("TIFF", "1", compression="group4"), "image/tiff", META),
        "tiff pages": to_pdfa(tiff.getvalue(), "image/tiff", META),
    }
    assert pdfa_faults(made, tmp_path) == {name: [] for name in made}
    assert len(page_texts(made["tiff pages"], tmp_path)) == 3


def test_the_words_of_an_rtf_are_kept(tmp_path: Path) -> None:
    """Accents, Unicode escapes and table cells, without the font table."""
    assert rtf_text(RTF) == "Compte rendu d'opération\nDouleur importante, 10⁹ G/L\nHb|12,5|\n"
    words = re.sub(r"\s+", " ", " ".join(page_texts(to_pdfa(RTF, "text/rtf", META), tmp_path)))
    assert "Compte rendu d'opération Douleur importante, 10⁹ G/L Hb|12,5|" in words


def test_what_an_rtf_loses_is_said(tmp_path: Path) -> None:
    """Images and objects are named to the caller and on the page."""
    content = RTF[:-1] + rb"{\pict\pngblip 00ff}{\object\objemb{\objdata 00}}}"
    assert rtf_losses(RTF) == ()
    assert rtf_losses(content) == ("image", "objet incorporé")
    words = " ".join(page_texts(to_pdfa(content, "text/rtf", META), tmp_path))
    assert "contient aussi : image, objet incorporé" in re.sub(r"\s+", " ", words)


def test_two_halves_of_a_character_are_joined() -> None:
    """Surrogate pairs of RTF make one character, a lone half is replaced."""
    assert rtf_text(rb"{\rtf1\ansi \u-10179?\u-8694? ok}") == "😊 ok"
    assert rtf_text(rb"{\rtf1\ansi \u-10179? ok}") == "\ufffd ok"


@pytest.mark.parametrize(
    ("content", "media_type", "fault"),
    [
        (b"hello", "text/rtf", "not RTF"),
        (rb"{\rtf1 \u99999999999 x}", "text/rtf", "damaged"),
        (rb"{\rtf1 " + b"x" * (5 * 1024 * 1024), "text/rtf", "larger"),
        (b"\xff\xfe\x00", "text/plain", "UTF-8"),
        (b"not an image", "image/jpeg", "damaged"),
        (image("JPEG")[:200], "image/jpeg", "damaged"),
        (b"%PDF-1.4", "application/msword", "no conversion"),
        (b"x\n" * 100_000, "text/plain", "pages"),
    ],
)
def test_what_cannot_be_converted_is_refused_by_name(content: bytes, media_type: str, fault: str) -> None:
    """The fault is named, the content is not quoted."""
    with pytest.raises(Unconvertible, match=fault):
        to_pdfa(content, media_type, META)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    """A small file of huge dimensions costs nothing."""
    out = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(out, "PNG")
    with pytest.raises(ImageUnreadable, match="pixels"):
        opened(out.getvalue())
    with pytest.raises(Unconvertible, match="pixels"):
        to_pdfa(out.getvalue(), "image/png", META)


def test_too_many_pages_are_refused() -> None:
    """A TIFF of hundreds of pages is a named refusal."""
    out = io.BytesIO()
    pages = [Image.new("1", (2, 2)) for _ in range(201)]
    pages[0].save(out, "TIFF", save_all=True, append_images=pages[1:])
    with pytest.raises(ImageUnreadable, match="201 pages"):
        frames(out.getvalue())


def test_the_picture_is_the_one_given(tmp_path: Path) -> None:
    """Left half black, right half white, over the width of the page."""
    page = Image.open(io.BytesIO(scan(to_pdfa(image("TIFF", "1"), "image/tiff", META), tmp_path))).convert("L")
    height = page.height // 6
    assert page.getpixel((page.width // 4, height)) == 0
    assert page.getpixel((page.width * 3 // 4, height)) == 255


def test_transparency_becomes_white_and_orientation_is_followed() -> None:
    """Alpha goes on white; EXIF orientation is applied; 16-bit grey keeps its tone."""
    clear = opened(image("PNG", "RGBA"))
    clear.putalpha(0)
    assert fitted(clear).getpixel((0, 0)) == (255, 255, 255)
    turned = Image.new("RGB", (20, 10))
    exif = turned.getexif()
    exif[0x0112] = 6
    out = io.BytesIO()
    turned.save(out, "JPEG", exif=exif.tobytes())
    assert opened(flattened(out.getvalue())).size == (10, 20)
    deep = Image.new("I;16", (1, 1), 0x8000)
    assert fitted(deep).getpixel((0, 0)) == 0x80


def test_a_plain_jpeg_is_embedded_as_it_is() -> None:
    """No second compression of a photograph."""
    data = image("JPEG")
    assert flattened(data) is data


@pytest.mark.parametrize(
    ("media_type", "content"), [("text/rtf", RTF), ("image/jpeg", image("JPEG")), ("image/tiff", image("TIFF"))]
)
def test_a_report_of_the_hub_is_converted(media_type: str, content: bytes) -> None:
    """render_pdf takes each media type that a report may have."""
    value = documents.report(content=base64.b64encode(content).decode())  # type: ignore[arg-type]
    value["mediaType"] = media_type
    document = documents.load(value)
    assert render_pdf(document).startswith(b"%PDF-1.4")
    assert render_pdf(document) == render_pdf(document)
