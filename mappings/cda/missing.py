"""What a document lacks that a CDA cannot do without: every part at once, before anything is written."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.verdict import Text
from mappings.cda.errors import MissingPart, Unwritable
from mappings.document import AnyDocument, Prescription, Report
from mappings.document.header import DocumentBase
from mappings.document.people import Organization

__all__ = ["keeper", "missing"]

#: Media types of a level 1 body (CI-SIS header section 11).
WRITTEN = ("application/pdf", "text/plain")


def keeper(document: DocumentBase) -> Organization | None:
    """The custodian: the one named, else the structure of the first professional author."""
    if document.custodian is not None:
        return document.custodian
    professional = document.first_professional
    return professional.organization if professional else None


def missing(document: AnyDocument, pdf: bytes | None = None) -> Iterator[Unwritable]:
    """Each part that the document must get before it can be written, named by its JSON pointer.

    ``pdf`` is the printed copy given beside the document. Source: CI-SIS "structuration minimale" (identifiers,
    recordTarget, custodian, legalAuthenticator), eP-MED-DM 2024.01 (printed copy).
    """
    for place, value in (("/id", document.id), ("/setId", document.set_id)):
        if value is None:
            yield MissingPart(
                place,
                Text("L'identifiant du document doit être donné avant l'écriture.", "The identifier must be given."),
            )
    patient = document.patient
    qualified = patient.qualified and patient.ins is not None
    if not qualified and all(each.extension is None for each in patient.identifiers):
        yield MissingPart(
            "/patient/identifiers",
            Text(
                "Le patient n'a ni INS qualifiée ni identifiant local (IPP) : donner un identifiant avec l'OID de la "
                "structure, ou qualifier l'identité.",
                "The patient has neither a qualified INS nor a local identifier (IPP): give one with the OID of the "
                "structure, or qualify the identity.",
            ),
            code="CDA-WRITE-002",
        )
    custodian = keeper(document)
    if custodian is None or custodian.id is None:
        yield MissingPart(
            "/custodian",
            Text(
                "La structure qui conserve le document doit être donnée, avec son identifiant national.",
                "The structure that keeps the document must be given, with its national identifier.",
            ),
        )
    if document.legal_authenticator is None and document.first_professional is None:
        yield MissingPart(
            "/legalAuthenticator",
            Text(
                "Aucun auteur n'est une personne : nommer le responsable du document.",
                "No author is a person: name who answers for the document.",
            ),
        )
    if isinstance(document, Prescription) and document.pdf is None and pdf is None:
        yield MissingPart(
            "/pdf",
            Text(
                "Une prescription porte la copie PDF de sa forme imprimée : la donner, ou la faire produire.",
                "A prescription holds the PDF copy of its printed form: give it, or have it made.",
            ),
        )
    if isinstance(document, Report) and document.media_type not in WRITTEN:
        yield Unwritable(
            "CDA-WRITE-004",
            "/mediaType",
            Text(
                "Un CDA de niveau 1 porte un PDF/A-1 ou du texte : convertir d'abord ce fichier en PDF.",
                "A level 1 CDA holds a PDF/A-1 or text: turn this file into a PDF first.",
            ),
        )
