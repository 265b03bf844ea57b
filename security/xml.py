"""The one XML parser of Passerelle: hardened, bounded, and the only place where lxml parses anything.

A DOCTYPE is refused outright rather than neutralised: with ``resolve_entities=False`` libxml2 keeps ``&x;`` as an
unresolved node, and the text would silently vanish from a clinical document.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lxml import etree

from security.errors import Unreadable, UnsafeInput

__all__ = ["CDA_LIMITS", "DEFAULT_LIMITS", "XmlLimits", "canonical", "parse", "serialize"]


@dataclass(frozen=True, slots=True, kw_only=True)
class XmlLimits:
    """How large a document may be before it is refused, without being parsed where that is possible."""

    max_bytes: int = 2 * 1024 * 1024  #: size of the whole text
    max_elements: int = 200_000  #: start tags, counted in the bytes before parsing
    max_depth: int = 200  #: nesting of elements


DEFAULT_LIMITS = XmlLimits()
#: A CDA may carry a PDF in base64 (``dmp.md`` 10: 5 MiB a document is the usual limit).
CDA_LIMITS = XmlLimits(max_bytes=5 * 1024 * 1024)

_ENCODING = re.compile(rb"""^<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_DOCTYPE = re.compile(rb"<!DOCTYPE", re.IGNORECASE)
_ENTITY = re.compile(rb"<!ENTITY", re.IGNORECASE)


def _check_bytes(data: bytes, limits: XmlLimits) -> bytes:
    if len(data) > limits.max_bytes:
        raise UnsafeInput("XML-SIZE-001", f"{len(data)} bytes", f"at most {limits.max_bytes} bytes")
    if not data.strip():
        raise Unreadable("XML-EMPTY-001", "no content", "an XML document")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or data[:4] in (b"\x00<\x00?", b"<\x00?\x00"):
        raise UnsafeInput("XML-ENC-001", "UTF-16", "UTF-8")
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    if b"\x00" in data:
        raise UnsafeInput("XML-NUL-001", "a NUL byte", "text without NUL")
    declared = _ENCODING.match(data)
    if declared and declared.group(1).lower() not in (b"utf-8", b"utf8", b"us-ascii", b"iso-8859-1", b"iso-8859-15"):
        raise UnsafeInput("XML-ENC-001", declared.group(1).decode("ascii"), "UTF-8")
    if _DOCTYPE.search(data) or _ENTITY.search(data):
        raise UnsafeInput("XML-DTD-001", "a DOCTYPE or an ENTITY declaration", "a document without DOCTYPE")
    if (count := data.count(b"<")) > 2 * limits.max_elements:
        raise UnsafeInput("XML-COUNT-001", f"about {count // 2} elements", f"at most {limits.max_elements} elements")
    return data


def _parser() -> etree.XMLParser:
    # A parser holds state while it parses: one a call keeps threads apart, and costs microseconds.
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        remove_comments=False,
        remove_pis=False,
        strip_cdata=True,
        recover=False,
    )


def parse(data: bytes, limits: XmlLimits = DEFAULT_LIMITS) -> etree._Element:
    """Read an XML document from bytes and give its root element.

    Raises :class:`UnsafeInput` (too large, DOCTYPE, foreign encoding, NUL, too deep) and :class:`Unreadable`
    (malformed), both before anything of the content is used.
    """
    data = _check_bytes(data, limits)
    try:
        root = etree.fromstring(data, _parser())
    except etree.XMLSyntaxError as exc:
        line = exc.lineno
        # The message of libxml2 can quote the content: keep the kind of error only.
        kind = exc.code if isinstance(exc.code, int) else 0
        raise Unreadable("XML-SYNTAX-001", f"malformed at line {line} (libxml2 {kind})", "well-formed XML", line=line) from None
    except ValueError as exc:
        raise Unreadable("XML-SYNTAX-001", "unreadable text", "well-formed XML") from exc
    if root.getroottree().docinfo.internalDTD is not None:
        raise UnsafeInput("XML-DTD-001", "a DOCTYPE", "a document without DOCTYPE")
    _check_depth(root, limits.max_depth)
    return root


def _check_depth(root: etree._Element, max_depth: int) -> None:
    # libxml2 itself stops at 256; walking with events would double the time, so follow first children only downwards.
    stack = [(root, 1)]
    while stack:
        node, depth = stack.pop()
        if depth > max_depth:
            raise UnsafeInput("XML-DEPTH-001", f"depth over {max_depth}", f"at most {max_depth}")
        stack.extend((child, depth + 1) for child in node if len(child))


def serialize(root: etree._Element, *, declaration: bool = True) -> bytes:
    """Write an element tree as UTF-8 bytes."""
    return etree.tostring(root, xml_declaration=declaration, encoding="UTF-8")


def canonical(root: etree._Element, *, exclusive: bool = False, with_comments: bool = True) -> bytes:
    """Canonicalise an element in its place (C14N 1.0, or exclusive C14N)."""
    return etree.tostring(root, method="c14n", exclusive=exclusive, with_comments=with_comments)
