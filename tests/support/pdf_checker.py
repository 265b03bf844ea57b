"""The outside checkers of PDF/A-1b (veraPDF and PDFBox Preflight), in the folder named by PASSERELLE_PDF_CHECKER."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support import outside

__all__ = ["page_texts", "pdfa_faults"]


def pdfa_faults(files: Mapping[str, bytes], folder: Path) -> dict[str, list[str]]:
    """The faults found in each file, by its name; an empty list is a clean PDF/A-1b.

    The files are written in ``folder``. Skips the test (fails when strict) without Java or the checkers.
    """
    place = os.environ.get("PASSERELLE_PDF_CHECKER", "")
    java = shutil.which("java")
    if not java or not place or not Path(place, "PdfCheck.class").is_file():
        outside.missing("PASSERELLE_PDF_CHECKER", "source .ci/install-pdf-checker.sh (Java 17 and Maven)")
    names = {}
    for name, data in files.items():
        path = folder / f"{len(names)}.pdf"
        path.write_bytes(data)
        names[str(path)] = name
    done = subprocess.run(
        [str(java), "-cp", f"{place}/lib/*:{place}", "PdfCheck", *names],
        capture_output=True,
        text=True,
        timeout=110,
        check=True,
    )
    seen: dict[str, set[str]] = {name: set() for name in files}
    faults: dict[str, list[str]] = {name: [] for name in files}
    for line in done.stdout.splitlines():
        path_name, checker, what = line.split("\t", 2)
        seen[names[path_name]].add(checker)
        if what != "ok":
            faults[names[path_name]].append(f"{checker}: {what}")
    for name, checkers in seen.items():
        if checkers != {"verapdf", "preflight"}:
            faults[name].append(f"only checked by {sorted(checkers)}")
    return faults


def page_texts(data: bytes, folder: Path) -> list[str]:
    """The text of each page as a reader extracts it (pdftotext of poppler-utils)."""
    tool = shutil.which("pdftotext")
    if not tool:
        outside.missing("pdftotext", "install poppler-utils")
    path = folder / "read.pdf"
    path.write_bytes(data)
    done = subprocess.run(
        [str(tool), "-layout", "-enc", "UTF-8", str(path), "-"], capture_output=True, timeout=60, check=True
    )
    return done.stdout.decode("utf-8").rstrip("\f").split("\f")
