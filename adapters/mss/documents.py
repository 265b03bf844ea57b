"""A document as the mail needs it: its bytes, its metadata, who it is about, and the PDF it may embed."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from lxml import etree

from adapters.mss.rules import refuse
from mappings.xds.derive import document_entry, replaced_unique_id
from mappings.xds.model import DocumentEntry, PatientId
from mappings.xds.vocabulary import INS_AUTHORITIES
from security.errors import UnsafeInput
from security.xml import CDA_LIMITS, XmlLimits, parse

__all__ = ["MailDocument", "Traits", "read_document"]

_H = "{urn:hl7-org:v3}"
_ROOT = f"{_H}ClinicalDocument"
_PATIENT_IDS = f"{_H}recordTarget/{_H}patientRole/{_H}id"
_SERVICE = f"{_H}documentationOf/{_H}serviceEvent/{_H}effectiveTime"
_TEXT = f"{_H}component/{_H}nonXMLBody/{_H}text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """The patient's traits as the header gives them; empty when absent. Never to be logged."""

    family: str = field(default="", repr=False)  #: birth name
    given: str = field(default="", repr=False)  #: first given name of the birth certificate
    birth_date: str = field(default="", repr=False)  #: ``YYYYMMDD``
    sex: str = field(default="", repr=False)  #: ``M``, ``F``, ``U``

    @classmethod
    def of(cls, entry: DocumentEntry) -> Traits:
        """Read the traits of ``sourcePatientInfo`` (PID-5, PID-7, PID-8)."""
        values: dict[str, str] = {}
        for line in entry.source_patient_info:
            name, _, value = line.partition("|")
            # Several PID-5 are possible: the first is the birth name, or the one of type L.
            if name not in values or (name == "PID-5" and value.endswith("^L") and not values[name].endswith("^L")):
                values[name] = value
        parts = values.get("PID-5", "").split("^")
        return cls(
            family=parts[0].strip(),
            given=parts[1].strip() if len(parts) > 1 else "",
            birth_date=values.get("PID-7", "")[:8],
            sex=values.get("PID-8", "")[:1],
        )

    @property
    def complete(self) -> bool:
        """True when the four traits that go with an INS are there (ECO.2.4.2)."""
        return bool(self.family and self.given and self.birth_date and self.sex)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailDocument:
    """One CDA, read once."""

    data: bytes = field(repr=False)  #: the exact bytes that travel
    entry: DocumentEntry = field(repr=False)  #: metadata derived from the header
    traits: Traits
    patient_ids: tuple[PatientId, ...] = field(repr=False)  #: every identifier of the patient in the header
    service_date: str  #: ``YYYYMMDD``, beginning of the act as the header writes it
    embedded_pdf: bytes | None = field(default=None, repr=False)  #: the PDF of a level-1 document
    replaces: str | None = None  #: uniqueId of the version it replaces

    @property
    def code(self) -> str:
        """``ClinicalDocument/code/@code``."""
        return self.entry.type_code.code if self.entry.type_code else ""

    @property
    def label(self) -> str:
        """``ClinicalDocument/code/@displayName``, or the title when the code has no label."""
        return (self.entry.type_code.display if self.entry.type_code else "") or self.entry.title

    @property
    def qualified(self) -> bool:
        """True when the header carries a complete INS, which only a qualified identity may (ECO.2.4.2)."""
        return self.entry.patient_id is not None and self.traits.complete


def read_document(
    data: bytes,
    *,
    uri: str = "",
    entry_uuid: str = "Document01",
    visibility: frozenset[str] = frozenset(),
    root: etree._Element | None = None,
    limits: XmlLimits = CDA_LIMITS,
) -> MailDocument:
    """Read a CDA for mailing, or one that came by mail.

    ``root`` spares the parsing when the caller already has the tree of these very bytes. Raises :class:`MailRefused`
    (MSS-XDM-007) when the bytes are not a readable CDA.
    """
    if root is None:
        try:
            root = parse(data, limits)
        except UnsafeInput as exc:
            raise refuse("MSS-XDM-007", found=exc.code) from exc
    if root.tag != _ROOT:
        raise refuse("MSS-XDM-007", found="autre racine", expected="ClinicalDocument")
    entry = document_entry(root, data, visibility=visibility, entry_uuid=entry_uuid, uri=uri)
    return MailDocument(
        data=data,
        entry=entry,
        traits=Traits.of(entry),
        patient_ids=tuple(
            PatientId(
                value=node.get("extension", ""),
                authority=node.get("root", ""),
                id_type="NH" if node.get("root") in INS_AUTHORITIES else "PI",
            )
            for node in root.iterfind(_PATIENT_IDS)
            if node.get("extension")
        ),
        service_date=_service_date(root) or entry.creation_time[:8],
        embedded_pdf=_embedded_pdf(root),
        replaces=replaced_unique_id(root),
    )


def _service_date(root: etree._Element) -> str:
    # The date people know is the local one, as written; the metadata have it in UTC.
    when = root.find(_SERVICE)
    if when is None:
        return ""
    low = when.find(f"{_H}low")
    return ((low if low is not None else when).get("value") or "")[:8]


def _embedded_pdf(root: etree._Element) -> bytes | None:
    text = root.find(_TEXT)
    if text is None or text.get("mediaType") != "application/pdf" or text.get("representation") != "B64":
        return None
    try:
        return base64.b64decode("".join((text.text or "").split()), validate=True)
    except (binascii.Error, ValueError):
        raise refuse("MSS-XDM-007", "/ClinicalDocument/component/nonXMLBody/text", found="base64 faux") from None
