"""Questions about identity, and the check of a declared identity."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.identity.check import check_identity
from conformance.identity.evaluate import OPERATIONS, evaluate
from conformance.identity.rules import RULES
from conformance.identity.traits import Traits
from conformance.verdict import Verdict

NIR, TEST = "1.2.250.1.213.1.4.8", "1.2.250.1.213.1.4.10"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (
            {"op": "matricule", "value": "275126322074974", "authority": NIR, "environment": "production"},
            {"verdict": "valid", "code": None},
        ),
        (
            {"op": "matricule", "value": "221042545611404", "authority": TEST, "environment": "test"},
            {"verdict": "warning", "code": "BAD_KEY"},
        ),
        (
            {"op": "matricule", "value": "275126322074974", "authority": TEST, "environment": "production"},
            {"verdict": "invalid", "code": "rejected_test_oid"},
        ),
        ({"op": "normalise", "value": "Cœur", "kind": "given_name"}, {"output": "COEUR", "code": None}),
        (
            {
                "op": "compare",
                "local": {
                    "birth_name": "NESSI",
                    "first_given_name": "NATHALIE",
                    "given_names": None,
                    "sex": "F",
                    "birth_date": "1977-07-14",
                    "birth_place": "",
                },
                "insi": {
                    "birth_name": "NESSI",
                    "given_names": "NATHALIE",
                    "sex": "F",
                    "birth_date": "1977-07-14",
                    "birth_place": "63220",
                },
            },
            {
                "verdict": "MATCH_EQUIVALENT",
                "reasons": ["BIRTH_PLACE_TO_COMPLETE"],
                "attended": "confirm",
                "unattended": "hold",
            },
        ),
        (
            {
                "op": "transition",
                "start": {"status": "PROV", "attributes": [], "ins": False},
                "events": ["INSI_FOUND_ACCEPTED", "PROOF_HIGH_CHECKED"],
            },
            {"result": None, "end": {"status": "QUAL", "attributes": [], "ins": True}},
        ),
        (
            {"op": "transition", "start": {"status": "PROV", "attributes": ["fictif"]}, "events": ["INSI_NOT_FOUND"]},
            {"result": "INSI_CALL_FORBIDDEN", "end": {"status": "PROV", "attributes": ["fictif"], "ins": False}},
        ),
        ({"op": "birth_date", "value": "1958-00-00"}, {"output": "1958-12-31", "estimated": True, "code": None}),
        ({"op": "first_name", "first_given_name": "JEA", "given_names": "JEAN"}, {"coherent": False}),
        ({"op": "identifier", "kind": "siret", "value": "73282932100074"}, {"verdict": "invalid", "code": "BAD_SIREN"}),
        (
            {
                "op": "datamatrix",
                "identity": {
                    "matricule": "279035121518989",
                    "oid": TEST,
                    "given_names": "DOMINIQUE MARIE-LOUISE",
                    "birth_name": "PAT-TROIS",
                    "sex": "F",
                    "birth_date": "1979-03-28",
                    "birth_place": "51215",
                },
            },
            {
                "payload": "IS010000000000000000000000S1279035121518989S21.2.250.1.213.1.4.10"
                "S3DOMINIQUE MARIE-LOUISE\x1dS4PAT-TROIS\x1dS5FS628-03-1979S751215"
            },
        ),
    ],
)
def test_each_operation_answers(question: dict[str, Any], answer: dict[str, Any]) -> None:
    """One question of each kind gives exactly the members announced."""
    assert evaluate(question) == answer


@pytest.mark.parametrize(
    "question",
    [
        None,
        [],
        {},
        {"op": "rien"},
        {"op": ["matricule"]},
        {"op": "matricule"},
        {"op": "matricule", "value": 275126322074974, "authority": NIR},
        {"op": "matricule", "value": "1", "authority": NIR, "environment": "recette"},
        {"op": "normalise", "value": "A", "kind": "nom"},
        {"op": "compare", "local": {}, "insi": None},
        {"op": "compare", "local": {"sex": 1}, "insi": {}},
        {"op": "transition", "start": {"status": "X"}, "events": []},
        {"op": "transition", "start": {"status": "PROV", "attributes": ["x"]}, "events": []},
        {"op": "transition", "start": {"status": "PROV", "ins": "oui"}, "events": []},
        {"op": "transition", "start": {"status": "PROV"}, "events": ["X"]},
        {"op": "transition", "start": {"status": "PROV"}, "events": 3},
        {"op": "datamatrix", "identity": {"status": "PROV"}},
        {"op": "datamatrix", "identity": {"status": "???"}},
        {"op": "datamatrix", "identity": {"matricule": "275126322074974"}},
        {"op": "datamatrix", "identity": {"matricule": "275126322074974", "oid": NIR}},
        {"op": "identifier", "kind": "nir", "value": ""},
    ],
)
def test_what_is_not_understood_is_an_error_and_never_an_exception(question: object) -> None:
    """A wrong question gets {"error": why}."""
    answer = evaluate(question)
    assert list(answer) == ["error"]
    assert answer["error"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_MEMBERS = st.sampled_from(
    ["value", "kind", "authority", "environment", "local", "insi", "start", "events", "identity", "given_names"]
)


@given(st.sampled_from([*OPERATIONS]), st.dictionaries(_MEMBERS, _JSON))
def test_no_question_whatever_raises(operation: str, members: dict[str, Any]) -> None:
    """Any JSON under any operation gets an answer."""
    assert isinstance(evaluate({"op": operation, **members}), dict)


DOMINIQUE = Traits(
    birth_name="PAT-TROIS",
    first_given_name="DOMINIQUE",
    given_names="DOMINIQUE MARIE-LOUISE",
    sex="F",
    birth_date="1979-03-28",
    birth_place="51215",
)


def check(
    *,
    matricule: str | None = "279035121518989",
    oid: str | None = TEST,
    environment: str = "test",
    status: str = "qualifiee",
    attributes: tuple[str, ...] = (),
    **changes: str,
) -> Verdict:
    return check_identity(
        matricule=matricule,
        oid=oid,
        environment=environment,
        traits=replace(DOMINIQUE, **changes),
        status=status,
        attributes=attributes,
    )


def places(verdict: Verdict) -> list[tuple[str, str]]:
    return [(f.code, f.location) for f in verdict.findings]


def test_a_right_identity_has_nothing_to_say() -> None:
    """The published test patient passes without a word."""
    assert places(check()) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"matricule": "279035121518988"}, ("INS-KEY-002", "/patient/ins/value")),
        ({"matricule": "279035121518988", "oid": NIR}, ("INS-KEY-001", "/patient/ins/value")),
        ({"matricule": "27903512151898"}, ("INS-KEY-003", "/patient/ins/value")),
        ({"matricule": "579035121518989"}, ("INS-KEY-004", "/patient/ins/value")),
        ({"matricule": "279135121518989"}, ("INS-KEY-005", "/patient/ins/value")),
        ({"matricule": "279035121500089"}, ("INS-KEY-006", "/patient/ins/value")),
        ({"environment": "production"}, ("INS-OID-001", "/patient/ins/authority")),
        ({"environment": "production", "oid": "1.2.250.1.213.1.4.11"}, ("INS-OID-002", "/patient/ins/authority")),
        ({"oid": "1.2.250.1.213.1.4.13"}, ("INS-OID-003", "/patient/ins/authority")),
        ({"oid": ""}, ("INS-OID-004", "/patient/ins/authority")),
        ({"oid": "1.2.250.1.213.1.4.9"}, ("INS-STS-006", "/patient/ins/authority")),
        ({"birth_name": ""}, ("INS-TRT-001", "/patient/birthName")),
        ({"birth_place": ""}, ("INS-TRT-001", "/patient/birthPlace")),
        ({"birth_name": "PAT 3"}, ("INS-TRT-002", "/patient/birthName")),
        ({"given_names": "Dominique Marie-Louise"}, ("INS-TRT-003", "/patient/givenNames")),
        ({"first_given_name": "MARIE"}, ("INS-TRT-004", "/patient/firstGivenName")),
        ({"sex": "I"}, ("INS-TRT-005", "/patient/sex")),
        ({"birth_date": "28/03/1979"}, ("INS-TRT-006", "/patient/birthDate")),
        ({"birth_date": "1979-03-00"}, ("INS-TRT-007", "/patient/birthDate")),
        ({"birth_place": "2C215"}, ("INS-TRT-008", "/patient/birthPlace")),
        ({"sex": "M"}, ("INS-COH-001", "/patient/sex")),
        ({"birth_date": "2009-03-28"}, ("INS-COH-002", "/patient/birthDate")),
        ({"birth_date": "1979-04-28"}, ("INS-COH-002", "/patient/birthDate")),
        ({"birth_place": "63220"}, ("INS-COH-003", "/patient/birthPlace")),
        ({"status": "sure"}, ("INS-STS-001", "/patient/status")),
        ({"attributes": ("bizarre",)}, ("INS-STS-001", "/patient/attributes")),
        ({"attributes": ("douteux",)}, ("INS-STS-002", "/patient/status")),
        ({"attributes": ("fictif", "homonyme")}, ("INS-STS-003", "/patient/attributes")),
        ({"matricule": None, "oid": None}, ("INS-STS-004", "/patient/ins")),
        ({"status": "recuperee"}, ("INS-STS-005", "/patient/status")),
    ],
)
def test_each_rule_finds_its_fault_at_its_place(change: dict[str, Any], expected: tuple[str, str]) -> None:
    """One thing wrong gives its rule, with a JSON pointer, and never the value itself."""
    verdict = check(**change)
    assert expected in places(verdict)
    shown = repr([f.as_json() for f in verdict.findings])
    assert "PAT-TROIS" not in shown
    assert "27903512" not in shown


def test_the_key_found_and_the_key_expected_are_shown_without_the_number() -> None:
    """The fault of a mistyped key reads as the interface promises."""
    finding = check(matricule="279035121518941", oid=NIR).errors[0]
    assert (finding.found, finding.expected) == ("clé 41", "clé 89")


def test_a_patient_without_ins_is_only_checked_on_traits() -> None:
    """A provisional identity with accents and no number passes."""
    verdict = check(matricule=None, oid=None, status="provisoire", birth_name="Lefèvre", given_names="", birth_place="")
    assert places(verdict) == []


def test_special_months_and_absent_dates_do_not_alarm() -> None:
    """A month of 20 and above, and a date with zeros, say nothing of the real one."""
    assert ("INS-COH-002", "/patient/birthDate") not in places(
        check(matricule="279205121518900", birth_date="1979-00-00")
    )


def test_a_time_of_birth_is_no_fault() -> None:
    """CDA may carry the time; the date alone is judged."""
    assert places(check(birth_date="1979-03-28T04:10:00+01:00")) == []


def test_rules_have_two_languages_and_unique_codes() -> None:
    """Every rule says what is wrong, what to do and where it comes from."""
    assert len(RULES) == 27
    for rule in RULES.values():
        assert all((*rule.message, *rule.fix, rule.source))


def test_ten_thousand_questions_are_answered_in_a_second() -> None:
    """Half of them comparisons, JSON in and out, on one core, by processor time."""
    side = {
        "birth_name": "D'ARTAGNAN DE L'HERAULT",
        "first_given_name": "Pierre-Alain",
        "given_names": "PIERRE-ALAIN GUNTHER",
        "sex": "M",
        "birth_date": "2001-06-17",
        "birth_place": "63220",
    }
    asked = [
        orjson.dumps({"op": "compare", "local": side, "insi": side}),
        orjson.dumps({"op": "matricule", "value": "101066322075460", "authority": NIR, "environment": "production"}),
    ] * 2000
    start = time.process_time()
    out = [orjson.dumps(evaluate(orjson.loads(line))) for line in asked]
    assert len(out) / (time.process_time() - start) > 10_000
