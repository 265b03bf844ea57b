"""Translating a document between forms, without keeping or sending anything."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from conformance.verdict import Finding
from gateway.services.files import as_pdf
from gateway.services.intake import CLINICAL_LOSS, IntakeOptions, IntakeRefused, read_document
from mappings.loss import LossReport

__all__ = ["ConvertRefused", "Translated", "form_of_bytes", "translate"]


class ConvertRefused(Exception):
    """The document cannot be translated as asked."""

    def __init__(self, findings: list[Finding], *, unreadable: bool = False, loss: LossReport | None = None) -> None:
        self.findings = findings
        self.unreadable = unreadable
        self.loss = loss
        super().__init__(", ".join(sorted({f.code for f in findings})))


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """A document in another form, and what became of its parts."""

    data: bytes
    loss: LossReport


def form_of_bytes(data: bytes) -> str:
    """Which form bytes look like: ``cda`` for XML, ``fhir`` for a JSON resource, else ``json``."""
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start == b"<":
        return "cda"
    return "fhir" if b'"resourceType"' in data[:4096] or b'"resourceType"' in data else "json"


def translate(data: bytes, to: str, *, allow_loss: bool = False) -> Translated:
    """Read a document in any form and write it in another; raises :class:`ConvertRefused`."""
    form: Any = form_of_bytes(data)
    try:
        document, loss, _ = read_document(data, form, IntakeOptions(tolerant=True))
    except IntakeRefused as exc:
        raise ConvertRefused(exc.findings, unreadable=exc.unreadable) from exc
    written, more = _write(document, to)
    loss = loss + more
    if loss.refuses and not allow_loss:
        raise ConvertRefused(
            [
                CLINICAL_LOSS.finding(item.place, found=item.name or None)
                for item in loss.items
                if item.clinical and item.fate == "lost"
            ],
            loss=loss,
        )
    return Translated(data=written, loss=loss)


def _write(document: Any, to: str) -> tuple[bytes, LossReport]:
    import orjson

    if to == "json":
        return document.model_dump_json(exclude_none=True, indent=2).encode() + b"\n", LossReport()
    document = _named(document)
    if to == "fhir":
        from mappings import fhir

        try:
            written = fhir.write(document)
        except fhir.FhirError as exc:
            raise ConvertRefused(list(exc.findings)) from exc
        return orjson.dumps(written.bundle, option=orjson.OPT_INDENT_2) + b"\n", written.loss
    from gateway.services.intake import printed_form
    from mappings import cda

    try:
        document, left_out = as_pdf(document)
        made = cda.write(document, pdf=printed_form(document))
    except IntakeRefused as exc:
        raise ConvertRefused(exc.findings) from exc
    except cda.CdaError as exc:
        raise ConvertRefused(list(exc.findings)) from exc
    return made.data, left_out + made.loss


def _named(document: Any) -> Any:
    """A document that brings no id gets one drawn from its content, so that converting twice gives the same bytes."""
    from mappings.document.people import Identifier

    if document.id is None:
        content = uuid.uuid5(uuid.NAMESPACE_OID, document.model_dump_json())
        document = document.model_copy(update={"id": Identifier(root=f"2.25.{content.int}")})
    if document.set_id is None:
        document = document.model_copy(update={"set_id": document.id})
    return document
