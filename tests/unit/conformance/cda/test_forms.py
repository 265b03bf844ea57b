"""The lexical forms of attributes: the quick answer is the right one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.cda.forms import Form, form_check
from conformance.cda.model import _table

FORMS = _table()["forms"]
NAMES = sorted(FORMS)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("uid", ["1.2.3", "0", "11111111-1111-4111-8111-11111111111a", "RUID-1"], ["", "1..2", "01.2", "1.2 ", "é"]),
        (
            "ts",
            ["2024", "20240110", "20240110093000+0100", "20240110093000.25"],
            ["", "hier", "2024-01-10", "20240110+0100"],
        ),
        ("cs", ["M", " M "], ["", "M F"]),
        ("bl", ["true", "false"], ["1", "TRUE", ""]),
        ("int", ["0", "-3", "+7"], ["", "1.5", "x"]),
        ("real", ["1", "1.5", "-.5", "1e3"], ["", "x", "1,5"]),
        ("st", ["a", " "], [""]),
        ("url", ["tel:02", "a b"], ["%zz"]),
        ("NullFlavor", ["UNK", "NA"], ["XXX", ""]),
        ("set_EntityNamePartQualifier", ["BR", "BR CL"], ["XX"]),
    ],
)
def test_a_form_knows_right_from_wrong(name: str, right: list[str], wrong: list[str]) -> None:
    """Examples of each form in use."""
    form = form_check(name, FORMS)
    assert [value for value in right if not form.fits(value)] == []
    assert [value for value in wrong if form.fits(value)] == []


@given(
    st.sampled_from(NAMES),
    st.text(max_size=20) | st.sampled_from([" M", "true ", "1.2.3", "2024", "UNK", "-1", "0\x1f0", "M\u00a0"]),
)
def test_the_quick_test_and_the_long_one_agree(name: str, value: str) -> None:
    """Whatever the text."""
    form = form_check(name, FORMS)
    assert form.fits(value) == form(value)


def test_what_is_expected_is_told_in_words_of_the_standard() -> None:
    """The first values of a list, or the name of the form."""
    assert form_check("ts", FORMS).expected == "ts"
    assert form_check("xs:boolean", FORMS).expected == "boolean"
    assert form_check("NullFlavor", FORMS).expected.endswith("…")
    assert isinstance(form_check({"base": "xs:string", "enum": ["a"]}, FORMS), Form)
