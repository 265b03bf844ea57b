"""A record found open, held to be open for a while by a setting: the documents of one encounter ask once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demonstration import Client, Demonstration
from tests.acceptance.conftest import body_of, fault, follow, post, simulator
from tests.support import documents


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    """A gateway that holds records open for an hour."""
    folder: Path = tmp_path_factory.mktemp("open")
    with Demonstration(folder, pool_processes=0, settings={"dmp": {"status_seconds": 3600}}).running() as one:
        yield one


def asked(running: Demonstration) -> int:
    """How many times the DMP was asked about a record."""
    return sum(line["transaction"] == "TD0.2" for line in simulator(running, "dmp", "/exchanges").json())


def feed(vendor: Client, number: int) -> str:
    """Send a document and give how its feeding ended."""
    body = follow(vendor, post(vendor, documents.report(number), key=f"open-{number}").json()["id"])
    return next(str(d["state"]) for d in body["deliveries"] if d["to"] == "dmp")


def test_documents_of_one_encounter_ask_once_until_one_is_refused(running: Demonstration, vendor: Client) -> None:
    """Two documents, one question; a refusal, whatever its reason, has the next one ask again."""
    assert [feed(vendor, 71001), feed(vendor, 71002)] == ["acknowledged", "acknowledged"]
    assert asked(running) == 1
    fault(running, "dmp", fault="registry_error", transaction="TD2.1a", parameters={"code": "XDSRegistryMetadataError"})
    assert feed(vendor, 71003) == "refused"
    assert asked(running) == 1
    assert feed(vendor, 71004) == "acknowledged"
    assert asked(running) == 2
    # A homologation test asks each time: its exchanges are to show the whole sequence.
    headers = {"Content-Type": "application/json", "Passerelle-Test-Case": "0.2-100", "Idempotency-Key": "open-71005"}
    answer = vendor.request("POST", "/v1/documents", content=body_of(documents.report(71005)), headers=headers)
    follow(vendor, answer.json()["id"])
    assert asked(running) == 3
