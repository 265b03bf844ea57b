"""Past its retention a document's contents are gone, its way and the count stay; each route that asks says so."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import func, select

from gateway.demonstration import Client, Demonstration
from gateway.store.tables import blobs, exchanges
from tests.acceptance.conftest import body_of, follow, post
from tests.support import documents

numbers = itertools.count(87_000)
PRO = {"address": "dr.morel@medecin.formation.mssante.fr", "kind": "professional"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    """A gateway of this module's own: its contents are purged."""
    with Demonstration(tmp_path_factory.mktemp("retention"), pool_processes=0).running() as one:
        yield one


def purge(running: Demonstration, *words: str) -> dict[str, int]:
    """The command beside the running gateway; what it removed."""
    settings = running.gateway.settings
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PASSERELLE_")}
    environment |= {"PASSERELLE_DATA_DIR": str(settings.data_dir), "PASSERELLE_DATABASE_URL": settings.store_url}
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "purge", "--json", *words]
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    removed: dict[str, int] = orjson.loads(done.stdout)
    return removed


def told(body: dict[str, Any]) -> list[dict[str, Any]]:
    """What became of each recipient of a document."""
    return [one for delivery in body["deliveries"] for one in delivery.get("recipientStates", [])]


def counts(client: Client) -> list[dict[str, object]]:
    """What was fed, once everything is sealed."""
    deadline = time.monotonic() + 20
    while True:
        body = client.request("GET", "/v1/feeds/counts", params={"by": "type,outcome,month"}).json()
        if not body["unsealed"]:
            return list(body["rows"])
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_contents_go_and_the_rest_stays(running: Demonstration, vendor: Client) -> None:
    """410 for what was erased, the same receipt for the same document, the same figures."""
    document = documents.report(next(numbers))
    receipt = post(vendor, document, key="k-purge", deliverTo={"mss": {"recipients": [PRO]}}).json()
    # Its reader's notice too, which is evidence and a line of the count.
    read = follow(vendor, receipt["id"], lambda body: "read" in [one.get("state") for one in told(body)])
    assert read["state"] == "completed"
    held = post(vendor, documents.report(next(numbers)), deliverTo={"dmp": False}).json()
    before = counts(vendor)
    assert purge(running) == {"scrubbed": False}  # nothing is past the ordinary retention

    removed = purge(running, "--older-than", "0", "--evidence-older-than", "0", "--scrub")
    assert (removed["documents"], removed["scrubbed"]) == (2, True)
    store = running.gateway.store
    assert store.read_now(lambda c: c.execute(select(func.count()).select_from(blobs)).scalar_one()) == 0
    assert store.read_now(lambda c: c.execute(select(func.count()).select_from(exchanges)).scalar_one()) == 0

    after = vendor.request("GET", f"/v1/documents/{receipt['id']}").json()
    assert after["state"] == "completed"
    assert after["purgedAt"]
    assert {"accepted", "completed"} <= {row["to"] for row in after["history"]}
    for form in ("cda", "fhir", "view"):
        gone = vendor.request("GET", f"/v1/documents/{receipt['id']}/{form}")
        assert (gone.status_code, gone.json()["faults"][0]["code"]) == (410, "API-DOC-003")
    assert vendor.request("GET", "/v1/documents").status_code == 200
    assert counts(vendor) == before
    # The very same again, key or not, gives the first receipt; a message cannot carry what is gone.
    again = vendor.request(
        "POST", "/v1/documents", content=body_of(document), headers={"Content-Type": "application/json"}
    )
    assert (again.status_code, again.json()["id"]) == (202, receipt["id"])
    message = vendor.request(
        "POST",
        "/v1/messages",
        json={"recipients": [PRO], "documents": [{"id": held["id"]}]},
        headers={"Idempotency-Key": "k-message"},
    )
    assert message.status_code == 410, message.text
    assert counts(vendor) == before


def test_the_worker_purges_by_itself(tmp_path: Path) -> None:
    """With the retention of the settings, without any command."""
    settings = {"retention_days": 0, "purge_minutes": 0.005}
    with Demonstration(tmp_path, pool_processes=0, settings=settings).running() as one:
        client = one.client("vendor")
        receipt = post(client, documents.report(next(numbers))).json()
        follow(client, receipt["id"], until=lambda body: body.get("purgedAt") is not None, seconds=60)
        client.http.close()
