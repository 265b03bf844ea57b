"""Findings as an OperationOutcome."""

from __future__ import annotations

import pytest
from fhir.resources.R4B.operationoutcome import OperationOutcome

from conformance.fhir import RULES
from mappings.fhir.outcome import expression, operation_outcome
from tests.support import fhir_tools


def test_each_finding_is_an_issue_with_code_words_and_place() -> None:
    """Severity, IssueType, the rule's code and words, the mend, and a FHIRPath."""
    finding = RULES["FHIR-BDL-012"].finding("/entry/0/resource/subject", found="x", expected="y")
    outcome = operation_outcome([finding])
    (issue,) = outcome["issue"]
    assert issue["severity"] == "error"
    assert issue["code"] == "not-found"
    assert issue["details"]["coding"] == [{"code": "FHIR-BDL-012"}]
    assert issue["details"]["text"].startswith("Une référence")
    assert "[x] (attendu : y)" in issue["diagnostics"]
    assert issue["expression"] == ["Bundle.entry[0].resource.subject"]
    assert operation_outcome([finding], "en")["issue"][0]["details"]["text"].startswith("A reference")
    assert fhir_tools.base_errors(outcome) == []
    OperationOutcome.model_validate(outcome)


def test_an_xpath_stays_a_location() -> None:
    """A place in a CDA is no FHIRPath."""
    (issue,) = operation_outcome([RULES["FHIR-CMP-001"].finding("/ClinicalDocument/code")])["issue"]
    assert issue["location"] == ["/ClinicalDocument/code"]
    assert "expression" not in issue


def test_no_finding_is_said_too() -> None:
    """All is well, or the words given."""
    assert operation_outcome([])["issue"][0]["severity"] == "information"
    (issue,) = operation_outcome([], fallback="Introuvable")["issue"]
    assert (issue["severity"], issue["details"]["text"]) == ("error", "Introuvable")
    assert fhir_tools.base_errors(operation_outcome([], "en")) == []


@pytest.mark.parametrize(("pointer", "path"), [("/entry/10", "Bundle.entry[10]"), ("", None), ("/a b", None)])
def test_pointers_become_paths_where_they_can(pointer: str, path: str | None) -> None:
    """A JSON pointer is a FHIRPath only when its steps are names and ranks."""
    assert expression(pointer) == path
