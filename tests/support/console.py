"""A gateway whose ledger holds the first worked example, with people who may look at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import uvicorn
from sqlalchemy import Connection, select

from gateway import tenants
from gateway.app import create_app
from gateway.console.accounts import add_account
from gateway.context import Gateway
from gateway.feeds import ledger
from gateway.feeds.entry import opaque_hash
from gateway.feeds.imports import OutsideMeasure, record_measures
from gateway.feeds.subjects import commitment
from gateway.journey.cause import cause_of
from gateway.journey.record import move
from gateway.journey.states import CauseCode, Delivery
from gateway.runtime import open_gateway
from gateway.settings import Settings
from gateway.store.tables import deliveries
from gateway.store.tables import tenants as tenant_rows
from tests.integration.feeds.test_measures import example_1
from tests.support import documents
from tests.support.feeds import DOCTOR, fed
from tests.unit.gateway.conftest import HandClock, Intakes

PASSWORD = "un mot de passe assez long"
OTHER = "10100000002"
NOW = datetime(2024, 2, 15, 9, 30, tzinfo=UTC)
PEOPLE: dict[str, dict[str, Any]] = {
    "auditeur": {"name": "Camille Contrôle", "role": "fund", "everywhere": True, "accreditation": "AGR-2023-001"},
    "national": {"name": "Direction fictive", "role": "national"},
    "docteur": {"name": "Dr A", "role": "professional", "rpps": DOCTOR},
    "autre": {"name": "Dr B", "role": "professional", "rpps": OTHER},
    "cabinet": {"name": "Cabinet fictif", "role": "structure", "finess": "750000018"},
    "exploitant": {"name": "Exploitation", "role": "operator"},
    "dpo": {"name": "Protection des données", "role": "dpo"},
}


@dataclass
class Clock:
    """A clock that stands where it is put."""

    at: datetime = NOW

    def __call__(self) -> datetime:
        return self.at


def fill(connection: Connection, gateway: Gateway) -> str:
    """The first worked example of a doctor, a few lines of another, and the payer's consultations; gives the tenant."""
    tenant = tenants.add_tenant(
        connection, structure_id="1290099886", name="CABINET FICTIF", activity_sector="SA07", references={}, now=NOW
    ).id
    key = gateway.vault.key(tenant, "pseudonym")
    lines = [*example_1(), *(_other(number) for number in range(12))]
    for at, one in enumerate(lines):
        assert one.patient_commit is not None
        known = commitment(connection, tenant, "patient", one.patient_commit, key=key)
        lines[at] = replace(one, patient_commit=known)
    ledger.record_many(connection, tenant, lines)
    record_measures(
        connection,
        tenant,
        [
            OutsideMeasure(
                measure="consultations",
                by="rpps",
                subject=DOCTOR,
                value=4812,
                start=date(2023, 1, 1),
                end=date(2023, 12, 31),
            )
        ],
        origin="cnam",
        now=datetime(2024, 2, 1, tzinfo=UTC),
    )
    while ledger.seal(connection, tenant).more:
        pass
    return tenant


def _other(number: int) -> Any:
    when = datetime(2023, 6, 1, 9, number, tzinfo=UTC)
    return fed(
        9000 + number,
        actor_rpps=OTHER,
        structure_finess="130000011",
        submitted_at=when,
        accepted_at=when,
        recorded_at=when,
        patient_commit=opaque_hash("patient", f"other-{number}"),
        doc_type="60591-5",
    )


def intakes_of(gateway: Gateway) -> Intakes:
    """Documents taken in charge for the first structure, at the console's own time."""
    tenant = gateway.store.read_now(
        lambda c: tenants.tenant(c, c.execute(select(tenant_rows.c.id).limit(1)).scalar_one())
    )
    assert tenant is not None
    hand = HandClock()
    hand.at = NOW
    return Intakes(gateway.store, gateway.vault, tenant, hand)


def give_up(connection: Connection, gateway: Gateway, document: str) -> str:
    """Give the feeding of a document up after too many attempts; gives the delivery."""
    row = connection.execute(
        select(deliveries).where(deliveries.c.document_id == document, deliveries.c.destination == "dmp")
    ).one()
    cause = cause_of(CauseCode.TOO_MANY_ATTEMPTS)
    move(connection, gateway.vault, row, Delivery.DEAD_LETTER, at=NOW, by="test", cause=cause)
    return str(row.id)


def given_up(gateway: Gateway, *, author: str, login: str) -> str:
    """A document of this author, given up after too many attempts, and an account for them; gives its id."""
    intakes = intakes_of(gateway)
    document = documents.report(1)
    doctor = {**documents.DOCTOR, "id": {**documents.DOCTOR["id"], "extension": f"8{author}"}}
    document["authors"] = [{**document["authors"][0], "professional": doctor}]
    done = intakes.take(intakes.request(document))

    def prepare(connection: Connection) -> None:
        add_account(
            connection, login=login, name="Dr Auteur", password=PASSWORD, role="professional", rpps=author, now=NOW
        )
        give_up(connection, gateway, str(done.document_id))
        while ledger.seal(connection, intakes.tenant.id).more:
            pass

    gateway.store.write_now(prepare)
    return str(done.document_id)


@contextmanager
def gateway_with_ledger(folder: Path, clock: Clock, **settings: Any) -> Iterator[Gateway]:
    """An open gateway, its ledger filled and its accounts made."""
    made = open_gateway(Settings.model_validate({"data_dir": folder / "data", **settings}), pool_processes=0)
    made.clock = clock

    def prepare(connection: Connection) -> None:
        fill(connection, made)
        for login, person in PEOPLE.items():
            add_account(connection, login=login, password=PASSWORD, now=NOW, **person)

    made.store.write_now(prepare)
    yield made


@contextmanager
def served(gateway: Gateway, port: int) -> Iterator[str]:
    """The gateway on a loopback socket; gives its address."""
    server = uvicorn.Server(
        uvicorn.Config(create_app(gateway=gateway), host="127.0.0.1", port=port, log_config=None, access_log=False)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
