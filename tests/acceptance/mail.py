"""What the tests of mail share: messages asked for, followed, and mails put into mailboxes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import orjson

from gateway.demonstration import Client
from tests.support import documents

PRO = {"address": "dr.morel@medecin.formation.mssante.fr", "kind": "professional"}
CITIZEN = {"address": "279035121518989@patient.mssante.fr", "kind": "citizen"}
CABINET = {"address": "cabinet@structure.formation.mssante.fr", "kind": "structure"}
PHARMACY = {"address": "officine@pharmacien.formation.mssante.fr", "kind": "structure"}

_keys = itertools.count()


def say(client: Client, *, key: str | None = None, **asked: Any) -> dict[str, Any]:
    """Ask for a message."""
    answer = client.request(
        "POST",
        "/v1/messages",
        content=orjson.dumps(asked),
        headers={"Idempotency-Key": key or f"say-{next(_keys)}", "Content-Type": "application/json"},
    )
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    return body


def until(read: Callable[[], Any], wanted: Callable[[Any], bool], seconds: float = 20) -> Any:
    """Read until something holds."""
    deadline = time.monotonic() + seconds
    while True:
        found = read()
        if wanted(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.03)


def follow_message(client: Client, message: str, *states: str) -> dict[str, Any]:
    """Read a message until its deliveries have ended, and its recipients are in one of these states."""

    def ended(body: dict[str, Any]) -> bool:
        reached = [r["state"] for d in body["deliveries"] for r in d["recipientStates"]]
        return body["state"] != "accepted" and (not states or set(reached) <= set(states))

    body: dict[str, Any] = until(lambda: client.request("GET", f"/v1/messages/{message}").json(), ended)
    return body


def received(client: Client, wanted: Callable[[dict[str, Any]], bool], seconds: float = 20) -> dict[str, Any]:
    """The first mail of the inbox of which something holds, once it is there."""

    def find() -> dict[str, Any] | None:
        page = client.request("GET", "/v1/inbox", params={"limit": 100}).json()
        return next((one for one in page["items"] if wanted(one)), None)

    found: dict[str, Any] = until(find, lambda one: one is not None, seconds)
    return found


def whole(client: Client, received_id: str) -> dict[str, Any]:
    """A mail received, with its words and documents."""
    answer = client.request("GET", f"/v1/inbox/{received_id}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def author() -> dict[str, Any]:
    """The cabinet's doctor, as an actor."""
    return documents.DOCTOR
