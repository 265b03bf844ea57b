"""The one reader of ZIP archives, all in memory, and the writer of plain reproducible ones.

Clauses: ``mss.md`` 5.2 (bytes we write) and 7.3 (what is refused). One bad entry refuses the whole archive: an
archive that tries anything is not half trusted. Reading by name would follow ``..`` happily, so names are judged first.
"""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from isal import isal_zlib

from security.errors import Unreadable, UnsafeInput

__all__ = ["DEFAULT_LIMITS", "ZipLimits", "read_archive", "read_tarball", "write_archive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipLimits:
    """How much an archive may hold (defaults of ``mss.md`` 7.3)."""

    max_bytes: int = 25 * 1024 * 1024  #: the archive itself: a message is at most 25 MB
    max_entries: int = 100
    max_entry_bytes: int = 50 * 1024 * 1024  #: one file, counted while it is read
    max_total_bytes: int = 100 * 1024 * 1024  #: all files, counted while they are read
    max_ratio: int = 200  #: of a file's size to what it takes in the archive
    max_name: int = 255  #: characters of a name, folders included


DEFAULT_LIMITS = ZipLimits()

_CHUNK = 64 * 1024
_RATIO_FLOOR = 64 * 1024  # under this size a high ratio harms nobody (a short file of spaces)
_LOCAL_HEADER = 30
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # APPNOTE 4.4.4: encrypted, strong encryption, masked headers
_KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNIX_KIND, _UNIX_FILE, _UNIX_FOLDER = 0o170000, 0o100000, 0o040000
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{n}{i}" for n in ("COM", "LPT") for i in range(10))}


def read_archive(data: bytes, limits: ZipLimits = DEFAULT_LIMITS) -> dict[str, bytes]:
    """Unpack an archive in memory: name to content, in the archive's order, folders left out.

    Raises :class:`UnsafeInput` for whatever 7.3 refuses and :class:`Unreadable` for what is no archive. An entry is
    never named in the error by its name (a sender may put a patient in it), only by its number, from 1.
    """
    if len(data) > limits.max_bytes:
        raise UnsafeInput("ZIP-SIZE-001", f"{len(data)} bytes", f"at most {limits.max_bytes} bytes")
    if not data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        raise Unreadable("ZIP-SYNTAX-001", "bytes that do not begin as an archive", "a ZIP archive")
    # The directory is counted in the bytes first: half a million entries would take seconds to list.
    if (count := data.count(b"PK\x01\x02")) > limits.max_entries + 8:
        raise UnsafeInput("ZIP-COUNT-001", f"about {count} entries", f"at most {limits.max_entries} entries")
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, zipfile.LargeZipFile, ValueError, struct.error, NotImplementedError, EOFError):
        raise Unreadable("ZIP-SYNTAX-001", "no readable ZIP directory", "a ZIP archive") from None
    with archive:
        entries = archive.infolist()
        if len(entries) > limits.max_entries:
            raise UnsafeInput("ZIP-COUNT-001", f"{len(entries)} entries", f"at most {limits.max_entries} entries")
        _check_names(entries, limits)
        _check_kinds(entries)
        _check_layout(entries, data, archive.start_dir)
        return _read_all(archive, entries, limits)


def read_tarball(data: bytes, limits: ZipLimits = DEFAULT_LIMITS) -> dict[str, bytes]:
    """Unpack a gzipped tar archive in memory: name to content, in the archive's order, folders left out.

    Nothing is written to disk; links, devices and names that leave the archive are refused. Raises
    :class:`UnsafeInput` and :class:`Unreadable` as :func:`read_archive` does.
    """
    if len(data) > limits.max_bytes:
        raise UnsafeInput("ZIP-SIZE-001", f"{len(data)} bytes", f"at most {limits.max_bytes} bytes")
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=_Counted(data, limits), mode="r|") as archive:
            for number, entry in enumerate(archive, 1):
                if number > limits.max_entries:
                    raise UnsafeInput("ZIP-COUNT-001", f"over {number - 1} entries", f"at most {limits.max_entries}")
                if entry.isdir():
                    continue
                if not entry.isreg():
                    raise UnsafeInput("ZIP-LINK-001", f"entry {number}: a link or a special file", "plain files")
                if (fault := _name_fault(entry.name.removeprefix("./"), limits.max_name)) is not None:
                    raise UnsafeInput("ZIP-NAME-001", f"entry {number}: {fault}", "a plain relative name")
                if entry.size > limits.max_entry_bytes:
                    raise UnsafeInput("ZIP-LARGE-001", f"entry {number}: {entry.size} bytes", "smaller files")
                file = archive.extractfile(entry)
                content = file.read() if file is not None else b""
                if len(content) != entry.size:
                    raise Unreadable("ZIP-SYNTAX-001", f"entry {number}: cut short", "an entry that reads whole")
                contents[entry.name.removeprefix("./")] = content
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError):
        raise Unreadable("ZIP-SYNTAX-001", "no readable archive", "a gzipped tar archive") from None
    return contents


class _Counted(io.RawIOBase):
    """The unzipped bytes of a tarball, counted as they come out."""

    def __init__(self, data: bytes, limits: ZipLimits) -> None:
        self._source = gzip.GzipFile(fileobj=io.BytesIO(data))
        self._left = min(limits.max_total_bytes, max(_RATIO_FLOOR, limits.max_ratio * len(data)))

    def read(self, size: int = -1) -> bytes:
        piece = self._source.read(_CHUNK if size < 0 else size)
        self._left -= len(piece)
        if self._left < 0:
            raise UnsafeInput("ZIP-RATIO-001", "a compression bomb", "a lower ratio")
        return piece


def _check_names(entries: list[zipfile.ZipInfo], limits: ZipLimits) -> None:
    seen: dict[str, bool] = {}  # folded name -> is it a folder
    for number, entry in enumerate(entries, 1):
        # ``filename`` was cut at a NUL and given other separators by the library: judge what the archive says.
        name = entry.orig_filename
        if (fault := _name_fault(name, limits.max_name)) is not None:
            raise UnsafeInput("ZIP-NAME-001", f"entry {number}: {fault}", "a plain relative name")
        folded = unicodedata.normalize("NFC", name.removesuffix("/")).casefold()
        if folded in seen:
            raise UnsafeInput(
                "ZIP-DUPLICATE-001", f"entry {number}: a name already there", "each name once, in any case"
            )
        seen[folded] = name.endswith("/")
    for number, folded in enumerate(seen, 1):
        parts = folded.split("/")
        if any(seen.get("/".join(parts[:i])) is False for i in range(1, len(parts))):
            raise UnsafeInput("ZIP-DUPLICATE-001", f"entry {number}: in a folder that is a file", "files in folders")


def _name_fault(name: str, longest: int) -> str | None:
    if not name or len(name) > longest:
        return f"a name of {len(name)} characters"
    if "\x00" in name or any(ord(c) < 32 or ord(c) == 127 for c in name):
        return "a control character in the name"
    if "\\" in name:
        return "a backslash in the name"
    if name.startswith("/") or (len(name) > 1 and name[1] == ":") or ":" in name:
        return "an absolute name, a drive or a stream"
    parts = name.removesuffix("/").split("/")
    if any(p in ("", ".", "..") or p != p.strip(" ") or p.endswith(".") for p in parts):
        return "an empty, dotted or padded part in the name"
    if any(p.split(".")[0].upper() in _DEVICES for p in parts):
        return "the name of a device"
    return None


def _check_kinds(entries: list[zipfile.ZipInfo]) -> None:
    for number, entry in enumerate(entries, 1):
        if entry.flag_bits & _ENCRYPTED:
            raise UnsafeInput("ZIP-ENCRYPTED-001", f"entry {number}: encrypted", "entries in clear")
        if entry.compress_type not in _KINDS:
            found = f"entry {number}: method {entry.compress_type}"
            raise UnsafeInput("ZIP-METHOD-001", found, "stored (0) or deflate (8)")
        # High half of the attributes is a Unix mode, 0 when the writer is not Unix. The claimed system is not trusted.
        kind = (entry.external_attr >> 16) & _UNIX_KIND
        expected = _UNIX_FOLDER if entry.orig_filename.endswith("/") else _UNIX_FILE
        if kind not in (0, expected):
            raise UnsafeInput("ZIP-LINK-001", f"entry {number}: a link or a special file", "plain files and folders")


def _check_layout(entries: list[zipfile.ZipInfo], data: bytes, directory: int) -> None:
    """Refuse entries that share bytes (a bomb of overlapping files) or whose two headers disagree."""
    end = 0
    for entry in sorted(entries, key=lambda e: e.header_offset):
        number = entries.index(entry) + 1
        start = entry.header_offset
        header = data[start : start + _LOCAL_HEADER]
        if start < 0 or len(header) < _LOCAL_HEADER or not header.startswith(b"PK\x03\x04"):
            raise Unreadable("ZIP-SYNTAX-001", f"entry {number}: no local header", "a ZIP archive")
        flags, method = struct.unpack("<HH", header[6:10])
        name_length, extra_length = struct.unpack("<HH", header[26:30])
        name = data[start + _LOCAL_HEADER : start + _LOCAL_HEADER + name_length]
        same = name == _raw_name(entry) and method == entry.compress_type and flags & 0x1 == entry.flag_bits & 0x1
        if not same:
            raise UnsafeInput(
                "ZIP-HEADER-001", f"entry {number}: two headers that disagree", "the same name and method"
            )
        stop = start + _LOCAL_HEADER + name_length + extra_length + entry.compress_size
        if start < end or stop > directory:
            raise UnsafeInput("ZIP-OVERLAP-001", f"entry {number}: shares bytes with another", "entries apart")
        end = stop


def _raw_name(entry: zipfile.ZipInfo) -> bytes:
    return entry.orig_filename.encode("utf-8" if entry.flag_bits & 0x800 else "cp437")


def _read_all(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], limits: ZipLimits) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    total = 0
    for number, entry in enumerate(entries, 1):
        # Sizes in headers are the sender's word: what is counted is what comes out.
        most = min(limits.max_entry_bytes, limits.max_total_bytes - total)
        ratio_most = max(_RATIO_FLOOR, limits.max_ratio * entry.compress_size)
        content = _read_one(archive, entry, number, most, ratio_most)
        total += len(content)
        if entry.orig_filename.endswith("/"):
            if content:
                raise UnsafeInput("ZIP-LINK-001", f"entry {number}: a folder with content", "plain files and folders")
            continue
        if content.startswith(_ZIP_STARTS):
            raise UnsafeInput("ZIP-NESTED-001", f"entry {number}: an archive in the archive", "no nested archive")
        contents[entry.orig_filename] = content
    return contents


def _read_one(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, number: int, most: int, ratio_most: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    try:
        with archive.open(entry) as file:
            while piece := file.read(_CHUNK):
                size += len(piece)
                if size > most:
                    raise UnsafeInput("ZIP-LARGE-001", f"entry {number}: over {most} bytes", f"at most {most} bytes")
                if size > ratio_most:
                    raise UnsafeInput("ZIP-RATIO-001", f"entry {number}: a compression bomb", "a lower ratio")
                pieces.append(piece)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, struct.error, NotImplementedError, RuntimeError):
        raise Unreadable("ZIP-SYNTAX-001", f"entry {number}: damaged", "an entry that reads whole") from None
    if size != entry.file_size:
        raise Unreadable("ZIP-SYNTAX-001", f"entry {number}: shorter than it says", "an entry that reads whole")
    return b"".join(pieces)


def write_archive(entries: Iterable[tuple[str, bytes]], timestamp: datetime) -> bytes:
    """Write a plain archive: deflate, ASCII names with ``/``, no ZIP64, the same bytes for the same input.

    ``timestamp`` is written as it stands, to two seconds; raises ValueError for a name that a reader would refuse,
    an empty archive or a date before 1980.
    """
    moment = (timestamp.year, timestamp.month, timestamp.day, timestamp.hour, timestamp.minute, timestamp.second)
    target = io.BytesIO()
    seen: set[str] = set()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, allowZip64=False) as archive:
        for name, content in entries:
            if not name.isascii() or _name_fault(name, DEFAULT_LIMITS.max_name) or name.casefold() in seen:
                raise ValueError("a name that readers refuse")
            seen.add(name.casefold())
            info = zipfile.ZipInfo(name, date_time=moment)
            info.compress_type = zipfile.ZIP_DEFLATED if content else zipfile.ZIP_STORED
            info.create_system = 0  # FAT, as the medium that IHE XDM imitates
            info.file_size = len(content)  # known beforehand: else the entry would bear the flag of a stream
            with archive.open(info, "w") as entry:
                if content:
                    # Documents do not wait for zlib: vector instructions deflate them as well fifteen times as fast.
                    entry._compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -15)  # type: ignore[attr-defined]
                entry.write(content)
            info.external_attr = 0  # after: writing gives a Unix mode to an entry without one
    if not seen:
        raise ValueError("an archive without entries")
    return target.getvalue()
