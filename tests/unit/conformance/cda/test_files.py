"""Files in a CDA: base 64 told without decoding it, as the library that decodes it tells."""

from __future__ import annotations

import base64
import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.cda.files import is_base64


def decodes(text: str) -> bool:
    """What the library says, white space aside."""
    try:
        binascii.a2b_base64("".join(text.split()).encode("ascii"), strict_mode=True)
    except (UnicodeEncodeError, binascii.Error):
        return False
    return True


@given(st.text(alphabet="Az09+/= \n\t", min_size=1, max_size=24).filter(str.strip))
def test_the_answer_is_that_of_a_decoder(text: str) -> None:
    """Digits, padding and white space in any order."""
    assert is_base64(text) is decodes(text)


@given(st.binary(min_size=1, max_size=200))
def test_whatever_was_encoded_is_whole(data: bytes) -> None:
    """In one line or in several."""
    assert is_base64(base64.b64encode(data).decode())
    assert is_base64(base64.encodebytes(data).decode())


@pytest.mark.parametrize("text", ["é", "AAA-", "AA_A", "A", "AA=", "=AAA", "AA=A", "AAAA\x00", "=", " = "])
def test_what_is_no_base_64(text: str) -> None:
    """Letters of another alphabet, parts of a group, padding in the middle."""
    assert not is_base64(text)
