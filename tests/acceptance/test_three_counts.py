"""Under faults of every kind: counting by SQL, recounting the chain and reading the simulators give one answer."""

from __future__ import annotations

import itertools
import random
from typing import Any

from gateway.demonstration import Client, Demonstration
from tests.acceptance.conftest import ENDED, fault, follow, post, simulator
from tests.acceptance.test_eprescription_life import PARACETAMOL, line, relay, settled, until, write
from tests.support import documents
from tests.support.counting import differences, wait_sealed

numbers = itertools.count(860_000)
MAILED: dict[str, Any] = {
    "deliverTo": {"mss": {"recipients": [{"address": "dr.exemple@medecin.formation.mssante.fr"}]}}
}
FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("dmp", {"fault": "lost_after_acceptance", "transaction": "TD2.1a"}),
    ("dmp", {"fault": "registry_error", "transaction": "TD2.1a", "parameters": {"code": "XDSRegistryMetadataError"}}),
    ("dmp", {"fault": "registry_error", "transaction": "TD2.1a", "parameters": {"code": "XDSRegistryBusy"}}),
)


def test_three_counts_are_one(running: Demonstration, vendor: Client, pharmacy: Client) -> None:
    """Documents fed, refused, lost on the wire, sent twice, replaced and deleted; mails; an order dispensed."""
    chance = random.Random(20_261_124)
    sent: list[dict[str, Any]] = []
    for rank in range(24):
        if rank % 4 == 3:
            where, switch = chance.choice(FAULTS)
            fault(running, where, **switch)
        document = documents.report(next(numbers))
        receipt = post(vendor, document, **(MAILED if chance.random() < 0.4 else {}))
        assert receipt.status_code == 202, receipt.text
        if chance.random() < 0.3:
            assert post(vendor, document).json()["id"] == receipt.json()["id"]
        sent.append(receipt.json())
    fed = [one for one in sent if follow(vendor, one["id"])["deliveries"][0]["state"] == "acknowledged"]
    assert 12 < len(fed) < len(sent), "some are refused, most are fed"

    first, second = documents.report(next(numbers)), documents.report(next(numbers))
    post(vendor, first)
    newer = {"setId": first["setId"], "versionNumber": 2, "replaces": {"id": first["id"], "versionNumber": 1}}
    follow(vendor, post(vendor, {**second, **newer}).json()["id"])
    gone = post(vendor, documents.report(next(numbers))).json()["id"]
    follow(vendor, gone)
    assert vendor.request("DELETE", f"/v1/records/documents/{gone}").status_code in (200, 202)
    follow(
        vendor, gone, until=lambda body: {d["action"]: d["state"] for d in body["deliveries"]}.get("delete") in ENDED
    )

    order = write(vendor).json()
    path = f"/v1/prescriptions/{order['id']}"
    until(lambda: vendor.request("GET", path).json(), lambda body: body["state"] == "registered")
    fault(running, "ordonnance", fault="lost_after", transaction="executions")
    for _ in range(2):
        done = relay(pharmacy, documents.PHARMACIST, order["number"], lines=[line(PARACETAMOL)])
        followed = settled(pharmacy, done.json()["id"])
        follow(pharmacy, followed["document"])
    follow(vendor, order["document"])

    store = running.gateway.store
    wait_sealed(store)
    assert len(simulator(running, "dmp", "/entries").json()) > 12
    assert differences(store, running.sandbox) == []


def test_a_line_too_many_is_seen(running: Demonstration, vendor: Client) -> None:
    """The comparison itself finds what reached a service and was not counted."""
    receipt = post(vendor, documents.report(next(numbers))).json()
    follow(vendor, receipt["id"])
    store = running.gateway.store
    wait_sealed(store)
    registry = running.sandbox.dmp
    assert registry is not None
    from tests.support import counting

    names = store.read_now(counting._names)
    names["dmp"].pop(next(iter(names["dmp"])))
    assert any("not counted" in one for one in counting._outside(names, running.sandbox))
