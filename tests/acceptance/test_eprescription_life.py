"""The life of an e-prescription over HTTP: written, dispensed by two pharmacies, corrected, cancelled, counted."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection

from adapters.sandbox import structure_certificates
from gateway import tenants
from gateway.demonstration import PHARMACY, Client, Demonstration, Role
from gateway.feeds.measures import Subject, lines_of
from gateway.feeds.policy import Where, events, policy
from gateway.journey.clock import utc_now
from security.tokens import make_client_key
from tests.acceptance.conftest import body_of, follow, simulator
from tests.support import documents

numbers = itertools.count(70_000)
keys = itertools.count(1)
INS = documents.PATIENT["ins"]
BOX = "30009000"
PARACETAMOL = "11111111-1111-4111-8111-111111111111"
LEVOTHYROXINE = "22222222-2222-4222-8222-222222222222"
DEVICE = "33333333-3333-4333-8333-333333333333"
GENERIC = {"name": "DOLIPRANE 1000 mg", "codes": [{"code": "3400935955838", "system": "1.2.250.1.213.2.3.2"}]}
SECOND = ("1750803454", "PHARMACIE DU PORT", "SA33", "port@pharmacien.formation.mssante.fr")
MAILBOX = "odile.kervella@medecin.formation.mssante.fr"


def fresh_prescription(**changes: Any) -> dict[str, Any]:
    """A prescription dated today that brings no number, valid three months."""
    out = documents.prescription(next(numbers))
    now = utc_now()
    day = now.date()
    out.pop("number")
    out["createdAt"] = now.isoformat(timespec="seconds")
    out["authors"][0]["time"] = out["createdAt"]
    out["acts"][0]["period"] = {"start": day.isoformat(), "end": day.replace(year=day.year + 1).isoformat()}
    out["lines"] = copy.deepcopy(out["lines"])
    out["lines"][0]["renewals"] = 1
    out["lines"][0]["posology"] = {"text": "1 comprimé si besoin"}
    out["lines"][1]["quantity"] = {"value": "1", "unit": BOX}
    out.update(changes)
    return out


def write(vendor: Client, document: dict[str, Any] | None = None, key: str | None = None) -> httpx.Response:
    """Write a prescription."""
    return vendor.request(
        "POST",
        "/v1/prescriptions",
        content=body_of(document or fresh_prescription()),
        headers={"Content-Type": "application/json", "Idempotency-Key": key or f"rx-{next(keys)}"},
    )


def relay(client: Client, pharmacist: dict[str, Any], number: str | None, /, **said: Any) -> httpx.Response:
    """Relay a dispensation."""
    path = said.pop("path", "/v1/dispensations")
    key = said.pop("key", None) or f"dsp-{next(keys)}"
    body = {"pharmacist": pharmacist, **({"number": number, "ins": INS} if number else {}), **said}
    return client.request("POST", path, json=body, headers={"Idempotency-Key": key})


def line(line_id: str | None, quantity: str = "1", unit: str = BOX, **said: Any) -> dict[str, Any]:
    """One line given."""
    return {**({"line": line_id} if line_id else {}), "quantity": {"value": quantity, "unit": unit}, **said}


def search(client: Client, number: str, ins: dict[str, str] = INS) -> httpx.Response:
    """Find an order."""
    return client.request("POST", "/v1/orders/search", json={"number": number, "ins": ins})


def settled(client: Client, dispensation: str, wanted: str = "accepted", seconds: float = 20) -> dict[str, Any]:
    """A dispensation once the national service answered."""
    found: dict[str, Any] = until(
        lambda: client.request("GET", f"/v1/dispensations/{dispensation}").json(),
        lambda body: body["relay"]["state"] == wanted,
        seconds,
    )
    return found


def until(read: Callable[[], Any], wanted: Callable[[Any], bool], seconds: float = 20) -> Any:
    """What is read, once it is as wanted."""
    deadline = time.monotonic() + seconds
    while True:
        value = read()
        if wanted(value):
            return value
        assert time.monotonic() < deadline, value
        time.sleep(0.03)


@pytest.fixture(scope="module")
def pharmacist_two() -> dict[str, Any]:
    """A pharmacist of the second pharmacy."""
    organization = {**documents.PHARMACY, "name": SECOND[1], "id": {**documents.PHARMACY["id"], "extension": SECOND[0]}}
    return {
        **documents.PHARMACIST,
        "id": {"root": "1.2.250.1.71.4.2.1", "extension": "810987654321"},
        "family": "LE BIHAN",
        "given": "Maud",
        "prefix": "MME",
        "organization": organization,
    }


@pytest.fixture(scope="module")
def second(running: Demonstration) -> Iterator[Client]:
    """The software of a second pharmacy."""
    certificates = structure_certificates(
        running.sandbox.pki, running.folder / "second", structure_id=SECOND[0], structure_name=SECOND[1]
    )
    pem, jwks = make_client_key("P-256")
    path = running.folder / "second.pem"
    path.write_bytes(pem)
    scopes = ("dispensations:write", "documents:read", "feeds:read")

    def add(connection: Any) -> None:
        made = tenants.add_tenant(
            connection,
            structure_id=SECOND[0],
            name=SECOND[1],
            activity_sector=SECOND[2],
            references={"mailbox": SECOND[3], **certificates},
            now=utc_now(),
        )
        tenants.add_client(
            connection,
            client_id="second",
            name="second",
            jwks=jwks,
            scopes=scopes,
            acts_for=(made.id,),
            actors=None,
            now=utc_now(),
        )

    running.gateway.store.write_now(add)
    client = Client.open(running.base_url, Role(client_id="second", private_key=path, scopes=scopes))
    yield client
    client.http.close()


def counted(client: Client) -> dict[str, int]:
    """What the ledger counts of e-prescriptions for a client."""
    rows = client.request("GET", "/v1/feeds/counts", params={"by": "outcome"}).json()["rows"]
    return {row["by"]["outcome"]: row["count"] for row in rows if row["service"] == "eprescription"}


def executions(running: Demonstration, structure: str) -> int:
    """How many executions the payer's rule counts for a structure: partial ones once, those taken back not at all."""
    now = utc_now()
    start, end = now.date() - timedelta(days=2), now.date() + timedelta(days=2)
    chosen = policy("fr-rehearsal-1")

    def read(connection: Connection) -> int:
        subject = Subject(by="finess", id=structure[1:])
        lines = lines_of(
            connection,
            subject,
            chosen=chosen,
            kinds=("eprescription",),
            start=start,
            end=end,
            as_of=now + timedelta(minutes=1),
        )
        where = Where(states=frozenset({"dispensed"}))
        mine = [one.line for one in lines]
        funnel = events(mine, chosen=chosen, where=where, start=start, end=end, closes=end, basis="accepted")
        return len(funnel.countable)

    found: int = running.gateway.store.read_now(read)
    return found


def test_the_whole_life_over_two_pharmacies(
    running: Demonstration,
    vendor: Client,
    pharmacy: Client,
    second: Client,
    pharmacist_two: dict[str, Any],
    ans_check: Callable[[bytes], list[str]],
) -> None:
    """Partial, refused, completed elsewhere with a generic, renewed, corrected, cancelled; every trace agrees."""
    answer = write(vendor)
    assert answer.status_code == 201, answer.text
    order = answer.json()
    number = order["number"]
    assert order["state"] == "prescribed"
    path = f"/v1/prescriptions/{order['id']}"
    until(lambda: vendor.request("GET", path).json(), lambda body: body["state"] == "registered")
    assert vendor.request("GET", f"{path}/pdf").content.startswith(b"%PDF-")
    cda = vendor.request("GET", f"/v1/documents/{order['document']}/cda").content
    assert number.encode() in cda
    assert ans_check(cda) == []

    seen = search(pharmacy, number).json()
    assert [(one["left"], one["renewalsLeft"]) for one in seen["lines"]] == [("2", 1), ("1", 2), ("1", 0)]

    # First pharmacy: one box of two, the second line refused, the prescriber asked.
    first = relay(
        pharmacy,
        documents.PHARMACIST,
        number,
        lines=[line(PARACETAMOL, note="Une boîte en rupture")],
        refused=[{"line": LEVOTHYROXINE, "reason": "Rupture de stock"}],
        tellPrescriber={"address": MAILBOX, "question": "Peut-on passer à 50 µg ?"},
    )
    assert first.status_code == 202, first.text
    first_id = first.json()["id"]
    assert {one["id"]: one["state"] for one in first.json()["order"]["lines"]} == {
        PARACETAMOL: "partially-dispensed",
        LEVOTHYROXINE: "not-dispensed",
        DEVICE: "prescribed",
    }
    done = settled(pharmacy, first_id)
    document = follow(pharmacy, done["document"])
    assert document["state"] == "completed", document
    cda = pharmacy.request("GET", f"/v1/documents/{done['document']}/cda").content
    assert b'code="FFP"' in cda
    assert PARACETAMOL.encode() in cda.lower()
    assert ans_check(cda) == []
    mails = simulator(running, "mss", "/messages").json()
    mail = next(m for m in mails if any(d["uniqueId"] == document["uniqueId"] for d in m["documents"]))
    assert any(MAILBOX in str(one) for one in mail["recipients"])

    # Second pharmacy: completes the first line with a generic, gives the one refused, and the device.
    other = relay(
        second,
        pharmacist_two,
        number,
        lines=[
            line(PARACETAMOL, medication=GENERIC, substitution={"reason": "Générique"}),
            line(LEVOTHYROXINE),
            line(DEVICE, unit="1"),
        ],
    )
    assert other.status_code == 202, other.text
    body = settled(second, other.json()["id"])
    states = {one["id"]: (one["state"], one["renewalsLeft"]) for one in body["order"]["lines"]}
    assert states == {
        PARACETAMOL: ("partially-dispensed", 0),
        LEVOTHYROXINE: ("partially-dispensed", 1),
        DEVICE: ("dispensed", 0),
    }
    cda = second.request("GET", f"/v1/documents/{body['document']}/cda").content
    assert b'code="RFC"' in cda
    assert b'code="FFC"' in cda
    assert ans_check(cda) == []

    # A renewal, told wrong, corrected: the right quantity alone counts.
    renewal = relay(second, pharmacist_two, number, lines=[line(PARACETAMOL, "2")])
    assert renewal.status_code == 202, renewal.text
    settled(second, renewal.json()["id"])
    fixed = relay(
        second,
        pharmacist_two,
        None,
        path=f"/v1/dispensations/{renewal.json()['id']}/correct",
        lines=[line(PARACETAMOL, "1", note="Une seule boîte remise")],
    )
    assert fixed.status_code == 202, fixed.text
    body = settled(second, fixed.json()["id"])
    left = {one["id"]: (one["left"], one["given"]) for one in body["order"]["lines"]}
    assert left[PARACETAMOL] == ("1", "3")
    assert second.request("GET", f"/v1/dispensations/{renewal.json()['id']}").json()["state"] == "corrected"

    # The first pharmacy takes its dispensation back: its box may be given again.
    back = pharmacy.request("POST", f"/v1/dispensations/{first_id}/cancel", json={"reason": "Erreur de patient"})
    assert back.status_code == 200, back.text
    assert back.json()["state"] == "cancelled"
    given = {one["id"]: one["given"] for one in back.json()["order"]["lines"]}
    assert given[PARACETAMOL] == "2"
    assert pharmacy.request("POST", f"/v1/dispensations/{first_id}/cancel", json={}).status_code == 200

    # The prescriber cancels what is left.
    ended = vendor.request("POST", f"{path}/cancel", json={"reason": "Traitement changé"})
    assert ended.status_code == 200, ended.text
    assert ended.json()["state"] == "cancelled"
    refused = relay(second, pharmacist_two, number, lines=[line(LEVOTHYROXINE)])
    assert refused.status_code == 409
    assert refused.json()["faults"][0]["code"] == "ORD-005"

    held = until(
        lambda: {one["number"]: one for one in simulator(running, "ordonnance", "/prescriptions").json()}[number],
        lambda one: one["cancelled"] and len(one["executions"]) == 2,
    )
    told = [(e["line"], e["quantity"]) for one in held["executions"] for e in one["lines"]]
    assert sorted(told) == sorted([(PARACETAMOL, "1"), (LEVOTHYROXINE, "1"), (DEVICE, "1"), (PARACETAMOL, "1")])
    history = vendor.request("GET", path).json()["events"]
    assert [event["kind"] for event in history if not event["kind"].startswith("relay")] == [
        "created",
        "registered",
        "dispensed",
        "dispensed",
        "dispensed",
        "dispensation_corrected",
        "dispensed",
        "dispensation_cancelled",
        "cancelled",
    ]
    assert all(event["by"] for event in history)
    assert until(lambda: counted(vendor), lambda c: c.get("cancelled") == 1)["created"] >= 1
    # Two goes and a renewal corrected: the ledger holds each accepted execution, and counts a delivery once.
    assert until(lambda: counted(second), lambda c: c.get("dispensed") == 3)
    assert until(lambda: counted(pharmacy), lambda c: c.get("cancelled") == 1)["dispensed"] == 1
    # Two deliveries at the second pharmacy, the corrected one once; none left at the first.
    assert executions(running, SECOND[0]) == 2
    assert executions(running, PHARMACY[0]) == 0
