"""Registry errors in FHIR, and back."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.dmp.fhir_errors import ISSUES, issue_of, operation_outcome, read_operation_outcome
from adapters.dmp.outcome_table import TABLE
from adapters.dmp.outcomes import Kind, Layer, outcome
from conformance.verdict import Text
from tests.support import fhir_tools


def test_every_registry_error_has_its_issue():
    """No registry error of the table of outcomes is without an HTTP status and an issue type."""
    codes = {code for layer, code in TABLE if layer is Layer.REGISTRY}
    assert codes - ISSUES.keys() == set()
    assert issue_of("DMPJamaisVu") == (422, "processing")


@pytest.mark.parametrize("code", sorted(ISSUES))
def test_a_code_survives_the_way_there_and_back(code: str):
    """The outcome is the same by FHIR as by XDS, and the resource is valid."""
    status, _ = issue_of(code)
    resource = operation_outcome(code, Text("Cause", "Cause"), location="/entry/0", diagnostics="d")
    assert fhir_tools.base_errors(resource) == []
    said = read_operation_outcome(resource, status, retry_after=3)
    layer = Layer.SOAP if code in ("DMPInvalidVIHF", "DMPInvalidCertificate") else Layer.REGISTRY
    assert said.kind is outcome(layer, code).kind
    assert (said.original_code, said.original_text, said.http_status) == (code, "Cause", status)
    assert said.retry_after == 3


@pytest.mark.parametrize(
    ("resource", "status", "kind"),
    [
        (None, 503, Kind.RETRY),
        (None, 500, Kind.ASK_REGISTRY),
        ({"resourceType": "OperationOutcome", "issue": "x"}, 422, Kind.REFUSED),
        ({"issue": [{"severity": "warning", "code": "duplicate"}]}, 422, Kind.REFUSED),
        ({"issue": [{"severity": "error", "code": "duplicate"}]}, 422, Kind.ALREADY_THERE),
        ({"issue": [{"severity": "fatal", "code": "exception", "diagnostics": "x"}]}, 500, Kind.ASK_REGISTRY),
        ({"issue": [{"severity": "error", "code": "not-found"}]}, 404, Kind.REFUSED),
        (None, 404, Kind.OPERATOR),
        ({"issue": [{"severity": "error", "code": "x", "details": {"coding": [3]}}]}, 422, Kind.REFUSED),
        ([], 401, Kind.OPERATOR),
    ],
)
def test_refusals_without_a_registry_code(resource: Any, status: int, kind: Kind):
    """The HTTP status and the issue type decide; odd resources leave no trace."""
    assert read_operation_outcome(resource, status).kind is kind
