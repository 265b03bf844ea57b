"""``POST /v1/checks``: a document judged over HTTP, nothing kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import func, select

from gateway import tenants
from gateway.app import create_app
from gateway.runtime import open_gateway
from gateway.settings import Settings
from gateway.store.tables import documents
from mappings import document as hub
from mappings import fhir
from security.tokens import make_client_key
from tests.support import documents as fhir_documents
from tests.support.cda import changed, one, written

Work = Callable[[httpx.AsyncClient, Any], Awaitable[Any]]
XML = {"content-type": "application/xml"}


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Any]:
    """Run ``work(client, gateway)`` against a gateway of its own, as a client with these scopes."""

    def run(work: Work, *, scopes: tuple[str, ...] = ("documents:read",), **settings: Any) -> Any:
        gateway = open_gateway(Settings(data_dir=tmp_path, pool_processes=0, **settings))

        def register(connection: Any) -> None:
            now = datetime.now(UTC)
            tenant = tenants.add_tenant(
                connection, structure_id="1290099886", name="Cabinet", activity_sector="SA07", references={}, now=now
            )
            tenants.add_client(
                connection,
                client_id="vendor",
                name="vendor",
                jwks=make_client_key()[1],
                scopes=scopes,
                acts_for=(tenant.id,),
                actors=None,
                now=now,
            )

        async def all_of_it() -> Any:
            gateway.store.write_now(register)
            app = create_app(gateway=gateway)
            token, _ = gateway.tokens.issue(
                client_id="vendor", scopes=scopes, tenants=[], now=datetime.now(UTC), jti="one"
            )
            transport = httpx.ASGITransport(app)
            headers = {"authorization": f"Bearer {token}"}
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client,
            ):
                return await work(client, gateway)

        return asyncio.run(all_of_it())

    return run


def test_a_document_is_judged_and_not_kept(ask: Callable[..., Any]) -> None:
    """200 with the verdict in the caller's language; no document is in the store afterwards."""

    async def work(client: httpx.AsyncClient, gateway: Any) -> None:
        answer = await client.post("/v1/checks", content=written("report"), headers=XML)
        assert (answer.status_code, answer.json()) == (200, {"form": "cda", "verdict": "valid", "findings": []})
        bad = changed(written("report"), lambda root: root.remove(one(root, "title")))
        answer = await client.post("/v1/checks", content=bad, headers={**XML, "accept-language": "en"})
        found = answer.json()
        assert (answer.status_code, found["verdict"], answer.headers["content-language"]) == (200, "invalid", "en")
        assert found["findings"][0]["message"].startswith("The document's title")
        assert await gateway.store.read(lambda c: c.execute(select(func.count()).select_from(documents)).scalar()) == 0

    ask(work)


def test_a_caller_who_speaks_fhir_gets_an_operation_outcome(ask: Callable[..., Any]) -> None:
    """The same findings as issues."""

    async def work(client: httpx.AsyncClient, _: Any) -> None:
        headers = {"content-type": "application/fhir+json", "accept": "application/fhir+json"}
        answer = await client.post("/v1/checks", content=b'{"resourceType": "Patient"}', headers=headers)
        assert answer.headers["content-type"].startswith("application/fhir+json")
        assert answer.json()["issue"][0]["severity"] == "error"

    ask(work)


def test_unreadable_bytes_are_a_verdict_and_not_a_failure(ask: Callable[..., Any]) -> None:
    """A DOCTYPE is told as any other fault."""

    async def work(client: httpx.AsyncClient, _: Any) -> None:
        answer = await client.post("/v1/checks", content=b"<!DOCTYPE a><a/>", headers=XML)
        assert (answer.status_code, answer.json()["verdict"]) == (200, "unreadable")

    ask(work)


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [({"content-type": "image/png"}, b"x", 415), (XML, b" " * 30_000_000, 413), ({}, b"x", 415)],
)
def test_wrong_requests_are_refused(ask: Callable[..., Any], headers: dict[str, str], body: bytes, status: int) -> None:
    """Another content type, or a body over the limit."""

    async def work(client: httpx.AsyncClient, _: Any) -> None:
        assert (await client.post("/v1/checks", content=body, headers=headers)).status_code == status

    ask(work)


def test_a_scope_on_documents_is_needed(ask: Callable[..., Any]) -> None:
    """Another scope is not enough."""

    async def work(client: httpx.AsyncClient, _: Any) -> None:
        assert (await client.post("/v1/checks", content=b"<a/>", headers=XML)).status_code == 403

    ask(work, scopes=("feeds:read",))


def test_a_test_identity_is_refused_by_a_gateway_in_production(ask: Callable[..., Any]) -> None:
    """The environment of the gateway decides."""

    async def work(client: httpx.AsyncClient, _: Any) -> None:
        answer = await client.post("/v1/checks", content=written("report"), headers=XML)
        assert "INS-OID-001" in {finding["code"] for finding in answer.json()["findings"]}

    ask(work, environment="production")


def test_the_value_sets_of_a_pack_hold_for_every_way_in(ask: Callable[..., Any], tmp_path: Path) -> None:
    """``POST /v1/checks``, ``$validate`` and what is fed are judged by the newer set of a pack."""
    from conformance import terminology
    from gateway import packs
    from gateway.services.intake import IntakeOptions, IntakeRefused, convert
    from tests.integration.conformance.test_packs_fhir import SYSTEM, VALUES, package

    gender = VALUES | {
        "compose": {"include": [{"system": SYSTEM["identifier"][0]["value"], "concept": [{"code": "X"}]}]}
    }
    (tmp_path / "gender.tgz").write_bytes(package(SYSTEM, gender))
    packs.add(tmp_path / "gender.tgz", tmp_path / "packs", datetime.now(UTC))
    bundle = fhir.write(hub.load(fhir_documents.report())).bundle

    async def work(client: httpx.AsyncClient, _: Any) -> None:
        answer = await client.post("/v1/checks", content=written("report"), headers=XML)
        assert "CDA-HDR-012" in {finding["code"] for finding in answer.json()["findings"]}
        answer = await client.post(
            "/fhir/$validate", content=orjson.dumps(bundle), headers={"content-type": "application/fhir+json"}
        )
        said = {issue["details"]["coding"][0]["code"] for issue in answer.json()["issue"]}
        assert "CDA-HDR-012" in said
        with pytest.raises(IntakeRefused) as refused:
            convert(written("report"), "cda", IntakeOptions(fresh_oid="2.25.1", now="2026-11-22T10:00:00+01:00"))
        assert "CDA-HDR-012" in {finding.code for finding in refused.value.findings}

    try:
        ask(work)
    finally:
        terminology.restore()
