"""A report (CDA level 1) in a document Bundle: one section whose only entry is a DocumentReference with the file.

The guides have no profile for a level 1 body. Chosen here: section 55107-7 (attached documents, FRAttachmentsDocument
map: entry FRDocumentReferenceDocument), the file in ``content.attachment.data``: one resource, no Binary to resolve.
"""

from __future__ import annotations

from typing import Final

from mappings.document.header import DocumentBase
from mappings.document.report import Report
from mappings.document.summary import MedicalSummary
from mappings.fhir.bundle_out import BundleOut
from mappings.fhir.names import LOINC, uri_of
from mappings.fhir.narrative_out import narrative, paragraphs
from mappings.fhir.values_out import Json, code_concept, date_time, typed

__all__ = [
    "ATTACHED",
    "COPY",
    "attached_section",
    "copy_section",
    "document_reference",
    "loinc_section",
    "report_sections",
]

ATTACHED: Final = "55107-7"
COPY: Final = "55108-5"
#: A longer text is not repeated in the narrative.
_READABLE: Final = 100_000


def loinc_section(code: str, title: str, text: Json, entries: list[Json] | None = None) -> Json:
    """A section coded in LOINC."""
    section: Json = {"title": title, "code": typed(uri_of(LOINC), code), "text": text}
    if entries:
        section["entry"] = entries
    return section


def document_reference(
    out: BundleOut,
    place: str,
    document: DocumentBase,
    content: bytes,
    media_type: str,
    title: str,
    *,
    kind: Json | None = None,
) -> Json:
    """A file inside the Bundle; its type is that of the document unless it has its own."""
    return out.add(
        "DocumentReference",
        place,
        {
            "status": "current",
            "type": kind or code_concept(document.type),
            "subject": out.patient,
            "date": date_time(document.created_at),
            "content": [
                {
                    "attachment": {
                        "contentType": media_type,
                        "language": document.language,
                        "data": out.file(content),
                        "size": len(content),
                        "title": title,
                    }
                }
            ],
        },
        "document-reference",
    )


def report_sections(out: BundleOut, document: Report) -> list[Json]:
    """The only section of a report."""
    entry = document_reference(out, "/content", document, document.content, document.media_type, document.title)
    words = f"{document.title} : document joint ({document.media_type})."
    if document.media_type == "text/plain" and len(document.content) <= _READABLE:
        words = document.content.decode("utf-8")
    out.log.carried("/content", "DocumentReference")
    return [loinc_section(ATTACHED, "Documents ajoutés", narrative(paragraphs(words)), [entry])]


def attached_section(out: BundleOut, document: MedicalSummary) -> Json:
    """The documents joined to a summary (section 55107-7)."""
    entries = []
    for i, each in enumerate(document.attachments):
        place = f"/attachments/{i}"
        kind = code_concept(each.type) if each.type is not None else {"text": each.label}
        entries.append(document_reference(out, place, document, each.content, each.media_type, each.label, kind=kind))
        out.log.carried(place, "DocumentReference")
    words = "\n".join(each.label for each in document.attachments)
    return loinc_section(ATTACHED, "Documents joints", narrative(paragraphs(words)), entries)


def copy_section(out: BundleOut, document: DocumentBase, content: bytes) -> Json:
    """The printed copy of a document (section 55108-5, title fixed by CI-SIS)."""
    entry = document_reference(out, "/pdf", document, content, "application/pdf", document.title)
    out.log.carried("/pdf", "DocumentReference")
    return loinc_section(COPY, "Copie du document", narrative(paragraphs("Copie du document au format PDF.")), [entry])
