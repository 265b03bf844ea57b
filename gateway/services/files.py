"""A report that arrives as RTF, JPEG or TIFF leaves as a PDF: the form that a level 1 CDA may carry."""

from __future__ import annotations

from typing import Any

from conformance.verdict import Text
from gateway.problems import rule
from mappings.document.report import Report
from mappings.loss import LossLog, LossReport

__all__ = ["UNCONVERTIBLE", "as_pdf"]

UNCONVERTIBLE = rule(
    "DOC-FILE-001",
    "Le fichier du compte rendu ne peut pas être converti en PDF.",
    "The file of the report cannot be made into a PDF.",
    "Envoyez un PDF, ou un fichier RTF, JPEG ou TIFF lisible, conforme au type annoncé.",
    "Send a PDF, or a readable RTF, JPEG or TIFF file of the type announced.",
    "cda-header.md 11",
)
_LEFT_OUT = Text(
    "Le PDF fait du fichier RTF ne montre pas cet élément ; la page le dit.",
    "The PDF made of the RTF file does not show this part; the page says so.",
)


def as_pdf(document: Any) -> tuple[Any, LossReport]:
    """The document with its file as a PDF/A-1b, and what of the file the PDF does not show; others come back as given.

    Raises :class:`gateway.services.intake.IntakeRefused` for a file that is damaged, too large, or not of its type.
    """
    if not isinstance(document, Report) or document.media_type in ("application/pdf", "text/plain"):
        return document, LossReport()
    from gateway.services.intake import IntakeRefused
    from mappings.rendering.convert import Unconvertible, rtf_losses
    from mappings.rendering.pdf import render_pdf

    try:
        made = render_pdf(document)
    except Unconvertible as exc:
        raise IntakeRefused([UNCONVERTIBLE.finding("/content", found=str(exc))]) from None
    log = LossLog()
    log.carried("/content", document.media_type)
    if document.media_type == "text/rtf":
        for name in rtf_losses(document.content):
            log.lost("/content", name, _LEFT_OUT)
    return document.model_copy(update={"media_type": "application/pdf", "content": made}), log.report()
