"""Sixty-four relays at once on one order: exactly what was prescribed is given, on one SQLite node or two others."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.sandbox import Sandbox
from gateway import tenants
from gateway.demonstration import CABINET, PHARMACY, Client, Role
from gateway.journey.clock import utc_now
from gateway.store.engine import Store
from security.tokens import make_client_key
from tests.acceptance.conftest import body_of
from tests.support import documents
from tests.support.postgres import fresh_database
from tests.support.process import GatewayProcess, register

RELAYS, BOXES, RENEWALS = 64, 10, 3
LINE = "11111111-1111-4111-8111-111111111111"


def pharmacy_role(database_url: str, folder: Path) -> Role:
    """A pharmacy and its software in a database."""
    pem, jwks = make_client_key("P-256")
    path = folder / "pharmacy.pem"
    path.write_bytes(pem)
    scopes = ("dispensations:write", "documents:read", "feeds:read")

    def add(connection: Any) -> None:
        made = tenants.add_tenant(
            connection,
            structure_id=PHARMACY[0],
            name=PHARMACY[1],
            activity_sector=PHARMACY[2],
            references={"mailbox": PHARMACY[3]},
            now=utc_now(),
        )
        tenants.add_client(
            connection,
            client_id="pharmacy",
            name="pharmacy",
            jwks=jwks,
            scopes=scopes,
            acts_for=(made.id,),
            actors=None,
            now=utc_now(),
        )

    store = Store(database_url)
    try:
        store.write_now(add)
    finally:
        store.close()
    return Role(client_id="pharmacy", private_key=path, scopes=scopes)


@contextmanager
def database(engine: str, folder: Path) -> Iterator[str]:
    """An empty database of an engine."""
    if engine == "sqlite":
        yield f"sqlite:///{folder / 'passerelle.db'}"
        return
    with fresh_database() as url:
        yield url


def prescription() -> dict[str, Any]:
    """Ten boxes, renewed three times."""
    out = documents.prescription(91_000)
    now = utc_now()
    out.pop("number")
    out["createdAt"] = now.isoformat(timespec="seconds")
    out["authors"][0]["time"] = out["createdAt"]
    out["acts"][0]["period"] = {
        "start": now.date().isoformat(),
        "end": now.date().replace(year=now.year + 1).isoformat(),
    }
    one = {**out["lines"][0], "renewals": RENEWALS, "quantity": {"value": str(BOXES), "unit": "30009000"}}
    one["posology"] = {"text": "1 comprimé par jour"}
    out["lines"] = [one]
    return out


def relay(client: Client, number: str, rank: int) -> httpx.Response:
    """Give one box; a node that is busy is asked again under the same key."""
    body = {
        "number": number,
        "ins": documents.PATIENT["ins"],
        "pharmacist": documents.PHARMACIST,
        "lines": [{"line": LINE, "quantity": {"value": "1", "unit": "30009000"}}],
        "toDmp": False,
    }
    deadline = time.monotonic() + 120
    while True:
        answer = client.request("POST", "/v1/dispensations", json=body, headers={"Idempotency-Key": f"crowd-{rank}"})
        if answer.status_code not in (429, 503) or time.monotonic() > deadline:
            return answer
        time.sleep(0.05)


@pytest.mark.parametrize(("engine", "count"), [("sqlite", 1), ("postgresql", 2)])
def test_a_crowd_at_one_order(tmp_path: Path, engine: str, count: int) -> None:
    """Forty boxes prescribed in all, sixty-four asked for: forty given, each code right, nothing lost, nothing over."""
    with ExitStack() as stack:
        url = stack.enter_context(database(engine, tmp_path))
        sandbox = stack.enter_context(Sandbox(tmp_path / "sandbox", structure_id=CABINET[0], structure_name=CABINET[1]))
        role = register(url, tmp_path)
        pharmacy = pharmacy_role(url, tmp_path)
        nodes = [GatewayProcess(tmp_path, sandbox, database_url=url, role=role, name=f"node{n}") for n in range(count)]
        for node in nodes:
            stack.callback(node.stop)
            node.start()
        vendor = nodes[0].client()
        stack.callback(vendor.http.close)
        written = vendor.request(
            "POST",
            "/v1/prescriptions",
            content=body_of(prescription(), deliverTo={"dmp": False}),
            headers={"Content-Type": "application/json", "Idempotency-Key": "crowd"},
        )
        assert written.status_code == 201, written.text
        number = written.json()["number"]
        answers: list[httpx.Response | None] = [None] * RELAYS

        def send(rank: int, client: Client) -> None:
            answers[rank] = relay(client, number, rank)

        clients = [Client.open(nodes[rank % count].base_url, pharmacy) for rank in range(RELAYS)]
        token = [clients[n].token() for n in range(count)]
        for rank, client in enumerate(clients):
            client._token, client._until = token[rank % count], time.monotonic() + 240
            client.http.timeout = 120
            stack.callback(client.http.close)
        threads = [threading.Thread(target=send, args=pair) for pair in enumerate(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(150)

        assert all(answers), "a relay got no answer"
        outcome = Counter(answer.status_code for answer in answers if answer)
        wanted = BOXES * (RENEWALS + 1)
        assert outcome == {202: wanted, 409: RELAYS - wanted}, (outcome, nodes[0].log())
        late = [answer.json() for answer in answers if answer and answer.status_code == 409]
        assert {problem["faults"][0]["code"] for problem in late} == {"ORD-007"}
        assert {problem["detail"] for problem in late} == {"Reste à délivrer : ligne 1 : 0."}

        order = vendor.request("GET", f"/v1/prescriptions/{written.json()['id']}").json()
        assert order["state"] == "dispensed"
        assert order["lines"][0]["given"] == str(wanted)
        assert "excess" not in order["lines"][0]
        codes = [e["lines"][0]["completeness"] for e in order["events"] if e["kind"] == "dispensed"]
        expected = [("FF" if n == 0 else "RF") + ("C" if n % BOXES == BOXES - 1 else "P") for n in range(wanted)]
        assert codes == expected
        assert [e["seq"] for e in order["events"]] == list(range(1, len(order["events"]) + 1))

        deadline = time.monotonic() + 60
        while True:
            base = sandbox.addresses["ordonnance"]["api"]
            held = httpx.get(f"{base}/prescriptions", trust_env=False, timeout=10).json()
            if held and len(held[0]["executions"]) == wanted:
                break
            assert time.monotonic() < deadline, len(held[0]["executions"]) if held else held
            time.sleep(0.1)
        # Whoever sends again under the same key gets the same dispensation.
        for rank in (0, 1):
            first = answers[rank]
            assert first is not None
            again = relay(clients[rank], number, rank)
            assert again.status_code == first.status_code
            if first.status_code == 202:
                assert again.json()["id"] == first.json()["id"]
                assert again.headers["Idempotent-Replayed"] == "true"
