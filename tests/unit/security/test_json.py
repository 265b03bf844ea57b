"""JSON from outside: what is refused, what is kept exactly, and the canonical form."""

from __future__ import annotations

import json
import struct
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.errors import Unreadable, UnsafeInput
from security.json import canonical, dumps, loads

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.text().filter(lambda t: "\x00" not in t),
    lambda inner: st.lists(inner) | st.dictionaries(st.text().filter(lambda t: "\x00" not in t), inner),
)


def _code(data: bytes, **limits: Any) -> str:
    with pytest.raises(UnsafeInput) as caught:
        loads(data, **limits)
    return caught.value.code


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "JSON-EMPTY-001"),
        (b" \n", "JSON-EMPTY-001"),
        (b"{", "JSON-SYNTAX-001"),
        (b"[1,]", "JSON-SYNTAX-001"),
        (b"{'a': 1}", "JSON-SYNTAX-001"),
        (b'{"a": 1} {}', "JSON-SYNTAX-001"),
        (b'"a\nb"', "JSON-SYNTAX-001"),
        (rb'"\ud800"', "JSON-SYNTAX-001"),
        (b"NaN", "JSON-SYNTAX-001"),
        (b'{"dose": NaN}', "JSON-SYNTAX-001"),
        (b"[Infinity]", "JSON-SYNTAX-001"),
        (b"[-Infinity]", "JSON-SYNTAX-001"),
        (b"\xef\xbb\xbf", "JSON-EMPTY-001"),
        ("\ufeff{}".encode("utf-16-le"), "JSON-ENC-001"),
        ("\ufeff{}".encode("utf-16-be"), "JSON-ENC-001"),
        ('{"a": 1}'.encode("utf-16-le"), "JSON-ENC-001"),
        ('{"a": 1}'.encode("utf-16-be"), "JSON-ENC-001"),
        ('{"a": 1}'.encode("utf-32"), "JSON-ENC-001"),
        ('{"a": "é"}'.encode("latin-1"), "JSON-ENC-001"),
        (b'{"a": "\xed\xa0\x80"}', "JSON-ENC-001"),
        (b'{"a": "x\\u0000y"}', "JSON-NUL-001"),
        (b'[{"x\\u0000y": 1}]', "JSON-NUL-001"),
        (b'{"a": 1, "a": 1}', "JSON-DUPLICATE-001"),
        (rb'{"a": 1, "\u0061": 2}', "JSON-DUPLICATE-001"),
        (b'[[{"b": {"a" :1, "c": 2, "a": 3}}]]', "JSON-DUPLICATE-001"),
        (b"[1e400]", "JSON-NUMBER-001"),
        (b"[1E+0400]", "JSON-NUMBER-001"),
        (b"[-1e-99999999]", "JSON-NUMBER-001"),
        (b"1" * 65, "JSON-NUMBER-001"),
        (b"0." + b"1" * 65, "JSON-NUMBER-001"),
    ],
)
def test_bad_json_is_refused_with_its_code(data: bytes, code: str) -> None:
    """Each way of being wrong has its code, in both number modes."""
    assert _code(data) == code
    assert _code(data, decimals=True) == code


def test_malformed_json_says_where_and_never_what() -> None:
    """The line is given, the content is not."""
    with pytest.raises(Unreadable) as caught:
        loads(b'{\n"nom": "DUPONT-SECRET",\n}')
    assert caught.value.line == 3
    assert "DUPONT" not in str(caught.value)


def test_a_repeated_member_is_named_only_when_it_is_a_plain_name() -> None:
    """A plain member name helps; anything else might be a patient's."""
    with pytest.raises(UnsafeInput, match="member birthDate twice"):
        loads(b'{"birthDate": "1", "birthDate": "2"}')
    with pytest.raises(UnsafeInput) as caught:
        loads(b'{"1 85 05 78 006 048": 1, "1 85 05 78 006 048": 2}')
    assert caught.value.found == "a member twice"


def test_a_byte_order_mark_is_tolerated() -> None:
    """The commonest fault of senders harms nobody."""
    assert loads(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_text_that_imitates_structure_is_left_alone() -> None:
    """Brackets, colons, quotes, numbers and backslashes in texts are texts."""
    for text in ['": ', "[[[[", "}{" * 50, "1e400 " + "9" * 80, '\\"', "\\\\", '\\\\"[', "C:\\u0000\\", ":a", '"']:
        value = {"t": text, text: [text]}
        assert loads(json.dumps(value).encode(), max_depth=2) == value


@given(_VALUES)
def test_what_the_standard_library_writes_is_read_the_same(value: Any) -> None:
    """Any value of JSON without fractions comes back, escaped or not, compact or indented."""
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1), json.dumps(value, indent="\t")):
        assert loads(text.encode()) == value


@given(st.binary(max_size=60) | st.text('{}[]":,\\0e. tru1', max_size=60).map(str.encode))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    """Whatever comes, either a value or a refusal; a value is what the standard library reads too."""
    try:
        value = loads(data)
    except UnsafeInput:
        return
    assert value == json.loads(data.decode("utf-8-sig"))


def test_numbers_keep_their_digits() -> None:
    """Doses come as written; a 20-digit integer stays one."""
    data = b'{"dose": 1.50, "third": 0.33333333333333333333, "tiny": 5e-7, "id": 12345678901234567890, "n": -0}'
    value = loads(data, decimals=True)
    assert str(value["dose"]) == "1.50"
    assert value["third"] == Decimal("0.33333333333333333333")
    assert value["tiny"] == Decimal("0.0000005")
    assert value["id"] == loads(data)["id"] == 12345678901234567890
    assert type(value["n"]) is int
    assert loads(data)["dose"] == 1.5


def test_depth_is_counted_exactly() -> None:
    """64 levels pass and 65 do not, whatever the mix; neither do a hundred thousand."""
    assert loads(b"[" * 64 + b"]" * 64)
    assert _code(b"[" * 65 + b"]" * 65) == "JSON-DEPTH-001"
    assert _code(b'{"a":[' * 33 + b"]}" * 33) == "JSON-DEPTH-001"
    assert loads(b'{"a":[' * 32 + b"]}" * 32)
    assert _code(b"[" * 100_000) == "JSON-DEPTH-001"
    assert _code(b'{"a":' * 100_000 + b"1" + b"}" * 100_000) == "JSON-DEPTH-001"
    assert loads(b"1", max_depth=0) == 1


def test_limits_may_be_narrowed() -> None:
    """Size and count are parameters; the size is looked at first."""
    assert _code(b'{"a": 1}', max_bytes=7) == "JSON-SIZE-001"
    assert _code(b"[1, 2, 3, 4]", max_items=3) == "JSON-COUNT-001"


@pytest.mark.parametrize(
    "data",
    [
        b"[" + b"{}," * 1_700_000 + b"{}]",
        b"[" * 5_000_000,
        b"[" + b"0," * 2_400_000 + b"0]",
        b'"' + b'":' * 2_000_000,
        b"[" * 120_000 + b"]" * 120_000,
        (b"[" * 60 + b"]" * 60 + b",") * 2000,
        b"1" * 5_000_000,
        b'{"a":"' + b"\\\\" * 2_000_000,
    ],
    ids=["empty objects", "open lists", "zeros", "quotes", "deep", "many deep", "one number", "backslashes"],
)
def test_hostile_sizes_are_refused_fast(data: bytes) -> None:
    """Under 100 ms of processor each."""
    start = time.process_time()
    with pytest.raises(UnsafeInput):
        loads(data)
    assert time.process_time() - start < 0.1


def test_a_document_with_its_pdf_is_read_at_once() -> None:
    """A 60 kB PDF in base64 costs some 0.1 ms: a text is not searched for structure."""
    data = dumps({"pdf": "JVBERi0x" * 10_000, "at": "2026-01-01T09:30:00+01:00"})
    best = min(_seconds(data) for _ in range(20))
    assert best < 0.002


def _seconds(data: bytes) -> float:
    start = time.perf_counter()
    loads(data)
    return time.perf_counter() - start


def test_writing_keeps_order_and_decimals() -> None:
    """Members stay in order, a decimal is a number with its zeros, accents are UTF-8."""
    assert dumps({"b": Decimal("1.50"), "a": Decimal("1E+3"), "é": None}) == '{"b":1.50,"a":1000,"é":null}'.encode()
    assert dumps({"a": [1]}, indent=True) == b'{\n  "a": [\n    1\n  ]\n}'
    assert loads(dumps({"d": Decimal("0.10")}), decimals=True) == {"d": Decimal("0.10")}


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), object(), {1, 2}])
def test_what_is_not_json_is_not_written(value: object) -> None:
    """No invention of forms."""
    with pytest.raises(TypeError):
        dumps({"a": value})


# RFC 8785, 3.2.2 and 3.2.3
_RFC_INPUT = rb"""{
  "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
  "literals": [null, true, false]
}"""
_RFC_OUTPUT = (
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
    '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
)
_RFC_KEYS = {
    "\u20ac": "Euro Sign",
    "\r": "Carriage Return",
    "\ufb33": "Hebrew Letter Dalet With Dagesh",
    "1": "One",
    "\U0001f600": "Emoji: Grinning Face",
    "\u0080": "Control",
    "\u00f6": "Latin Small Letter O With Diaeresis",
}
# RFC 8785, appendix B
_RFC_FLOATS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}


def test_the_canonical_form_is_that_of_the_rfc() -> None:
    """RFC 8785: its example, its order of members, its numbers."""
    assert canonical(loads(_RFC_INPUT)).decode() == _RFC_OUTPUT
    order = list(json.loads(canonical(_RFC_KEYS)).values())
    assert order == [_RFC_KEYS[k] for k in ("\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33")]
    for bits, text in _RFC_FLOATS.items():
        assert canonical(struct.unpack(">d", bytes.fromhex(bits))[0]).decode() == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, {1: 2}, "\ud800", Decimal("1.5"), b"x"])
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    """Nothing is hashed under an approximate form."""
    with pytest.raises(ValueError, match=r".+"):
        canonical(value)
