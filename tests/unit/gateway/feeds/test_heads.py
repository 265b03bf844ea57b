"""A head survives its travel as JSON and shows any change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.feeds.heads import SignedHead, daily_root, key_id, read_head, verify_head

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def _head(**changes: object) -> SignedHead:
    head = SignedHead(
        chain="t1",
        size=3,
        root=bytes(32),
        head_hash=b"\x01" * 32,
        signed_at="2026-11-22T03:00:00.000Z",
        key_id=key_id(KEY.public_key()),
        signature=b"",
        timestamp_token=b"token",
    )
    head = replace(head, signature=KEY.sign(head.signed_bytes()))
    return replace(head, **changes)  # type: ignore[arg-type]


def test_a_head_is_read_back_as_it_was_written() -> None:
    """JSON there and back gives the same head, signature and time-stamp included."""
    assert read_head(_head().as_json()) == _head()
    assert verify_head(read_head(_head().as_json()), KEY.public_key())


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 4},
        {"root": b"\x02" * 32},
        {"head_hash": bytes(32)},
        {"chain": "t2"},
        {"signed_at": "x"},
        {"key_id": ""},
    ],
)
def test_any_change_breaks_the_signature(changes: dict[str, object]) -> None:
    """Every member is covered by the signature."""
    assert not verify_head(_head(**changes), KEY.public_key())


@pytest.mark.parametrize(
    "changes",
    [{"schema": "x"}, {"size": -1}, {"size": "3"}, {"root": 3}, {"root": "zz"}, {"signature": "*"}, {"chain": None}],
)
def test_what_is_not_a_head_is_refused(changes: dict[str, object]) -> None:
    """A missing or malformed member is a named error."""
    data = _head().as_json() | changes
    if changes.get("chain", 1) is None:
        del data["chain"]
    with pytest.raises(ValueError, match=r"FEED-HEAD-001|hexadecimal"):
        read_head(data)


def test_one_root_a_day_stands_for_all_chains() -> None:
    """The root does not depend on the order given, and changes with any head."""
    one, two = _head(), _head(chain="t2")
    assert daily_root([one, two]) == daily_root([two, one]) != daily_root([one])
