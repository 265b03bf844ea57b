"""Make a submission ready to be kept, then sent: ids, metadata, signature and bytes, all fixed.

What is prepared is stored before its first byte leaves; sent again, it is the same set, so that the registry can tell a
repetition from a new submission. Only the assertion and the message id are fresh at each sending.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import orjson
from lxml import etree

from adapters.dmp.actor import Actor
from adapters.dmp.messages import provide_and_register
from adapters.dmp.mtom import Part
from adapters.dmp.settings import DmpEndpoint
from conformance.verdict import Verdict
from mappings.xds import (
    Association,
    Code,
    DocumentEntry,
    PatientId,
    Submission,
    SubmissionSet,
    document_entry,
    signature_entry,
)
from mappings.xds import vocabulary as v
from mappings.xds.check import check_submission
from mappings.xds.times import dtm
from security import xml
from security.xades import SetSigner, SignedDocument

__all__ = [
    "DocumentTooLarge",
    "InvalidSubmission",
    "OutgoingDocument",
    "PreparedSubmission",
    "SubmissionIds",
    "TooManyDocuments",
    "canonical_document",
    "new_oid",
    "prepare_submission",
]

CONSULTATION: Final = Code(code="07", scheme=v.CONTENT_TYPE_SCHEME, display="Consultation, soins externes")


class DocumentTooLarge(Exception):
    """A document, or the whole set, is larger than the DMP takes."""

    code = "document_too_large"

    def __init__(self, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(f"{self.code}: {size} bytes, at most {limit}")


class TooManyDocuments(DocumentTooLarge):
    """A set of more documents than one message carries."""

    code = "too_many_documents"

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(count, limit)
        self.args = (f"{self.code}: {count} documents, at most {limit}",)


class InvalidSubmission(Exception):
    """The metadata of a submission breaks rules; ``verdict`` says which."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        super().__init__("invalid submission: " + ", ".join(sorted({f.code for f in verdict.errors})))


def new_oid(source: uuid.UUID) -> str:
    """Give the OID of a UUID (ITU-T X.667: under 2.25)."""
    return f"2.25.{source.int}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionIds:
    """The fresh ids of a submission."""

    submission_set: str  #: OID
    signature: str  #: OID, uniqueId of the signature document
    signature_xml_id: str  #: XML name

    @classmethod
    def fresh(cls) -> SubmissionIds:
        """New ids."""
        first, second, third = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
        return cls(submission_set=new_oid(first), signature=new_oid(second), signature_xml_id=f"_{third}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingDocument:
    """A CDA to be fed."""

    content: bytes = field(repr=False)
    root: etree._Element | None = field(default=None, repr=False)  #: parsed, when the caller has it
    visibility: frozenset[str] = frozenset()  #: codes of TRE_A07
    replaces: str | None = None  #: entryUUID of the entry it replaces (TD2.1b)
    appends_to: str | None = None  #: entryUUID of the entry it completes


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedSubmission:
    """A submission set whose ids and bytes will not change any more."""

    submission_set_unique_id: str
    document_unique_ids: tuple[str, ...]  #: of the documents, without the signature
    signature_unique_id: str
    patient: PatientId
    body: bytes = field(repr=False)  #: the ITI-41 request, without its envelope
    parts: tuple[Part, ...] = field(repr=False)  #: the documents, then the signature
    submission_time: str  #: UTC

    @property
    def size(self) -> int:
        """Bytes of the documents and of the signature."""
        return sum(len(part.content) for part in self.parts)

    def dump(self) -> bytes:
        """Write everything as one value to store."""
        head = orjson.dumps(
            {
                "v": 1,
                "set": self.submission_set_unique_id,
                "documents": self.document_unique_ids,
                "signature": self.signature_unique_id,
                "patient": [self.patient.value, self.patient.authority, self.patient.id_type],
                "time": self.submission_time,
                "body": len(self.body),
                "parts": [[p.content_id, p.content_type, len(p.content)] for p in self.parts],
            }
        )
        return b"".join([head, b"\n", self.body, *(p.content for p in self.parts)])

    @classmethod
    def load(cls, stored: bytes) -> PreparedSubmission:
        """Read what :meth:`dump` wrote. Raises ValueError on anything else."""
        line = stored.find(b"\n")
        head = orjson.loads(stored[:line]) if line > 0 else {}
        if head.get("v") != 1:
            raise ValueError("not a prepared submission")
        position = line + 1 + head["body"]
        body = stored[line + 1 : position]
        parts: list[Part] = []
        for content_id, content_type, size in head["parts"]:
            content = stored[position : position + size]
            parts.append(Part(content_id=content_id, content_type=content_type, content=content))
            position += size
        if position != len(stored):
            raise ValueError("a prepared submission of another length")
        value, authority, id_type = head["patient"]
        return cls(
            submission_set_unique_id=head["set"],
            document_unique_ids=tuple(head["documents"]),
            signature_unique_id=head["signature"],
            patient=PatientId(value=value, authority=authority, id_type=id_type),
            body=body,
            parts=tuple(parts),
            submission_time=head["time"],
        )


def canonical_document(root: etree._Element) -> bytes:
    """Write a document in the form that is signed and sent: C14N 1.0 with comments, around the root included."""
    return etree.tostring(root.getroottree(), method="c14n", with_comments=True)


def prepare_submission(
    documents: Sequence[OutgoingDocument],
    *,
    actor: Actor,
    endpoint: DmpEndpoint,
    signer: SetSigner,
    ids: SubmissionIds,
    now: datetime,
    title: str = "",
    comments: str = "",
    content_type: Code = CONSULTATION,
    linked: Sequence[str] = (),
) -> PreparedSubmission:
    """Prepare one set for TD2.1a or TD2.1b: derive metadata, sign, and fix the bytes.

    ``linked`` holds entryUUIDs of existing documents to be linked to the set. Documents are put in canonical form,
    which is what travels and what is hashed. Raises :class:`DocumentTooLarge`, :class:`InvalidSubmission`, and
    ``UnsafeInput`` for a document that cannot be read.
    """
    if len(documents) > endpoint.max_documents:
        raise TooManyDocuments(len(documents), endpoint.max_documents)
    entries: list[DocumentEntry] = []
    contents: list[bytes] = []
    for number, document in enumerate(documents, start=1):
        if len(document.content) > endpoint.max_document_bytes:
            raise DocumentTooLarge(len(document.content), endpoint.max_document_bytes)
        root = document.root if document.root is not None else xml.parse(document.content, xml.CDA_LIMITS)
        content = canonical_document(root)
        entries.append(
            document_entry(root, content, visibility=document.visibility, entry_uuid=f"Document{number:02d}")
        )
        contents.append(content)
    if (total := sum(map(len, contents))) > endpoint.max_set_bytes:
        raise DocumentTooLarge(total, endpoint.max_set_bytes)
    author = actor.author()
    sent = SubmissionSet(
        unique_id=ids.submission_set,
        source_id=endpoint.source_id,
        patient_id=entries[0].patient_id if entries else None,
        submission_time=dtm(now),
        title=title,
        comments=comments,
        authors=(author,),
        content_type=content_type,
    )
    associations = _associations(sent.entry_uuid, entries, documents, linked)
    submission = Submission(submission_set=sent, entries=tuple(entries), associations=associations)
    verdict = check_submission(submission, both_restrictions=endpoint.both_restrictions)
    if not verdict.ok or sent.patient_id is None:
        raise InvalidSubmission(verdict)
    signature = signer.sign(
        set_unique_id=ids.submission_set,
        documents=[
            SignedDocument(unique_id=entry.unique_id, content=content)
            for entry, content in zip(entries, contents, strict=True)
        ],
        signature_id=ids.signature_xml_id,
        signing_time=now,
    )
    signed = signature_entry(
        signed=entries[0], signature=signature, unique_id=ids.signature, signing_time=dtm(now), signer=author
    )
    whole = Submission(
        submission_set=sent,
        entries=(*entries, signed),
        associations=(
            *associations,
            _member(sent.entry_uuid, signed.entry_uuid),
            Association(kind=v.ASSOCIATION_SIGNS, source=signed.entry_uuid, target=sent.entry_uuid),
        ),
    )
    parts = tuple(
        Part(content_id=f"{entry.entry_uuid}.{ids.submission_set}@{endpoint.content_id_host}", content=content)
        for entry, content in zip(whole.entries, (*contents, signature), strict=True)
    )
    return PreparedSubmission(
        submission_set_unique_id=ids.submission_set,
        document_unique_ids=tuple(entry.unique_id for entry in entries),
        signature_unique_id=ids.signature,
        patient=sent.patient_id,
        body=provide_and_register(whole, parts),
        parts=parts,
        submission_time=sent.submission_time,
    )


def _member(source: str, target: str, status: str = "Original") -> Association:
    return Association(kind=v.ASSOCIATION_HAS_MEMBER, source=source, target=target, submission_set_status=status)


def _associations(
    owner: str, entries: Sequence[DocumentEntry], documents: Sequence[OutgoingDocument], linked: Sequence[str]
) -> tuple[Association, ...]:
    out: list[Association] = []
    for entry, document in zip(entries, documents, strict=True):
        out.append(_member(owner, entry.entry_uuid))
        if document.replaces is not None:
            out.append(Association(kind=v.ASSOCIATION_REPLACES, source=entry.entry_uuid, target=document.replaces))
        if document.appends_to is not None:
            out.append(Association(kind=v.ASSOCIATION_APPENDS, source=entry.entry_uuid, target=document.appends_to))
    out.extend(_member(owner, uuid_, "Reference") for uuid_ in linked)
    return tuple(out)
