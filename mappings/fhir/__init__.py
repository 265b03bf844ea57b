"""FHIR R4 document Bundles of the French guides: documents written and read."""

from __future__ import annotations

from mappings.fhir.errors import FhirError, NotFhir, UnreadableBundle, Unwritable
from mappings.fhir.reading import FhirReading, read
from mappings.fhir.workflow import PrescribedLine, WorkflowReading, read_prescriptions
from mappings.fhir.writing import FhirDocument, write

__all__ = [
    "FhirDocument",
    "FhirError",
    "FhirReading",
    "NotFhir",
    "PrescribedLine",
    "UnreadableBundle",
    "Unwritable",
    "WorkflowReading",
    "read",
    "read_prescriptions",
    "write",
]
