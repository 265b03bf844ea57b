"""The gateway's own words for a clinical document: the hub that every form is read into and written from.

Its JSON form (camelCase, versioned by ``schemaVersion``) is what vendors send to ``POST /v1/documents``.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import Field, TypeAdapter

from mappings.document.dispensation import Dispensation
from mappings.document.header import DocumentBase
from mappings.document.other import OtherDocument
from mappings.document.prescription import Prescription
from mappings.document.report import Report
from mappings.document.summary import MedicalSummary

__all__ = [
    "AnyDocument",
    "ClinicalDocument",
    "Dispensation",
    "DocumentBase",
    "MedicalSummary",
    "OtherDocument",
    "Prescription",
    "Report",
    "load",
]

#: Any kind of document.
AnyDocument: TypeAlias = MedicalSummary | Prescription | Dispensation | Report | OtherDocument

#: Any kind of document, told apart by ``kind`` when read from its JSON form.
ClinicalDocument = Annotated[AnyDocument, Field(discriminator="kind")]

_ADAPTER: TypeAdapter[Any] = TypeAdapter(ClinicalDocument)


def load(value: object) -> AnyDocument:
    """Build a document from the plain values of its JSON form.

    Raises :class:`pydantic.ValidationError`, one error per fault, each with its place.
    """
    document: AnyDocument = _ADAPTER.validate_python(value)
    return document
