"""Signed calls: the right secret, the body as sent, a fresh time."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.webhooks import SignatureRefused, sign, verify

SECRET = "secret-de-test-0001"
OTHER = "secret-de-test-0002"
NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
BODY = b'{"type":"delivery.acknowledged"}'


def _code(header: str, *, body: bytes = BODY, now: datetime = NOW, secret: str = SECRET) -> str:
    with pytest.raises(SignatureRefused) as caught:
        verify(header, secret, body, now)
    return caught.value.code


def test_the_header_is_what_the_documentation_says() -> None:
    """Anyone can recompute it: HMAC-SHA-256 of the seconds, a dot and the body."""
    mark = hmac.new(SECRET.encode(), b"1795339800." + BODY, hashlib.sha256).hexdigest()
    assert int(NOW.timestamp()) == 1795339800
    assert sign(SECRET, BODY, NOW) == sign(SECRET.encode(), BODY, NOW) == f"t=1795339800,v1={mark}"


@given(st.binary(max_size=100), st.integers(-300, 300))
def test_what_is_signed_verifies_within_five_minutes(body: bytes, seconds: int) -> None:
    """The instant of signing comes back."""
    assert verify(sign(SECRET, body, NOW), SECRET, body, NOW + timedelta(seconds=seconds)) == NOW


def test_a_changed_body_time_or_secret_is_refused() -> None:
    """Everything is under the signature."""
    header = sign(SECRET, BODY, NOW)
    assert _code(header, body=BODY + b" ") == "HOOK-SIG-001"
    assert _code(header, secret=OTHER) == "HOOK-SIG-001"
    assert _code(header.replace("t=1795339800", "t=1795339801")) == "HOOK-SIG-001"


@pytest.mark.parametrize("seconds", [-301, 301])
def test_an_old_or_early_call_is_refused(seconds: int) -> None:
    """A call played back later is refused; the signature is judged first."""
    assert _code(sign(SECRET, BODY, NOW), now=NOW + timedelta(seconds=seconds)) == "HOOK-TIME-001"
    assert _code(sign(OTHER, BODY, NOW), now=NOW + timedelta(seconds=seconds)) == "HOOK-SIG-001"


def test_secrets_change_without_a_gap() -> None:
    """Signed with both, verified by the old or the new; signed with one, verified against both."""
    both = sign([OTHER, SECRET], BODY, NOW)
    assert verify(both, SECRET, BODY, NOW) == verify(both, OTHER, BODY, NOW) == NOW
    assert verify(sign(OTHER, BODY, NOW), [SECRET, OTHER], BODY, NOW) == NOW


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=1",
        "v1=aa",
        "t=x,v1=aa",
        "t=1,v1=",
        "t=1,v1=zz",
        "t=1,v1=aa,",
        "t=1," + "v1=aa," * 9 + "v1=aa",
        "t=-1,v1=a",
    ],
)
def test_malformed_headers_are_refused(header: str) -> None:
    """One form, nothing else."""
    assert _code(header) == "HOOK-FORM-001"


def test_unknown_versions_alone_do_not_pass() -> None:
    """A later scheme may stand beside v1, never instead of it."""
    assert _code("t=1795339800,v2=" + "a" * 64) == "HOOK-SIG-001"
    assert verify(sign(SECRET, BODY, NOW) + ",v2=aa", SECRET, BODY, NOW) == NOW


@pytest.mark.parametrize("secret", ["", "short", []])
def test_weak_secrets_are_refused(secret: str | list[str]) -> None:
    """A secret of under 16 bytes can be guessed."""
    with pytest.raises(ValueError, match="16 bytes"):
        sign(secret, BODY, NOW)
