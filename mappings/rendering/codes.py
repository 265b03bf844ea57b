"""2D codes (Data Matrix ECC 200, QR): written as modules, PNG or SVG, and read back from an image.

What the national prescription code contains is not public. The payload made here is a **project format**, named as such
in its own text, chosen by a setting (``payload_format``); nobody else is expected to read it.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any
from urllib.parse import quote, unquote

__all__ = [
    "CodeUnreadable",
    "PayloadFormat",
    "PrescriptionCode",
    "Scanned",
    "Symbology",
    "modules",
    "png",
    "read",
    "read_payload",
    "svg",
    "write_payload",
]


class CodeUnreadable(ValueError):
    """The scanned text is not a prescription code that this gateway wrote, or it was misread."""


class Symbology(StrEnum):
    """The two symbologies in use."""

    DATA_MATRIX = "DataMatrix"  #: ISO/IEC 16022, ECC 200: INS and prescription codes
    QR = "QRCode"  #: ISO/IEC 18004


@dataclass(frozen=True, slots=True)
class Scanned:
    """One code found in an image."""

    text: str
    data: bytes
    symbology: str


def _barcode(content: str | bytes, symbology: Symbology) -> Any:
    import zxingcpp

    kind = zxingcpp.BarcodeFormat.DataMatrix if symbology is Symbology.DATA_MATRIX else zxingcpp.BarcodeFormat.QRCode
    try:
        if symbology is Symbology.DATA_MATRIX:
            # ANS, INS - Format datamatrix v2.2: the symbol is square.
            return zxingcpp.create_barcode(content, kind, force_square=True)
        return zxingcpp.create_barcode(content, kind)
    except ValueError as exc:
        # The message of the library can quote the content, which may identify someone.
        raise ValueError(f"{len(content)} characters do not fit in a {symbology.value} code") from exc.__cause__


def modules(content: str | bytes, symbology: Symbology = Symbology.DATA_MATRIX) -> tuple[tuple[bool, ...], ...]:
    """The rows of the code, True for dark, without quiet zone.

    Raises :class:`ValueError` when the content is empty or too long.
    """
    view = memoryview(_barcode(content, symbology).to_image(scale=1, add_quiet_zones=False))
    height, width = view.shape or (0, 0)
    flat = view.tobytes()
    return tuple(tuple(flat[row * width + column] < 128 for column in range(width)) for row in range(height))


def png(content: str | bytes, symbology: Symbology = Symbology.DATA_MATRIX, *, scale: int = 6, quiet: int = 4) -> bytes:
    """The code as a PNG, ``scale`` pixels a module, ``quiet`` modules of white around. The same bytes every time."""
    from PIL import Image

    rows = modules(content, symbology)
    side_x, side_y = len(rows[0]) + 2 * quiet, len(rows) + 2 * quiet
    image = Image.new("1", (side_x, side_y), 1)
    for y, row in enumerate(rows):
        for x, dark in enumerate(row):
            if dark:
                image.putpixel((x + quiet, y + quiet), 0)
    out = io.BytesIO()
    image.resize((side_x * scale, side_y * scale), Image.Resampling.NEAREST).save(out, "PNG", optimize=True)
    return out.getvalue()


def svg(content: str | bytes, symbology: Symbology = Symbology.DATA_MATRIX, *, quiet: int = 4) -> str:
    """The code as an SVG of one path, one user unit a module; safe to put inside a page."""
    rows = modules(content, symbology)
    width, height = len(rows[0]) + 2 * quiet, len(rows) + 2 * quiet
    path = []
    for y, row in enumerate(rows):
        x = 0
        while x < len(row):
            start = x
            while x < len(row) and row[x]:
                x += 1
            if x > start:
                path.append(f"M{start + quiet} {y + quiet}h{x - start}v1h-{x - start}z")
            x += 1
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'shape-rendering="crispEdges"><path fill="#fff" d="M0 0h{width}v{height}H0z"/>'
        f'<path d="{"".join(path)}"/></svg>'
    )


def read(image: bytes) -> list[Scanned]:
    """Every Data Matrix or QR code found in an image (PNG, JPEG, TIFF...); none gives an empty list.

    Raises :class:`mappings.rendering.images.ImageUnreadable` when the bytes are not an image, or one too large.
    """
    import zxingcpp

    from mappings.rendering.images import opened

    found = zxingcpp.read_barcodes(
        opened(image).convert("L"),
        formats=zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.DataMatrix, zxingcpp.BarcodeFormat.QRCode]),
        text_mode=zxingcpp.TextMode.Plain,
    )
    names = {str(zxingcpp.BarcodeFormat.DataMatrix): Symbology.DATA_MATRIX}
    return [
        Scanned(code.text, bytes(code.bytes), str(names.get(str(code.format), Symbology.QR)))
        for code in found
        if code.valid
    ]


# -- the prescription code ------------------------------------------------------------------------------------------


class PayloadFormat(StrEnum):
    """What the printed prescription code holds."""

    PROJECT_1 = "project-1"  #: the format below, with a check against misreading
    NUMBER = "number"  #: the number alone


@dataclass(frozen=True, slots=True, kw_only=True)
class PrescriptionCode:
    """What a printed prescription code says: no trait of the patient."""

    number: str  #: number of the e-prescription, opaque
    issued_on: date | None = None


#: Opens every payload of ours, so that no other software takes it for the national format.
_MARK = "PASSERELLE-EP1"


def _check(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8].upper()


def write_payload(code: PrescriptionCode, payload_format: PayloadFormat = PayloadFormat.PROJECT_1) -> str:
    """The text to put in the code: ``PASSERELLE-EP1;number;20261120;check`` in the project format."""
    if not code.number:
        raise ValueError("a prescription code needs the number")
    if payload_format is PayloadFormat.NUMBER:
        return code.number
    body = f"{_MARK};{quote(code.number, safe='')};{code.issued_on.strftime('%Y%m%d') if code.issued_on else ''}"
    return f"{body};{_check(body)}"


def read_payload(text: str, payload_format: PayloadFormat = PayloadFormat.PROJECT_1) -> PrescriptionCode:
    """What a scanned text says.

    Raises :class:`CodeUnreadable`, whose text names the fault and never quotes the code.
    """
    text = text.strip()
    if payload_format is PayloadFormat.NUMBER:
        if not text or len(text) > 64 or not text.isprintable():
            raise CodeUnreadable("expected a prescription number of 1 to 64 characters")
        return PrescriptionCode(number=text)
    if not text.startswith(f"{_MARK};"):
        raise CodeUnreadable("the code is of another format")
    body, _, check = text.rpartition(";")
    fields = body.split(";")
    if len(fields) != 3:
        raise CodeUnreadable("the code has not its four fields")
    if check != _check(body):
        raise CodeUnreadable("the check does not agree: scan again, or type the number")
    number, day = unquote(fields[1]), fields[2]
    if not number or len(number) > 64:
        raise CodeUnreadable("the number is missing or too long")
    try:
        issued = date(int(day[:4]), int(day[4:6]), int(day[6:])) if day else None
    except ValueError:
        raise CodeUnreadable("the date is not one") from None
    return PrescriptionCode(number=number, issued_on=issued)
