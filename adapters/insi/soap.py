"""The SOAP 1.2 envelope of the INSi teleservice: contexts, addressing, faults (WSDL DESIR_ICIR_EXP 1.5.0).

Written with one prefix style, read with any: only namespaces and local names count, header blocks come in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from lxml import etree

from security import xml
from security.errors import UnsafeInput

__all__ = [
    "ACTION",
    "CONTENT_TYPE",
    "NS",
    "Envelope",
    "LpsContext",
    "Malformed",
    "SoapFault",
    "Stamp",
    "child",
    "children",
    "element",
    "open_envelope",
    "parse_fault",
    "text_of",
    "write_envelope",
    "write_fault",
]

NS: Final = {
    "soap": "http://www.w3.org/2003/05/soap-envelope",
    "wsa": "http://www.w3.org/2005/08/addressing",
    "wsse": "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd",
    "ctxbam": "urn:siram:bam:ctxbam",
    "ctxlps": "urn:siram:lps:ctxlps",
    "siram": "urn:siram",
    "rs": "http://www.cnamts.fr/INSiRecSans",
    "rv": "http://www.cnamts.fr/INSiRecVit",
    "res": "http://www.cnamts.fr/INSiResultat",
}
ACTION: Final = "urn:ServiceIdentiteCertifiee:1.0.0:"
CONTENT_TYPE: Final = "application/soap+xml; charset=utf-8"
#: A request or an answer about one person is some 4 kB; the lots of the verification are larger.
LIMITS: Final = xml.XmlLimits(max_bytes=8 * 1024 * 1024, max_elements=200_000, max_depth=40)


class Malformed(Exception):
    """A message is not the SOAP message it should be; ``code`` says why, without its content."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@dataclass(frozen=True, slots=True, kw_only=True)
class LpsContext:
    """Who calls, as the teleservice knows software and structures."""

    idam: str  #: authorisation number given by the CNDA
    software: str  #: ``urn:lps:<software>:<version>``
    version: str
    instance: str  #: UUID of the installation
    emitter: str | None = None  #: national identifier of the person or the structure, prefix included


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """The fresh ids and the instant of one message."""

    message_id: str  #: UUID
    bam_id: str  #: UUID
    lps_id: str  #: UUID
    at: datetime

    @property
    def instant(self) -> str:
        """The instant as the contexts write it: UTC, with milliseconds."""
        return self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{self.at.microsecond // 1000:03d}Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class SoapFault:
    """What a SOAP 1.2 fault says; the text is meant for the user."""

    side: str  #: ``Sender`` or ``Receiver``
    subcode: str = ""  #: ``siram_40``
    code: str = ""  #: ``insi_102``, in the detail
    severity: str = ""
    text: str = field(default="", repr=False)
    message_id: str = ""


def element(parent: etree._Element, prefix: str, name: str, text: str | None = None) -> etree._Element:
    """Add a child of a namespace of :data:`NS`."""
    node = etree.SubElement(parent, f"{{{NS[prefix]}}}{name}")
    node.text = text
    return node


def children(parent: etree._Element, name: str) -> list[etree._Element]:
    """The child elements of a local name, whatever their namespace."""
    return [c for c in parent if isinstance(c.tag, str) and etree.QName(c).localname == name]


def child(parent: etree._Element | None, *path: str) -> etree._Element | None:
    """The first descendant by local names, or None."""
    for name in path:
        if parent is None:
            return None
        parent = next(iter(children(parent, name)), None)
    return parent


def text_of(parent: etree._Element | None, *path: str) -> str:
    """The text of a descendant by local names, empty when absent."""
    node = child(parent, *path)
    return (node.text or "").strip() if node is not None else ""


def write_envelope(
    operation: str,
    context: LpsContext,
    stamp: Stamp,
    *,
    assertions: Sequence[etree._Element] = (),
    coverage: etree._Element | None = None,
) -> tuple[etree._Element, etree._Element]:
    """Write an envelope up to its empty body; gives the envelope and the body.

    ``coverage`` replaces the empty COUVERTURE when a card was read; ``assertions`` fill ``wsse:Security``.
    """
    envelope = etree.Element(f"{{{NS['soap']}}}Envelope", nsmap={p: NS[p] for p in ("soap", "wsa")})
    header = element(envelope, "soap", "Header")
    if assertions:
        security = etree.SubElement(header, f"{{{NS['wsse']}}}Security", nsmap={"wsse": NS["wsse"]})
        security.extend(assertions)
    bam = etree.SubElement(
        header, f"{{{NS['ctxbam']}}}ContexteBAM", Version="01_02", Nature="CTXBAM", nsmap={"ctxbam": NS["ctxbam"]}
    )
    element(bam, "ctxbam", "Id", stamp.bam_id)
    element(bam, "ctxbam", "Temps", stamp.instant)
    if context.emitter:
        element(bam, "ctxbam", "Emetteur", context.emitter)
    if coverage is None:
        element(bam, "ctxbam", "COUVERTURE")
    else:
        bam.append(coverage)
    lps = etree.SubElement(
        header, f"{{{NS['ctxlps']}}}ContexteLPS", Version="01_00", Nature="CTXLPS", nsmap={"ctxlps": NS["ctxlps"]}
    )
    element(lps, "ctxlps", "Id", stamp.lps_id)
    element(lps, "ctxlps", "Temps", stamp.instant)
    if context.emitter:
        element(lps, "ctxlps", "Emetteur", context.emitter)
    software = element(lps, "ctxlps", "LPS")
    element(software, "ctxlps", "IDAM", context.idam).set("R", "4")
    element(software, "ctxlps", "Version", context.version)
    element(software, "ctxlps", "Instance", context.instance)
    element(software, "ctxlps", "Nom", context.software)
    element(header, "wsa", "Action", ACTION + operation)
    element(header, "wsa", "MessageID", f"uuid:{stamp.message_id}")
    return envelope, element(envelope, "soap", "Body")


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A SOAP message taken apart."""

    root: etree._Element
    header: etree._Element | None
    payload: etree._Element  #: the only element of the body

    @property
    def action(self) -> str:
        """``wsa:Action``, empty when absent."""
        return self._header("wsa", "Action")

    @property
    def message_id(self) -> str:
        """``wsa:MessageID``, empty when absent."""
        return self._header("wsa", "MessageID")

    def block(self, prefix: str, name: str) -> etree._Element | None:
        """A header block of a namespace of :data:`NS`, or None."""
        return None if self.header is None else self.header.find(f"{{{NS[prefix]}}}{name}")

    def _header(self, prefix: str, name: str) -> str:
        node = self.block(prefix, name)
        return (node.text or "").strip() if node is not None else ""


def open_envelope(data: bytes) -> Envelope:
    """Take a SOAP 1.2 message apart. Raises :class:`Malformed`."""
    try:
        root = xml.parse(data, LIMITS)
    except UnsafeInput as error:
        raise Malformed(error.code) from error
    if root.tag != f"{{{NS['soap']}}}Envelope":
        # The namespace of SOAP 1.1 differs: the service speaks 1.2 only.
        raise Malformed("NOT_SOAP_12")
    body = root.find(f"{{{NS['soap']}}}Body")
    payloads = [n for n in body if isinstance(n.tag, str)] if body is not None else []
    if len(payloads) != 1:
        raise Malformed("BAD_BODY")
    return Envelope(root=root, header=root.find(f"{{{NS['soap']}}}Header"), payload=payloads[0])


def _local(value: str) -> str:
    return value.rpartition(":")[2]


def parse_fault(envelope: Envelope) -> SoapFault | None:
    """The fault a message carries, or None when it carries something else."""
    fault = envelope.payload
    if fault.tag != f"{{{NS['soap']}}}Fault":
        return None
    error = child(fault, "Detail", "Erreur")
    attributes = {} if error is None else dict(error.attrib)
    return SoapFault(
        # Prefixes of these QNames vary from answer to answer.
        side=_local(text_of(fault, "Code", "Value")) or "Receiver",
        subcode=_local(text_of(fault, "Code", "Subcode", "Value")),
        code=str(attributes.get("code", "")),
        severity=str(attributes.get("severite", "")),
        text=text_of(fault, "Reason", "Text"),
        message_id=str(attributes.get("messageID", "")),
    )


def write_fault(fault: SoapFault, *, technical: str = "") -> bytes:
    """Write a fault as the teleservice does."""
    envelope = etree.Element(f"{{{NS['soap']}}}Envelope", nsmap={"S": NS["soap"]})
    body = element(envelope, "soap", "Body")
    node = element(body, "soap", "Fault")
    code = element(node, "soap", "Code")
    element(code, "soap", "Value", f"S:{fault.side}")
    element(element(code, "soap", "Subcode"), "soap", "Value", f"S:{fault.subcode}")
    text = element(element(node, "soap", "Reason"), "soap", "Text", fault.text)
    text.set("{http://www.w3.org/XML/1998/namespace}lang", "fr")
    detail = element(node, "soap", "Detail")
    error = etree.SubElement(detail, f"{{{NS['siram']}}}Erreur", nsmap={"siram": NS["siram"]})
    error.set("code", fault.code)
    error.set("severite", fault.severity)
    if fault.message_id:
        error.set("messageID", fault.message_id)
    error.text = technical
    return xml.serialize(envelope)
