"""Images from outside, opened with limits and made fit for a PDF/A-1 page (no transparency, RGB or grey)."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MAX_PIXELS", "ImageUnreadable", "fitted", "flattened", "frames", "opened"]

#: An A4 page at 600 dots an inch is 35 million pixels.
MAX_PIXELS = 50_000_000
#: Pages of one TIFF.
MAX_FRAMES = 200
#: Formats read; anything else Pillow knows is refused, for each decoder is a door.
_FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "BMP")


class ImageUnreadable(ValueError):
    """The bytes are not an image that can be shown: damaged, of another format, or too large."""


def opened(data: bytes) -> Image:
    """The image, whole in memory.

    Raises :class:`ImageUnreadable`.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Pillow warns of oddities (broken EXIF, large sizes) that the checks below settle.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
            if image.width * image.height > MAX_PIXELS:
                raise ImageUnreadable(f"the image has more than {MAX_PIXELS} pixels")
            image.load()
    except ImageUnreadable:
        raise
    except Image.DecompressionBombError as exc:
        # Pillow's own bound comes first for the largest.
        raise ImageUnreadable(f"the image has more than {MAX_PIXELS} pixels") from exc
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, MemoryError) as exc:
        raise ImageUnreadable("the image is damaged or of an unknown format") from exc
    return image


def frames(data: bytes) -> list[Image]:
    """Every page of an image file, for a TIFF may hold several.

    Raises :class:`ImageUnreadable`.
    """
    from PIL import ImageSequence

    image = opened(data)
    count = getattr(image, "n_frames", 1)
    if count > MAX_FRAMES:
        raise ImageUnreadable(f"the file has {count} pages, more than {MAX_FRAMES}")
    pages: list[Image] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for frame in ImageSequence.Iterator(image):
                if frame.width * frame.height > MAX_PIXELS:
                    raise ImageUnreadable(f"a page has more than {MAX_PIXELS} pixels")
                pages.append(frame.copy())
    except ImageUnreadable:
        raise
    except (OSError, SyntaxError, ValueError) as exc:
        raise ImageUnreadable("a page of the file is damaged") from exc
    return pages


def fitted(image: Image) -> Image:
    """The image upright, on white, in grey or RGB."""
    from PIL import Image, ImageOps

    upright: Image.Image = ImageOps.exif_transpose(image)
    if upright.mode in ("1", "L", "RGB"):
        return upright
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        layer = upright.convert("RGBA")
        white = Image.new("RGB", layer.size, (255, 255, 255))
        white.paste(layer, mask=layer.getchannel("A"))
        return white
    if upright.mode.startswith("I;16"):
        # 16-bit grey: keep the high byte, for a plain conversion would clip to white.
        return upright.point(lambda value: value / 256).convert("L")
    return upright.convert("RGB")


def flattened(data: bytes) -> bytes:
    """The image as a PDF/A-1 page takes it: JPEG kept as it is when plain, else a PNG without transparency."""
    image = opened(data)
    if image.format == "JPEG" and image.mode in ("L", "RGB") and image.getexif().get(0x0112, 1) == 1:
        return data
    out = io.BytesIO()
    fitted(image).save(out, "PNG")
    return out.getvalue()
