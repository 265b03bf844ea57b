"""Read a CDA R2 into a clinical document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lxml import etree

from conformance.verdict import Finding, Text
from mappings.cda.build import HL7, V3
from mappings.cda.dispensation_read import read_dispensation
from mappings.cda.errors import NotCda
from mappings.cda.file_read import read_file
from mappings.cda.header_read import read_header
from mappings.cda.node import Reader, first, forget_places, template_roots
from mappings.cda.other_read import read_other
from mappings.cda.prescription_read import read_prescription
from mappings.document import AnyDocument
from mappings.loss import LossReport
from security.xml import CDA_LIMITS, parse

__all__ = ["CdaReading", "read"]

PRESCRIPTION = "1.2.250.1.213.1.1.1.39"
DISPENSATION = "1.2.250.1.213.1.1.1.54"
#: VSM (2023.01 and 1.4), IPS-FR.
SUMMARIES = frozenset({"1.2.250.1.213.1.1.1.13", "1.2.250.1.213.1.1.1.51"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CdaReading:
    """A document read from a CDA, what of it the hub does not hold, and what is amiss in it."""

    document: AnyDocument
    loss: LossReport
    findings: tuple[Finding, ...]


def read(data: bytes) -> CdaReading:
    """Read a CDA of the CI-SIS.

    Places in the loss report and the findings are XPaths, with the line. Raises :class:`NotCda`, with every fault in
    ``findings``, when the bytes are XML but not a CDA with a readable header, and what :func:`security.xml.parse`
    raises for unsafe or malformed bytes.
    """
    root = parse(data, CDA_LIMITS)
    if root.tag != V3 + "ClinicalDocument":
        raise NotCda(
            "CDA-READ-001",
            "/",
            Text(f"La racine n'est pas ClinicalDocument de {HL7}.", f"The root is not ClinicalDocument of {HL7}."),
        )
    try:
        return _read(Reader(root=root))
    finally:
        forget_places()


def _read(reader: Reader) -> CdaReading:
    component = first(reader.root, "component")
    body = first(component, "structuredBody") if component is not None else None
    file = first(component, "nonXMLBody") if component is not None and body is None else None
    if body is None and file is None:
        said = Text("Le document n'a pas de corps.", "No body.")
        reader.faults.append(NotCda("CDA-READ-004", "/ClinicalDocument/component", said))
    header = read_header(reader)
    reader.in_body = True
    if body is not None:
        document = _structured(reader, body, header)
    else:
        assert file is not None  # noqa: S101 - refused with the header otherwise
        document = read_file(reader, file, header)
    return CdaReading(document=document, loss=reader.log.report(), findings=tuple(reader.findings))


def _structured(reader: Reader, body: etree._Element, header: dict[str, Any]) -> AnyDocument:
    roots = template_roots(reader.root)
    if PRESCRIPTION in roots:
        return read_prescription(reader, body, header)
    if DISPENSATION in roots:
        return read_dispensation(reader, body, header)
    if roots & SUMMARIES:
        from mappings.cda import summary

        return summary.read_body(reader, body, header)
    return read_other(reader, body, header)
