"""ZIP archives: what is refused whole, and the plain archives we write."""

from __future__ import annotations

import contextlib
import io
import shutil
import struct
import subprocess
import time
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.errors import Unreadable, UnsafeInput
from security.zip import ZipLimits, read_archive, write_archive

AT = datetime(2026, 11, 22, 9, 30, 1, tzinfo=UTC)
FILES = [
    ("INDEX.HTM", b"<html/>"),
    ("README.TXT", b"lisez-moi\r\n"),
    ("IHE_XDM/SUBSET01/METADATA.XML", b"<a/>" * 500),
    ("IHE_XDM/SUBSET01/DOC00001.XML", bytes(range(256)) * 40),
]


def _info(name: str, **attributes: Any) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("x")
    # Set afterwards: the library would clean the name.
    info.filename = info.orig_filename = name
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


def _zip(*entries: tuple[str | zipfile.ZipInfo, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", kind) as archive:
        for name, content in entries:
            archive.writestr(_info(name) if isinstance(name, str) else name, content, kind)
    return target.getvalue()


def _code(data: bytes, **limits: int) -> str:
    with pytest.raises(UnsafeInput) as caught:
        read_archive(data, ZipLimits(**limits))
    return caught.value.code


def test_what_we_write_reads_back_in_order() -> None:
    """Names, contents and order are kept."""
    assert list(read_archive(write_archive(FILES, AT)).items()) == FILES


def test_the_same_input_gives_the_same_bytes() -> None:
    """No clock, no randomness: an archive sent again is the same archive."""
    assert write_archive(FILES, AT) == write_archive(list(FILES), AT)


def test_the_bytes_are_plain_pkzip() -> None:
    """``mss.md`` 5.2: version 20, deflate, no flags, FAT attributes, no ZIP64 and no data descriptor."""
    data = write_archive(FILES, AT)
    signature, version, flags, method = struct.unpack("<4sHHH", data[:10])
    assert (signature, version, flags, method) == (b"PK\x03\x04", 20, 0, 8)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            assert (info.create_system, info.external_attr, info.extra) == (0, 0, b"")
            assert info.date_time == (2026, 11, 22, 9, 30, 0)


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
def test_another_program_reads_what_we_write(tmp_path: Path) -> None:
    """The unzip program finds no fault."""
    path = tmp_path / "ihe_xdm.zip"
    path.write_bytes(write_archive(FILES, AT))
    assert subprocess.run(["unzip", "-tq", str(path)], check=False, capture_output=True).returncode == 0  # noqa: S607


@pytest.mark.parametrize("name", ["../A", "/A", "A\\B", "é", "", "A/", "A//B", "C:A", "A\n"])
def test_bad_names_are_not_written(name: str) -> None:
    """The writer is as strict as the reader, and ASCII only."""
    with pytest.raises(ValueError, match="a name"):
        write_archive([(name, b"x")] if name != "A/" else [("A", b"x"), ("a", b"y")], AT)


def test_an_archive_without_entries_is_not_written() -> None:
    """Nothing to say is a fault of the caller."""
    with pytest.raises(ValueError, match="without entries"):
        write_archive([], AT)


@pytest.mark.parametrize(
    "name",
    [
        "../EVIL.XML",
        "IHE_XDM/SUBSET01/../../../../EVIL.XML",
        "A/..",
        "..",
        ".",
        "./A",
        "/etc/passwd",
        "//host/share",
        "C:/A",
        "C:A",
        "A:stream",
        "..\\EVIL.XML",
        "A\\B",
        "A\x00.XML",
        "A\n.XML",
        "A//B",
        "A /B",
        "A./B",
        "CON",
        "A/lpt1.txt",
        "A" * 256,
        "/",
    ],
)
def test_unsafe_names_refuse_the_archive(name: str) -> None:
    """Whatever could leave the folder, or be another file on another system; the good entries are not given."""
    assert _code(_zip(("INDEX.HTM", b"good"), (name, b"evil"))) == "ZIP-NAME-001"


def test_a_refusal_numbers_the_entry_and_never_names_it() -> None:
    """A sender may put a patient's name there."""
    with pytest.raises(UnsafeInput) as caught:
        read_archive(_zip(("A", b""), ("DUPONT/../X", b"")))
    assert "entry 2" in caught.value.found
    assert "DUPONT" not in str(caught.value)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("A.XML", "A.XML"),
        ("A.XML", "a.xml"),
        ("A/B.XML", "a/b.xml"),
        ("A", "A/B"),
        ("A/B", "a"),
        ("A/", "A"),
        ("\u00e9", "e\u0301"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_name_twice_refuses_the_archive(first: str, second: str) -> None:
    """Also in another case, as a folder, or in another Unicode form."""
    assert _code(_zip((first, b"1" * (not first.endswith("/"))), (second, b"2"))) == "ZIP-DUPLICATE-001"


def test_folders_are_left_out() -> None:
    """Folder entries are optional and carry nothing."""
    data = _zip(("IHE_XDM/", b""), ("IHE_XDM/SUBSET01/", b""), ("IHE_XDM/SUBSET01/A", b"x"))
    assert read_archive(data) == {"IHE_XDM/SUBSET01/A": b"x"}
    assert _code(_zip(("A/", b"content"))) == "ZIP-LINK-001"


@pytest.mark.parametrize(
    ("mode", "refused"), [(0o100644, False), (0o120777, True), (0o020666, True), (0o040755, True), (0o010644, True)]
)
@pytest.mark.parametrize("system", [0, 3])
def test_links_and_special_files_refuse_the_archive(mode: int, refused: bool, system: int) -> None:
    """Unix modes are believed whatever the system claimed; a file is a file."""
    data = _zip((_info("A", external_attr=mode << 16, create_system=system), b"target"))
    if refused:
        assert _code(data) == "ZIP-LINK-001"
    else:
        assert read_archive(data) == {"A": b"target"}


def _flip(data: bytes, offset: int, value: int, *, central: bool = True, local: bool = True) -> bytes:
    """Change a 16-bit field, at ``offset`` of the local header and two further in the central one."""
    out = bytearray(data)
    if local:
        struct.pack_into("<H", out, offset, value)
    if central:
        struct.pack_into("<H", out, data.index(b"PK\x01\x02") + offset + 2, value)
    return bytes(out)


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (lambda d: _flip(d, 6, 0x1), "ZIP-ENCRYPTED-001"),
        (lambda d: _flip(d, 6, 0x41), "ZIP-ENCRYPTED-001"),
        (lambda d: _flip(d, 6, 0x1, central=False), "ZIP-HEADER-001"),
        (lambda d: _flip(d, 8, 12), "ZIP-METHOD-001"),
        (lambda d: _flip(d, 8, 8, central=False), "ZIP-HEADER-001"),
        (lambda d: d.replace(b"DOC.XML", b"EVI.XML", 1), "ZIP-HEADER-001"),
        (lambda d: d.replace(b"x" * 10, b"y" * 10, 1), "ZIP-SYNTAX-001"),
        (lambda d: d[:-30], "ZIP-SYNTAX-001"),
        (lambda d: b"MZ prefix" + d, "ZIP-SYNTAX-001"),
        (lambda d: b"", "ZIP-SYNTAX-001"),
        (lambda d: b"PK\x03\x04", "ZIP-SYNTAX-001"),
        (lambda d: b"not an archive", "ZIP-SYNTAX-001"),
    ],
)
def test_encrypted_odd_or_damaged_archives_are_refused(harm: Callable[[bytes], bytes], code: str) -> None:
    """Encrypted, other methods, headers that disagree, wrong CRC, cut, prefixed, no archive."""
    assert _code(harm(_zip(("DOC.XML", b"x" * 100), kind=zipfile.ZIP_STORED))) == code


def test_a_lie_about_the_size_is_found_while_reading() -> None:
    """The header's size is the sender's word: what comes out is counted, and must agree."""
    data = bytearray(_zip(("A", b"x" * 1000)))
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 10)
    with pytest.raises(Unreadable):
        read_archive(bytes(data))


def test_overlapping_entries_refuse_the_archive() -> None:
    """Two directory entries on one body: how small archives unpack to terabytes."""
    data = _zip(("A", b"x" * 100), ("B", b"x" * 100), kind=zipfile.ZIP_STORED)
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    out = bytearray(data)
    struct.pack_into("<I", out, second + 42, 0)
    out[second + 46 : second + 47] = b"A"
    assert _code(bytes(out)) in ("ZIP-DUPLICATE-001", "ZIP-OVERLAP-001")
    # The first body reaches into the second entry.
    out = bytearray(data)
    for offset in (18, 22):
        struct.pack_into("<I", out, data.index(b"PK\x01\x02") + offset + 2, 150)
    assert _code(bytes(out)) == "ZIP-OVERLAP-001"


@pytest.mark.parametrize(
    "inner", [_zip(("A", b"x")), b"PK\x05\x06" + bytes(18), b"PK\x03\x04 anything"], ids=["zip", "empty zip", "start"]
)
def test_an_archive_in_the_archive_is_refused(inner: bytes) -> None:
    """Whatever its name says."""
    assert _code(_zip(("DOC00001.XML", inner))) == "ZIP-NESTED-001"


def test_a_bomb_is_stopped_while_reading() -> None:
    """40 MB of zeros stop at the ratio, long before they are all read."""
    data = _zip(("A", bytes(40_000_000)))
    start = time.process_time()
    assert _code(data) == "ZIP-RATIO-001"
    assert time.process_time() - start < 0.1
    assert _code(data, max_ratio=10_000, max_entry_bytes=1_000_000) == "ZIP-LARGE-001"


def test_short_files_may_compress_well() -> None:
    """The ratio is for bombs, not for a short file of spaces."""
    assert read_archive(_zip(("A", b" " * 60_000))) == {"A": b" " * 60_000}


def test_counts_and_sizes_are_bounded() -> None:
    """Archive, entries, one file, all files."""
    data = _zip(*((f"F{i}", bytes([i]) * 100) for i in range(100)))
    assert len(read_archive(data)) == 100
    assert _code(data, max_entries=99) == "ZIP-COUNT-001"
    assert _code(data, max_total_bytes=9_999) == "ZIP-LARGE-001"
    assert _code(data, max_entry_bytes=99) == "ZIP-LARGE-001"
    assert _code(data, max_bytes=len(data) - 1) == "ZIP-SIZE-001"


def test_half_a_million_entries_are_refused_at_once() -> None:
    """The directory is counted before it is listed."""
    data = b"PK\x03\x04" + (b"PK\x01\x02" + bytes(42)) * 500_000
    start = time.process_time()
    assert _code(data) == "ZIP-COUNT-001"
    assert time.process_time() - start < 0.1


@given(st.binary(max_size=200), st.integers(0, 300), st.binary(min_size=1, max_size=8))
def test_no_bytes_break_the_reader(noise: bytes, place: int, patch: bytes) -> None:
    """Noise, and a good archive with bytes changed anywhere: contents or a refusal, nothing else."""
    good = write_archive([("A.XML", b"<a/>" * 30), ("B/C.XML", b"text")], AT)
    for data in (noise, b"PK\x03\x04" + noise, good[:place] + patch + good[place + len(patch) :]):
        with contextlib.suppress(UnsafeInput):
            assert isinstance(read_archive(data), dict)
