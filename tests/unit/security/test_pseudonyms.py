"""Pseudonyms and commitments."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.pseudonyms import commit, new_salt, opens, pseudonym

KEY = bytes(range(32))


def test_a_pseudonym_is_stable_and_keyed() -> None:
    """The same input gives the same 64 hex digits, by plain HMAC-SHA-256 over framed parts."""
    name = pseudonym(KEY, tenant="t1", purpose="search", value="x")
    framed = b"".join(len(p).to_bytes(4, "big") + p for p in (b"pseudonym", b"t1", b"search", b"x"))
    assert name == hmac.new(KEY, framed, hashlib.sha256).hexdigest()


def test_tenant_purpose_and_key_each_change_it() -> None:
    """Pseudonyms cannot be joined across tenants, purposes or keys, nor by shifting letters between them."""
    names = {
        pseudonym(KEY, tenant="t1", purpose="search", value="x"),
        pseudonym(KEY, tenant="t2", purpose="search", value="x"),
        pseudonym(KEY, tenant="t1", purpose="count", value="x"),
        pseudonym(KEY, tenant="t1s", purpose="earch", value="x"),
        pseudonym(bytes(32), tenant="t1", purpose="search", value="x"),
    }
    assert len(names) == 5


@pytest.mark.parametrize(("key", "value"), [(b"short", "x"), (KEY, "")])
def test_weak_keys_and_empty_values_are_refused(key: bytes, value: str) -> None:
    """A short key hides nothing; an empty value would make strangers the same person."""
    with pytest.raises(ValueError, match=r"32 bytes|nothing"):
        pseudonym(key, tenant="t", purpose="p", value=value)


@given(st.binary(), st.binary(), st.binary(min_size=32, max_size=40), st.binary(min_size=32, max_size=40))
def test_a_commitment_opens_to_its_own_value_only(value: bytes, other: bytes, salt: bytes, pepper: bytes) -> None:
    """Another value or another salt does not open it."""
    commitment = commit(value, salt)
    assert opens(commitment, value, salt)
    assert opens(commitment, other, salt) is (other == value)
    assert opens(commitment, value, pepper) is (pepper == salt)


def test_salts_are_long_and_fresh() -> None:
    """A short salt could be searched."""
    assert len(new_salt()) == 32
    assert new_salt() != new_salt()
    with pytest.raises(ValueError, match="32 bytes"):
        commit(b"x", b"salt")
    assert not opens("é", b"x", bytes(32))
