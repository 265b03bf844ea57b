"""Client and simulated provider over TLS: code flow, CIBA, refresh, userinfo, and what each must refuse."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from adapters.psc.client import PscClient, PscRefused, PscSettings, Tokens
from adapters.psc.sandbox import CLIENT_ID, CLIENT_SECRET, PEOPLE, PscSandbox
from adapters.psc.userinfo import AmbiguousSituation, BadUserinfo, read_userinfo
from security.pki import make_sandbox_pki
from security.tls import client_ssl_context

REDIRECT = "https://gateway.invalid/callback"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PscSandbox, ssl.SSLContext]]:
    """One provider for the tests."""
    folder: Path = tmp_path_factory.mktemp("psc")
    pki = make_sandbox_pki(folder)
    with PscSandbox(pki) as sandbox:
        yield sandbox, client_ssl_context(None, pki.trust)


def client_of(provider: tuple[PscSandbox, ssl.SSLContext], **options: Any) -> PscClient:
    """A client of the provider."""
    sandbox, context = provider
    settings = PscSettings.at(
        sandbox.issuer,
        sandbox.wallet,
        client_id=CLIENT_ID,
        client_secret=options.pop("secret", CLIENT_SECRET),
        redirect_uri=REDIRECT,
    )
    return PscClient(settings, context, **options)


def browse(provider: tuple[PscSandbox, ssl.SSLContext], url: str, **more: str) -> dict[str, str]:
    """What the practitioner's browser brings back."""
    _, context = provider
    answer = httpx.get(url, params=more or None, verify=context, trust_env=False) if not more else None
    if answer is None:
        from urllib.parse import urlencode

        answer = httpx.get(f"{url}&{urlencode(more)}", verify=context, trust_env=False)
    assert answer.status_code == 302, answer.text
    return {k: v[0] for k, v in parse_qs(urlsplit(answer.headers["location"]).query).items()}


async def log_in(provider: tuple[PscSandbox, ssl.SSLContext], person: str = "899700218896") -> Tokens:
    """The whole code flow."""
    async with client_of(provider) as client:
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        url = client.authorization_url(state=state, nonce=nonce, verifier=verifier)
        back = browse(provider, url, login_hint=person)
        assert back["state"] == state
        return await client.exchange(back["code"], verifier=verifier, nonce=nonce)


def test_code_flow_to_a_practitioner(provider: tuple[PscSandbox, ssl.SSLContext]) -> None:
    """From the browser's answer to profession, specialty and structure."""

    async def run() -> None:
        tokens = await log_in(provider)
        async with client_of(provider) as client:
            person = await client.userinfo(tokens)
            assert person.id == "899700218896"
            assert person.rpps == "99700218896"
            situation = person.situation()
            assert (situation.profession, situation.specialty) == ("10", "SM54")
            assert situation.activity.structure_id == "1290099886"
            again = await client.refresh(tokens)
            assert again.access != tokens.access
            with pytest.raises(PscRefused, match="invalid_grant"):
                await client.refresh(tokens)
        assert tokens.access not in repr(tokens)

    asyncio.run(run())


def test_a_code_serves_once_and_only_its_verifier(provider: tuple[PscSandbox, ssl.SSLContext]) -> None:
    """Replayed codes, wrong verifiers and wrong nonces are refused."""

    async def run() -> None:
        async with client_of(provider) as client:
            for verifier_used, nonce_used in (("other" * 10, None), (None, "other")):
                state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
                back = browse(provider, client.authorization_url(state=state, nonce=nonce, verifier=verifier))
                with pytest.raises(PscRefused):
                    await client.exchange(back["code"], verifier=verifier_used or verifier, nonce=nonce_used or nonce)
                with pytest.raises(PscRefused, match="invalid_grant"):
                    await client.exchange(back["code"], verifier=verifier, nonce=nonce)

    asyncio.run(run())


@pytest.mark.parametrize("fault", ["wrong_nonce", "foreign_key", "unavailable", "html"])
def test_answers_that_do_not_hold(provider: tuple[PscSandbox, ssl.SSLContext], fault: str) -> None:
    """A token for another session or of another signer, an outage, a page: refused, never taken."""
    provider[0].faults.set(fault, transaction="token")
    with pytest.raises(PscRefused):
        asyncio.run(log_in(provider))
    provider[0].faults.clear()


def test_ciba_waits_for_the_practitioner(provider: tuple[PscSandbox, ssl.SSLContext]) -> None:
    """Pending, then approved on the phone; two digits bind the screens."""

    async def run() -> None:
        async with client_of(provider) as client:
            request = await client.start_ciba("810456789014")
            assert len(request.binding_message) == 2
            person = await client.userinfo(await client.wait_ciba(request))
            with pytest.raises(AmbiguousSituation) as several:
                person.situation()
            assert several.value.choices == ("1290099886", "1590780193")
            assert person.situation("1590780193").activity.sector == "SA01"
            with pytest.raises(BadUserinfo, match="PSC-SITUATION-001"):
                person.situation("1000000000")

    asyncio.run(run())


@pytest.mark.parametrize(("fault", "code"), [("access_denied", "access_denied"), ("expired", "expired_token")])
def test_ciba_refused(provider: tuple[PscSandbox, ssl.SSLContext], fault: str, code: str) -> None:
    """Denied on the phone, or too late."""

    async def run() -> None:
        async with client_of(provider) as client:
            request = await client.start_ciba("899700218896")
            provider[0].faults.set(fault, transaction="token")
            with pytest.raises(PscRefused, match=code):
                await client.wait_ciba(request)

    asyncio.run(run())


def test_ciba_slows_down_when_asked(provider: tuple[PscSandbox, ssl.SSLContext]) -> None:
    """Each slow_down adds five seconds to the interval (CIBA Core 11)."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def run() -> None:
        async with client_of(provider, sleep=sleep) as client:
            request = await client.start_ciba("899700218896")
            provider[0].faults.set("slow_down", transaction="token")
            await client.wait_ciba(request)

    asyncio.run(run())
    assert waits[1] == waits[0] + 5


def test_unknown_person_and_wrong_secret(provider: tuple[PscSandbox, ssl.SSLContext]) -> None:
    """Refused by name."""

    async def run() -> None:
        async with client_of(provider) as client:
            with pytest.raises(PscRefused, match="unknown_user_id"):
                await client.start_ciba("899999999999")
        async with client_of(provider, secret="wrong") as client:
            with pytest.raises(PscRefused, match="invalid_client"):
                await client.start_ciba("899700218896")
            expired = Tokens(access="x", expires_at=client._clock())
            with pytest.raises(PscRefused, match="http_401"):
                await client.userinfo(expired)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"SubjectNameID": "", "preferred_username": ""}, "PSC-ID-001"),
        ({"SubjectNameID": "ANS20231122132732"}, "PSC-ID-001"),
        ({"SubjectRefPro": None}, "PSC-REF-001"),
        ({"SubjectRefPro": {"exercices": []}}, "PSC-REF-001"),
    ],
)
def test_userinfo_that_names_nobody(change: dict[str, Any], code: str) -> None:
    """Never guessed, never repeated."""
    with pytest.raises(BadUserinfo, match=code) as refused:
        read_userinfo({**PEOPLE["899700218896"], **change})
    assert "KERVELLA" not in str(refused.value)
