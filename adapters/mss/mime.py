"""A bounded reader of mail: the tree of parts, cut by boundaries in one pass, before anything is decoded.

The standard library's parser recurses with the nesting of the mail and keeps every part twice; a mail made of
thousands of nested parts would exhaust it. Here depth, parts, header bytes and total size are limited while reading,
an attached message (``message/rfc822``) stays opaque, and bodies are slices decoded on demand. Headers are read by the
standard library.
"""

from __future__ import annotations

import base64
import binascii
import quopri
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from email.parser import BytesHeaderParser

from adapters.mss.rules import refuse

__all__ = ["MIME_LIMITS", "MimeLimits", "Part", "parse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MimeLimits:
    """How large and how deep a mail may be before it is refused as a whole."""

    max_bytes: int = 25 * 1024 * 1024  #: whole message (Mon espace santé: 25 MB)
    max_parts: int = 60  #: leaves and containers together
    max_depth: int = 6  #: nested containers
    max_header_bytes: int = 64 * 1024  #: headers of one part


MIME_LIMITS = MimeLimits()
_HEADERS = BytesHeaderParser(policy=policy.default)


@dataclass(frozen=True, slots=True)
class Part:
    """One node of a mail: its headers, and either its children or its body."""

    headers: EmailMessage
    raw: bytes = field(repr=False)  #: the body as it travelled; empty for a container
    children: tuple[Part, ...] = ()

    @property
    def content_type(self) -> str:
        """Media type, lower case, ``text/plain`` when absent or broken."""
        return str(self.headers.get_content_type())

    @property
    def filename(self) -> str:
        """The name given to the attachment by ``Content-Disposition`` or ``Content-Type``, empty when none."""
        return self.headers.get_filename("") or ""

    def header(self, name: str) -> str:
        """A header's decoded and unfolded value, empty when absent."""
        value = self.headers.get(name)
        return "" if value is None else " ".join(str(value).split())

    def walk(self) -> Iterator[Part]:
        """This part and all below it, in document order."""
        yield self
        for child in self.children:
            yield from child.walk()

    def content(self) -> bytes:
        """The body decoded from its transfer encoding. Raises :class:`MailRefused` (MSS-MIME-001) on a false one."""
        encoding = self.header("Content-Transfer-Encoding").lower()
        if encoding == "base64":
            try:
                # Line breaks are dropped first, so that anything else foreign is an error and not skipped in silence.
                return base64.b64decode(self.raw.translate(None, b"\r\n \t"), validate=True)
            except binascii.Error:
                raise refuse("MSS-MIME-001", found="base64 faux", expected="base64 valide") from None
        if encoding == "quoted-printable":
            return quopri.decodestring(self.raw)
        if encoding in ("", "7bit", "8bit", "binary"):
            return self.raw
        raise refuse("MSS-MIME-001", found="encodage de transfert inconnu")

    def text(self) -> str:
        """The body as text, undecodable bytes replaced."""
        charset = self.headers.get_content_charset("utf-8")
        data = self.content()
        try:
            return data.decode(charset, "replace")
        except LookupError:
            return data.decode("utf-8", "replace")


def parse(data: bytes, limits: MimeLimits = MIME_LIMITS) -> Part:
    """Read a mail from its bytes (line ends CRLF or LF).

    Raises :class:`MailRefused`: MSS-MIME-002 over a limit, MSS-MIME-001 when headers or boundaries are broken.
    """
    if len(data) > limits.max_bytes:
        raise refuse("MSS-MIME-002", found=f"{len(data)} octets", expected=f"{limits.max_bytes} octets au plus")
    return _Reader(limits).part(data, 0)


class _Reader:
    def __init__(self, limits: MimeLimits) -> None:
        self._limits = limits
        self._seen = 0

    def part(self, data: bytes, depth: int) -> Part:
        limits = self._limits
        self._seen += 1
        if self._seen > limits.max_parts:
            raise refuse("MSS-MIME-002", found=f"plus de {limits.max_parts} parties", expected=f"{limits.max_parts}")
        head, body = _split_head(data)
        if len(head) > limits.max_header_bytes:
            raise refuse("MSS-MIME-002", found=f"{len(head)} octets d'en-têtes", expected=f"{limits.max_header_bytes}")
        headers = _read_headers(head)
        if headers.get_content_maintype() != "multipart":
            return Part(headers, body)
        if depth >= limits.max_depth:
            raise refuse("MSS-MIME-002", found=f"plus de {limits.max_depth} niveaux", expected=f"{limits.max_depth}")
        boundary = headers.get_boundary("")
        if not boundary or len(boundary) > 70:  # RFC 2046 5.1.1
            raise refuse("MSS-MIME-001", found="séparateur MIME absent ou trop long")
        pieces = _cut(body, boundary.encode("ascii", "replace"), limits.max_parts)
        return Part(headers, b"", tuple(self.part(piece, depth + 1) for piece in pieces))


def _split_head(data: bytes) -> tuple[bytes, bytes]:
    if data.startswith((b"\r\n", b"\n")):  # a part without headers
        return b"", data.partition(b"\n")[2]
    crlf, lf = data.find(b"\r\n\r\n"), data.find(b"\n\n")
    if crlf >= 0 and (lf < 0 or crlf < lf):
        return data[: crlf + 2], data[crlf + 4 :]
    if lf >= 0:
        return data[: lf + 1], data[lf + 2 :]
    return data, b""


def _read_headers(head: bytes) -> EmailMessage:
    if b"\x00" in head:
        raise refuse("MSS-MIME-004", found="caractère NUL dans un en-tête")
    try:
        message = _HEADERS.parsebytes(head)
        # Headers are parsed lazily: ask for what the reader relies on now, where a failure can be named.
        message.get_content_type(), message.get_filename(""), message.get("Content-Transfer-Encoding")
    except Exception as exc:
        # The standard library raises many kinds of errors on hostile headers: each is one refusal here.
        raise refuse("MSS-MIME-001", found="en-têtes illisibles") from exc
    if not isinstance(message, EmailMessage):  # pragma: no cover - the default policy makes EmailMessage
        raise refuse("MSS-MIME-001")
    return message


def _cut(body: bytes, boundary: bytes, max_parts: int) -> list[bytes]:
    """Cut a container's body at its boundary lines (RFC 2046 5.1.1); a missing closing line is tolerated."""
    delimiter = b"--" + boundary
    pieces: list[bytes] = []
    start = -1
    at = 0 if body.startswith(delimiter) else _next(body, delimiter, 0)
    while at >= 0:
        if start >= 0:
            pieces.append(_without_last_line_end(body[start:at]))
            if len(pieces) > max_parts:
                raise refuse("MSS-MIME-002", found=f"plus de {max_parts} parties", expected=f"{max_parts}")
        after = at + len(delimiter)
        line_end = body.find(b"\n", after)
        if body[after : after + 2] == b"--" or line_end < 0:
            return pieces
        start = line_end + 1
        at = start if body.startswith(delimiter, start) else _next(body, delimiter, start)
    if start >= 0:
        pieces.append(body[start:])
    return pieces


def _next(body: bytes, delimiter: bytes, start: int) -> int:
    while (found := body.find(b"\n" + delimiter, max(start - 1, 0))) >= 0:
        after = found + 1 + len(delimiter)
        # "--abc" must not match the line "--abcdef" of another boundary.
        if body[after : after + 2] == b"--" or body[after : body.find(b"\n", after) + 1 or None].strip() == b"":
            return found + 1
        start = after
    return -1


def _without_last_line_end(piece: bytes) -> bytes:
    # The line end before a boundary belongs to the boundary.
    if piece.endswith(b"\r\n"):
        return piece[:-2]
    return piece.removesuffix(b"\n")
