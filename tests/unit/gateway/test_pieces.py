"""Where a file stands in what holds it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pieces import cut, where

_FEW = st.text(alphabet="ab", max_size=200).map(str.encode)


@given(data=_FEW, content=_FEW.filter(bool), start=st.integers(0, 50))
def test_it_is_found_where_a_plain_search_finds_it(data: bytes, content: bytes, start: int) -> None:
    """Texts that repeat themselves included."""
    assert where(data, content, start) == data.find(content, start)


@given(around=st.lists(_FEW, min_size=1, max_size=4), content=st.binary(min_size=70, max_size=300))
def test_what_is_cut_is_joined_again(around: list[bytes], content: bytes) -> None:
    """None of the parts holds the content."""
    whole = content.join(around)
    parts = cut(whole, content)
    assert content.join(parts) == whole
    assert parts == tuple(whole.split(content))


def test_nothing_is_cut_by_an_empty_content() -> None:
    """It stands everywhere, as for split."""
    with pytest.raises(ValueError, match="empty"):
        cut(b"abc", b"")


def test_what_repeats_itself_takes_no_longer() -> None:
    """A file of one letter in a text of it is not compared at every place."""
    data = b"A" * 3_000_000
    content = b"A" * 1_500_000 + b"B"
    start = time.process_time()
    assert where(data, content) == -1
    assert time.process_time() - start < 5
