"""Write a clinical document as a CDA R2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from conformance.verdict import Text
from mappings.cda import dispensation_write, file_write, other_write, prescription_write
from mappings.cda.build import Builder, printable
from mappings.cda.errors import Unwritable, together
from mappings.cda.header_write import write_header
from mappings.cda.missing import missing
from mappings.cda.plans import plan_of
from mappings.cda.tree import written
from mappings.document import AnyDocument, Dispensation, OtherDocument, Prescription, Report
from mappings.document.base import Part
from mappings.loss import LossReport
from mappings.projection import losses

__all__ = ["CdaDocument", "write"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CdaDocument:
    """A CDA as it is sent: its bytes, and what of the source it could not hold."""

    data: bytes  #: canonical form (C14N with comments), UTF-8, no XML declaration: what is digested is what is sent
    loss: LossReport


def write(document: AnyDocument, *, pdf: bytes | None = None) -> CdaDocument:
    """Write a document as a CDA: same document, same bytes.

    ``pdf`` is the printed copy (PDF/A-1b) of a summary or prescription that does not hold one. Identifiers of entries
    that the document does not give are derived from its id and their place. The INS is written only when the identity
    is qualified. Raises :class:`Unwritable` (a ValueError), with every fault in ``findings``: :class:`MissingPart` for
    a missing document id, set id, patient identifier, custodian, legal authenticator or printed copy. Source: CI-SIS
    "structuration minimale", eP-MED-DM 2024.01, eDISP-MED 2024.01, VSM 2023.01; the DMP for the canonical bytes.
    """
    try:
        builder = _write(document, pdf)
        data = written(builder.root)
    except ValueError as exc:
        if isinstance(exc, Unwritable) or not (places := list(_unprintable(document, ""))):
            raise
        said = Text("Un caractère de contrôle ne peut pas figurer dans un XML.", "XML cannot hold a control character.")
        raise together([Unwritable("CDA-WRITE-005", place, said) for place in places]) from None
    return CdaDocument(data=data, loss=builder.log.report())


def _write(document: AnyDocument, pdf: bytes | None) -> Builder:
    if faults := list(missing(document, pdf)):
        raise together(faults)
    builder = write_header(document, plan_of(document))
    if isinstance(document, Report):
        file_write.write_file(document, builder)
    elif isinstance(document, Prescription):
        builder.pdf = document.pdf or pdf
        prescription_write.write_body(document, builder)
    elif isinstance(document, Dispensation):
        dispensation_write.write_body(document, builder)
    elif isinstance(document, OtherDocument):
        other_write.write_body(document, builder)
    else:
        from mappings.cda import summary

        builder.pdf = document.pdf or pdf
        summary.write_body(document, builder)
    if builder.faults:
        raise together(builder.faults)
    builder.log.extend(losses(document, "cda"))
    return builder


def _unprintable(value: object, place: str) -> Iterator[str]:
    """The JSON pointer of each text that XML cannot hold."""
    if isinstance(value, str):
        if not printable(value):
            yield place
        return
    if isinstance(value, tuple):
        items = [(str(i), item) for i, item in enumerate(value)]
    elif isinstance(value, Part):
        fields = type(value).model_fields
        items = [(field.alias or name, getattr(value, name)) for name, field in fields.items()]
    else:
        return
    for name, item in items:
        yield from _unprintable(item, f"{place}/{name}")
