"""The pages of the reference say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from adapters.dmp.outcome_page import fhir_error_page, outcome_page

ROOT = Path(__file__).parents[4]


def test_the_page_of_outcomes_is_the_table():
    """What is published is what runs."""
    assert (ROOT / "docs" / "reference" / "dmp-outcomes.md").read_text() == outcome_page()
    assert (ROOT / "docs" / "reference" / "dmp-fhir-errors.md").read_text() == fhir_error_page()


def test_the_requirements_name_tests_that_exist():
    """Every row of the matrix names tests, and each is where the matrix says."""
    page = (ROOT / "docs" / "reference" / "dmp-requirements.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    rows = [row for row in rows if row[-1].strip() != "Test"]
    assert len(rows) > 45
    missing = []
    for row in rows:
        named = re.findall(r"`([a-z_0-9/]+\.py)?(?:::)?(test_[a-z0-9_]+)?`", row[-1])
        assert named, row[0]
        file = ""
        for path, name in named:
            file = path or file
            text = (ROOT / "tests" / file).read_text(encoding="utf-8") if (ROOT / "tests" / file).is_file() else ""
            if not text or (name and f"def {name}(" not in text):
                missing.append(f"{file}::{name}")
    assert missing == []
