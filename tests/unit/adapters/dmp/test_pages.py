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
    """Every test the matrix names is there."""
    page = (ROOT / "docs" / "reference" / "dmp-requirements.md").read_text()
    names = set(re.findall(r"\btest_[a-z0-9_]+\b(?!\.py)", page))
    assert len(names) > 15
    folders = ("tests/unit/adapters/dmp", "tests/integration/dmp", "tests/unit/security", "tests/unit/mappings/xds")
    text = "".join(path.read_text() for folder in folders for path in (ROOT / folder).glob("test_*.py"))
    assert sorted(name for name in names if f"def {name}(" not in text) == []
