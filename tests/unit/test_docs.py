"""Documentation that comes from the code, and links that lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("script", ["make_docs.py", "make_rules_doc.py"])
def test_reference_pages_say_what_the_code_says(script: str) -> None:
    """Settings, commands, HTTP interface, document format and rules are written from the code: none is out of date."""
    run = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), "--check"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, f"run scripts/{script}\n{run.stdout}{run.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_no_folder_of_the_machine_that_wrote_them(page: Path) -> None:
    """A page written from the code is the same wherever it is written."""
    assert str(ROOT) not in page.read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """A relative link of a page names a file that exists."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
    missing = [
        target
        for target in _LINK.findall(text)
        if not re.match(r"[a-z]+:", target)
        and not target.startswith("#")
        and not (page.parent / target.split("#")[0]).exists()
    ]
    assert not missing
