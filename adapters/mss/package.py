"""Write the IHE XDM archive of a mail: one submission set, its metadata and its documents (IHE ITI-32)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from html import escape
from unicodedata import normalize

from adapters.mss.documents import MailDocument, read_document
from adapters.mss.rules import refuse
from mappings.xds.ebrim import xdm_metadata
from mappings.xds.model import Association, Author, Code, PatientId, Submission, SubmissionSet
from mappings.xds.times import dtm
from mappings.xds.vocabulary import ASSOCIATION_HAS_MEMBER, ASSOCIATION_REPLACES
from security.zip import write_archive

__all__ = ["Package", "Producer", "SetInfo", "build_package", "document_uri", "intended_recipient", "same_patient"]

_SUBSET = "IHE_XDM/SUBSET01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Producer:
    """Who makes the archive: INDEX.HTM must name the institution, README.TXT the software."""

    institution: str
    institution_contact: str  #: mail or telephone
    product: str
    product_version: str
    vendor_contact: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetInfo:
    """The submission set: identifiers and time come from the caller, so that a retry gives the same bytes."""

    unique_id: str  #: OID
    source_id: str  #: OID of the sending system
    submission_time: datetime  #: with a zone
    author: Author
    content_type: Code
    #: XON|XCN|XTN; see :func:`intended_recipient`
    intended_recipients: tuple[str, ...] = field(default=(), repr=False)
    title: str = ""
    comments: str = ""
    #: uniqueId of a replaced document -> its entryUUID at the receiver, when it is known
    replaced_entries: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A finished archive."""

    data: bytes = field(repr=False)
    submission: Submission = field(repr=False)
    documents: tuple[MailDocument, ...] = field(repr=False)


def document_uri(index: int) -> str:
    """The name of the nth document (from 1) in its set: ISO 9660 level 1, never from user data."""
    return f"DOC{index:05d}.XML"


def intended_recipient(address: str) -> str:
    """Name a mailbox as intended recipient: the XTN part of XON|XCN|XTN (IHE ITI TF-3 4.2.3.3.7).

    The French form for a mailbox was not found in the public texts, so callers may give their own text instead.
    """
    return f"||^^Internet^{address}"


def same_patient(documents: Sequence[MailDocument]) -> bool:
    """True when all documents are about one and the same patient: same INS, or same local number, and same traits."""
    if len(documents) < 2:
        return True
    return len({(d.entry.patient_id or d.entry.source_patient_id, d.traits) for d in documents}) == 1


def build_package(
    documents: Sequence[bytes | MailDocument],
    info: SetInfo,
    producer: Producer,
    *,
    visibility: Sequence[frozenset[str]] = (),
) -> Package:
    """Write the archive of one or more CDA about one patient.

    The same arguments give the same bytes. Raises :class:`MailRefused`: MSS-XDM-012 without document, MSS-XDM-007 on
    an unreadable one, MSS-PAT-007 when they are about several patients.
    """
    if not documents:
        raise refuse("MSS-XDM-012")
    placed: list[MailDocument] = []
    for index, document in enumerate(documents, 1):
        name, uri = f"Document{index:02d}", document_uri(index)
        if isinstance(document, MailDocument):
            placed.append(replace(document, entry=replace(document.entry, entry_uuid=name, uri=uri)))
        else:
            seen = visibility[index - 1] if index <= len(visibility) else frozenset()
            placed.append(read_document(document, uri=uri, entry_uuid=name, visibility=seen))
    if not same_patient(placed):
        raise refuse("MSS-PAT-007")
    submission = _submission(placed, info)
    entries = {
        "INDEX.HTM": _index(placed, producer),
        "README.TXT": _readme(len(placed), producer),
        f"{_SUBSET}/METADATA.XML": xdm_metadata(submission),
        **{f"{_SUBSET}/{d.entry.uri}": d.data for d in placed},
    }
    return Package(
        data=write_archive(entries.items(), info.submission_time), submission=submission, documents=tuple(placed)
    )


def _submission(documents: Sequence[MailDocument], info: SetInfo) -> Submission:
    patient: PatientId | None = documents[0].entry.patient_id
    the_set = SubmissionSet(
        unique_id=info.unique_id,
        source_id=info.source_id,
        patient_id=patient,
        submission_time=dtm(info.submission_time),
        title=info.title,
        comments=info.comments,
        authors=(info.author,),
        content_type=info.content_type,
        intended_recipients=info.intended_recipients,
    )
    links: list[Association] = []
    for index, document in enumerate(documents, 1):
        links.append(
            Association(
                kind=ASSOCIATION_HAS_MEMBER,
                source=the_set.entry_uuid,
                target=document.entry.entry_uuid,
                submission_set_status="Original",
                entry_uuid=f"HasMember{index:02d}",
            )
        )
        # The receiver's entryUUID of the replaced version is seldom known by mail; the CDA itself names it.
        if document.replaces and (known := info.replaced_entries.get(document.replaces)):
            links.append(
                Association(
                    kind=ASSOCIATION_REPLACES,
                    source=document.entry.entry_uuid,
                    target=known,
                    entry_uuid=f"Replaces{index:02d}",
                )
            )
    return Submission(submission_set=the_set, entries=tuple(d.entry for d in documents), associations=tuple(links))


def _date(value: str) -> str:
    return f"{value[6:8]}/{value[4:6]}/{value[:4]}" if len(value) >= 8 else value


def _index(documents: Sequence[MailDocument], producer: Producer) -> bytes:
    """XHTML Basic, without script or remote resource: it is opened from a disk (IHE ITI-32 3.32.4.1.2.2)."""
    traits = documents[0].traits
    patient = escape(" ".join(filter(None, (traits.family, traits.given, _date(traits.birth_date)))))
    rows = "\n".join(
        f'<li><a href="{_SUBSET}/{d.entry.uri}">{escape(d.entry.title or d.label)}</a> ({_date(d.service_date)})</li>'
        for d in documents
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML Basic 1.1//EN" "http://www.w3.org/TR/xhtml-basic/xhtml-basic11.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="fr">
<head>
<title>Documents de santé</title>
<meta http-equiv="Content-Type" content="text/html; charset=UTF-8"/>
</head>
<body>
<h1>Documents de santé</h1>
<p>Établissement : {escape(producer.institution)}</p>
<p>Patient : {patient}</p>
<ul>
{rows}
</ul>
<p><a href="README.TXT">README.TXT</a></p>
</body>
</html>
""".encode()


def _readme(count: int, producer: Producer) -> bytes:
    """ASCII, CRLF, and nothing about the patient (IHE ITI-32 3.32.4.1.2.3)."""
    files = "\n".join(f"      {document_uri(i)}     document CDA R2" for i in range(1, count + 1))
    text = f"""ARCHIVE IHE XDM (Cross-Enterprise Document Media Interchange)

Etablissement producteur : {producer.institution}
Contact : {producer.institution_contact}

Logiciel : {producer.product} {producer.product_version}
Contact de l'editeur : {producer.vendor_contact}

Organisation :
  INDEX.HTM              page d'accueil
  README.TXT             ce fichier
  IHE_XDM/
    SUBSET01/
      METADATA.XML       metadonnees du lot (ebRIM 3.0)
{files}
"""
    folded = normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    return folded.replace("\n", "\r\n").encode("ascii")
