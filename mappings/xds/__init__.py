"""CDA header -> registry metadata (IHE XDS), written as ebRIM 3.0 for the DMP and for IHE XDM mail."""

from mappings.xds.derive import document_entry, replaced_unique_id, signature_entry
from mappings.xds.model import (
    Association,
    Author,
    Code,
    DocumentEntry,
    Organization,
    PatientId,
    Person,
    RegistryObjects,
    Submission,
    SubmissionSet,
)

__all__ = [
    "Association",
    "Author",
    "Code",
    "DocumentEntry",
    "Organization",
    "PatientId",
    "Person",
    "RegistryObjects",
    "Submission",
    "SubmissionSet",
    "document_entry",
    "replaced_unique_id",
    "signature_entry",
]
