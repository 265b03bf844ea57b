"""Identity over HTTP: evaluate, search and verify, against the INSi simulator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from adapters.insi.sandbox import SANDBOX_IDAM, InsiSandbox
from gateway import tenants
from gateway.app import create_app
from gateway.runtime import open_gateway
from gateway.settings import InsiSettings, Settings
from security.pki import SandboxPki, make_sandbox_pki
from security.tokens import make_client_key

ZOE = {"birthName": "Adrun", "firstGivenName": "Zoé", "sex": "F", "birthDate": "1975-12-31", "birthPlace": "63220"}
NIR, TEST = "1.2.250.1.213.1.4.8", "1.2.250.1.213.1.4.10"
Work = Callable[[httpx.AsyncClient], Awaitable[Any]]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> SandboxPki:
    return make_sandbox_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def insi(pki: SandboxPki) -> Iterator[InsiSandbox]:
    with InsiSandbox(pki, generated=12) as sandbox:
        yield sandbox


@pytest.fixture
def ask(insi: InsiSandbox, pki: SandboxPki, tmp_path: Path) -> Callable[..., Any]:
    """Run ``work(client)`` against a gateway of its own, as a client with these scopes."""

    def run(work: Work, *, configured: bool = True, scopes: tuple[str, ...] = ("identities:read",)) -> Any:
        insi_settings = InsiSettings(
            url=insi.url,
            trust=pki.trust,
            certificate=pki.insi.cert_path,
            key=pki.insi.key_path,
            idam=SANDBOX_IDAM,
            remap_test_authority=True,
        )
        settings = Settings(data_dir=tmp_path, insi=insi_settings if configured else InsiSettings(), pool_processes=0)
        gateway = open_gateway(settings)

        def register(connection: Any) -> None:
            tenant = tenants.add_tenant(
                connection,
                structure_id="1290099886",
                name="Cabinet",
                activity_sector="SA07",
                references={},
                now=datetime.now(UTC),
            )
            tenants.add_client(
                connection,
                client_id="vendor",
                name="vendor",
                jwks=make_client_key()[1],
                scopes=scopes,
                acts_for=(tenant.id,),
                actors=None,
                now=datetime.now(UTC),
            )

        async def all_of_it() -> Any:
            gateway.store.write_now(register)
            app = create_app(gateway=gateway)
            token, _ = gateway.tokens.issue(
                client_id="vendor", scopes=scopes, tenants=[], now=datetime.now(UTC), jti="one"
            )
            headers = {"authorization": f"Bearer {token}"}
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(app), base_url="http://gateway/v1/identities", headers=headers
                ) as client,
            ):
                return await work(client)

        return asyncio.run(all_of_it())

    return run


def test_one_question_several_and_lines_are_answered_in_kind(ask: Callable[..., Any]) -> None:
    """An object for an object, a list for a list, lines for lines; the same answers as the command line."""
    question = {"op": "identifier", "kind": "cog", "value": "2A004"}
    valid = {"verdict": "valid", "code": None}

    async def work(client: httpx.AsyncClient) -> None:
        assert (await client.post("/evaluate", json=question)).json() == valid
        assert (await client.post("/evaluate", json=[question, {}])).json()[0] == valid
        lines = b"\n".join([orjson.dumps(question), b"{"])
        answer = await client.post("/evaluate", content=lines, headers={"content-type": "application/x-ndjson"})
        assert [orjson.loads(line) for line in answer.content.splitlines()] == [valid, {"error": "JSON-SYNTAX-001"}]
        assert answer.headers["cache-control"] == "no-store"
        for junk in (b"{", b"3"):
            assert (await client.post("/evaluate", content=junk)).status_code == 400

    ask(work)


def test_a_person_is_looked_up_and_compared(ask: Callable[..., Any]) -> None:
    """The INS comes under the test authority, with its verdict and what may be done."""

    async def work(client: httpx.AsyncClient) -> None:
        found = (await client.post("/search", json=ZOE)).json()
        assert found["ins"] == {"value": "275126322074974", "authority": TEST}
        assert found["comparison"]["unattended"] == "accept"
        assert found["traits"]["birthName"] == "ADRUN"
        unsent = (await client.post("/search", json=ZOE | {"sex": "I"}, headers={"accept-language": "en"})).json()
        assert unsent["faults"] == [{"location": "/sex", "code": "SEX_UNDETERMINED"}]
        assert unsent["cause"].startswith("The traits")
        forbidden = (await client.post("/search", json=ZOE | {"attributes": ["fictif"]})).json()
        assert forbidden["code"] == "INSI-REQ-002"
        for junk in ([], {"sex": 3}, ZOE | {"attributes": "x"}):
            assert (await client.post("/search", json=junk)).status_code == 422

    ask(work)


def test_somebody_else_is_never_shown(ask: Callable[..., Any]) -> None:
    """An answer that does not match gives its reasons, and nothing of the other person."""
    other = {
        "birthName": "TCHITCHI",
        "firstGivenName": "OLA",
        "givenNames": "OLA CATARINA",
        "sex": "F",
        "birthDate": "1936-06-21",
    }

    async def work(client: httpx.AsyncClient) -> None:
        found = (await client.post("/search", json=other)).json()
        assert found["comparison"]["verdict"] == "NO_MATCH"
        assert not {"ins", "traits", "history"} & set(found)

    ask(work)


def test_identities_held_are_verified(ask: Callable[..., Any]) -> None:
    """Answers by reference; what is malformed is refused whole, with each place."""
    held = {"reference": "p1", "ins": {"value": "275126322074974", "authority": TEST}, **ZOE}
    held |= {"birthName": "ADRUN", "firstGivenName": "ZOE", "givenNames": "ZOE"}

    async def work(client: httpx.AsyncClient) -> None:
        answers = (await client.post("/verify", json=[held, held | {"reference": "p2", "sex": "M"}])).json()
        assert [(a["reference"], a["code"]) for a in answers] == [("p1", "INSI-VER-OK"), ("p2", "INSI-VER-KO")]
        assert (await client.post("/verify", json=held)).json()[0]["outcome"] == "found"
        wrong = await client.post("/verify", json=[held, {"ins": {"value": "1"}}, {}, 3])
        assert wrong.status_code == 422
        assert [f["location"] for f in wrong.json()["faults"]] == ["/1", "/2", "/3"]
        assert (await client.post("/verify", json=[])).status_code == 422

    ask(work)


def test_scope_and_settings_are_needed(ask: Callable[..., Any]) -> None:
    """Without the scope nothing is answered; without INSi the missing setting is named."""

    async def refused(client: httpx.AsyncClient) -> None:
        for path in ("/evaluate", "/search", "/verify"):
            assert (await client.post(path, json=ZOE)).status_code == 403

    ask(refused, scopes=("feeds:read",))


def test_without_insi_the_missing_setting_is_named(ask: Callable[..., Any]) -> None:
    """A gateway without the teleservice says so, and which setting is empty."""

    async def work(client: httpx.AsyncClient) -> None:
        answer = await client.post("/search", json=ZOE)
        assert answer.status_code == 503
        assert answer.json()["faults"][0]["found"] == "insi.url"

    ask(work, configured=False)
