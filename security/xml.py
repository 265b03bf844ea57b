"""The one XML parser of Passerelle: hardened, bounded, and the only place where lxml parses anything.

A DOCTYPE is refused outright rather than neutralised: with ``resolve_entities=False`` libxml2 keeps ``&x;`` as an
unresolved node, and the text would silently vanish from a clinical document. Processing instructions, XInclude,
``xml:base`` and ``xsi:schemaLocation`` are kept as they are and never acted upon.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lxml import etree

from security.errors import Unreadable, UnsafeInput

__all__ = [
    "CDA_LIMITS",
    "DEFAULT_LIMITS",
    "XmlLimits",
    "canonical",
    "own_schema",
    "own_transform",
    "parse",
    "parse_own",
    "serialize",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class XmlLimits:
    """How large a document may be before it is refused, without being parsed where that is possible."""

    max_bytes: int = 2 * 1024 * 1024  #: size of the whole text
    max_elements: int = 100_000  #: start tags, counted in the bytes before parsing; a rich CDA has some 10 000
    max_attributes: int | None = None  #: equal signs, counted likewise; as many as elements when None
    max_depth: int = 200  #: nesting of elements; libxml2 itself stops at 256
    max_attribute: int = 64 * 1024  #: characters of one attribute: what is long in a document is text
    max_attributes_here: int = 512  #: attributes of one element
    max_marks: int = 20_000  #: comments, instructions and CDATA sections together


DEFAULT_LIMITS = XmlLimits()
#: A CDA may carry a PDF in base64. The usual limit of a document, 5 MiB (``dmp.md`` 10), is a setting of its callers.
CDA_LIMITS = XmlLimits(max_bytes=16 * 1024 * 1024)

_MAX_DECLARATION = 512
_MANY = 4  #: times what one element may have: under this many attributes in all it does not matter where they stand
_SPACES = (b" ", b"\t", b"\r", b"\n")
_XML_ATTRIBUTE = "{http://www.w3.org/XML/1998/namespace}"
_ENCODING = re.compile(rb"""encoding[ \t\r\n]*=[ \t\r\n]*["']([^"']*)["']""")
# Single-byte encodings stay readable, for old senders; whatever could hide a "<" from the checks below is refused.
_ENCODINGS = {"utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "us-ascii", "ascii": "us-ascii"}
_SINGLE_BYTE = {"iso-8859-1": "iso-8859-1", "latin1": "iso-8859-1", "iso-8859-15": "iso-8859-15"}
_SINGLE_BYTE["windows-1252"] = "windows-1252"
# What may stand before the root element (XML 1.0, production 22): a DOCTYPE means something only there.
_PROLOG = re.compile(rb"(?:[ \t\r\n]++|<\?.*?\?>|<!--.*?-->)*+", re.DOTALL)
# A declaration, instructions, then the root at once: no DOCTYPE can stand before it, and none need be looked for.
_PLAIN_START = re.compile(rb"(?:[ \t\r\n]++|<\?[^?]{0,400}+\?>)*+<[A-Za-z_]")

# libxml2, xmlerror.h
_XML_ERR_INVALID_ENCODING = 81
_XML_ERR_UNKNOWN_ENCODING = 31
_XML_ERR_NAME_TOO_LONG = 110
_XML_ERR_RESOURCE_LIMIT = 114


def _check_bytes(data: bytes, limits: XmlLimits) -> tuple[bytes, str, int]:
    """Refuse what the bytes alone tell; gives them without mark, their encoding, and the equal signs in them."""
    if len(data) > limits.max_bytes:
        raise UnsafeInput("XML-SIZE-001", f"{len(data)} bytes", f"at most {limits.max_bytes} bytes")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in data[:2]:
        raise UnsafeInput("XML-ENC-001", "UTF-16 or UTF-32", "UTF-8")
    marked = data.startswith(b"\xef\xbb\xbf")
    if marked:
        data = data[3:]
    if b"\x00" in data:
        raise UnsafeInput("XML-NUL-001", "a NUL byte", "text without NUL")
    start = data[:_MAX_DECLARATION].lstrip()
    if not start.startswith(b"<"):
        if not data.strip():
            raise Unreadable("XML-EMPTY-001", "no content", "an XML document")
        raise Unreadable("XML-SYNTAX-001", "text that does not begin with a tag", "well-formed XML", line=1)
    encoding = _encoding(data, marked)
    if not _PLAIN_START.match(data) and b"<!DOCTYPE" in data:
        prolog = _PROLOG.match(data)
        if data.startswith(b"<!DOCTYPE", prolog.end() if prolog else 0):
            raise UnsafeInput("XML-DTD-001", "a DOCTYPE", "a document without DOCTYPE")
    return data, encoding, _count(data, limits)


def _count(data: bytes, limits: XmlLimits) -> int:
    """Refuse by the number of marks, a text shorter than a limit without counting; gives that of equal signs."""
    marks = data.count(b"<") if len(data) > limits.max_marks else 0
    if marks > 2 * limits.max_elements:
        raise UnsafeInput("XML-COUNT-001", f"about {marks // 2} elements", f"at most {limits.max_elements} elements")
    if marks > limits.max_marks and (count := data.count(b"<!") + data.count(b"<?")) > limits.max_marks:
        raise UnsafeInput("XML-COUNT-003", f"{count} comments or sections", f"at most {limits.max_marks}")
    most = limits.max_elements if limits.max_attributes is None else limits.max_attributes
    if (signs := data.count(b"=")) > most:
        raise UnsafeInput("XML-COUNT-002", f"about {signs} attributes", f"at most {most} attributes")
    longest = limits.max_attribute
    # A first look costs little and may take a text for an attribute; the second, rare, knows tags.
    if len(data) > longest and _quoted(longest).search(data) and _attribute(longest).search(data):
        raise UnsafeInput("XML-LIMIT-001", f"an attribute over {longest} characters", f"at most {longest} characters")
    return signs


def _encoding(data: bytes, marked: bool) -> str:
    """Decide on the encoding, which libxml2 is then told: it never decides by itself."""
    if data[:5] != b"<?xml" or data[5:6] not in _SPACES:
        return "utf-8"
    end = data.find(b"?>", 0, _MAX_DECLARATION)
    if end < 0:
        raise Unreadable("XML-SYNTAX-001", "an XML declaration without end", "well-formed XML", line=1)
    found = _ENCODING.search(data, 0, end)
    if found is None:
        return "utf-8"
    name = found[1].decode("ascii", "replace").lower()
    if name in _ENCODINGS:
        return _ENCODINGS[name]
    if name not in _SINGLE_BYTE:
        declared = name if re.fullmatch(r"[a-z0-9._-]{1,40}", name) else "an unknown name"
        raise UnsafeInput("XML-ENC-001", declared, "UTF-8")
    # Declared as Latin and written in UTF-8, a common fault: every accent of a name would turn into two letters.
    if marked or not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            pass
        else:
            raise UnsafeInput("XML-ENC-002", f"UTF-8 declared as {name}", "the encoding the text is written in")
    return _SINGLE_BYTE[name]


def _parser(encoding: str | None) -> etree.XMLParser:
    # A parser holds state while it parses: one a call keeps threads apart, and costs microseconds.
    return etree.XMLParser(
        encoding=encoding,
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
    data, encoding, signs = _check_bytes(data, limits)
    try:
        root = etree.fromstring(data, _parser(encoding))
    except etree.XMLSyntaxError as exc:
        raise _refusal(exc, limits) from None
    except ValueError:
        raise Unreadable("XML-SYNTAX-001", "unreadable text", "well-formed XML") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise UnsafeInput("XML-DTD-001", "a DOCTYPE", "a document without DOCTYPE")
    if signs > _MANY * limits.max_attributes_here and _crowded(limits.max_attributes_here)(root):
        raise UnsafeInput("XML-COUNT-002", "too many attributes at once", f"at most {limits.max_attributes_here}")
    if _deeper_than(limits.max_depth)(root):
        raise UnsafeInput("XML-DEPTH-001", f"depth over {limits.max_depth}", f"at most {limits.max_depth}")
    return root


def _refusal(exc: etree.XMLSyntaxError, limits: XmlLimits) -> UnsafeInput:
    # The message of libxml2 can quote the content: keep the kind of error and the line only.
    kind = exc.code if isinstance(exc.code, int) else 0
    line = exc.lineno
    if kind in (_XML_ERR_INVALID_ENCODING, _XML_ERR_UNKNOWN_ENCODING):
        return UnsafeInput("XML-ENC-001", "bytes that are not of the declared encoding", "UTF-8", line=line)
    if kind == _XML_ERR_RESOURCE_LIMIT and (exc.msg or "").startswith("Excessive depth"):
        return UnsafeInput("XML-DEPTH-001", "depth over 256", f"at most {limits.max_depth}", line=line)
    if kind in (_XML_ERR_RESOURCE_LIMIT, _XML_ERR_NAME_TOO_LONG):
        return UnsafeInput("XML-LIMIT-001", "a name or a text over the parser's limits", "shorter texts", line=line)
    return Unreadable("XML-SYNTAX-001", f"malformed at line {line} (libxml2 {kind})", "well-formed XML", line=line)


@lru_cache(maxsize=32)
def _deeper_than(depth: int) -> etree.XPath:
    # One compiled path walks a 64 kB document in 0.02 ms, a loop over the elements in 0.25 ms.
    return etree.XPath(f"boolean(/*{'/*' * depth})")


@lru_cache(maxsize=32)
def _quoted(longest: int) -> re.Pattern[bytes]:
    return re.compile(rb"""=[ \t\r\n]*+(?:"[^"]{%d}|'[^']{%d})""" % (longest + 1, longest + 1))


@lru_cache(maxsize=32)
def _attribute(longest: int) -> re.Pattern[bytes]:
    # No "<" stands in a text or in a value, so a tag is read from its start, once: the search is linear.
    value = rb"""=[ \t\r\n]*+(?:"[^"<]{0,%d}+"|'[^'<]{0,%d}+')""" % (longest, longest)
    long = rb"""=[ \t\r\n]*+(?:"[^"<]{%d}|'[^'<]{%d})""" % (longest + 1, longest + 1)
    return re.compile(rb"<[A-Za-z_][^<>=]*+(?:" + value + rb"[^<>=]*+)*+" + long)


@lru_cache(maxsize=32)
def _crowded(most: int) -> etree.XPath:
    return etree.XPath(f"boolean(//@*[{most + 1}])")


def parse_own(path: Path) -> etree._ElementTree:
    """Read one of the files we ship, or of an official pack the operator installed: a schema, rules, a stylesheet.

    Not for anything a caller sends: sizes are not bounded, and the file's place is kept so that what it includes by
    relative name is found. Nothing is fetched from the network. Raises OSError or :class:`Unreadable`.
    """
    try:
        return etree.parse(str(path), _parser(None))
    except etree.XMLSyntaxError as exc:
        raise Unreadable("XML-SYNTAX-001", f"{path.name} is malformed at line {exc.lineno}", "well-formed XML") from exc


def own_transform(path: Path) -> etree.XSLT:
    """Compile one of our stylesheets: it may neither read nor write any file or address while it runs."""
    return etree.XSLT(parse_own(path), access_control=etree.XSLTAccessControl.DENY_ALL)


def own_schema(name: str, documents: dict[str, bytes]) -> etree.XMLSchema:
    """Compile an XML Schema we make: ``name`` is its document, the others are what it imports, by their names.

    Nothing is read from outside ``documents``. Raises ``lxml.etree.XMLSchemaParseError``.
    """
    parser = _parser("utf-8")
    parser.resolvers.add(_Own(documents))
    return etree.XMLSchema(etree.fromstring(documents[name], parser))


class _Own(etree.Resolver):
    """Gives libxml2 the documents at hand, and nothing for any other name."""

    def __init__(self, documents: dict[str, bytes]) -> None:
        self._documents = documents

    def resolve(self, system_url: str | None, public_id: str | None, context: Any) -> Any:
        return self.resolve_string(self._documents.get(system_url or "", b"<none/>"), context)


def serialize(root: etree._Element, *, declaration: bool = True) -> bytes:
    """Write an element tree as UTF-8 bytes."""
    return etree.tostring(root, xml_declaration=declaration, encoding="UTF-8")


def canonical(root: etree._Element, *, exclusive: bool = False, with_comments: bool = True) -> bytes:
    """Canonicalise an element in its place (C14N 1.0, or exclusive C14N); a root, with what surrounds it.

    lxml hands libxml2 a stand-in document for anything but a whole tree, and the default namespace is then lost two
    levels down (``xmlns=""``, seen with libxml2 2.14): so only whole trees are canonicalised here, and an inner element
    is first made the root of its own, with the namespaces and ``xml:`` attributes it inherits (C14N 1.0, 2.4).
    """
    tree = root.getroottree()
    if tree.getroot() is not root:
        alone = etree.Element(root.tag, nsmap=root.nsmap)
        for ancestor in (*reversed(list(root.iterancestors())), root):
            for name, value in ancestor.attrib.items():
                if ancestor is root or (not exclusive and name.startswith(_XML_ATTRIBUTE)):
                    alone.set(name, value)
        alone.text = root.text
        alone.extend(copy.deepcopy(child) for child in root)
        tree = alone.getroottree()
    return etree.tostring(tree, method="c14n", exclusive=exclusive, with_comments=with_comments)
