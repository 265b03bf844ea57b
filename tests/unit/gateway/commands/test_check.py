"""``passerelle check`` from the command line."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner, Result

from gateway.commands.check import app
from gateway.services.checks import judge
from mappings import document as hub
from mappings import fhir
from security import xml
from tests.support import documents
from tests.support.cda import changed, one, written

SVRL = "{http://purl.oclc.org/dsdl/svrl}"


def run(*arguments: object, data: bytes | None = None) -> Result:
    """Call the command."""
    return CliRunner().invoke(app, [*map(str, arguments)], input=data)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A report without fault."""
    path = tmp_path / "good.xml"
    path.write_bytes(written("report"))
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """A report without title."""
    path = tmp_path / "bad.xml"
    path.write_bytes(changed(written("report"), lambda root: root.remove(one(root, "title"))))
    return path


def test_a_clean_document_exits_0_and_says_so(good: Path) -> None:
    """One line a file, no error."""
    result = run(good)
    assert result.exit_code == 0
    assert result.stdout == f"{good}: valide (0 erreurs, 0 alertes)\n"


def test_a_wrong_document_exits_1_with_each_finding_on_a_line(bad: Path) -> None:
    """Code, place, line, words and fix."""
    result = run(bad, "--english")
    assert result.exit_code == 1
    assert "invalid (" in result.stdout
    line = next(each for each in result.stdout.splitlines() if "CDA-HDR-106" in each)
    assert "/ClinicalDocument" in line
    assert "must appear exactly once" in line
    assert "->" in line


def test_the_gravest_file_decides_the_exit_code(good: Path, bad: Path, tmp_path: Path) -> None:
    """Several files in one call; unreadable ones outweigh wrong ones."""
    broken = tmp_path / "broken.xml"
    broken.write_bytes(b"<ClinicalDocument")
    assert run(good, bad).exit_code == 1
    assert run(broken, good, bad).exit_code == 2
    assert run(tmp_path / "absent.xml", good).exit_code == 2


def test_json_is_a_list_in_the_order_of_the_files(good: Path, bad: Path, tmp_path: Path) -> None:
    """Each file with its verdict and its findings."""
    result = run(bad, good, tmp_path / "absent.xml", "--format", "json")
    first, second, third = orjson.loads(result.stdout_bytes)
    assert (first["file"], first["verdict"], first["form"]) == (str(bad), "invalid", "cda")
    assert {"severity", "code", "location", "message"} <= first["findings"][0].keys()
    assert (second["verdict"], second["findings"]) == ("valid", [])
    assert third["verdict"] == "unreadable"


def test_hundreds_of_files_are_judged_in_one_call(good: Path, tmp_path: Path) -> None:
    """Three hundred documents, one answer."""
    for number in range(300):
        (tmp_path / f"n{number}.xml").write_bytes(good.read_bytes())
    result = run(*sorted(tmp_path.glob("n*.xml")), "--format", "json")
    assert [each["verdict"] for each in orjson.loads(result.stdout_bytes)] == ["valid"] * 300


def test_an_operation_outcome_tells_the_same_findings(bad: Path) -> None:
    """One file gives one OperationOutcome, several give a list."""
    outcome = orjson.loads(run(bad, "--format", "operationoutcome").stdout_bytes)
    assert outcome["resourceType"] == "OperationOutcome"
    assert {issue["details"]["coding"][0]["code"] for issue in outcome["issue"]} >= {"CDA-HDR-106"}
    assert len(orjson.loads(run(bad, bad, "--format", "operationoutcome").stdout_bytes)) == 2


def test_svrl_tells_the_same_findings_of_one_file(bad: Path) -> None:
    """A failed-assert a finding; two files are a wrong usage."""
    root = xml.parse(run(bad, "--format", "svrl").stdout_bytes)
    failed = root.findall(f"{SVRL}failed-assert")
    assert {each.get("id") for each in failed} == {f.code for f in judge(bad.read_bytes()).verdict.findings}
    assert all(each.findtext(f"{SVRL}text") for each in failed)
    assert run(bad, bad, "--format", "svrl").exit_code == 2


@pytest.mark.parametrize("wrong", [["--format", "xml"], ["--environment", "staging"], []])
def test_wrong_usage_exits_2(wrong: list[str], good: Path) -> None:
    """Unknown words, or no file at all."""
    assert run(*([good] if wrong else []), *wrong).exit_code == 2


def test_the_document_may_come_on_standard_input(bad: Path) -> None:
    """``-`` reads it there."""
    assert run("-", data=bad.read_bytes()).exit_code == 1


def test_a_test_identity_is_refused_in_production(good: Path) -> None:
    """The environment decides."""
    assert run(good, "--environment", "production").exit_code == 1


@pytest.mark.parametrize("kind", ["report", "prescription", "dispensation", "summary"])
def test_the_three_forms_of_a_document_are_judged(kind: str) -> None:
    """A CDA, the Bundle and the JSON of one document are all valid."""
    document = hub.load(getattr(documents, kind)())
    for form, data in (
        ("cda", written(kind)),
        ("json", document.model_dump_json(exclude_none=True).encode()),
        ("fhir", orjson.dumps(fhir.write(document).bundle)),
    ):
        judgement = judge(data)
        assert (judgement.form, judgement.word) == (form, "valid"), judgement.verdict.errors


@pytest.mark.parametrize(
    ("data", "word", "code"),
    [
        (b"{}", "invalid", "DOC-JSON-004"),
        (b"{", "unreadable", "DOC-READ-001"),
        (b'{"resourceType": "Bundle"', "unreadable", "DOC-READ-001"),
        (b'{"resourceType": "Patient"}', "invalid", "FHIR-BDL-001"),
        (b"", "unreadable", "DOC-READ-001"),
        (b"<a/>", "invalid", "CDA-STR-001"),
    ],
)
def test_what_is_no_document_is_named(data: bytes, word: str, code: str) -> None:
    """Unreadable bytes and documents of another kind are told apart."""
    judgement = judge(data)
    assert judgement.word == word
    assert code in {finding.code for finding in judgement.verdict.findings}
