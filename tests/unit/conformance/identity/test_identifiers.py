"""Identifiers: every worked vector, and the properties that hold for all."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.identifiers import (
    IDENTIFIER_KINDS,
    INS_NIA,
    INS_NIR,
    INS_NIR_DEMO,
    INS_NIR_TEST,
    Cip13,
    Cog,
    Finess,
    IdentifierError,
    Matricule,
    Oid,
    PsIdNat,
    Rpps,
    Siret,
    StructIdNat,
    Uuid,
    authority_gate,
    check_identifier,
    check_matricule,
    matricule_key,
)
from tests.unit.conformance.identity import vectors


@pytest.mark.parametrize(("text", "code", "stored"), vectors.MATRICULES)
def test_matricule_vectors(text: str, code: str | None, stored: str | None) -> None:
    """Each matricule is read, or refused with the first rule it breaks."""
    if code is None:
        number = Matricule.parse(text)
        assert number.value == stored
        assert number.key == matricule_key(number.body)
    else:
        with pytest.raises(IdentifierError) as caught:
            Matricule.parse(text)
        assert caught.value.code == code
    result = check_matricule(text, INS_NIR)
    assert (str(result.verdict), result.code) == (("valid", None) if code is None else ("invalid", code))


@pytest.mark.parametrize("oid", [INS_NIR_TEST, INS_NIR_DEMO])
def test_a_wrong_key_only_warns_under_a_test_authority(oid: str) -> None:
    """Published test patients have wrong keys: a warning in test, a refusal anywhere else."""
    result = check_matricule("221042545611404", oid, "test")
    assert (str(result.verdict), result.code) == ("warning", "BAD_KEY")
    assert not check_matricule("221042545611404", INS_NIR, "test").ok
    assert not check_matricule("221042545611404", oid, "production").ok


@pytest.mark.parametrize(
    ("oid", "production", "test"),
    [
        (INS_NIR, "accepted", "accepted"),
        (INS_NIA, "accepted", "accepted"),
        (INS_NIR_TEST, "rejected_test_oid", "accepted"),
        (INS_NIR_DEMO, "rejected_demo_oid", "accepted"),
        ("1.2.250.1.213.1.4.13", "rejected_not_ins", "rejected_not_ins"),
        ("1.2.250.1.213.1.4.2", "rejected_not_ins", "rejected_not_ins"),
        ("", "rejected_missing_oid", "rejected_missing_oid"),
        (None, "rejected_missing_oid", "rejected_missing_oid"),
    ],
)
def test_the_gate_of_authorities(oid: str | None, production: str, test: str) -> None:
    """Production takes NIR and NIA, test takes the test and demonstration authorities as well."""
    assert authority_gate(oid) == production
    assert authority_gate(oid, "test") == test
    assert check_matricule("275126322074974", oid).code == (None if production == "accepted" else production)


_BODIES = st.builds(
    lambda sex, year, month, place, serial: f"{sex}{year:02d}{month}{place}{serial:03d}",
    st.sampled_from("123478"),
    st.integers(0, 99),
    st.sampled_from([f"{m:02d}" for m in (*range(1, 13), *range(20, 43), *range(50, 100))]),
    st.one_of(st.from_regex(r"[0-9]{5}", fullmatch=True), st.from_regex(r"2[AB][0-9]{3}", fullmatch=True)),
    st.integers(1, 999),
)


@given(_BODIES)
def test_a_built_matricule_always_checks_and_no_other_key_does(body: str) -> None:
    """For each body exactly one of the hundred keys is right."""
    key = matricule_key(body)
    assert 1 <= int(key) <= 97
    assert Matricule.parse(body + key).key_ok
    right = [k for k in range(100) if check_matricule(f"{body}{k:02d}", INS_NIR).ok]
    assert right == [int(key)]


@given(_BODIES, st.integers(0, 14), st.sampled_from("0123456789"))
def test_a_single_wrong_digit_never_passes(body: str, at: int, digit: str) -> None:
    """One mistyped digit always shows, 97 being prime."""
    whole = body + matricule_key(body)
    wrong = whole[:at] + digit + whole[at + 1 :]
    if wrong != whole:
        assert not check_matricule(wrong, INS_NIR).ok


@given(st.text(max_size=20))
def test_any_text_is_judged_without_an_exception(text: str) -> None:
    """No kind of identifier raises on any text, and parse agrees with check."""
    assert check_matricule(text, INS_NIR).verdict in ("valid", "invalid")
    for kind, identifier in IDENTIFIER_KINDS.items():
        result = check_identifier(kind, text)
        parsed: str | None = None
        try:
            identifier.parse(text)
        except IdentifierError as error:
            parsed = error.code
        assert parsed == (None if result.ok else result.code) or (
            kind in ("adeli", "rpps_rank") and parsed == "BAD_KEY"
        )


def test_a_matricule_never_shows_in_repr_or_errors() -> None:
    """What reaches a log by mistake says nothing."""
    assert "275126322074974" not in repr(Matricule.parse("275126322074974"))
    with pytest.raises(IdentifierError) as caught:
        Matricule.parse("275126322074975")
    assert "2751263" not in str(caught.value)


def test_the_strict_constructor_cannot_be_bypassed() -> None:
    """A value built without parse is checked all the same."""
    with pytest.raises(IdentifierError):
        Matricule("275126322074975")
    with pytest.raises(IdentifierError):
        Matricule("275126322074974", key_ok=False)
    with pytest.raises(IdentifierError):
        Rpps("10100534437")
    with pytest.raises(IdentifierError):
        matricule_key("275A26322074")


def test_printed_forms() -> None:
    """Each type knows how it is written elsewhere."""
    assert Matricule.parse("297022a02077878").spaced == "2 97 02 2A 020 778 78"
    assert Rpps.parse("99700870589").ps_idnat == "899700870589"
    assert Finess.parse("750803447").struct_idnat == "1750803447"
    assert Siret.parse("73282932000074").siren.value == "732829320"
    assert Cip13.parse("34009 335 163 90").cip7 == "3351639"
    assert Oid.parse("urn:oid:1.2.250.1").urn == "urn:oid:1.2.250.1"
    identifier = Uuid.parse("urn:uuid:F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6")
    assert identifier.urn == "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
    assert identifier.oid.value == f"2.25.{uuid.UUID('f81d4fae-7dec-11d0-a765-00a0c91e6bf6').int}"
    assert str(Cog.parse("2b020")) == "2B020"


def test_prefixed_identifiers_say_what_they_hold() -> None:
    """The prefix tells the form; the internal part of an employee keeps its case."""
    person = PsIdNat.parse("3750803447/a.b1")
    assert (person.form, person.number, person.internal) == ("FINESS", "750803447", "a.b1")
    structure = StructIdNat.parse("499700237045007")
    assert (structure.form, structure.number, structure.internal) == ("RPPS_RANK", "99700237045007", None)


@pytest.mark.parametrize(("text", "code"), vectors.RPPS)
def test_rpps_vectors(text: str, code: str | None) -> None:
    """Eleven digits with a Luhn key, which only warns in test."""
    assert check_identifier("rpps", text).code == code
    assert check_identifier("rpps", text, "test").ok is (code in (None, "BAD_KEY"))


@pytest.mark.parametrize(("text", "verdict", "code"), vectors.PS_IDNAT)
def test_ps_idnat_vectors(text: str, verdict: str, code: str | None) -> None:
    """The inner number decides; an RPPS key only warns."""
    result = check_identifier("ps_idnat", text)
    assert (str(result.verdict), result.code) == (verdict, code)


@pytest.mark.parametrize(("text", "code"), vectors.FINESS)
def test_finess_vectors(text: str, code: str | None) -> None:
    """Luhn with A as 1 and B as 2."""
    assert check_identifier("finess", text).code == code


@pytest.mark.parametrize(("kind", "text", "code"), vectors.SIREN_SIRET)
def test_siren_and_siret_vectors(kind: str, text: str, code: str | None) -> None:
    """Luhn on nine and fourteen digits, and the rule of La Poste."""
    assert check_identifier(kind, text).code == code


@pytest.mark.parametrize(("text", "code"), vectors.STRUCT_IDNAT)
def test_struct_idnat_vectors(text: str, code: str | None) -> None:
    """The inner number decides."""
    assert check_identifier("struct_idnat", text).code == code


@pytest.mark.parametrize(("text", "code"), vectors.ADELI)
def test_adeli_vectors(text: str, code: str | None) -> None:
    """The key of a closed register never refuses."""
    result = check_identifier("adeli", text)
    assert (str(result.verdict), result.code) == ("warning" if code else "valid", code)


@pytest.mark.parametrize(("text", "code"), vectors.COG)
def test_cog_vectors(text: str, code: str | None) -> None:
    """Five characters, old codes included."""
    assert check_identifier("cog", text).code == code


@pytest.mark.parametrize(
    ("kind", "text", "code"),
    [
        ("cip13", "3400933516390", None),
        ("cip13", "3400933516391", "BAD_KEY"),
        ("cip13", "3300933516390", "BAD_FORMAT"),
        ("ucd13", "340093351639", "BAD_FORMAT"),
        ("cis", "63107752", None),
        ("cis", "6310775", "BAD_FORMAT"),
        ("lpp", "1215702", None),
        ("lpp", "12157021", "BAD_FORMAT"),
        ("oid", "1.2.250.1.213.1.4.8", None),
        ("oid", "2.999", None),
        ("oid", "1.40.1", "BAD_FORMAT"),
        ("oid", "1.2.01", "BAD_FORMAT"),
        ("oid", "2.25." + "9" * 60, "BAD_FORMAT"),
        ("uuid", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", None),
        ("uuid", "f81d4fae7dec11d0a76500a0c91e6bf6", "BAD_FORMAT"),
        ("rpps_rank", "99700237045007", None),
        ("rpps_rank", "9970023704500", "BAD_FORMAT"),
    ],
)
def test_codes_of_products_and_objects(kind: str, text: str, code: str | None) -> None:
    """Forms and EAN-13 keys."""
    assert check_identifier(kind, text).code == code
