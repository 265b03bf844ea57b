"""A destination down: alone in its lane, told once, nothing spent, and everything sent again with one action."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.demonstration import Client, Demonstration
from tests.acceptance.conftest import fault, follow, post, simulator
from tests.support import documents

numbers = itertools.count(81_000)
PRO = {"address": "dr.exemple@medecin.formation.mssante.fr"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    """A gateway that loses patience quickly."""
    settings = {
        "max_attempts": 2,
        "retry_first_seconds": 0.05,
        "retry_cap_seconds": 0.2,
        "breaker_failures": 3,
        "breaker_pause_seconds": 0.05,
        "breaker_cap_seconds": 0.1,
        "dmp": {"concurrency": 1},
    }
    with Demonstration(tmp_path_factory.mktemp("gateway"), pool_processes=0, settings=settings).running() as one:
        yield one


@pytest.fixture(scope="module")
def operator(running: Demonstration) -> Iterator[Client]:
    """An operator."""
    client = running.client("operator")
    yield client
    client.http.close()


def mend(running: Demonstration, name: str = "dmp") -> None:
    """Switch every fault of a simulator off."""
    assert running.access is not None
    base = running.access.simulators[name]["api"]
    httpx.delete(f"{base}/faults", trust_env=False, timeout=10).raise_for_status()


@pytest.fixture(autouse=True)
def tidy(running: Demonstration, operator: Client) -> Iterator[None]:
    """Whatever a test leaves behind goes away before the next."""
    yield
    mend(running)
    operator.request("POST", "/v1/deliveries/replay", json={"cause": "too_many_attempts"}).raise_for_status()
    page = operator.request("GET", "/v1/deliveries", params={"state": "queued"}).json()
    for item in page["items"]:
        follow(operator, item["document"])


def dmp_of(body: dict[str, Any]) -> dict[str, Any]:
    """The DMP delivery of a document."""
    return next(d for d in body["deliveries"] if d["to"] == "dmp")


def dead(running: Demonstration, vendor: Client) -> tuple[str, dict[str, Any]]:
    """A document whose feeding became a dead letter, and that delivery; the DMP is mended afterwards."""
    # A success first: the failures of two documents in a row would look like a destination that is down.
    follow(vendor, post(vendor, documents.report(next(numbers)), key=f"op-{next(numbers)}").json()["id"])
    fault(running, "dmp", fault="http_error", transaction="TD0.2", count=2, parameters={"status": 500})
    document = post(vendor, documents.report(next(numbers)), key=f"op-{next(numbers)}").json()["id"]
    body = follow(vendor, document)
    mend(running)
    assert dmp_of(body)["state"] == "dead_letter", body
    return document, dmp_of(body)


def test_a_dead_letter_is_listed_by_cause_and_sent_again(
    running: Demonstration, vendor: Client, operator: Client
) -> None:
    """It says its cause and the one behind; one action sends it; a second one is refused; another caller sees none."""
    document, delivery = dead(running, vendor)
    assert delivery["outcome"]["code"] == "too_many_attempts"
    assert delivery["outcome"]["originalCode"] == "500"
    for cause in ("too_many_attempts", "DMP-HTTP-500"):
        page = operator.request(
            "GET", "/v1/deliveries", params={"state": "dead_letter", "destination": "dmp", "cause": cause}
        ).json()
        assert [item["id"] for item in page["items"]] == [delivery["id"]]
        assert page["items"][0]["document"] == document
    incidents = operator.request("GET", "/v1/incidents", params={"open": True}).json()
    assert [(i["kind"], i["code"]) for i in incidents if i["kind"] == "dead_letters"] == [
        ("dead_letters", "too_many_attempts")
    ]
    assert vendor.request("POST", f"/v1/deliveries/{delivery['id']}/replay").status_code == 403
    again = operator.request("POST", f"/v1/deliveries/{delivery['id']}/replay")
    assert again.status_code == 202, again.text
    assert again.json()["state"] == "queued"
    body = follow(vendor, document)
    assert dmp_of(body)["state"] == "acknowledged"
    assert body["state"] == "completed"
    codes = [row.get("code") for row in body["history"] if row["subject"] == "delivery"]
    assert "sent_again" in codes
    assert operator.request("POST", f"/v1/deliveries/{delivery['id']}/replay").status_code == 409
    assert operator.request("POST", "/v1/deliveries/dlv_0/replay").status_code == 404
    assert operator.request("GET", "/v1/incidents", params={"open": True}).json() == []


def test_dead_letters_of_one_cause_are_sent_again_together(
    running: Demonstration, vendor: Client, operator: Client
) -> None:
    """One action by cause; what has another cause stays."""
    made = [dead(running, vendor) for _ in range(2)]
    asked = operator.request("POST", "/v1/deliveries/replay", json={"cause": "nothing_such"})
    assert asked.json() == {"replayed": 0, "more": False}
    asked = operator.request("POST", "/v1/deliveries/replay", json={"cause": "too_many_attempts", "destination": "dmp"})
    assert asked.json() == {"replayed": 2, "more": False}
    for document, _ in made:
        assert dmp_of(follow(vendor, document))["state"] == "acknowledged"


def test_a_bad_filter_or_cursor_is_refused(vendor: Client, operator: Client) -> None:
    """Filters are plain words; a cursor comes from the page before."""
    for _ in range(2):
        follow(vendor, post(vendor, documents.report(next(numbers)), key=f"op-{next(numbers)}").json()["id"])
    assert operator.request("GET", "/v1/deliveries", params={"cause": 'x" or 1'}).status_code == 422
    assert operator.request("GET", "/v1/deliveries", params={"cursor": "é"}).status_code == 422
    page = operator.request("GET", "/v1/deliveries", params={"limit": 1}).json()
    second = operator.request("GET", "/v1/deliveries", params={"limit": 1, "cursor": page["cursor"]}).json()
    assert second["items"][0]["id"] < page["items"][0]["id"]


def test_a_destination_down_spends_no_attempt_and_slows_no_other(
    running: Demonstration, vendor: Client, operator: Client
) -> None:
    """While the DMP is down mails leave, readiness says so, one incident stands; then everything goes."""
    fault(running, "dmp", fault="http_error", transaction="TD0.2", count=1000, parameters={"status": 503})
    made = [
        post(
            vendor, documents.report(next(numbers)), key=f"op-{next(numbers)}", deliverTo={"mss": {"recipients": [PRO]}}
        ).json()["id"]
        for _ in range(6)
    ]

    def mailed(body: dict[str, Any]) -> bool:
        return all(d["state"] == "acknowledged" for d in body["deliveries"] if d["to"] == "mss")

    for document in made:
        follow(vendor, document, mailed)

    def lasting() -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = operator.request("GET", "/v1/incidents", params={"open": True}).json()
        return [row for row in rows if row["kind"] == "destination_down"]

    follow(vendor, made[0], lambda _: bool(lasting()))
    assert len(lasting()) == 1
    ready = vendor.http.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json()["checks"]["destinations"]["dmp"] == "down"
    assert 'passerelle_destination_down{destination="dmp"} 1.0' in vendor.http.get("/metrics").text
    asked_before = simulator(running, "dmp", "/exchanges").json()
    # Many more trials than the two attempts of a document.
    follow(vendor, made[0], lambda _: len(simulator(running, "dmp", "/exchanges").json()) > len(asked_before) + 6)
    mend(running)
    bodies = [follow(vendor, document, seconds=30) for document in made]
    spent = [dmp_of(body)["state"] for body in bodies]
    # What failed before the destination was known to be down may have spent its two attempts; the rest has not.
    assert spent.count("dead_letter") <= 2, spent
    assert spent.count("acknowledged") >= 4, spent
    assert lasting() == []
    assert 'passerelle_destination_down{destination="dmp"} 0.0' in vendor.http.get("/metrics").text


def test_too_many_documents_at_once_are_refused_before_being_read(running: Demonstration, vendor: Client) -> None:
    """Above the limit: 503, when to come back, and nothing kept."""
    gate = running.gateway.gate
    with gate.enter(1):
        limit, gate.documents = gate.documents, 1
        try:
            answer = post(vendor, documents.report(next(numbers)), key="full")
        finally:
            gate.documents = limit
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert answer.json()["faults"][0]["code"] == "API-LOAD-002"
    assert post(vendor, documents.report(next(numbers)), key="full").status_code == 202


def test_a_second_gateway_on_the_same_file_is_refused(running: Demonstration, tmp_path: Path) -> None:
    """Two processes never serve one SQLite file."""
    from gateway.runtime import open_gateway
    from gateway.store.ownership import AlreadyServed

    with pytest.raises(AlreadyServed):
        open_gateway(running.gateway.settings, pool_processes=0)
