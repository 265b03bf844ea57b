"""``$validate`` of the FHIR face, and the rules on Bundles where documents come in."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from gateway.services.checks import judge
from gateway.services.fhir_face.validate import validate
from gateway.services.intake import IntakeOptions, IntakeRefused, convert
from mappings import document as hub
from mappings import fhir
from tests.integration.conformance.test_checks_api import ask  # noqa: F401 - a fixture
from tests.support import documents

STRUCTURE = "1290099886"
FHIR = {"content-type": "application/fhir+json"}
OPTIONS = IntakeOptions(fresh_oid="2.25.1", now="2026-11-22T10:00:00+01:00")


@pytest.fixture(scope="module")
def bundle() -> dict[str, Any]:
    """A document Bundle as our writers make it."""
    return fhir.write(hub.load(documents.prescription())).bundle


def without(bundle: dict[str, Any], kind: str, member: str) -> dict[str, Any]:
    """The Bundle, its first resource of a kind without a member."""
    changed = copy.deepcopy(bundle)
    resource = next(each["resource"] for each in changed["entry"] if each["resource"]["resourceType"] == kind)
    del resource[member]
    return changed


def codes(findings: Any) -> set[str]:
    return {finding.code for finding in findings}


def test_validate_answers_with_an_outcome(ask: Callable[..., Any], bundle: dict[str, Any]) -> None:  # noqa: F811
    """Nothing to report is an information; a fault has its place; Parameters and both addresses serve."""
    bad = without(bundle, "MedicationRequest", "status")

    async def work(client: Any, _: Any) -> None:
        for address, sent in (
            ("/fhir/$validate", bundle),
            (
                "/fhir/Bundle/$validate",
                {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": bundle}]},
            ),
        ):
            answer = await client.post(address, content=orjson.dumps(sent), headers=FHIR)
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("application/fhir+json")
            outcome = answer.json()
            assert outcome["resourceType"] == "OperationOutcome"
            assert {issue["severity"] for issue in outcome["issue"]} <= {"information", "warning"}
        answer = await client.post("/fhir/$validate", content=orjson.dumps(bad), headers=FHIR)
        issues = [issue for issue in answer.json()["issue"] if issue["severity"] == "error"]
        assert answer.status_code == 200
        assert any("MedicationRequest" in "".join(issue["expression"]) or issue["expression"] for issue in issues)
        capability = (await client.get("/fhir/metadata")).json()
        assert "validate" in {operation["name"] for operation in capability["rest"][0]["operation"]}

    ask(work)


def test_validate_judges_submissions_too() -> None:
    """A PDSm transaction by its own rules, for the caller's structure."""
    empty = {"resourceType": "Bundle", "type": "transaction", "entry": []}
    assert {"PDSM-BDL-002", "PDSM-BDL-003"} <= codes(validate(orjson.dumps(empty), STRUCTURE, "test").errors)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "API-BODY-001"),
        (b"[]", "FHIR-VAL-001"),
        (b'{"resourceType": "Patient"}', "FHIR-VAL-001"),
        (b'{"resourceType": "Parameters"}', "FHIR-VAL-001"),
        (b'{"resourceType": "Bundle", "type": "document", "entry": "x"}', "FHIR-BDL-002"),
    ],
)
def test_validate_never_raises_on_what_was_sent(body: bytes, code: str) -> None:
    """Bytes that are no JSON, a resource that is not checked, members of a wrong type."""
    found = codes(validate(body, STRUCTURE, "test").errors)
    assert code in found or (code == "API-BODY-001" and len(found) == 1)


def test_validate_tells_what_the_base_specification_refuses(bundle: dict[str, Any]) -> None:
    """An element that FHIR does not have is named at its place."""
    changed = copy.deepcopy(bundle)
    changed["entry"][0]["resource"]["bogus"] = 1
    found = [each for each in validate(orjson.dumps(changed), STRUCTURE, "test").errors if each.code == "FHIR-BASE-001"]
    assert [each.location for each in found] == ["/entry/0/resource/bogus"]


@pytest.mark.parametrize(("kind", "member"), [("Composition", "custodian"), ("MedicationRequest", "status")])
def test_a_bundle_that_breaks_a_rule_is_refused_where_it_comes_in(
    bundle: dict[str, Any], kind: str, member: str
) -> None:
    """The same errors at intake as in a check: what is judged wrong is never taken in charge."""
    body = orjson.dumps(without(bundle, kind, member))
    judged = judge(body, form="fhir").verdict.errors
    assert judged
    with pytest.raises(IntakeRefused) as refused:
        convert(body, "fhir", OPTIONS)
    assert codes(judged) <= codes(refused.value.findings)
    assert any(code.startswith("FHIR-") for code in codes(judged))


def test_a_right_bundle_is_taken_in(bundle: dict[str, Any]) -> None:
    """And what is only advised comes back as warnings, each once."""
    made = convert(orjson.dumps(bundle), "fhir", OPTIONS)
    assert made.kind == "prescription"
    places = [(finding.code, finding.location) for finding in made.warnings]
    assert len(places) == len(set(places))
