"""A store on a file, a vault, a tenant and a clock one moves by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway import tenants
from gateway.journey.accept import Accepted, Request, accept
from gateway.services.intake import IntakeOptions, convert
from gateway.store.engine import Store
from gateway.store.migrate import upgrade
from gateway.tenants import Tenant
from gateway.vault import Vault
from tests.support import documents
from tests.support.postgres import fresh_database


class HandClock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **span: float) -> None:
        """Move it forward."""
        self.at += timedelta(**span)


@pytest.fixture
def clock() -> HandClock:
    """A clock at a fixed instant."""
    return HandClock()


@pytest.fixture
def vault() -> Vault:
    """A vault with a fixed master key."""
    return Vault(bytes(range(32)))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each engine."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.db'}"
        return
    with fresh_database() as url:
        yield url


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A migrated store, on each engine."""
    upgrade(database_url)
    one = Store(database_url)
    yield one
    one.close()


@pytest.fixture
def tenant(store: Store, clock: HandClock) -> Tenant:
    """A structure."""
    return store.write_now(
        lambda c: tenants.add_tenant(
            c,
            structure_id="1290099886",
            name="CABINET FICTIF",
            activity_sector="SA07",
            references={},
            now=clock(),
        )
    )


class Intakes:
    """Takes documents in charge without HTTP."""

    def __init__(self, store: Store, vault: Vault, tenant: Tenant, clock: HandClock) -> None:
        self.store = store
        self.vault = vault
        self.tenant = tenant
        self.clock = clock
        self.number = 0

    def request(self, document: dict[str, Any] | None = None, **options: Any) -> Request:
        """The submission of a document."""
        self.number += 1
        value = documents.load(document or documents.report(self.number))
        intake = convert(value.model_dump_json(exclude_none=True).encode(), "json", IntakeOptions(fresh_oid="2.25.7"))
        return Request(
            tenant=self.tenant.id,
            client="client",
            actor=intake.authors[0],
            intake=intake,
            body_mac="0" * 64,
            idempotency_key=options.pop("key", None),
            **options,
        )

    def take(self, request: Request) -> Accepted:
        """Take a submission in charge."""
        return self.store.write_now(
            lambda c: accept(c, self.vault, request, now=self.clock(), hold_days=90, max_pending=1000)
        )


@pytest.fixture
def intakes(store: Store, vault: Vault, tenant: Tenant, clock: HandClock) -> Intakes:
    """What takes documents in charge."""
    return Intakes(store, vault, tenant, clock)


def unqualified(number: int = 1) -> dict[str, Any]:
    """A report about a patient whose identity is provisional."""
    document = documents.report(number)
    document["patient"] = {
        **documents.PATIENT,
        "identifiers": [{"root": "1.2.250.1.999.9.5", "extension": "IPP1"}],
        "status": "provisoire",
    }
    for name in ("ins", "insCheckedOn", "proof"):
        document["patient"].pop(name)
    return document
