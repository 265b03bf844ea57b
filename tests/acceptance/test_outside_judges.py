"""What the gateway writes and sends, judged by outside checkers: official CDA rules, XDS schemas, FHIR validators."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from gateway.demonstration import Client, Demonstration
from tests.acceptance.conftest import follow, post, simulator
from tests.support import documents

numbers = itertools.count(11_000)
KINDS: list[Callable[[int], dict[str, Any]]] = [
    documents.report,
    documents.prescription,
    documents.summary,
    documents.dispensation,
]


@pytest.mark.official
def test_every_cda_passes_the_official_rules(
    vendor: Client, pharmacy: Client, ans_check: Callable[[bytes], list[str]]
) -> None:
    """Zero findings on each kind, as delivered."""
    for make in KINDS:
        caller = pharmacy if make is documents.dispensation else vendor
        receipt = post(caller, make(next(numbers))).json()
        follow(caller, receipt["id"])
        cda = caller.request("GET", receipt["links"]["cda"]).content
        assert ans_check(cda) == [], make.__name__


def test_every_message_to_the_dmp_passes_the_schemas(
    running: Demonstration, vendor: Client, xds_check: Callable[[bytes], list[str]]
) -> None:
    """Zero findings on each SOAP message the simulator received, envelope, assertion and body."""
    for make in KINDS[:3]:
        follow(vendor, post(vendor, make(next(numbers))).json()["id"])
    exchanges = simulator(running, "dmp", "/exchanges").json()
    assert {e["transaction"] for e in exchanges} >= {"TD0.2", "TD2.1a"}
    for exchange in exchanges:
        request = simulator(running, "dmp", f"/exchanges/{exchange['id']}/request").content
        found = [f for f in xds_check(request) if "No matching global" not in f and "no matching global" not in f]
        assert found == [], exchange["transaction"]
