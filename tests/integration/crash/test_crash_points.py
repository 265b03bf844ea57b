"""The node dies at each named moment of a document's way; after a restart, one in the registry, one in the count."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.store.engine import Store
from tests.acceptance.conftest import body_of
from tests.support import documents
from tests.support.counting import differences, seal_all
from tests.support.feeding import judge, settle
from tests.support.process import GatewayProcess, History, gateway_process

numbers = itertools.count(50_000)

POINTS = ["after_commit", "after_prepare", "before_send", "after_send", "before_ack", "after_ack"]
PRO = {"address": "dr.exemple@medecin.formation.mssante.fr"}


def send(one: GatewayProcess, history: History, document: dict[str, Any], *, mail: bool = False) -> bool:
    """Send a document, the history durable before and after; true when the receipt came back."""
    unique_id = document["id"]["root"]
    history.write("invoke", uniqueId=unique_id, mail=mail)
    to = {"deliverTo": {"mss": {"recipients": [PRO]}}} if mail else {}
    client = one.client()
    try:
        answer = client.request(
            "POST",
            "/v1/documents",
            content=body_of(document, **to),
            headers={"Content-Type": "application/json", "Idempotency-Key": unique_id},
        )
    except httpx.TransportError:
        history.write("info", uniqueId=unique_id)
        return False
    finally:
        client.http.close()
    assert answer.status_code == 202, answer.text
    history.write("ok", uniqueId=unique_id, id=answer.json()["id"])
    return True


def ledger_holds(one: GatewayProcess) -> None:
    """Counted by SQL, recounted from the chain, and read from the simulators: one answer; every chain verifies."""
    store = Store(one.database_url)
    try:
        seal_all(store)
        assert differences(store, one.sandbox) == []
    finally:
        store.close()


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at_each_moment_loses_and_doubles_nothing(tmp_path: Path, database_url: str, point: str) -> None:
    """Killed there, started again: what was promised is in the registry once, mailed once and counted once."""
    with gateway_process(tmp_path, database_url=database_url) as one:
        history = History(tmp_path / "history.jsonl")
        document = documents.report(next(numbers))
        one.start(crash_at=point)
        with contextlib.suppress(AssertionError):
            send(one, history, document, mail=True)
        assert one.wait_crash() == 137, one.log()
        one.start()
        assert send(one, history, document, mail=True)
        settle(one, history)
        one.stop()
        ledger_holds(one)
        history.close()
        assert judge(one.sandbox, [history.path]) == []


def test_the_answer_lost_on_the_wire(tmp_path: Path, database_url: str) -> None:
    """The registry accepts, the answer never comes, and the gateway is killed before it can ask."""
    with gateway_process(tmp_path, database_url=database_url) as one:
        history = History(tmp_path / "history.jsonl")
        document = documents.report(next(numbers))
        httpx.post(
            f"{one.sandbox.addresses['dmp']['api']}/faults",
            json={"fault": "lost_after_acceptance", "transaction": "TD2.1a"},
            trust_env=False,
        ).raise_for_status()
        one.start(crash_at="after_send")
        send(one, history, document)
        assert one.wait_crash() == 137, one.log()
        one.start()
        settle(one, history)
        one.stop()
        ledger_holds(one)
        history.close()
        assert judge(one.sandbox, [history.path]) == []
