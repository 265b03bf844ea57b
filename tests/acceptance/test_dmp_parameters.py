"""The DMP's system parameters decide what may be fed, and change under way."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

from gateway.demonstration import Client, Demonstration
from tests.acceptance.conftest import follow, post
from tests.support import documents

numbers = itertools.count(95_000)


def hidden_twice() -> dict[str, Any]:
    """A report masked to professionals and hidden from the patient."""
    document = dict(documents.report(next(numbers)))
    document["visibility"] = {"hiddenFromPatient": True, "maskedFromProfessionals": True}
    return document


def test_both_restrictions_at_once_are_the_parameters_matter(running: Demonstration, vendor: Client) -> None:
    """Refused before anything leaves while the file says no; fed once it says yes, read again a day later."""
    refused = follow(vendor, post(vendor, hidden_twice()).json()["id"])
    assert refused["state"] == "failed", refused
    assert refused["deliveries"][0]["outcome"]["code"] == "invalid_metadata"
    object.__setattr__(running.sandbox.dmp.policy, "both_restrictions", True)
    courier = next(lane.courier for lane in running.gateway.worker.lanes if lane.courier.destination == "dmp")
    courier.neighbours._parameters._next -= timedelta(hours=24)
    done = follow(vendor, post(vendor, hidden_twice()).json()["id"])
    assert done["state"] == "completed", done
