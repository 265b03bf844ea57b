"""SOAP 1.2 envelopes with WS-Addressing, as the DMP exchanges them (dmp.md 2.1, 15.1).

Written by bytes: a signed assertion goes in unchanged. Read by expanded names: any prefix, header order and form of
``mustUnderstand`` will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from xml.sax.saxutils import escape

from lxml import etree

from security import xml

__all__ = [
    "ANONYMOUS",
    "SOAP11",
    "SOAP12",
    "WSA",
    "WSSE",
    "Envelope",
    "Fault",
    "NotSoap",
    "read_envelope",
    "write_envelope",
]

SOAP12: Final = "http://www.w3.org/2003/05/soap-envelope"
SOAP11: Final = "http://schemas.xmlsoap.org/soap/envelope/"
WSA: Final = "http://www.w3.org/2005/08/addressing"
WSSE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
ANONYMOUS: Final = WSA + "/anonymous"

_HEAD: Final = f'<s:Envelope xmlns:s="{SOAP12}" xmlns:a="{WSA}"><s:Header>'
_SECURITY: Final = f'<w:Security xmlns:w="{WSSE}">'
_END: Final = b"</s:Body></s:Envelope>"


class NotSoap(Exception):
    """What came is no SOAP envelope."""

    def __init__(self, found: str) -> None:
        self.found = found
        super().__init__(f"not a SOAP envelope: {found}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A SOAP fault: codes by local name, reason as it came."""

    code: str  #: Sender, Receiver, MustUnderstand, VersionMismatch, DataEncodingUnknown
    subcode: str = ""
    reason: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What was read of an envelope."""

    root: etree._Element = field(repr=False)
    action: str
    message_id: str
    relates_to: str
    body: etree._Element | None = field(repr=False)  #: the one element of the Body
    fault: Fault | None
    version: str  #: namespace of the envelope


def write_envelope(*, action: str, to: str, message_id: str, assertion: bytes, body: Sequence[bytes]) -> list[bytes]:
    """Write a request as chunks. ``assertion`` is the signed VIHF; ``body`` is the payload, already written."""
    head = (
        f'{_HEAD}<a:Action s:mustUnderstand="true">{escape(action)}</a:Action>'
        f"<a:MessageID>{escape(message_id)}</a:MessageID>"
        f'<a:ReplyTo s:mustUnderstand="true"><a:Address>{ANONYMOUS}</a:Address></a:ReplyTo>'
        f"<a:To>{escape(to)}</a:To>{_SECURITY}"
    )
    return [head.encode(), assertion, b"</w:Security></s:Header><s:Body>", *body, _END]


def write_reply(*, action: str, message_id: str, relates_to: str, body: bytes) -> bytes:
    """Write an answer."""
    head = (
        f'{_HEAD}<a:Action s:mustUnderstand="true">{escape(action)}</a:Action>'
        f"<a:MessageID>{escape(message_id)}</a:MessageID><a:RelatesTo>{escape(relates_to)}</a:RelatesTo>"
        f"<a:To>{ANONYMOUS}</a:To></s:Header><s:Body>"
    )
    return head.encode() + body + _END


def write_fault(*, code: str, subcode: str, reason: str, message_id: str, relates_to: str) -> bytes:
    """Write a SOAP 1.2 fault; the namespace of the subcode is ours, readers compare its local name."""
    sub = f'<s:Subcode><s:Value xmlns:d="urn:dmp:fault">d:{escape(subcode)}</s:Value></s:Subcode>' if subcode else ""
    body = (
        f"<s:Fault><s:Code><s:Value>s:{escape(code)}</s:Value>{sub}</s:Code>"
        f'<s:Reason><s:Text xml:lang="fr">{escape(reason)}</s:Text></s:Reason></s:Fault>'
    )
    return write_reply(action=WSA + "/fault", message_id=message_id, relates_to=relates_to, body=body.encode())


def read_envelope(data: bytes, limits: xml.XmlLimits = xml.DEFAULT_LIMITS) -> Envelope:
    """Read an envelope, SOAP 1.2 or 1.1. Raises :class:`NotSoap`, or ``UnsafeInput`` from the parser."""
    root = xml.parse(data, limits)
    name = etree.QName(root)
    if name.localname != "Envelope" or name.namespace not in (SOAP12, SOAP11):
        raise NotSoap(name.localname[:40])
    soap = f"{{{name.namespace}}}"
    header, body = root.find(soap + "Header"), root.find(soap + "Body")
    if body is None:
        raise NotSoap("no Body")
    content = [node for node in body if isinstance(node.tag, str)]
    if len(content) > 1:
        raise NotSoap("several elements in the Body")
    first = content[0] if content else None
    return Envelope(
        root=root,
        action=_header(header, "Action"),
        message_id=_header(header, "MessageID"),
        relates_to=_header(header, "RelatesTo"),
        body=first,
        fault=_fault(first) if first is not None and etree.QName(first).localname == "Fault" else None,
        version=str(name.namespace),
    )


def _header(header: etree._Element | None, name: str) -> str:
    if header is None:
        return ""
    return (header.findtext(f"{{{WSA}}}{name}") or "").strip()


def _local(value: str) -> str:
    return value.strip().rpartition(":")[2]


def _fault(node: etree._Element) -> Fault:
    if node.tag == f"{{{SOAP12}}}Fault":
        s = f"{{{SOAP12}}}"
        subcodes = [_local(v.text or "") for v in node.iterfind(f".//{s}Subcode/{s}Value")]
        return Fault(
            code=_code(_local(node.findtext(f"{s}Code/{s}Value") or "")),
            subcode=subcodes[-1] if subcodes else "",
            reason=" ".join((t.text or "").strip() for t in node.iterfind(f"{s}Reason/{s}Text")),
        )
    # SOAP 1.1: a dot separates the detail.
    code, _, subcode = _local(node.findtext("faultcode") or "").partition(".")
    return Fault(code=_code(code), subcode=subcode, reason=(node.findtext("faultstring") or "").strip())


def _code(code: str) -> str:
    # The words of SOAP 1.1 stand in 1.2 faults of some stacks.
    return {"Client": "Sender", "Server": "Receiver"}.get(code, code)
