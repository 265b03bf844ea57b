"""A whole gateway with its simulators, on loopback sockets, driven over HTTP only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from gateway.demonstration import Client, Demonstration
from tests.support import documents

ENDED = {"acknowledged", "refused", "dead_letter", "withdrawn", "expired"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    """One gateway and its simulators for the tests of a module."""
    folder = tmp_path_factory.mktemp("gateway")
    settings = {"mss": {"max_wait_seconds": 0.1}}
    with Demonstration(folder, pool_processes=0, settings=settings).running() as one:
        yield one


@pytest.fixture(scope="module")
def vendor(running: Demonstration) -> Iterator[Client]:
    """A practice's software."""
    client = running.client("vendor")
    yield client
    client.http.close()


@pytest.fixture(scope="module")
def pharmacy(running: Demonstration) -> Iterator[Client]:
    """A pharmacy's software."""
    client = running.client("pharmacy")
    yield client
    client.http.close()


@pytest.fixture(scope="module")
def auditor(running: Demonstration) -> Iterator[Client]:
    """An auditor."""
    client = running.client("auditor")
    yield client
    client.http.close()


def body_of(document: dict[str, Any], **envelope: Any) -> bytes:
    """A request in our JSON."""
    value = documents.load(document).model_dump(mode="json", exclude_none=True, by_alias=True)
    return orjson.dumps({"document": value, **envelope})


def post(client: Client, document: dict[str, Any], *, key: str | None = None, **envelope: Any) -> httpx.Response:
    """Send a document in our JSON."""
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Idempotency-Key"] = key
    return client.request("POST", "/v1/documents", content=body_of(document, **envelope), headers=headers)


def follow(
    client: Client, document_id: str, until: Callable[[dict[str, Any]], bool] | None = None, seconds: float = 20
) -> dict[str, Any]:
    """Read a document until something holds of it; by default, until each delivery has ended."""

    def ended(body: dict[str, Any]) -> bool:
        return all(d["state"] in ENDED for d in body["deliveries"])

    wanted = until or ended
    deadline = time.monotonic() + seconds
    while True:
        answer = client.request("GET", f"/v1/documents/{document_id}")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        if wanted(body) or time.monotonic() > deadline:
            assert wanted(body), body
            return body
        time.sleep(0.03)


def simulator(running: Demonstration, name: str, path: str) -> httpx.Response:
    """Ask a simulator's own interface."""
    assert running.access is not None
    base = running.access.simulators[name]["api"]
    return httpx.get(f"{base}{path}", trust_env=False, timeout=10)


def fault(running: Demonstration, simulator_name: str, **switch: Any) -> None:
    """Switch a fault of a simulator on."""
    assert running.access is not None
    base = running.access.simulators[simulator_name]["api"]
    httpx.post(f"{base}/faults", json=switch, trust_env=False, timeout=10).raise_for_status()


@pytest.fixture
def a_folder(tmp_path: Path) -> Path:
    """A folder of the test's own."""
    return tmp_path
