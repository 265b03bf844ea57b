"""A professional proven by Pro Santé Connect consults a record: provider, gateway and DMP on sockets of their own."""

from __future__ import annotations

import asyncio
import secrets
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from adapters.psc.client import PscClient, PscSettings
from adapters.psc.sandbox import CLIENT_ID, CLIENT_SECRET
from gateway.demonstration import Client, Demonstration
from security.tls import client_ssl_context
from tests.support import documents

PATIENT = {"ins": documents.PATIENT["ins"]}


def token_of(running: Demonstration, person: str) -> str:
    """The access token that the practice's software holds once its user has logged in."""

    async def log_in() -> str:
        context = client_ssl_context(None, running.sandbox.pki.trust)
        provider = running.sandbox.psc
        redirect = "https://gateway.invalid/callback"
        settings = PscSettings.at(
            provider.issuer,
            provider.wallet,
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET,
            redirect_uri=redirect,
        )
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        async with PscClient(settings, context) as client:
            url = client.authorization_url(state=state, nonce=nonce, verifier=verifier)
            async with httpx.AsyncClient(verify=context, trust_env=False) as browser:
                answer = await browser.get(f"{url}&login_hint={person}")
            code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
            return (await client.exchange(code, verifier=verifier, nonce=nonce)).access

    return asyncio.run(log_in())


@pytest.fixture(scope="module")
def authorised(running: Demonstration) -> None:
    """The patient authorised the doctor."""
    assert running.access is not None
    known = {"matricule": documents.PATIENT["ins"]["value"], "authorizations": {"899700218896": "VALIDE"}}
    base = running.access.simulators["dmp"]["api"]
    httpx.post(f"{base}/patients", json=known, trust_env=False, timeout=10).raise_for_status()


def test_a_doctor_proven_by_the_provider_searches_a_record(
    running: Demonstration, vendor: Client, authorised: None
) -> None:
    """The token opens a session; the session opens the record; neither is ever repeated in an answer."""
    token = token_of(running, "899700218896")
    opened = vendor.request("POST", "/v1/records/sessions", json={}, headers={"Passerelle-Psc-Token": token})
    assert opened.status_code == 201, opened.text
    assert (opened.json()["actor"], opened.json()["method"]) == ("899700218896", "psc")
    assert token not in opened.text
    session = {"Passerelle-Actor-Session": opened.json()["session"]}
    found = vendor.request("POST", "/v1/records/search", json={"patient": PATIENT}, headers=session)
    assert found.status_code == 200, found.text


def test_a_token_nobody_issued_opens_nothing(vendor: Client) -> None:
    """The provider is asked at once: an invented token is refused, and is not repeated."""
    invented = "invented-" + secrets.token_hex(16)
    refused = vendor.request("POST", "/v1/records/sessions", json={}, headers={"Passerelle-Psc-Token": invented})
    assert refused.status_code == 401, refused.text
    assert invented not in refused.text


def test_a_professional_of_another_place_opens_nothing(running: Demonstration, vendor: Client) -> None:
    """A pharmacist does not act for a practice where they do not work."""
    token = token_of(running, "810123456781")
    refused = vendor.request("POST", "/v1/records/sessions", json={}, headers={"Passerelle-Psc-Token": token})
    assert refused.status_code == 403, refused.text


ZOE = {"birthName": "Adrun", "firstGivenName": "Zoé", "sex": "F", "birthDate": "1975-12-31", "birthPlace": "63220"}


def test_a_professional_asks_insi_in_their_own_name(running: Demonstration, vendor: Client) -> None:
    """With their token INSi hears an assertion about them, not the structure's certificate, and answers alike."""
    token = token_of(running, "899700218896")
    found = vendor.request("POST", "/v1/identities/search", json=ZOE, headers={"Passerelle-Psc-Token": token})
    assert found.status_code == 200, found.text
    assert (found.json()["outcome"], found.json()["comparison"]["verdict"]) == ("found", "MATCH_EXACT")
    (asked,) = running.sandbox.insi.journal.all()[-1:]
    assert b'NameQualifier="PSC"' in asked.request
    assert b">899700218896<" in asked.request
    assert token.encode() not in asked.request
    without = vendor.request("POST", "/v1/identities/search", json=ZOE)
    assert b"Assertion" not in running.sandbox.insi.journal.all()[-1].request
    assert without.json()["ins"] == found.json()["ins"]


def test_insi_is_not_asked_for_a_professional_of_another_place(running: Demonstration, vendor: Client) -> None:
    """A pharmacist's token does not serve a practice, nor does an invented one; INSi hears nothing."""
    before = len(running.sandbox.insi.journal.all())
    for token, status in ((token_of(running, "810123456781"), 403), ("invented", 401)):
        refused = vendor.request("POST", "/v1/identities/search", json=ZOE, headers={"Passerelle-Psc-Token": token})
        assert refused.status_code == status, refused.text
    assert len(running.sandbox.insi.journal.all()) == before
