"""A document in the form a reader asks for: the CDA itself, a page, a PDF, a FHIR document. Pure, run in the pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson

__all__ = ["FORMS", "NotRendered", "Rendition", "choose", "render"]

#: Media types a retrieved CDA may be read as, the preferred first.
FORMS: Final = ("application/xml", "text/html", "application/pdf", "application/fhir+json")
_ALIASES: Final = {"text/xml": "application/xml", "application/hl7-cda+xml": "application/xml"}


def choose(accept: str | None) -> str | None:
    """The form that an Accept header prefers; None when it takes none of them (RFC 9110 12.5.1)."""
    best: tuple[float, int, str] | None = None
    for part in (accept or "*/*").split(",")[:30]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        wanted = _ALIASES.get(name, name)
        for rank, form in enumerate(FORMS):
            family = form.partition("/")[0] + "/*"
            if quality > 0 and wanted in (form, family, "*/*"):
                # An exact name wins over a range of the same weight, then the order above decides.
                candidate = (quality - (0.0 if wanted == form else 0.0001), -rank, form)
                if best is None or candidate[:2] > best[:2]:
                    best = candidate
    return best[2] if best else None


class NotRendered(Exception):
    """The bytes are not a CDA this form can be made of; ``code`` tells why, no value of the document."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """A document in the form asked for, and what the form could not carry."""

    data: bytes
    loss: dict[str, int] | None = None  #: carried, textOnly, lost; None when nothing is translated


def render(data: bytes, form: str) -> Rendition:
    """Give a CDA in a form of :data:`FORMS`; raises :class:`NotRendered`."""
    from mappings.cda import CdaError
    from mappings.fhir import FhirError
    from mappings.rendering.convert import Unconvertible
    from mappings.rendering.view_cda import NotCda
    from security.errors import UnsafeInput

    try:
        return _render(data, form)
    except (CdaError, FhirError, UnsafeInput) as exc:
        raise NotRendered(exc.code) from None
    except (NotCda, Unconvertible) as exc:
        raise NotRendered(type(exc).__name__) from None


def _render(data: bytes, form: str) -> Rendition:
    if form == "text/html":
        from mappings.rendering.html import cda_html

        return Rendition(data=cda_html(data).encode())
    if form == "application/pdf":
        from mappings.rendering.pdf import cda_pdf

        return Rendition(data=cda_pdf(data))
    if form == "application/fhir+json":
        from mappings import cda, fhir

        read = cda.read(data)
        written = fhir.write(read.document)
        return Rendition(data=orjson.dumps(written.bundle), loss=(read.loss + written.loss).counts)
    return Rendition(data=data)
