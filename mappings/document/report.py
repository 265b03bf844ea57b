"""A report: a PDF or a text carried whole (CDA level 1), of any document type."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from mappings.document.base import Bytes64
from mappings.document.header import DocumentBase

__all__ = ["Report"]


class Report(DocumentBase):
    """A document whose content is one file: consultation report, letter, certificate..."""

    kind: Literal["report"] = "report"
    media_type: Literal["application/pdf", "text/plain", "text/rtf", "image/jpeg", "image/tiff"] = Field(
        "application/pdf",
        description="application/pdf (PDF/A-1) or text/plain are written; the others are made into a PDF/A-1b first.",
    )
    content: Bytes64 = Field(description="The file.")

    @model_validator(mode="after")
    def _is_what_it_says(self) -> Self:
        if not self.content:
            raise ValueError("the content is empty")
        if self.media_type == "application/pdf" and not self.content.startswith(b"%PDF-"):
            raise ValueError("the content is not a PDF")
        if self.media_type == "text/plain":
            try:
                self.content.decode("utf-8")
            except UnicodeDecodeError:
                raise ValueError("the text is not UTF-8") from None
        return self
