"""A professional's log-in opens the structure's mailbox: provider, operator and gateway on sockets of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from adapters.mss.client import AuthMode
from adapters.mss.sandbox import SANDBOX_DOMAINS, MssSandbox
from adapters.mss.sandbox_smtp import SmtpSettings
from adapters.psc.sandbox import CLIENT_ID, CLIENT_SECRET, PscSandbox
from gateway.demonstration import Client
from gateway.journey.clock import utc_now
from gateway.services.mail_sessions import NoMailSession
from gateway.store.tables import psc_logins
from security.pki import SandboxPki, make_sandbox_pki
from tests.integration.mss.test_whole_gateway import Structures, report, send, structures, until
from tests.support.mss import DOCTOR, NURSE

PERSON = "899700218896"
CALLBACK = "https://gateway.invalid/callback"


class World:
    """The provider, the operator and the gateway."""

    def __init__(self, psc: PscSandbox, mss: MssSandbox, both: Structures) -> None:
        self.psc = psc
        self.mss = mss
        self.gateway = both.gateway
        self.client: Client = both.clients[NURSE]

    def log_in(self) -> dict[str, Any]:
        """By phone, for the mailbox."""
        asked = {"flow": "ciba", "actor": PERSON, "openMailbox": True}
        begun = self.client.request("POST", "/v1/psc/logins", json=asked)
        assert begun.status_code == 201, begun.text
        path = f"/v1/psc/logins/{begun.json()['id']}"
        found: dict[str, Any] = until(
            lambda: self.client.request("GET", path).json(), lambda body: body["state"] != "waiting"
        )
        assert (found["state"], found["mailbox"]) == ("open", True)
        return found

    def look(self, login: str) -> dict[str, Any]:
        """Where a log-in stands."""
        body: dict[str, Any] = self.client.request("GET", f"/v1/psc/logins/{login}").json()
        return body

    def token(self) -> str:
        """A token for the mailbox, as the courier asks for it."""
        logins = self.gateway.psc_logins
        assert logins is not None
        tenant = self.gateway.store.read_now(lambda c: c.execute(psc_logins.select()).first()).tenant_id
        return asyncio.run_coroutine_threadsafe(logins.token(tenant, NURSE), self.loop()).result(30)

    def keep(self) -> None:
        """The chore that renews."""
        logins = self.gateway.psc_logins
        assert logins is not None
        asyncio.run_coroutine_threadsafe(logins.keep(), self.loop()).result(30)

    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the gateway."""
        chores = self.gateway.health["chores"]
        loop: asyncio.AbstractEventLoop = chores[0].get_loop()
        return loop


@contextmanager
def world(folder: Path, pki: SandboxPki) -> Iterator[World]:
    """An operator that believes the provider's tokens, of the person who may open the mailbox, and nobody else's."""
    with PscSandbox(pki, redirect_uris=(CALLBACK,)) as psc:
        speaks = SmtpSettings(auth=AuthMode.XOAUTH2)
        with MssSandbox(
            pki,
            settings=speaks,
            require_certificate=False,
            check_token=lambda mailbox, token: mailbox == NURSE and psc.holder(token) == PERSON,
        ) as mss:
            settings = {
                "psc": {
                    "issuer": psc.issuer,
                    "wallet": psc.wallet,
                    "client_id": CLIENT_ID,
                    "client_secret": CLIENT_SECRET,
                    "redirect_uri": CALLBACK,
                    "trust": pki.trust,
                },
                "mss": {
                    "smtp_host": "localhost",
                    "smtp_port": mss.smtp_port,
                    "trust": pki.trust,
                    "auth": "xoauth2",
                    "white_list": SANDBOX_DOMAINS,
                    "max_wait_seconds": 0.5,
                },
                "imap": {"host": "localhost", "port": mss.imap_port, "auth": "xoauth2", "poll_seconds": 1.0},
            }
            with structures(folder, pki, settings, {NURSE: ("1290099886", "CABINET FICTIF")}) as both:
                yield World(psc, mss, both)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One world for the tests."""
    folder = tmp_path_factory.mktemp("mailbox")
    with world(folder, make_sandbox_pki(folder / "pki")) as made:
        yield made


@pytest.fixture(autouse=True)
def _logged_out(one: World) -> Iterator[None]:
    """Each test begins without a session."""
    yield
    now = utc_now()
    one.gateway.store.write_now(
        lambda c: c.execute(update(psc_logins).values(state="ended", expires_at=now + timedelta(days=1)))
    )


def mailed(one: World, key: str, number: int) -> Any:
    """A document to a colleague; gives how to look at its delivery."""
    asked = {"document": report(number), "deliverTo": {"dmp": False, "mss": {"recipients": [{"address": DOCTOR}]}}}
    sent = send(one.client, "/v1/documents", asked, key)
    return lambda: one.client.request("GET", f"/v1/documents/{sent['id']}").json()["deliveries"][0]


def test_mail_waits_for_a_person_and_then_leaves(one: World) -> None:
    """Without a session it says so; once the professional answered on the phone it goes, by their token."""
    delivery = mailed(one, "waits", 11)
    waiting = until(delivery, lambda d: d["state"] == "retrying")
    assert waiting["reason"] == "MSS-OUT-TOKEN"
    one.log_in()
    left = until(delivery, lambda d: d["recipientStates"][0]["state"] in ("delivered", "read"))
    assert left["state"] == "acknowledged"


def test_each_connection_has_a_token_of_its_own(one: World) -> None:
    """Tokens are renewed and never kept: neither access nor refresh token stands in the table."""
    one.log_in()
    first, second = one.token(), one.token()
    assert first != second
    assert one.psc.holder(second) == PERSON
    rows = one.gateway.store.read_now(lambda c: c.execute(psc_logins.select()).all())
    whole = b"".join(repr(tuple(row)).encode() for row in rows)
    for secret in (first, second, *one.psc._refresh):
        assert secret.encode() not in whole


def test_two_askers_at_once_do_not_lose_the_session(one: World) -> None:
    """A refresh token serves once: askers take turns, and each gets a token that is good."""
    one.log_in()
    logins = one.gateway.psc_logins
    assert logins is not None
    tenant = one.gateway.store.read_now(lambda c: c.execute(psc_logins.select()).first()).tenant_id

    async def together() -> list[str]:
        return list(await asyncio.gather(*(logins.token(tenant, NURSE) for _ in range(6))))

    tokens = asyncio.run_coroutine_threadsafe(together(), one.loop()).result(60)
    assert len(set(tokens)) == 6
    assert {one.psc.holder(token) for token in tokens} == {PERSON}


def test_a_session_over_at_the_provider_is_over_here(one: World) -> None:
    """The refresh token no longer serves: the session ends, its reason is told, mail waits for a person (ECO.1.2.6)."""
    opened = one.log_in()
    httpx.delete(f"{one.psc.api_url}/sessions", trust_env=False, timeout=10).raise_for_status()
    with pytest.raises(NoMailSession):
        one.token()
    over = one.look(opened["id"])
    assert (over["state"], over["code"]) == ("ended", "invalid_grant")
    assert "session" not in over


def test_an_outage_of_the_provider_ends_nothing(one: World) -> None:
    """No token for now; the session is there when the provider is back."""
    opened = one.log_in()
    one.psc.faults.set("unavailable", count=None, transaction="token")
    with pytest.raises(NoMailSession):
        one.token()
    one.psc.faults.clear()
    assert one.look(opened["id"])["state"] == "open"
    assert one.psc.holder(one.token()) == PERSON


def test_logging_out_closes_the_mailbox_and_tells_the_provider(one: World) -> None:
    """After DELETE neither this gateway nor the provider knows the session."""
    before = len(one.psc._refresh)
    opened = one.log_in()
    assert one.client.request("DELETE", f"/v1/psc/logins/{opened['id']}").status_code == 204
    with pytest.raises(NoMailSession):
        one.token()
    # The mailbox may be renewing its session at this very moment: the provider hears of the new one then.
    until(lambda: len(one.psc._refresh), lambda left: left <= before)


def test_a_session_ended_while_it_is_renewed_is_ended_at_the_provider_too(one: World) -> None:
    """The renewal that finds the session gone logs out with what the provider knows it by since."""
    before = len(one.psc._refresh)
    opened = one.log_in()
    logins = one.gateway.psc_logins
    assert logins is not None
    this = psc_logins.c.id == opened["id"]

    def ended(connection: Any) -> Any:
        row = connection.execute(psc_logins.select().where(this)).one()
        connection.execute(update(psc_logins).where(this).values(state="ended"))
        return row

    row = one.gateway.store.write_now(ended)
    with pytest.raises(NoMailSession):
        asyncio.run_coroutine_threadsafe(logins._renew(row), one.loop()).result(30)
    until(lambda: len(one.psc._refresh), lambda left: left <= before)


def test_a_session_at_rest_is_kept_alive_until_its_end(one: World) -> None:
    """The chore renews what rests, and ends what has reached its length."""
    opened = one.log_in()
    long_ago = utc_now() - timedelta(hours=1)
    row = psc_logins.c.id == opened["id"]

    def renewed() -> Any:
        return one.gateway.store.read_now(lambda c: c.execute(psc_logins.select().where(row)).one()).renewed_at

    one.gateway.store.write_now(lambda c: c.execute(update(psc_logins).where(row).values(renewed_at=long_ago)))
    deadline = time.monotonic() + 30
    while renewed() == long_ago:
        one.keep()
        assert time.monotonic() < deadline
    one.gateway.store.write_now(
        lambda c: c.execute(update(psc_logins).where(row).values(expires_at=utc_now() - timedelta(seconds=1)))
    )
    one.keep()
    over = one.look(opened["id"])
    assert (over["state"], over["code"]) == ("ended", "expired")
