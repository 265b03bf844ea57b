"""Gzipped tar archives: unpacked in memory, whole or not at all, as ZIP archives are."""

from __future__ import annotations

import gzip
import io
import tarfile
import time

import pytest

from security.errors import Unreadable, UnsafeInput
from security.zip import ZipLimits, read_tarball


def packed(*entries: tuple[str, bytes], kind: bytes = tarfile.REGTYPE, compressed: bool = True) -> bytes:
    """An archive of some entries."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz" if compressed else "w") as archive:
        for name, data in entries:
            entry = tarfile.TarInfo(name)
            entry.type = kind
            entry.linkname = "/etc/passwd"
            entry.size = len(data) if kind == tarfile.REGTYPE else 0
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def refused(data: bytes, limits: ZipLimits | None = None) -> str:
    """The code an archive is refused with."""
    with pytest.raises((UnsafeInput, Unreadable)) as caught:
        read_tarball(data, limits or ZipLimits())
    return caught.value.code


def test_files_come_out_by_their_names_and_folders_do_not() -> None:
    """In the archive's order; a leading ``./`` is no part of a name."""
    folder = tarfile.TarInfo("package")
    folder.type = tarfile.DIRTYPE
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.addfile(folder)
        for name in ("package/b.json", "./package/a.json"):
            entry = tarfile.TarInfo(name)
            entry.size = 2
            archive.addfile(entry, io.BytesIO(b"{}"))
    assert list(read_tarball(out.getvalue()).items()) == [("package/b.json", b"{}"), ("package/a.json", b"{}")]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(kind: bytes) -> None:
    """Nothing but plain files and folders."""
    assert refused(packed(("a", b""), kind=kind)) == "ZIP-LINK-001"


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a/../../b", "C:/a", "a\\b", "a//b"])
def test_names_that_leave_the_archive_are_refused(name: str) -> None:
    """As in a ZIP."""
    assert refused(packed((name, b"x"))) == "ZIP-NAME-001"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "ZIP-SYNTAX-001"),
        (b"\x1f\x8b", "ZIP-SYNTAX-001"),
        (gzip.compress(b"no archive" * 100), "ZIP-SYNTAX-001"),
        (packed(("a", b"x" * 5000))[:-40], "ZIP-SYNTAX-001"),
        (packed(("a", b"x"), compressed=False), "ZIP-SYNTAX-001"),
    ],
    # Compressed bytes hold the time: they name no test.
    ids=["nothing", "a beginning", "no archive", "cut", "not compressed"],
)
def test_what_is_no_archive_is_told_so(data: bytes, code: str) -> None:
    """Cut short, not compressed, or something else."""
    assert refused(data) == code


def test_limits_hold() -> None:
    """Bytes of the archive, number of files, size of one."""
    data = packed(("a", b"x" * 100), ("b", b"y"))
    assert refused(data, ZipLimits(max_bytes=10)) == "ZIP-SIZE-001"
    assert refused(data, ZipLimits(max_entries=1)) == "ZIP-COUNT-001"
    assert refused(data, ZipLimits(max_entry_bytes=99)) == "ZIP-LARGE-001"


def test_a_bomb_is_stopped_while_it_swells() -> None:
    """Eighty megabytes of zeros in some kilobytes; what follows the end of an archive is not read at all."""
    start = time.process_time()
    entry = tarfile.TarInfo("a")
    entry.size = 80_000_000
    swelling = gzip.compress(entry.tobuf() + b"\x00" * 80_000_000, 9)
    assert refused(swelling, ZipLimits(max_entry_bytes=10**9, max_total_bytes=10**9)) == "ZIP-RATIO-001"
    assert list(read_tarball(packed(("a", b"x")) + gzip.compress(b"\x00" * 80_000_000, 9))) == ["a"]
    assert time.process_time() - start < 5
