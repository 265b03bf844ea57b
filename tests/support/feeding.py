"""Clients that keep sending while nodes die under them, write down what they were promised, and never give up a key."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from adapters.sandbox import Sandbox
from tests.acceptance.conftest import ENDED, body_of
from tests.support import documents
from tests.support.checker import check, read_histories
from tests.support.process import GatewayProcess, History

__all__ = ["Feeder", "judge", "mails_of", "registry_of", "settle"]

_NUMBER = 987_654_321
_BODIES = {
    mail: body_of(
        documents.report(_NUMBER),
        **(
            {"deliverTo": {"mss": {"recipients": [{"address": "dr.exemple@medecin.formation.mssante.fr"}]}}}
            if mail
            else {}
        ),
    )
    for mail in (False, True)
}
_numbers = itertools.count(1_000_000)
_MOST_IN_DOUBT = 200


class Feeder:
    """One client in a thread of its own, with its history; it sends to whichever node answers."""

    def __init__(self, path: Path, nodes: Sequence[GatewayProcess], seed: int, *, pause: float = 0.0) -> None:
        self.history = History(path)
        self._nodes = nodes
        self._chance = random.Random(seed)
        self._pause = pause
        self._stop = threading.Event()
        self._again: deque[tuple[str, bytes]] = deque()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)
        self.failure: BaseException | None = None
        self.sent = 0

    def start(self) -> Feeder:
        """Begin to send."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Send nothing new; what was in doubt is settled by :meth:`settle`."""
        self._stop.set()
        self._thread.join(60)
        if self.failure is not None:
            raise self.failure

    def settle(self) -> None:
        """Send again, under the same keys, whatever is still in doubt, then close the history; a node answers now."""
        self.settle_keys()
        self.history.close()

    def settle_keys(self) -> None:
        """Send again, under the same keys, whatever is still in doubt."""
        with contextlib.ExitStack() as stack:
            clients = self._clients(stack)
            # Of each request in doubt, not of all together: many kills leave many.
            deadline = time.monotonic() + 60
            while self._again:
                if time.monotonic() > deadline:
                    raise AssertionError(f"{len(self._again)} requests never got an answer")
                if self._post(clients, *self._again.popleft()):
                    deadline = time.monotonic() + 60
                else:
                    time.sleep(0.05)

    def _clients(self, stack: contextlib.ExitStack) -> list[Any]:
        clients = [node.client() for node in self._nodes]
        for client in clients:
            client.http.timeout = 10
            stack.callback(client.http.close)
        return clients

    def _run(self) -> None:
        try:
            with contextlib.ExitStack() as stack:
                clients = self._clients(stack)
                while not self._stop.is_set():
                    # A node that is down most of the time is not buried under what it never saw.
                    if self._again and (len(self._again) > _MOST_IN_DOUBT or self._chance.random() < 0.5):
                        self._post(clients, *self._again.popleft())
                    else:
                        self._fresh(clients)
                    self._stop.wait(self._pause)
        except BaseException as exc:
            self.failure = exc

    def _fresh(self, clients: list[Any]) -> None:
        mail = self._chance.random() < 0.4
        body = _BODIES[mail].replace(str(_NUMBER).encode(), str(next(_numbers)).encode())
        unique_id = f"1.2.250.1.999.9.2.{body.split(b'1.2.250.1.999.9.2.')[1].split(bytes([34]))[0].decode()}"
        self.history.write("invoke", uniqueId=unique_id, mail=mail)
        self.sent += 1
        self._post(clients, unique_id, body)

    def _post(self, clients: list[Any], unique_id: str, body: bytes) -> bool:
        try:
            answer = self._chance.choice(clients).request(
                "POST",
                "/v1/documents",
                content=body,
                headers={"Content-Type": "application/json", "Idempotency-Key": unique_id},
            )
        except httpx.HTTPError:
            self.history.write("info", uniqueId=unique_id)
            self._again.append((unique_id, body))
            self._stop.wait(0.02)
            return False
        if answer.status_code == 202:
            self.history.write("ok", uniqueId=unique_id, id=answer.json()["id"])
            return True
        if answer.status_code in (409, 429, 503):
            self.history.write("busy", uniqueId=unique_id, status=answer.status_code)
            self._again.append((unique_id, body))
            self._stop.wait(0.02)
            return False
        raise AssertionError(f"{answer.status_code}: {answer.text}")


def registry_of(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The documents in the registry, once an entry (the signatures of sets apart)."""
    url = f"{sandbox.addresses['dmp']['api']}/entries"
    rows: list[dict[str, Any]] = httpx.get(url, trust_env=False, timeout=30).json()
    return [row for row in rows if row["type"] != "E1762"]


def mails_of(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The mails the operator took charge of."""
    rows: list[dict[str, Any]] = httpx.get(
        f"{sandbox.addresses['mss']['api']}/messages", trust_env=False, timeout=30
    ).json()
    return rows


def settle(node: GatewayProcess, history: History, seconds: float = 60) -> None:
    """Wait until nothing is open any more, then write the gateway's own count into a history."""
    client = node.client()
    try:
        deadline = time.monotonic() + seconds
        while True:
            page = client.request("GET", "/v1/documents", params={"state": "accepted", "limit": 500}).json()
            states = {d["state"] for item in page["items"] for d in item["deliveries"]}
            if not page["items"] or states <= ENDED:
                break
            assert time.monotonic() < deadline, (len(page["items"]), states, node.log())
            time.sleep(0.05)
        rows = client.request("GET", "/v1/feeds/counts", params={"by": "outcome"}).json()["rows"]
        found = {(row["service"], row["by"]["outcome"]): row["count"] for row in rows}
        counted = {
            "dmp": found.get(("dmp.document", "accepted"), 0),
            "mss": found.get(("mss.message", "submitted"), 0),
        }
        history.write("counted", **counted, rows=rows)
    finally:
        client.http.close()


def judge(sandbox: Sandbox, histories: Sequence[Path]) -> list[str]:
    """What the offline checker finds in these histories and in what the simulators received."""
    return check(read_histories(histories), registry_of(sandbox), mails_of(sandbox))
