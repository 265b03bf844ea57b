"""Sealing at rest: opened by the right key, tenant and place, and by nothing else."""

from __future__ import annotations

import os
import pickle
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.sealing import SealBroken, Sealer, content_address

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
SEALER = Sealer({"2026": OLD}, "2026")
BOTH = Sealer({"2026": OLD, "2027": NEW}, "2027")
HERE = {"tenant": "t1", "context": "documents/doc_1"}


@given(st.binary(max_size=500), st.text(max_size=20), st.text(max_size=20))
def test_what_is_sealed_opens_and_does_not_show(data: bytes, tenant: str, context: str) -> None:
    """Any bytes come back, and are nowhere in what is stored."""
    sealed = SEALER.seal(data, tenant=tenant, context=context)
    assert SEALER.open(sealed, tenant=tenant, context=context) == data
    assert len(data) < 4 or data not in sealed


def test_the_same_bytes_are_never_sealed_alike() -> None:
    """Two sealings of one document cannot be told to be the same."""
    first, second = SEALER.seal(b"x" * 64, **HERE), SEALER.seal(b"x" * 64, **HERE)
    assert first[-64:] != second[-64:]


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"tenant": "t2", "context": "documents/doc_1"},
        {"tenant": "t1", "context": "documents/doc_2"},
        {"tenant": "t1d", "context": "ocuments/doc_1"},
    ],
)
def test_sealed_bytes_do_not_open_elsewhere(elsewhere: dict[str, str]) -> None:
    """Moved to another tenant or row, they stay closed, and cannot be re-wrapped either."""
    sealed = SEALER.seal(b"secret", **HERE)
    with pytest.raises(SealBroken, match="SEAL-OPEN-001"):
        SEALER.open(sealed, **elsewhere)
    with pytest.raises(SealBroken, match="SEAL-OPEN-001"):
        BOTH.rewrap(sealed, **elsewhere)


def test_any_changed_byte_is_noticed() -> None:
    """Every byte of the envelope and of the content is under the seal."""
    sealed = SEALER.seal(b"secret", **HERE)
    for place in range(len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(SealBroken):
            SEALER.open(changed, **HERE)


@pytest.mark.parametrize(
    "sealed", [b"", b"\x02", b"\x01" + bytes(200), b"\x02\xff" + bytes(100), b"\x02\x04\xff\xfe00" + bytes(99)]
)
def test_what_is_not_sealed_is_refused(sealed: bytes) -> None:
    """Short, of another version, of an unknown key: one kind of error."""
    with pytest.raises(SealBroken):
        SEALER.open(sealed, **HERE)


def test_a_new_master_key_takes_over_without_touching_content() -> None:
    """After rotation old documents open, are re-wrapped, and then open without the old key."""
    sealed = SEALER.seal(b"secret" * 100, **HERE)
    assert BOTH.open(sealed, **HERE) == b"secret" * 100
    moved = BOTH.rewrap(sealed, **HERE)
    assert (Sealer.key_id(sealed), Sealer.key_id(moved)) == ("2026", "2027")
    assert moved[-616:] == sealed[-616:]
    assert Sealer({"2027": NEW}, "2027").open(moved, **HERE) == b"secret" * 100
    assert BOTH.rewrap(moved, **HERE) is moved
    with pytest.raises(SealBroken, match="SEAL-KEY-001"):
        SEALER.open(moved, **HERE)


@pytest.mark.parametrize(
    ("keys", "current"), [({"a": b"short"}, "a"), ({"": OLD}, ""), ({"é": OLD}, "é"), ({"a": OLD}, "b"), ({}, "a")]
)
def test_bad_master_keys_are_refused(keys: dict[str, bytes], current: str) -> None:
    """Short keys, odd ids, a current key that is absent."""
    with pytest.raises(ValueError, match="master key"):
        Sealer(keys, current)


def test_nothing_shows_a_master_key() -> None:
    """Neither repr nor pickle."""
    assert repr(SEALER) == "Sealer(current='2026', keys=['2026'])"
    with pytest.raises(TypeError):
        pickle.dumps(SEALER)


def test_a_content_address_depends_on_the_tenant() -> None:
    """The same document has unrelated addresses at two tenants; a short key is refused."""
    assert content_address(OLD, b"x") == content_address(OLD, b"x") != content_address(NEW, b"x")
    assert len(content_address(OLD, b"")) == 64
    with pytest.raises(ValueError, match="32 bytes"):
        content_address(b"short", b"x")


def test_sealing_a_document_is_fast() -> None:
    """60 kB: under 0.3 ms at rest, five times that on a busy machine."""
    data = os.urandom(60_000)
    best = min(_seconds(data) for _ in range(30))
    assert best < 0.0015


def _seconds(data: bytes) -> float:
    start = time.perf_counter()
    SEALER.seal(data, **HERE)
    return time.perf_counter() - start
