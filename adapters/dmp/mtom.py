"""MTOM packages: a SOAP envelope and the documents it includes, as multipart/related (RFC 2387, XOP 1.0).

Written by bytes: what is hashed is what travels, and nothing is copied. Read strictly where meaning is at stake
(boundaries, content ids, a part nobody refers to), tolerantly where only form is (line ends, one-part packages, text or
binary parts, encoded ``cid:``).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote

__all__ = ["MtomError", "MtomLimits", "Package", "Part", "content_type_parameters", "href_of", "read", "write"]

XOP: Final = "http://www.w3.org/2004/08/xop/include"
_CRLF: Final = b"\r\n"


class MtomError(Exception):
    """A package that cannot be read; ``code`` is stable, the text never repeats content."""

    def __init__(self, code: str, found: str = "") -> None:
        self.code = code
        self.found = found
        super().__init__(f"{code}: {found}" if found else code)


@dataclass(frozen=True, slots=True, kw_only=True)
class MtomLimits:
    """How large the parts of a package may be."""

    max_boundary: int = 70  # RFC 2046 5.1.1
    max_parts: int = 20
    max_headers: int = 8192  #: bytes, one part


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A document beside the envelope."""

    content_id: str  #: without angle brackets
    content: bytes = field(repr=False)
    content_type: str = "text/xml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What was read: the envelope, and the other parts by content id."""

    root: bytes = field(repr=False)
    parts: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    multipart: bool = False

    def content(self, href: str) -> bytes:
        """The bytes of an ``xop:Include``; raises MtomError when no part has that id."""
        if not href.startswith("cid:"):
            raise MtomError("MTOM-HREF-001", "not a cid: reference")
        content_id = href[4:]
        # A content id is compared decoded; some writers leave it as it is in the href.
        for name in (unquote(content_id), content_id):
            if name in self.parts:
                return self.parts[name]
        raise MtomError("MTOM-PART-001", "no part of that content id")


def href_of(content_id: str) -> str:
    """Write a content id as the ``href`` of an ``xop:Include``."""
    return "cid:" + quote(content_id, safe=".-_~")


def write(
    envelope: Sequence[bytes], parts: Iterable[Part], *, boundary: str, root_id: str, action: str
) -> tuple[str, list[bytes]]:
    """Make a package: the value of the Content-Type header, and the chunks of the body, none copied.

    ``envelope`` is the SOAP envelope in chunks. ``boundary`` and ``root_id`` come from the caller and must not occur in
    the content.
    """
    content_type = (
        f'multipart/related; boundary="{boundary}"; type="application/xop+xml"; start="<{root_id}>"; '
        f'start-info="application/soap+xml"; action="{action}"'
    )
    dashes = b"--" + boundary.encode("ascii")
    chunks: list[bytes] = [
        dashes
        + b'\r\nContent-Type: application/xop+xml; charset=UTF-8; type="application/soap+xml"\r\n'
        + b"Content-Transfer-Encoding: binary\r\nContent-ID: <"
        + root_id.encode("ascii")
        + b">\r\n\r\n",
        *envelope,
    ]
    for part in parts:
        chunks.append(
            _CRLF
            + dashes
            + b"\r\nContent-Type: "
            + part.content_type.encode("ascii")
            + b"\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <"
            + part.content_id.encode("ascii")
            + b">\r\n\r\n"
        )
        chunks.append(part.content)
    chunks.append(_CRLF + dashes + b"--\r\n")
    return content_type, chunks


_PARAMETER: Final = re.compile(r""";\s*([A-Za-z0-9!#$&^_.+-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))""")


def content_type_parameters(value: str) -> tuple[str, dict[str, str]]:
    """Split a Content-Type into its lower-case media type and its parameters."""
    media, separator, rest = value.partition(";")
    found = _PARAMETER.findall(separator + rest)
    return media.strip().lower(), {
        name.lower(): quoted.replace("\\", "") if quoted else plain for name, quoted, plain in found
    }


def read(content_type: str, body: bytes, limits: MtomLimits | None = None) -> Package:
    """Read a SOAP message, packaged or plain. Raises MtomError."""
    limits = limits or MtomLimits()
    media, parameters = content_type_parameters(content_type)
    if media in ("application/soap+xml", "text/xml"):
        return Package(root=body)
    if media != "multipart/related":
        raise MtomError("MTOM-TYPE-001", media[:60] or "no Content-Type")
    boundary = parameters.get("boundary", "")
    if not boundary or len(boundary) > limits.max_boundary or not boundary.isascii():
        raise MtomError("MTOM-BOUNDARY-001", f"{len(boundary)} characters")
    named: dict[str, bytes] = {}
    first: str | None = None
    for number, (headers, content) in enumerate(_split(body, boundary.encode("ascii"), limits), start=1):
        content_id = headers.get("content-id", "").strip().removeprefix("<").removesuffix(">")
        if not content_id:
            # The root alone may go without an id (RFC 2387 3.2).
            if number > 1:
                raise MtomError("MTOM-ID-001", "a part without Content-ID")
            content_id = f"root-{number}"
        if content_id in named:
            raise MtomError("MTOM-ID-002", "a Content-ID twice")
        named[content_id] = _decoded(headers, content)
        first = first or content_id
    start = parameters.get("start", "").strip().removeprefix("<").removesuffix(">")
    root_id = start or first
    if root_id is None or root_id not in named:
        raise MtomError("MTOM-START-001", "the root part is absent")
    root = named.pop(root_id)
    return Package(root=root, parts=named, multipart=True)


def _decoded(headers: Mapping[str, str], content: bytes) -> bytes:
    encoding = headers.get("content-transfer-encoding", "binary").strip().lower()
    if encoding in ("binary", "8bit", "7bit"):
        return content
    if encoding == "base64":
        try:
            return base64.b64decode(b"".join(content.split()), validate=True)
        except binascii.Error:
            raise MtomError("MTOM-ENCODING-002", "bad base64") from None
    raise MtomError("MTOM-ENCODING-001", encoding[:40])


def _split(body: bytes, boundary: bytes, limits: MtomLimits) -> Iterable[tuple[dict[str, str], bytes]]:
    delimiter = b"--" + boundary
    if body.startswith(delimiter):
        position = 0
    else:
        # A preamble is allowed, and some stacks start with an empty line.
        position = body.find(b"\n" + delimiter) + 1
        if position == 0:
            raise MtomError("MTOM-BOUNDARY-002", "the boundary never occurs")
    position += len(delimiter)
    # The line end is that of the first delimiter: a document may itself end with a line feed.
    newline = _CRLF if body[position : body.find(b"\n", position) + 1].endswith(_CRLF) else b"\n"
    count = 0
    while not body.startswith(b"--", position):
        count += 1
        if count > limits.max_parts:
            raise MtomError("MTOM-PARTS-001", f"more than {limits.max_parts} parts")
        # Blanks may follow the boundary on its line.
        end_of_line = body.find(b"\n", position)
        if end_of_line < 0 or body[position:end_of_line].strip(b" \t\r"):
            raise MtomError("MTOM-BOUNDARY-003", "text after the boundary")
        start = end_of_line + 1
        following = _next_delimiter(body, newline + delimiter, start)
        if following < 0:
            raise MtomError("MTOM-END-001", "no closing boundary")
        yield _headers(body, start, following, limits)
        position = following + len(newline) + len(delimiter)


def _next_delimiter(body: bytes, marker: bytes, start: int) -> int:
    while (found := body.find(marker, start)) >= 0:
        after = body[found + len(marker) : found + len(marker) + 1]
        # Another boundary may begin with this one.
        if after in (b"-", b"\r", b"\n", b" ", b"\t", b""):
            return found
        start = found + 1
    return -1


def _headers(body: bytes, start: int, end: int, limits: MtomLimits) -> tuple[dict[str, str], bytes]:
    window = body[start : min(end, start + limits.max_headers + 4)]
    match = re.search(rb"(?:^|\r?\n)\r?\n", window)
    if match is None:
        raise MtomError("MTOM-HEADERS-001", f"no end of headers within {limits.max_headers} bytes")
    text = window[: match.start()].decode("latin-1")
    headers: dict[str, str] = {}
    # A header may go on, on a line that starts with a blank.
    for line in re.sub(r"\r?\n[ \t]+", " ", text).splitlines():
        name, separator, value = line.partition(":")
        if not separator or not name.strip():
            raise MtomError("MTOM-HEADERS-002", "a line that is no header")
        headers[name.strip().lower()] = value.strip()
    return headers, body[start + match.end() : end]
