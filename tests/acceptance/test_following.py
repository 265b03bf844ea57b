"""Following what was sent: listing, viewing, being told, and what becomes of what waits too long."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import orjson
import pytest

from gateway.demonstration import Client, Demonstration
from security.webhooks import verify
from tests.acceptance.conftest import follow, post
from tests.support import documents
from tests.unit.gateway.conftest import unqualified

numbers = itertools.count(7000)


class Listener:
    """A caller's own server, where webhooks come."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        #: The first call about each document is answered with an error.
        self.refuses_first = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                refused = outer.refuses_first and not outer.about(orjson.loads(body)["document"])
                outer.received.append((dict(self.headers), body))
                self.send_response(500 if refused else 200)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server.server_port}/hook"

    def about(self, thing: str) -> list[tuple[dict[str, str], bytes]]:
        """The calls about one document or message: those of other tests may still be under way."""
        said = ((one, orjson.loads(one[1])) for one in self.received)
        return [one for one, body in said if thing in (body.get("document"), body.get("message"))]

    def wait(self, count: int, thing: str, seconds: float = 20) -> list[tuple[dict[str, str], bytes]]:
        """Wait until so many calls came about a document or a message."""
        deadline = time.monotonic() + seconds
        while len(found := self.about(thing)) < count:
            assert time.monotonic() < deadline, self.received
            time.sleep(0.05)
        return found


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A server for webhooks."""
    one = Listener()
    yield one
    one.server.shutdown()
    one.server.server_close()


def test_a_webhook_tells_each_end_once_signed(vendor: Client, listener: Listener) -> None:
    """A refused call is tried again; the signature holds; no trait and no clinical word travels."""
    listener.refuses_first = True
    made = vendor.request("POST", "/v1/webhooks", json={"url": listener.url})
    assert made.status_code == 201, made.text
    secret, hook = made.json()["secret"], made.json()["id"]
    assert vendor.request("POST", "/v1/webhooks", json={"url": listener.url}).status_code == 409
    assert vendor.request("GET", "/v1/webhooks").json() == [{"id": hook, "url": listener.url}]
    receipt = post(vendor, documents.report(next(numbers))).json()
    first, second = listener.wait(2, receipt["id"])[:2]
    assert first[1] == second[1]
    said = orjson.loads(second[1])
    assert said["type"] == "delivery.acknowledged"
    assert said["document"] == receipt["id"]
    verify(second[0]["Passerelle-Signature"], secret, second[1], datetime.now(UTC))
    assert b"PAT-TROIS" not in second[1]
    assert vendor.request("DELETE", f"/v1/webhooks/{hook}").status_code == 204
    assert vendor.request("DELETE", "/v1/webhooks/whk_unknown").status_code == 404


@pytest.mark.parametrize(
    "url", ["ftp://example.org/", "https://", "javascript:alert(1)", "https://user:pw@example.org/x"]
)
def test_addresses_that_may_not_be_called(vendor: Client, url: str) -> None:
    """Refused at registration, without repeating them."""
    answer = vendor.request("POST", "/v1/webhooks", json={"url": url})
    assert answer.status_code == 422
    assert answer.json()["faults"][0]["code"] == "API-HOOK-001"


def test_documents_are_listed_by_state_date_and_actor(vendor: Client) -> None:
    """Newest first, page by page, by plain filters."""
    sent = [post(vendor, documents.report(next(numbers))).json() for _ in range(3)]
    for one in sent:
        follow(vendor, one["id"])
    page = vendor.request("GET", "/v1/documents", params={"limit": 2, "state": "completed"}).json()
    assert [item["id"] for item in page["items"]] == [sent[2]["id"], sent[1]["id"]]
    following = vendor.request("GET", "/v1/documents", params={"limit": 2, "cursor": page["cursor"]}).json()
    assert following["items"][0]["id"] == sent[0]["id"]

    def ids(**params: str) -> set[str]:
        body = vendor.request("GET", "/v1/documents", params={"limit": "500", **params}).json()
        return {item["id"] for item in body["items"]}

    everything = ids()
    assert ids(actor="899700218896") == everything
    assert ids(actor="899700000000") == set()
    assert ids(kind="prescription").isdisjoint({one["id"] for one in sent})
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert ids(**{"from": tomorrow}) == set()
    assert ids(to=tomorrow) == everything


def test_a_document_is_seen_as_a_page(vendor: Client) -> None:
    """Escaped, scriptless, with its policy."""
    receipt = post(vendor, documents.prescription(next(numbers))).json()
    page = vendor.request("GET", receipt["links"]["view"])
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "script" not in page.headers["content-security-policy"].replace("script-src 'none'", "")
    assert "PARACETAMOL" in page.text
    assert "<script" not in page.text


def test_what_waits_too_long_expires(running: Demonstration, vendor: Client) -> None:
    """After the days of the setting a held delivery expires, with its cause and its ledger entry."""
    document = unqualified(next(numbers))
    document["patient"]["identifiers"] = [{"root": "1.2.250.1.999.9.5", "extension": f"OLD{next(numbers)}"}]
    document["patient"]["attributes"] = ["douteux"]
    receipt = post(vendor, document).json()
    assert receipt["deliveries"][0]["state"] == "held"
    gateway = running.gateway
    honest = gateway.worker.clock
    gateway.worker.clock = lambda: honest() + timedelta(days=91)
    try:
        done = follow(vendor, receipt["id"])
    finally:
        gateway.worker.clock = honest
    assert done["deliveries"][0]["state"] == "expired"
    assert done["deliveries"][0]["outcome"]["code"] == "held_too_long"
    assert done["state"] == "failed"


def test_an_opposition_ends_what_waits(vendor: Client) -> None:
    """The patient objects: what waits is refused with that cause, and so is what comes after."""
    document = unqualified(next(numbers))
    local = {"root": "1.2.250.1.999.9.5", "extension": f"OPP{next(numbers)}"}
    document["patient"]["identifiers"] = [local]
    document["patient"]["attributes"] = ["douteux"]
    receipt = post(vendor, document).json()
    rows = vendor.request("GET", "/v1/identities/pending", params={"limit": 500}).json()
    identity = max(rows, key=lambda row: row["oldest"])
    said = vendor.request(
        "POST", f"/v1/identities/{identity['id']}/events", json={"event": "OPPOSED", "opposition": "dmp"}
    )
    assert said.status_code == 200, said.text
    done = follow(vendor, receipt["id"])
    assert done["deliveries"][0]["outcome"]["code"] == "patient_opposed"


def test_a_new_version_replaces_the_former(running: Demonstration, vendor: Client) -> None:
    """Same set, next version: the registry deprecates the former entry, in order."""
    first = documents.report(next(numbers))
    second = {
        **documents.report(next(numbers)),
        "setId": first["setId"],
        "versionNumber": 2,
        "replaces": {"id": first["id"], "versionNumber": 1},
        "title": "Compte rendu corrigé",
    }
    one, two = post(vendor, first).json(), post(vendor, second).json()
    assert follow(vendor, one["id"])["state"] == "completed"
    assert follow(vendor, two["id"])["state"] == "completed"
    from tests.acceptance.conftest import simulator

    entries = {e["uniqueId"]: e["status"] for e in simulator(running, "dmp", "/entries").json()}
    assert entries[first["id"]["root"]] == "Deprecated"
    assert entries[second["id"]["root"]] == "Approved"
