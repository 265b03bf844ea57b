"""Pro Santé Connect mode of INSi: an unsigned assertion is worth the token beside it, of that very person."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.insi.assertions import Caller, psc_assertion
from adapters.insi.outcomes import Kind
from adapters.insi.sandbox import InsiSandbox
from conformance.identity.traits import Traits
from security.pki import SandboxPki

ZOE = Traits(birth_name="ADRUN", first_given_name="ZOE", sex="F", birth_date="1975-12-31", birth_place="63220")
DOCTOR = Caller(name_id="899700218896", billing_id="290099886", sector="SA07", specialty="SM54")


@pytest.fixture(scope="module")
def running(pki: SandboxPki) -> Iterator[InsiSandbox]:
    """A simulator that knows whose one token is."""
    with InsiSandbox(pki, generated=0, token_holder={"good": "899700218896", "other": "810456789014"}.get) as sandbox:
        yield sandbox


@pytest.mark.parametrize(
    ("token", "age", "code"),
    [
        ("good", timedelta(), None),
        ("", timedelta(), "sim_224"),
        ("invented", timedelta(), "sim_224"),
        ("other", timedelta(), "sim_224"),
        ("good", timedelta(minutes=6), "sim_221"),
        ("good", timedelta(minutes=-6), "sim_221"),
    ],
)
def test_only_the_person_s_own_token_at_the_moment(
    insi: InsiSandbox, use: Callable[..., Any], token: str, age: timedelta, code: str | None
) -> None:
    """Without a token, with an invented one, with somebody else's, or with a statement of another time: refused."""

    def fresh() -> list[Any]:
        return [psc_assertion(DOCTOR, "https://psc.example", assertion_id="_one", at=datetime.now(UTC) - age)]

    result = use(lambda c: c.search(ZOE, assertions=fresh, bearer=token), url=insi.assertion_url, files=None)
    assert result.outcome.original_code == code or result.outcome.kind is Kind.FOUND
    assert (result.outcome.kind is Kind.FOUND) == (code is None)
    assert token == "" or token not in repr(result)


def test_the_assertion_says_what_the_guide_asks(insi: InsiSandbox, use: Callable[..., Any]) -> None:
    """NameQualifier PSC, billing number, sector, and the specialty under its own name."""
    made = lambda: [psc_assertion(DOCTOR, "https://psc.example", assertion_id="_two", at=datetime.now(UTC))]  # noqa: E731
    use(lambda c: c.search(ZOE, assertions=made, bearer="good"), url=insi.assertion_url, files=None)
    sent = insi.journal.all()[-1].request or b""
    for text in (b'NameQualifier="PSC"', b"identifiantFacturation", b"290099886", b"codeSpecialiteAMO", b"SA07"):
        assert text in sent
    assert b"Signature" not in sent
