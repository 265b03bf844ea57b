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
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from email.parser import BytesHeaderParser

from adapters.mss.rules import MailRefused, refuse

__all__ = ["MIME_LIMITS", "MimeLimits", "Part", "parse", "parse_head"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MimeLimits:
    """How large and how deep a mail may be before it is refused as a whole."""

    max_bytes: int = 25 * 1024 * 1024  #: whole message (Mon espace santé: 25 MB)
    max_parts: int = 60  #: leaves and containers together
    max_depth: int = 6  #: nested containers
    max_header_bytes: int = 64 * 1024  #: headers of one part
    #: one header, unfolded; the parser of values takes a time quadratic in their length
    max_header_value: int = 8 * 1024
    max_content_header: int = 2 * 1024  #: ``Content-*`` headers, which every part has


MIME_LIMITS = MimeLimits()
#: Fields whose text is their value (RFC 5322 3.6.4, 3.6.5): the library takes a tenth of a millisecond to say the same.
_UNSTRUCTURED = frozenset(
    {"auto-submitted", "in-reply-to", "references", "subject"}
    | {f"x-mss-{name}" for name in ("codecda", "ins", "mes", "nil")}
)
_FOLD = re.compile(r"\r\n|[\r\n]")
_SHOWN = re.compile(r"[ -~]*")
_HEADERS = BytesHeaderParser(policy=policy.default)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Part:
    """One node of a mail: its headers, and either its children or its body."""

    headers: EmailMessage
    source: bytes = field(repr=False)  #: the whole mail, shared by all its parts
    start: int = 0  #: where the body begins in it
    end: int = 0
    children: tuple[Part, ...] = ()
    content_type: str = "text/plain"  #: media type, lower case, ``text/plain`` when absent or broken
    #: of ``Content-Type``, names in lower case
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    filename: str = field(default="", repr=False)  #: of the attachment, from either header; empty when none
    _values: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def raw(self) -> bytes:
        """The body as it travelled; for a container, everything between its headers and its end."""
        return self.source[self.start : self.end]

    def header(self, name: str) -> str:
        """A header's decoded and unfolded value, empty when absent.

        Raises :class:`MailRefused` (MSS-MIME-004) when the decoded value holds a line break or another control
        character, which would become a header of its own in whatever is made of it.
        """
        key = name.lower()
        if key in self._values:
            return self._values[key]
        try:
            plain = self._plain(key) if key in _UNSTRUCTURED else None
            value = plain if plain is not None else str(self.headers.get(name, ""))
        except Exception as exc:
            # The standard library raises many kinds of errors on hostile values: each is one refusal here.
            raise refuse("MSS-MIME-004", name, found="valeur illisible") from exc
        if _CONTROL.search(value):
            raise refuse("MSS-MIME-004", name, found="caractère de commande dans la valeur décodée")
        # Parsing a value costs a tenth of a millisecond, and most are asked for several times.
        return self._values.setdefault(key, " ".join(value.split()))

    def _plain(self, key: str) -> str | None:
        """An unstructured value that says what it shows; None for one that the library must decode."""
        for name, written in self.headers.raw_items():
            if name.lower() == key:
                value = _FOLD.sub("", str(written))
                return value if _SHOWN.fullmatch(value) and "=?" not in value else None
        return ""

    def count(self, name: str) -> int:
        """How many times a header stands in this part."""
        return sum(written.lower() == name.lower() for written, _ in self.headers.raw_items())

    def safe_header(self, name: str) -> str:
        """As :meth:`header`, but an injected value counts as absent; for what must be said in spite of it."""
        try:
            return self.header(name)
        except MailRefused:
            return ""

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
        charset = self.parameters.get("charset", "utf-8")
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
    return _Reader(data, limits).part(0, len(data), 0)


def parse_head(data: bytes, limits: MimeLimits = MIME_LIMITS) -> Part:
    """Read only the header of a mail whose body is refused, so that its sender can be told.

    Raises :class:`MailRefused` when even that is broken or over a limit.
    """
    reader = _Reader(data, limits)
    head_end, _ = reader.split_head(0, min(len(data), limits.max_header_bytes + 4))
    headers = _read_headers(data[:head_end], limits)
    content_type, parameters, filename = _describe(headers)
    return Part(headers, data, head_end, head_end, (), content_type, parameters, filename)


class _Reader:
    """Works with places in the one buffer: nothing is copied before a leaf is asked for its content."""

    def __init__(self, data: bytes, limits: MimeLimits) -> None:
        self._data = data
        self._limits = limits
        self._seen = 0

    def part(self, start: int, end: int, depth: int) -> Part:
        limits = self._limits
        self._seen += 1
        if self._seen > limits.max_parts:
            raise refuse("MSS-MIME-002", found=f"plus de {limits.max_parts} parties", expected=f"{limits.max_parts}")
        head_end, body = self.split_head(start, end)
        if head_end - start > limits.max_header_bytes:
            raise refuse(
                "MSS-MIME-002", found=f"{head_end - start} octets d'en-têtes", expected=f"{limits.max_header_bytes}"
            )
        headers = _read_headers(self._data[start:head_end], limits)
        content_type, parameters, filename = _describe(headers)
        if not content_type.startswith("multipart/"):
            return Part(headers, self._data, body, end, (), content_type, parameters, filename)
        if depth >= limits.max_depth:
            raise refuse("MSS-MIME-002", found=f"plus de {limits.max_depth} niveaux", expected=f"{limits.max_depth}")
        boundary = parameters.get("boundary", "").rstrip()
        if not boundary or len(boundary) > 70:  # RFC 2046 5.1.1
            raise refuse("MSS-MIME-001", found="séparateur MIME absent ou trop long")
        pieces = self._cut(body, end, b"--" + boundary.encode("ascii", "replace"))
        children = tuple(self.part(first, last, depth + 1) for first, last in pieces)
        return Part(headers, self._data, body, end, children, content_type, parameters, filename)

    def split_head(self, start: int, end: int) -> tuple[int, int]:
        """Where the headers end, and where the body begins."""
        data = self._data
        for blank in (b"\r\n", b"\n"):  # a part without headers
            if data.startswith(blank, start, end):
                return start, start + len(blank)
        crlf, lf = data.find(b"\r\n\r\n", start, end), data.find(b"\n\n", start, end)
        if crlf >= 0 and (lf < 0 or crlf < lf):
            return crlf + 2, crlf + 4
        if lf >= 0:
            return lf + 1, lf + 2
        return end, end

    def _cut(self, start: int, end: int, delimiter: bytes) -> list[tuple[int, int]]:
        """Cut a container at its boundary lines (RFC 2046 5.1.1); a missing closing line is tolerated."""
        pieces: list[tuple[int, int]] = []
        begun = -1
        at = self._boundary(delimiter, start, end)
        while at >= 0:
            if begun >= 0:
                pieces.append((begun, self._before_line_end(begun, at)))
                if len(pieces) > self._limits.max_parts:
                    most = self._limits.max_parts
                    raise refuse("MSS-MIME-002", found=f"plus de {most} parties", expected=f"{most}")
            after = at + len(delimiter)
            line_end = self._data.find(b"\n", after, end)
            if self._data.startswith(b"--", after, end) or line_end < 0:
                return pieces
            begun = line_end + 1
            at = self._boundary(delimiter, begun, end)
        if begun >= 0:
            pieces.append((begun, end))
        return pieces

    def _boundary(self, delimiter: bytes, start: int, end: int) -> int:
        """The next line that is the boundary; ``--abc`` is not the line ``--abcdef`` of another one."""
        at = start if self._data.startswith(delimiter, start, end) else self._next(delimiter, start, end)
        while at >= 0:
            after = at + len(delimiter)
            line_end = self._data.find(b"\n", after, end)
            rest = self._data[after : min(line_end if line_end >= 0 else end, after + 256)]
            if rest.startswith(b"--") or not rest.strip():
                return at
            at = self._next(delimiter, after, end)
        return -1

    def _next(self, delimiter: bytes, start: int, end: int) -> int:
        found = self._data.find(b"\n" + delimiter, max(start - 1, 0), end)
        return found + 1 if found >= 0 else -1

    def _before_line_end(self, start: int, end: int) -> int:
        # The line end before a boundary belongs to the boundary.
        if self._data.endswith(b"\r\n", start, end):
            return end - 2
        return end - 1 if self._data.endswith(b"\n", start, end) else end


def _read_headers(head: bytes, limits: MimeLimits) -> EmailMessage:
    if b"\x00" in head:
        raise refuse("MSS-MIME-004", found="caractère NUL dans un en-tête")
    try:
        message = _HEADERS.parsebytes(head)
        values = [(name, len(str(value))) for name, value in message.raw_items()]
    except Exception as exc:
        raise refuse("MSS-MIME-001", found="en-têtes illisibles") from exc
    for name, length in values:
        content = name.lower().startswith("content-")
        most = limits.max_content_header if content else limits.max_header_value
        if length > most:
            raise refuse("MSS-MIME-002", found=f"en-tête de {length} caractères", expected=f"{most}")
    if not isinstance(message, EmailMessage):  # pragma: no cover - the default policy makes EmailMessage
        raise refuse("MSS-MIME-001")
    return message


def _describe(headers: EmailMessage) -> tuple[str, Mapping[str, str], str]:
    """The media type, its parameters and the file name, each header parsed once."""
    try:
        kind, place = headers.get("Content-Type"), headers.get("Content-Disposition")
        content_type = str(kind.content_type).lower() if kind is not None else "text/plain"
        parameters = {str(k).lower(): str(v) for k, v in kind.params.items()} if kind is not None else {}
        filename = (place.params.get("filename") if place is not None else None) or parameters.get("name", "")
    except Exception as exc:
        # The standard library raises many kinds of errors on hostile headers: each is one refusal here.
        raise refuse("MSS-MIME-001", found="en-têtes illisibles") from exc
    return content_type, parameters, str(filename)
