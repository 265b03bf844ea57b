"""Write a clinical document as a CDA R2."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.verdict import Text
from mappings.cda import dispensation_write, file_write, prescription_write
from mappings.cda.build import Builder, printable
from mappings.cda.errors import Unwritable
from mappings.cda.header_write import HeaderPlan, write_header
from mappings.document import Dispensation, MedicalSummary, Prescription, Report
from mappings.document.base import Part
from mappings.document.values import Code
from mappings.loss import LossReport
from security.xml import canonical

__all__ = ["CdaDocument", "write"]

_LOINC = "2.16.840.1.113883.6.1"
#: Summary templates and code of the act documented (VSM section 1, IPS-FR section 7).
SUMMARIES = {
    "VSM-2023.01": HeaderPlan(
        templates=(("1.2.250.1.213.1.1.1.13", "2023.01"),),
        act_code=Code(code="34117-2", system=_LOINC, display="Historique et clinique", system_name="LOINC"),
    ),
    "IPS-FR-2024.01": HeaderPlan(
        # HL7 International Patient Summary, then its French form.
        templates=(("2.16.840.1.113883.10.22.1.1", None), ("1.2.250.1.213.1.1.1.51", "2024.01")),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CdaDocument:
    """A CDA as it is sent: its bytes, and what of the source it could not hold."""

    data: bytes  #: canonical form (C14N with comments), UTF-8, no XML declaration: what is digested is what is sent
    loss: LossReport


def write(document: MedicalSummary | Prescription | Dispensation | Report, *, pdf: bytes | None = None) -> CdaDocument:
    """Write a document as a CDA: same document, same bytes.

    ``pdf`` is the printed copy (PDF/A-1b) of a summary or prescription that does not hold one. Identifiers of entries
    that the document does not give are derived from its id and their place. The INS is written only when the identity
    is qualified. Raises :class:`Unwritable` (a ValueError): :class:`MissingPart` for a missing document id, set id,
    patient identifier, custodian, legal authenticator or printed copy. Source: CI-SIS "structuration minimale",
    eP-MED-DM 2024.01, eDISP-MED 2024.01, VSM 2023.01; the DMP for the canonical bytes.
    """
    try:
        builder = _write(document, pdf)
    except ValueError as exc:
        if isinstance(exc, Unwritable) or (place := _unprintable(document, "")) is None:
            raise
        raise Unwritable(
            "CDA-WRITE-005",
            place,
            Text("Un caractère de contrôle ne peut pas figurer dans un XML.", "XML cannot hold a control character."),
        ) from None
    return CdaDocument(data=canonical(builder.root), loss=builder.log.report())


def _write(document: MedicalSummary | Prescription | Dispensation | Report, pdf: bytes | None) -> Builder:
    if isinstance(document, Report):
        builder = write_header(document, file_write.PLAN)
        file_write.write_file(document, builder)
        return builder
    if isinstance(document, MedicalSummary):
        from mappings.cda import summary

        builder = write_header(document, SUMMARIES[document.profile])
        builder.pdf = document.pdf or pdf
        summary.write_body(document, builder)
        return builder
    if isinstance(document, Prescription):
        builder = write_header(document, prescription_write.plan(document))
        builder.pdf = document.pdf or pdf
        prescription_write.write_body(document, builder)
        return builder
    builder = write_header(document, dispensation_write.plan(document))
    dispensation_write.write_body(document, builder)
    return builder


def _unprintable(value: object, place: str) -> str | None:
    """The JSON pointer of the first text that XML cannot hold."""
    if isinstance(value, str):
        return None if printable(value) else place
    if isinstance(value, tuple):
        items = [(str(i), item) for i, item in enumerate(value)]
    elif isinstance(value, Part):
        fields = type(value).model_fields
        items = [(field.alias or name, getattr(value, name)) for name, field in fields.items()]
    else:
        return None
    for name, item in items:
        if (found := _unprintable(item, f"{place}/{name}")) is not None:
            return found
    return None
