"""Files that documents carry: their base 64 read and written, and passed over where texts are looked through."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mappings.document.base import Bytes64
from mappings.fhir.values_out import plain_spaces, spell

FILE: TypeAdapter[bytes] = TypeAdapter(Bytes64)
LONG = base64.b64encode(bytes(range(256)) * 20).decode()


@given(content=st.binary(max_size=400))
def test_a_file_is_written_as_it_is_read(content: bytes) -> None:
    """Standard alphabet, padded, without line breaks (RFC 4648, 4)."""
    text = base64.b64encode(content).decode()
    assert FILE.validate_python(text) == content
    assert FILE.dump_json(content) == f'"{text}"'.encode()


@given(text=st.text(alphabet="AQz+/=- \n\u00e9", max_size=12))
def test_what_is_base64_is_what_the_standard_library_reads(text: str) -> None:
    """Neither more nor less: padding after whole groups is let be, white space is refused."""
    try:
        expected = base64.b64decode(text, validate=True)
    except ValueError:
        with pytest.raises(ValidationError, match="not base64"):
            FILE.validate_python(text)
    else:
        assert FILE.validate_python(text) == expected


@pytest.mark.parametrize("words", ["avant\u00a0", "\u202f", "simple", "a\x0bb"])
@pytest.mark.parametrize("where", [0, 1, 2])
def test_spaces_around_files_are_made_plain(words: str, where: int) -> None:
    """Before the first file, between two that are the same, and after the last."""
    value: list[Any] = [{"text": "a"}, {"data": LONG}, {"text": "b"}, {"data": LONG}, {"text": "c"}]
    value[2 * where]["text"] = words
    made = spell(value, [LONG, LONG])
    assert made[2 * where]["text"] == plain_spaces(words)
    assert [each.get("data") for each in made] == [each.get("data") for each in value]


def test_a_file_that_is_not_there_hides_nothing() -> None:
    """What begins as a file and goes on otherwise is looked through."""
    value = [{"text": LONG[:100] + "\u00a0" + LONG[100:]}, {"data": LONG}]
    assert spell(value, [LONG])[0]["text"] == LONG[:100] + " " + LONG[100:]
    assert spell(value, ["x" * 5000]) == spell(value)
