"""Traits: the lexical profile, first names, incomplete dates, and the comparison with INSi."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.identity.comparison import REASONS, Match, compare
from conformance.identity.traits import Traits, complete_date, first_name_coherent, normalise, spaced
from tests.unit.conformance.identity import vectors


@pytest.mark.parametrize(("text", "kind", "output", "code"), vectors.NAMES)
def test_normalisation_vectors(text: str, kind: str, output: str, code: str | None) -> None:
    """Each name is written as INSi does, and said to be wrong when it is."""
    assert normalise(text, kind) == (output, code)


@pytest.mark.parametrize(
    ("text", "kind", "output", "code"),
    [
        ("'AÏT-ALI", "birth_name", "'AIT-ALI", None),
        ("N''DIAYE", "birth_name", "N''DIAYE", "SPACE_APOSTROPHE_COMBINATION"),
        ("A---B", "birth_name", "A---B", "TRIPLE_HYPHEN"),
        ("JEAN'", "given_name", "JEAN'", "BAD_LAST_CHARACTER"),
        ("LE\u00a0GOFF", "birth_name", "LE GOFF", None),
        ("\tLe–Goff ", "birth_name", "LE-GOFF", None),
        ("A" * 101, "birth_name", "A" * 101, "TOO_LONG"),
        ("Łoś Þór Đặng", "birth_name", "LOS THOR DANG", None),
        ("ЖАН", "given_name", "ЖАН", "FORBIDDEN_CHARACTER"),
        ("Jean\x1dPaul", "given_name", "JEAN\x1dPAUL", "FORBIDDEN_CHARACTER"),
        ("\u0301", "given_name", "", "EMPTY"),
    ],
)
def test_names_that_are_not_in_the_book(text: str, kind: str, output: str, code: str | None) -> None:
    """Apostrophes first, odd spaces, dashes, other alphabets and control characters."""
    assert normalise(text, kind) == (output, code)


@given(st.text(max_size=120), st.sampled_from(["birth_name", "given_name"]))
def test_normalisation_is_idempotent_and_only_lets_the_profile_through(text: str, kind: str) -> None:
    """Normalising twice changes nothing; without a code only A-Z, space, apostrophe and hyphen remain."""
    once = normalise(text, kind)
    assert normalise(once.output, kind) == once
    if once.code is None:
        assert re.fullmatch(r"[A-Z'][A-Z' \-]{0,99}", once.output)


@given(st.text(alphabet="ABÉœ' -", max_size=12))
def test_case_never_matters(text: str) -> None:
    """Upper and lower case give the same name."""
    assert normalise(text.lower()) == normalise(text.upper())


@pytest.mark.parametrize(("first", "names", "coherent"), vectors.FIRST_NAMES)
def test_first_name_vectors(first: str, names: str, coherent: bool) -> None:
    """The first name is the beginning of the list on a word boundary."""
    assert first_name_coherent(first, names) is coherent


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1975-12-31", ("1975-12-31", False, None)),
        ("1955-06-00", ("1955-06-01", True, None)),
        ("1955-00-12", ("1955-01-12", True, None)),
        ("1955-00-00", ("1955-12-31", True, None)),
        ("1955", ("1955-12-31", True, None)),
        ("1955-06", ("1955-06-01", True, None)),
        ("1999-02-30", ("1999-02-01", True, None)),
        ("2000-02-29", ("2000-02-29", False, None)),
        ("1900-02-29", ("1900-02-01", True, None)),
        ("1999-13-05", ("1999-12-31", True, None)),
        ("1999-00-32", ("1999-12-31", True, None)),
        ("0000-05-01", (None, True, "BIRTH_YEAR_UNKNOWN")),
        ("19551231", (None, False, "BAD_FORMAT")),
        ("31/12/1955", (None, False, "BAD_FORMAT")),
        ("", (None, False, "BAD_FORMAT")),
        ("１９５５-01-01", (None, False, "BAD_FORMAT")),
    ],
)
def test_incomplete_dates(value: str, expected: tuple[str | None, bool, str | None]) -> None:
    """Each row of the completion rules, and dates that are none."""
    assert complete_date(value) == expected


@given(st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", fullmatch=True))
def test_a_completed_date_is_complete(value: str) -> None:
    """Completing a completed date changes nothing and estimates nothing."""
    output, estimated, _ = complete_date(value)
    if output is not None:
        assert complete_date(output) == (output, False, None)
        assert estimated is (output != value)


def local_of(values: tuple[str, ...]) -> Traits:
    name, first, names, sex, date, place = values
    return Traits(
        birth_name=name, first_given_name=first, given_names=names, sex=sex, birth_date=date, birth_place=place
    )


def insi_of(values: tuple[str, ...]) -> Traits:
    name, names, sex, date, place = values
    return Traits(birth_name=name, given_names=names, sex=sex, birth_date=date, birth_place=place)


@pytest.mark.parametrize(("label", "local", "insi", "verdict", "reasons"), vectors.COMPARISONS)
def test_comparison_vectors(
    label: str, local: tuple[str, ...], insi: tuple[str, ...], verdict: str, reasons: tuple[str, ...]
) -> None:
    """Each worked pair gives its verdict and its reasons in order."""
    result = compare(local_of(local), insi_of(insi))
    assert (result.verdict, result.reasons) == (verdict, reasons), label


ZOE = Traits(
    birth_name="ADRUN",
    first_given_name="ZOE",
    given_names="ZOE LEA",
    sex="F",
    birth_date="1975-12-31",
    birth_place="63220",
)


@pytest.mark.parametrize(
    ("local", "insi", "verdict", "reasons"),
    [
        ({"birth_name": "Adrùn", "first_given_name": "Zoé"}, {}, "MATCH_EXACT", ()),
        ({"birth_name": "LEGOFF"}, {"birth_name": "LE GOFF"}, "NO_MATCH", ("BIRTH_NAME_DIFFERS",)),
        ({"birth_name": "NDIAYE"}, {"birth_name": "N'DIAYE"}, "NO_MATCH", ("BIRTH_NAME_DIFFERS",)),
        ({"birth_name": ""}, {"birth_name": ""}, "NO_MATCH", ("BIRTH_NAME_DIFFERS",)),
        ({"first_given_name": ""}, {}, "MATCH_EXACT", ()),
        ({"first_given_name": "", "given_names": ""}, {}, "NO_MATCH", ("FIRST_GIVEN_NAME_DIFFERS",)),
        ({}, {"given_names": "", "first_given_name": ""}, "NO_MATCH", ("FIRST_GIVEN_NAME_DIFFERS",)),
        ({"first_given_name": "ZO"}, {}, "NO_MATCH", ("FIRST_GIVEN_NAME_DIFFERS",)),
        ({"given_names": "ZOE-LEA"}, {}, "MATCH_EQUIVALENT", ("GIVEN_LIST_SEPARATORS",)),
        ({"given_names": "ZOE LEA ANNE"}, {}, "REVIEW", ("GIVEN_LIST_DIFFERS",)),
        ({"sex": "M"}, {}, "NO_MATCH", ("SEX_DIFFERS",)),
        ({"sex": ""}, {"sex": ""}, "NO_MATCH", ("SEX_DIFFERS",)),
        ({"sex": "I"}, {"sex": "I"}, "REVIEW", ("SEX_UNDETERMINED",)),
        ({"birth_date": "0000-00-00"}, {"birth_date": "0000-00-00"}, "REVIEW", ("BIRTH_YEAR_UNKNOWN",)),
        ({"birth_date": "1955-00-00"}, {"birth_date": "1955-00-00"}, "MATCH_EXACT", ()),
        ({"birth_date": ""}, {"birth_date": ""}, "NO_MATCH", ("BIRTH_DATE_DIFFERS",)),
        ({"birth_place": ""}, {"birth_place": ""}, "MATCH_EQUIVALENT", ("BIRTH_PLACE_ABSENT_IN_INSI",)),
        ({"birth_place": "99999"}, {}, "MATCH_EQUIVALENT", ("BIRTH_PLACE_TO_COMPLETE",)),
        ({}, {"birth_place": "99999"}, "REVIEW", ("BIRTH_PLACE_UNKNOWN_IN_INSI",)),
        ({"birth_place": "2a020"}, {"birth_place": "2A020"}, "MATCH_EXACT", ()),
        ({"birth_place": "99350"}, {"birth_place": "95012"}, "REVIEW", ("BIRTH_PLACE_HISTORICAL_CODE",)),
        ({"birth_place": "96001"}, {"birth_place": "99351"}, "REVIEW", ("BIRTH_PLACE_HISTORICAL_CODE",)),
        ({"birth_place": "20004"}, {"birth_place": "2A004"}, "REVIEW", ("BIRTH_PLACE_HISTORICAL_CODE",)),
        ({"birth_place": "20004"}, {"birth_place": "2A005"}, "NO_MATCH", ("BIRTH_PLACE_DIFFERS",)),
        ({"birth_place": "92012"}, {"birth_place": "75012"}, "REVIEW", ("BIRTH_PLACE_HISTORICAL_CODE",)),
        ({"birth_place": "78646"}, {"birth_place": "95646"}, "REVIEW", ("BIRTH_PLACE_HISTORICAL_CODE",)),
        ({"birth_place": "92012"}, {"birth_place": "75013"}, "NO_MATCH", ("BIRTH_PLACE_DIFFERS",)),
    ],
)
def test_each_reason_on_its_own(
    local: dict[str, str], insi: dict[str, str], verdict: str, reasons: tuple[str, ...]
) -> None:
    """One trait changed at a time; an unknown never equals an unknown."""
    result = compare(replace(ZOE, **local), replace(ZOE, **insi))
    assert (result.verdict, result.reasons) == (verdict, reasons)


def test_a_twin_and_a_namesake_never_match_exactly() -> None:
    """Same traits but the first name, or but the date, is another person."""
    assert compare(ZOE, replace(ZOE, first_given_name="LEA", given_names="LEA ZOE")).match is Match.REVIEW
    assert compare(ZOE, replace(ZOE, given_names="EMMA")).match is Match.NO_MATCH
    assert compare(ZOE, replace(ZOE, birth_date="1945-12-31")).match is Match.NO_MATCH


_TRAITS = st.builds(
    Traits,
    birth_name=st.sampled_from(["", "ADRUN", "D'AEION", "D AEION", "Le Goff"]),
    first_given_name=st.sampled_from(["", "ZOE", "LEA", "Jean-Paul", "JEAN PAUL", "JEAN"]),
    given_names=st.sampled_from(["", "ZOE LEA", "ZOE", "JEAN-PAUL", "JEAN PAUL LUC"]),
    sex=st.sampled_from(["", "M", "F", "I"]),
    birth_date=st.sampled_from(["", "1955-00-00", "1955-12-31", "0000-01-01", "1955-02-30", "x"]),
    birth_place=st.sampled_from(["", "99999", "2A020", "20020", "75012", "92012", "99352", "91352"]),
)


@given(_TRAITS, _TRAITS)
def test_comparison_is_symmetric_where_it_should_be(a: Traits, b: Traits) -> None:
    """Names, sex and dates judge alike from both sides; only exact matches pass unattended."""
    symmetric = ("BIRTH_NAME", "SEX", "BIRTH_DATE", "BIRTH_YEAR")
    there, back = compare(a, b), compare(b, a)
    assert [r for r in there.reasons if r.startswith(symmetric)] == [r for r in back.reasons if r.startswith(symmetric)]
    historical = "BIRTH_PLACE_HISTORICAL_CODE"
    assert (historical in there.reasons) is (historical in back.reasons)
    assert (there.unattended == "accept") is (there.match is Match.MATCH_EXACT)
    assert set(there.reasons) <= set(REASONS)
    assert there.match == max((REASONS[r] for r in there.reasons), default=Match.MATCH_EXACT)


@pytest.mark.parametrize(
    ("verdict", "attended", "unattended"),
    [
        ("MATCH_EXACT", "accept", "accept"),
        ("MATCH_EQUIVALENT", "confirm", "hold"),
        ("REVIEW", "recheck_proof", "refuse"),
        ("NO_MATCH", "refuse", "refuse"),
    ],
)
def test_what_each_verdict_permits(verdict: str, attended: str, unattended: str) -> None:
    """REVIEW and NO_MATCH never release when nobody looks."""
    changes = {"MATCH_EQUIVALENT": {"birth_place": ""}, "REVIEW": {"sex": "I"}, "NO_MATCH": {"sex": "M"}}
    result = compare(replace(ZOE, **changes.get(verdict, {})), ZOE)
    assert (result.verdict, result.attended, result.unattended) == (verdict, attended, unattended)


def test_traits_hide_themselves() -> None:
    """repr names the traits held, never their values; foreign values are refused."""
    assert repr(ZOE).count("ZOE") == 0
    assert Traits.of(ZOE.as_dict()) == ZOE
    with pytest.raises(TypeError):
        Traits.of({"birth_name": 3})


def test_a_missing_separator_is_a_difference() -> None:
    """Runs of separators become one space, and none is invented."""
    assert spaced("D'ARTAGNAN--DE L'HERAULT") == "D ARTAGNAN DE L HERAULT"
    assert spaced("LEGOFF") == "LEGOFF"
