"""The process dies at each named moment of a document's way; after a restart, one in the registry, one in the count."""

from __future__ import annotations

import contextlib
import itertools
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from gateway.feeds.tables import entries
from gateway.feeds.verification import all_tenants, verify
from gateway.store.engine import Store
from tests.acceptance.conftest import ENDED, body_of
from tests.support import documents
from tests.support.process import GatewayProcess, History, gateway_process

numbers = itertools.count(50_000)

POINTS = ["after_commit", "after_prepare", "before_send", "after_send", "before_ack", "after_ack"]


def send(one: GatewayProcess, history: History, document: dict[str, Any], key: str) -> bool:
    """Send a document, the history durable before and after; true when the receipt came back."""
    unique_id = document["id"]["root"]
    history.write("invoke", uniqueId=unique_id)
    client = one.client()
    try:
        answer = client.request(
            "POST",
            "/v1/documents",
            content=body_of(document),
            headers={"Content-Type": "application/json", "Idempotency-Key": key},
        )
    except httpx.TransportError:
        history.write("info", uniqueId=unique_id)
        return False
    finally:
        client.http.close()
    assert answer.status_code == 202, answer.text
    history.write("ok", uniqueId=unique_id, id=answer.json()["id"])
    return True


def drain(one: GatewayProcess, unique_ids: set[str], seconds: float = 30) -> None:
    """Wait until every delivery of these documents has ended."""
    client = one.client()
    deadline = time.monotonic() + seconds
    try:
        while True:
            page = client.request("GET", "/v1/documents", params={"limit": 500}).json()
            known = {item["uniqueId"]: item for item in page["items"]}
            states = {d["state"] for u in unique_ids if u in known for d in known[u]["deliveries"]}
            if unique_ids <= known.keys() and states <= ENDED:
                return
            assert time.monotonic() < deadline, (states, unique_ids - known.keys(), one.log())
            time.sleep(0.05)
    finally:
        client.http.close()


def registry(one: GatewayProcess) -> list[str]:
    """The unique ids of the documents in the registry, once an entry."""
    rows = httpx.get(f"{one.sandbox.addresses['dmp']['api']}/entries", trust_env=False, timeout=10).json()
    return [row["uniqueId"] for row in rows if row["type"] != "E1762"]


def counted(one: GatewayProcess) -> int:
    """How many acceptances the ledger holds; it must verify."""
    store = Store(one.database_url)
    try:
        for tenant in store.read_now(all_tenants):
            assert store.read_now(lambda c, t=tenant: verify(c, t)).ok  # type: ignore[misc]
        return len(
            store.read_now(
                lambda c: c.execute(
                    select(entries.c.entry_id).where(entries.c.kind == "dmp.document", entries.c.state == "accepted")
                ).all()
            )
        )
    finally:
        store.close()


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at_each_moment_loses_and_doubles_nothing(tmp_path: Path, point: str) -> None:
    """Killed there, started again: what was promised is in the registry once and counted once."""
    with gateway_process(tmp_path) as one:
        history = History(tmp_path / "history.jsonl")
        document = documents.report(next(numbers))
        one.start(crash_at=point)
        with contextlib.suppress(AssertionError):
            send(one, history, document, "k1")
        assert one.wait_crash() == 137, one.log()
        one.start()
        assert send(one, history, document, "k1")
        wanted = {document["id"]["root"]}
        drain(one, wanted)
        one.stop()
        assert registry(one) == sorted(wanted)
        assert counted(one) == 1
        history.close()


def test_the_answer_lost_on_the_wire(tmp_path: Path) -> None:
    """The registry accepts, the answer never comes, and the gateway is killed before it can ask."""
    with gateway_process(tmp_path) as one:
        history = History(tmp_path / "history.jsonl")
        document = documents.report(next(numbers))
        httpx.post(
            f"{one.sandbox.addresses['dmp']['api']}/faults",
            json={"fault": "lost_after_acceptance", "transaction": "TD2.1a"},
            trust_env=False,
        ).raise_for_status()
        one.start(crash_at="after_send")
        send(one, history, document, "k1")
        assert one.wait_crash() == 137, one.log()
        one.start()
        drain(one, {document["id"]["root"]})
        one.stop()
        assert registry(one) == [document["id"]["root"]]
        assert counted(one) == 1
        history.close()


def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    """Eight kills at random while documents come in: every promise kept, nothing twice."""
    import random

    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    with gateway_process(tmp_path) as one:
        history = History(tmp_path / "history.jsonl")
        for _ in range(8):
            one.start()
            until = time.monotonic() + chance.uniform(0.15, 0.6)
            while time.monotonic() < until:
                document = documents.report(next(numbers))
                send(one, history, document, f"k{document['id']['root']}")
            one.kill()
        one.start()
        promised = history.promised()
        drain(one, promised, seconds=60)
        one.stop()
        found = registry(one)
        assert len(found) == len(set(found))
        assert promised <= set(found)
        assert set(found) <= history.asked()
        assert counted(one) == len(found)
        history.close()
