"""The signed 2D code: read back, forged, expired, of another format; and the files of the medicine database."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.orders.code import BadCode, SignedCode, read_code, write_code
from gateway.orders.products import read_presentations
from gateway.orders.states import LINE_MOVES, IllegalLineMove, LineEvent, LineState, step
from mappings.rendering.codes import png, read

KEY = b"k" * 32
DAY = date(2026, 11, 24)
CODE = SignedCode(number="EPU000000000000042", issued_on=DAY, last_day=date(2027, 2, 24), serial="0a1b2c3d")


def refusal(text: str, today: date = DAY, key: bytes = KEY) -> str:
    """The code of the rule that refuses a text."""
    with pytest.raises(BadCode) as caught:
        read_code(text, key, today=today)
    return caught.value.code


def test_a_code_is_read_back_from_its_image() -> None:
    """Through a Data Matrix and back; it names itself as a project format."""
    text = write_code(CODE, KEY)
    assert text.startswith("PASSERELLE-EP2;")
    (scanned,) = read(png(text))
    assert read_code(scanned.text, KEY, today=DAY) == CODE


def test_what_is_refused() -> None:
    """Another format, an altered field, another key, a past day."""
    text = write_code(CODE, KEY)
    assert refusal("3400935955838") == "ORD-050"
    assert refusal(text.replace("0042", "0043")) == "ORD-051"
    assert refusal(text.replace("20270224", "20280224")) == "ORD-051"
    assert refusal(text, key=b"x" * 32) == "ORD-051"
    assert refusal(text, today=date(2027, 2, 25)) == "ORD-052"
    assert read_code(text, KEY, today=date(2027, 2, 24)) == CODE


@given(st.text(max_size=60))
def test_no_text_but_ours_is_read(text: str) -> None:
    """Any other text is refused by name, never with a crash."""
    assert refusal(text) == "ORD-050"
    assert refusal(f"PASSERELLE-EP2;{text};;;;") in ("ORD-050", "ORD-051")


@given(st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=64))
def test_any_number_goes_through(number: str) -> None:
    """The number is opaque: whatever it is, it comes back."""
    code = SignedCode(number=number, issued_on=DAY, last_day=None, serial="aa")
    assert read_code(write_code(code, KEY), KEY, today=DAY) == code


def test_files_of_the_medicine_database() -> None:
    """Presentations and generic groups, tab-separated, in the encoding of the day; other lines are skipped."""
    cip = "60002283\t4949729\tplaquette\tactive\tcommercialis\xe9e\t16/03/2011\t3400949497294\toui\nx\ty\n"
    groups = "1\tANASTROZOLE\t60002283\t1\t1\t\n"
    table = read_presentations(cip.encode("iso-8859-1"), groups.encode())
    assert table.cis_of == {"3400949497294": "60002283"}
    assert table.groups_of == {"60002283": frozenset({"1"})}


def test_the_table_of_line_states() -> None:
    """Each pair of the table gives its state, every other pair is refused, and nothing leaves an end state."""
    for state in LineState:
        for event in LineEvent:
            after = LINE_MOVES.get((state, event))
            if after is None:
                with pytest.raises(IllegalLineMove):
                    step(state, event)
            else:
                assert step(state, event) is after
    for ended in (LineState.CANCELLED, LineState.EXPIRED):
        assert not [pair for pair in LINE_MOVES if pair[0] is ended]
