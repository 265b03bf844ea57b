"""A rule file that is wrong fails when the rules are loaded, by its name; never at the first document."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conformance.cda import rulebook
from conformance.cda.rulebook import FOLDER, RuleFileError, load, read_test, read_tests, xpath

ROW: dict[str, Any] = {"code": "CDA-HDR-999", "test": "h:title", "fr": "a", "en": "b", "fix_fr": "c", "fix_en": "d"}
ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (ROW | {"tset": "x"}, "unknown members"),
        ({key: value for key, value in ROW.items() if key != "fix_en"}, "without"),
        (ROW | {"test": "h:title["}, r"CDA-HDR-999.*h:title\["),
        (ROW | {"at": "h:("}, "CDA-HDR-999"),
    ],
)
def test_a_wrong_row_is_named_with_its_file(row: dict[str, Any], said: str) -> None:
    """A member nobody knows or that lacks, and an XPath that is none."""
    with pytest.raises(RuleFileError, match=f"some.yaml: .*{said}"):
        read_test("some.yaml", row, "source")


def test_rows_together_are_one_xpath() -> None:
    """All that is asked of one kind of element, with the text of each kept."""
    tests = read_tests("some.yaml", [ROW, ROW | {"code": "CDA-HDR-998", "test": "h:id"}], "source")
    assert tests.text == "(h:title) and (h:id)"
    assert [each.rule.source for each in tests.rules] == ["source", "source"]


@pytest.mark.parametrize("text", ["h:a/x:b", "h:a[nothing(.)]", "h:a/@x:b = 'h:c'", "h:a and x:f(1)"])
def test_a_name_that_nothing_knows_is_found_without_a_document(text: str) -> None:
    """libxml2 would say so only once a document has the element before it."""
    with pytest.raises(RuleFileError, match=r"some\.yaml: code: unknown names"):
        xpath("some.yaml", "code", text)


@pytest.mark.parametrize("text", ["ancestor::h:a", "h:a[@x='y:z(' or @xsi:type=\"p:q\"]", "count(h:a) = 1 and (h:b)"])
def test_axes_and_texts_are_no_names(text: str) -> None:
    """What stands in quotes is a value."""
    xpath("some.yaml", "code", text)


@pytest.mark.parametrize("text", ["a: [", "- a\n- b\n", "rules: []\n"])
def test_a_file_that_is_no_table_is_named(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No YAML, no mapping, or one without its source."""
    (tmp_path / "bad.yaml").write_text(text)
    monkeypatch.setattr(rulebook, "FOLDER", tmp_path)
    with pytest.raises(RuleFileError, match=r"bad\.yaml"):
        load("bad.yaml")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("cda-header.yaml", "type: ST", "type: STX"),
        ("cda-document.yaml", "count(h:templateId[@root='2.16.840.1.113883.2.8.2.1']) = 1", "count(h:templateId["),
        ("cda-sections.yaml", "templates:", "tempaltes:"),
        ("cda-entries.yaml", "is: act ACT EVN", "si: act ACT EVN"),
    ],
)
def test_the_service_does_not_start_with_a_wrong_rule_file(name: str, old: str, new: str, tmp_path: Path) -> None:
    """Importing the rules fails at once, and the last words name the file."""
    shutil.copytree(ROOT / "conformance", tmp_path / "conformance", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "security", tmp_path / "security", ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "conformance" / "rules" / name
    text = (FOLDER / name).read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", "import conformance.cda"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"RuleFileError: {name}" in done.stderr.splitlines()[-1]
