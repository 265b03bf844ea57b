"""Professionals logged in over HTTP by Pro Santé Connect: browser, phone, one use of each answer, sessions ended."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from gateway.demonstration import Client, Demonstration
from gateway.store.tables import psc_logins
from security import xml
from security.tls import client_ssl_context
from tests.acceptance.conftest import fault, simulator
from tests.support import documents

DOCTOR, OTHER, PHARMACIST = "899700218896", "810456789014", "810123456781"
LOGINS = "/v1/psc/logins"


@pytest.fixture(autouse=True)
def _no_fault_left(running: Demonstration) -> Any:
    """Each test switches its own faults on."""
    yield
    base = running.access.simulators["psc"]["api"] if running.access else ""
    httpx.delete(f"{base}/faults", trust_env=False, timeout=10).raise_for_status()


def begin(client: Client, **asked: Any) -> dict[str, Any]:
    """A log-in asked for."""
    answer = client.request("POST", LOGINS, json=asked)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def browse(running: Demonstration, url: str, person: str | None = None) -> str:
    """The professional logs in at the provider; gives the address their browser is sent to."""
    context = client_ssl_context(None, running.sandbox.pki.trust)
    with httpx.Client(verify=context, trust_env=False, timeout=10) as browser:
        answer = browser.get(f"{url}&login_hint={person}" if person else url)
    assert answer.status_code == 302, answer.text
    return str(answer.headers["location"])


def come_back(address: str) -> httpx.Response:
    """The browser goes where it is sent."""
    return httpx.get(address, trust_env=False, timeout=10)


def look(client: Client, login: str) -> dict[str, Any]:
    """Where a log-in stands."""
    answer = client.request("GET", f"{LOGINS}/{login}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def settled(client: Client, login: str) -> dict[str, Any]:
    """A log-in by phone, looked at until it no longer waits."""
    deadline = time.monotonic() + 30
    while (body := look(client, login))["state"] == "waiting":
        assert time.monotonic() < deadline, body
        time.sleep(body["interval"])
    return body


def rows(running: Demonstration) -> list[Any]:
    """The table as whoever steals it would read it."""
    found: list[Any] = running.gateway.store.read_now(lambda c: c.execute(psc_logins.select()).all())
    return found


def test_a_browser_comes_back_and_the_doctor_consults(running: Demonstration, vendor: Client) -> None:
    """From the page of the provider to a record read, the VIHF signed for the person who logged in."""
    begun = begin(vendor, flow="code", actor=DOCTOR)
    assert begun["state"] == "waiting"
    page = come_back(browse(running, begun["url"]))
    assert page.status_code == 200
    assert "Vous êtes connecté" in page.text
    assert page.headers["Referrer-Policy"] == "no-referrer"
    found = look(vendor, begun["id"])
    assert (found["state"], found["actor"]) == ("open", DOCTOR)

    base = running.access.simulators["dmp"]["api"] if running.access else ""
    known = {"matricule": documents.PATIENT["ins"]["value"], "authorizations": {DOCTOR: "VALIDE"}}
    httpx.post(f"{base}/patients", json=known, trust_env=False, timeout=10).raise_for_status()
    asked = {"patient": {"ins": documents.PATIENT["ins"]}}
    answer = vendor.request(
        "POST", "/v1/records/search", json=asked, headers={"Passerelle-Actor-Session": found["session"]}
    )
    assert answer.status_code == 200, answer.text
    last = simulator(running, "dmp", "/exchanges").json()[-1]
    sent = xml.parse(simulator(running, "dmp", f"/exchanges/{last['id']}/request").content)
    saml = "{urn:oasis:names:tc:SAML:2.0:assertion}"
    assert sent.find(f".//{saml}Subject/{saml}NameID").text == DOCTOR  # type: ignore[union-attr]
    context = sent.find(f".//{saml}AuthnContextClassRef")
    assert context is not None
    assert str(context.text).endswith("MobileTwoFactorUnregistered")


def test_an_answer_serves_once(running: Demonstration, vendor: Client) -> None:
    """The same address opened again says so, and changes nothing."""
    begun = begin(vendor, flow="code", actor=DOCTOR)
    address = browse(running, begun["url"])
    assert come_back(address).status_code == 200
    again = come_back(address)
    assert again.status_code == 400
    assert "n'est plus en attente" in again.text
    assert look(vendor, begun["id"])["state"] == "open"


@pytest.mark.parametrize("state", ["", "invented", "x" * 200])
def test_a_state_nobody_gave_opens_nothing(running: Demonstration, vendor: Client, state: str) -> None:
    """Another state with a good code: refused, and the log-in goes on waiting."""
    begun = begin(vendor, flow="code", actor=DOCTOR)
    code = parse_qs(urlsplit(browse(running, begun["url"])).query)["code"][0]
    page = httpx.get(
        f"{running.base_url}/v1/psc/callback", params={"state": state, "code": code}, trust_env=False, timeout=10
    )
    assert page.status_code == 400
    assert look(vendor, begun["id"])["state"] == "waiting"


def test_a_code_of_another_log_in_opens_nothing(running: Demonstration, vendor: Client) -> None:
    """PKCE ties the code to the request it answers."""
    first, second = begin(vendor, flow="code"), begin(vendor, flow="code")
    code = parse_qs(urlsplit(browse(running, first["url"], OTHER)).query)["code"][0]
    state = parse_qs(urlsplit(second["url"]).query)["state"][0]
    page = httpx.get(
        f"{running.base_url}/v1/psc/callback", params={"state": state, "code": code}, trust_env=False, timeout=10
    )
    assert page.status_code == 403
    failed = look(vendor, second["id"])
    assert (failed["state"], failed["code"]) == ("failed", "invalid_grant")


@pytest.mark.parametrize(
    ("switch", "code"),
    [
        ({"fault": "wrong_nonce", "transaction": "token"}, "bad_id_token"),
        ({"fault": "foreign_key", "transaction": "token"}, "bad_id_token"),
        ({"fault": "unavailable", "transaction": "token"}, "provider_unavailable"),
        ({"fault": "unavailable", "transaction": "userinfo"}, "provider_unavailable"),
        ({"fault": "access_denied", "transaction": "authorize"}, "access_denied"),
    ],
)
def test_what_the_provider_says_that_does_not_hold(
    running: Demonstration, vendor: Client, switch: dict[str, Any], code: str
) -> None:
    """Another nonce, an unknown signer, an outage, a refusal: no session, and the reason in words."""
    fault(running, "psc", **switch)
    begun = begin(vendor, flow="code", actor=DOCTOR)
    assert come_back(browse(running, begun["url"])).status_code == 403
    failed = look(vendor, begun["id"])
    assert (failed["state"], failed["code"]) == ("failed", code)
    assert failed["cause"]
    assert "session" not in failed


def test_somebody_else_is_not_who_was_asked_for(running: Demonstration, vendor: Client) -> None:
    """The person who logged in is checked against the one named, and against the structure."""
    begun = begin(vendor, flow="code", actor=DOCTOR)
    url = begun["url"].replace(f"login_hint={DOCTOR}", f"login_hint={OTHER}")
    assert come_back(browse(running, url)).status_code == 403
    assert look(vendor, begun["id"])["code"] == "other_person"
    elsewhere = begin(vendor, flow="code", actor=PHARMACIST)
    assert come_back(browse(running, elsewhere["url"])).status_code == 403
    assert look(vendor, elsewhere["id"])["code"] == "API-CONSULT-006"


def test_a_phone_answers(running: Demonstration, vendor: Client) -> None:
    """CIBA: two digits to compare, polled at the provider's pace, then the session; its answer serves once."""
    begun = begin(vendor, flow="ciba", actor=OTHER)
    assert len(begun["bindingMessage"]) == 2
    found = settled(vendor, begun["id"])
    assert (found["state"], found["actor"]) == ("open", OTHER)
    status = vendor.request(
        "POST",
        "/v1/records/status",
        json={"patient": {"ins": documents.PATIENT["ins"]}},
        headers={"Passerelle-Actor-Session": found["session"]},
    )
    assert status.status_code == 200, status.text


@pytest.mark.parametrize(("name", "code"), [("access_denied", "access_denied"), ("expired", "expired_token")])
def test_a_phone_that_refuses_or_is_late(running: Demonstration, vendor: Client, name: str, code: str) -> None:
    """Denied on the phone, or too late: said as such."""
    fault(running, "psc", fault=name, transaction="token")
    failed = settled(vendor, begin(vendor, flow="ciba", actor=DOCTOR)["id"])
    assert (failed["state"], failed["code"]) == ("failed", code)


def test_a_phone_nobody_has(vendor: Client) -> None:
    """CIBA needs a professional the provider knows."""
    nobody = vendor.request("POST", LOGINS, json={"flow": "ciba"})
    unknown = vendor.request("POST", LOGINS, json={"flow": "ciba", "actor": "899999999999"})
    assert (nobody.status_code, nobody.json()["faults"][0]["code"]) == (422, "API-PSC-004")
    assert (unknown.status_code, unknown.json()["faults"][0]["found"]) == (422, "unknown_user_id")


def test_another_program_sees_nothing_of_it(running: Demonstration, vendor: Client, pharmacy: Client) -> None:
    """A log-in is its program's own: neither looked at nor ended by another."""
    begun = begin(vendor, flow="code", actor=DOCTOR)
    assert pharmacy.request("GET", f"{LOGINS}/{begun['id']}").status_code == 404
    assert pharmacy.request("DELETE", f"{LOGINS}/{begun['id']}").status_code == 404
    assert vendor.request("DELETE", f"{LOGINS}/{begun['id']}").status_code == 204
    assert look(vendor, begun["id"])["state"] == "ended"
    assert come_back(browse(running, begun["url"])).status_code == 400


def test_the_table_tells_whoever_steals_it_nothing(running: Demonstration, vendor: Client) -> None:
    """Neither state, nonce, name nor session stands there in clear; what is over is emptied."""
    begun = begin(vendor, flow="code", actor=DOCTOR)
    asked = parse_qs(urlsplit(begun["url"]).query)
    come_back(browse(running, begun["url"]))
    found = look(vendor, begun["id"])
    whole = b"".join(repr(tuple(row)).encode() for row in rows(running))
    for secret in (asked["state"][0], asked["nonce"][0], DOCTOR, "KERVELLA", found["session"]):
        assert secret.encode() not in whole


def test_no_mailbox_to_open(vendor: Client) -> None:
    """Here the mailbox opens with a certificate: asking for it by a person's session is refused."""
    refused = vendor.request("POST", LOGINS, json={"flow": "code", "openMailbox": True})
    assert (refused.status_code, refused.json()["faults"][0]["code"]) == (403, "API-PSC-005")
