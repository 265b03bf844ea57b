"""Log-ins of several nodes over one database, on both engines, against the simulated provider."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import select

from adapters.psc.sandbox import CLIENT_ID, CLIENT_SECRET, PscSandbox
from gateway import tenants
from gateway.services.mail_sessions import NoMailSession
from gateway.services.psc_logins import PscLogins, Wanted
from gateway.settings import Settings
from gateway.store.engine import Store
from gateway.store.tables import psc_logins
from gateway.tenants import Tenant
from gateway.vault import Vault
from security.pki import make_sandbox_pki
from security.tls import client_ssl_context
from security.tokens import make_client_key

DOCTOR, MAILBOX = "899700218896", "cabinet@structure.formation.mssante.fr"
CALLBACK = "https://gateway.invalid/callback"


class Provider:
    """The provider, and how to reach it."""

    def __init__(self, sandbox: PscSandbox, context: ssl.SSLContext, trust: Path) -> None:
        self.sandbox = sandbox
        self.context = context
        self.trust = trust


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """One provider for the tests."""
    pki = make_sandbox_pki(tmp_path_factory.mktemp("psc"))
    with PscSandbox(pki, redirect_uris=(CALLBACK,)) as sandbox:
        yield Provider(sandbox, client_ssl_context(None, pki.trust), pki.trust)


class Nodes:
    """Two nodes of one gateway, with a clock that a test may move forward."""

    def __init__(self, provider: Provider, store: Store, vault: Vault, tenant: Tenant) -> None:
        self.provider, self.store, self.vault, self.tenant = provider, store, vault, tenant
        self.later = timedelta()
        psc = {
            "issuer": provider.sandbox.issuer,
            "wallet": provider.sandbox.wallet,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "redirect_uri": CALLBACK,
            "trust": provider.trust,
        }
        self.settings = Settings.model_validate({"psc": psc})

    def now(self) -> datetime:
        """The present, moved."""
        return datetime.now(UTC) + self.later

    @asynccontextmanager
    async def open(self) -> Any:
        """Both nodes, for the time of a test."""
        both = [PscLogins(self.settings, self.store, self.vault, self.now) for _ in range(2)]
        try:
            yield both
        finally:
            for one in both:
                await one.aclose()

    async def browse(self, url: str) -> dict[str, str]:
        """The professional logs in; what their browser brings back."""
        async with httpx.AsyncClient(verify=self.provider.context, trust_env=False) as browser:
            answer = await browser.get(url)
        return {name: value[0] for name, value in parse_qs(urlsplit(answer.headers["location"]).query).items()}

    async def enter(self, node: PscLogins, *, mailbox: str | None = MAILBOX) -> str:
        """A whole log-in by browser; gives its id."""
        asked = await node.ask(self.tenant, Wanted(flow="code", client="vendor", actor=DOCTOR, mailbox=mailbox))
        back = await self.browse(asked.url or "")
        assert await node.come_back(back["state"], back["code"], "") == "open"
        return asked.id

    async def look(self, node: PscLogins, login: str) -> Any:
        """Where a log-in stands."""
        return await node.look(login, "vendor", [self.tenant.id])


@pytest.fixture
def nodes(provider: Provider, store: Store, vault: Vault, tenant: Tenant) -> Nodes:
    """Two nodes, and a program that may act for anybody of the structure."""
    store.write_now(
        lambda c: tenants.add_client(
            c,
            client_id="vendor",
            name="vendor",
            jwks=make_client_key()[1],
            scopes=("records:read",),
            acts_for=(tenant.id,),
            actors=None,
            now=datetime.now(UTC),
        )
    )
    return Nodes(provider, store, vault, tenant)


def test_one_answer_opens_one_session_wherever_it_comes(nodes: Nodes) -> None:
    """The same browser comes back to both nodes at once: one opens, the other says that it is over."""

    async def run() -> tuple[list[str], Any]:
        async with nodes.open() as (first, second):
            asked = await first.ask(nodes.tenant, Wanted(flow="code", client="vendor", actor=DOCTOR))
            back = await nodes.browse(asked.url or "")
            both = await asyncio.gather(*(node.come_back(back["state"], back["code"], "") for node in (first, second)))
            return sorted(both), await nodes.look(second, asked.id)

    said, found = asyncio.run(run())
    assert said == ["open", "unknown"]
    assert (found.state, found.session.actor.id) == ("open", DOCTOR)


def test_nodes_take_turns_for_the_token_of_a_mailbox(nodes: Nodes) -> None:
    """A refresh token serves once: askers of two nodes at once each get a token that is good."""

    async def run() -> list[str]:
        async with nodes.open() as (first, second):
            await nodes.enter(first)
            askers = [node.token(nodes.tenant.id, MAILBOX.upper()) for node in (first, second, first, second)]
            return list(await asyncio.gather(*askers))

    tokens = asyncio.run(run())
    assert len(set(tokens)) == 4
    assert {nodes.provider.sandbox.holder(token) for token in tokens} == {DOCTOR}
    rows = nodes.store.read_now(lambda c: c.execute(select(psc_logins)).all())
    assert not [token for token in tokens if token.encode() in repr(rows).encode()]


def test_a_late_answer_opens_nothing(nodes: Nodes) -> None:
    """After the time of a log-in its answer is refused, and whoever looks learns why."""

    async def run() -> tuple[str, Any]:
        async with nodes.open() as (first, _):
            asked = await first.ask(nodes.tenant, Wanted(flow="code", client="vendor", actor=DOCTOR))
            back = await nodes.browse(asked.url or "")
            nodes.later = timedelta(minutes=nodes.settings.psc.login_minutes + 1)
            return await first.come_back(back["state"], back["code"], ""), await nodes.look(first, asked.id)

    said, found = asyncio.run(run())
    assert said == "unknown"
    assert (found.state, found.code) == ("failed", "expired_token")


def test_a_session_outlives_neither_its_length_nor_its_mailbox(nodes: Nodes) -> None:
    """The consulting session ends first, the mailbox's later; one without a mailbox gives no token."""

    async def run() -> None:
        async with nodes.open() as (first, second):
            await nodes.enter(first, mailbox=None)
            with pytest.raises(NoMailSession):
                await first.token(nodes.tenant.id, MAILBOX)
            login = await nodes.enter(first)
            assert (await nodes.look(second, login)).session is not None
            nodes.later = timedelta(minutes=nodes.settings.records_session_minutes + 1)
            assert (await nodes.look(second, login)).session is None
            assert await second.token(nodes.tenant.id, MAILBOX)
            nodes.later = timedelta(hours=nodes.settings.psc.session_hours, minutes=1)
            with pytest.raises(NoMailSession):
                await second.token(nodes.tenant.id, MAILBOX)
            await second.keep()
            over = await nodes.look(first, login)
            assert (over.state, over.code, over.session) == ("ended", "expired", None)

    asyncio.run(run())
