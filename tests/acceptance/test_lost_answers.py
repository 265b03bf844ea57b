"""Answers lost or spoiled after the DMP accepted, through the whole gateway: success is reported, one entry is there.

The simulator registers what it is given anew: nothing but the gateway's own care keeps a document from standing twice
in the registry. ``PASSERELLE_LOST_ANSWERS`` is the number of seeded runs, 200 to show it, fewer each day.
"""

from __future__ import annotations

import itertools
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demonstration import Demonstration
from tests.acceptance.conftest import follow, post, simulator
from tests.support import documents

RUNS = int(os.environ.get("PASSERELLE_LOST_ANSWERS", "16"))
TOGETHER = 8
#: After the work was done (or before it began, for the second): the caller cannot tell.
SPOILED = ("lost_after_acceptance", "lost_before", "truncated_multipart", "unknown_status", "not_xml", "html")
numbers = itertools.count(83_000)


@pytest.fixture(scope="module", params=["ask", "resend_same_set"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    """A gateway of either policy, quick to try again and that never holds the whole destination back."""
    settings = {
        "dmp": {"after_lost_answer": request.param},
        "retry_first_seconds": 0.05,
        "retry_cap_seconds": 0.2,
        "max_attempts": 60,
        "breaker_failures": 10_000,
    }
    folder: Path = tmp_path_factory.mktemp("lost")
    with Demonstration(folder, pool_processes=0, settings=settings).running() as one:
        yield one


def test_lost_answers_leave_one_entry_and_a_success(running: Demonstration) -> None:
    """Each seeded run: an answer to the feeding, sometimes to the question after it too, does not arrive whole."""
    dice = random.Random(20260215)
    client = running.client("vendor")
    sent: list[str] = []
    unsure = 0
    for start in range(0, RUNS, TOGETHER):
        receipts = []
        for _ in range(min(TOGETHER, RUNS - start)):
            running.sandbox.dmp.faults.set(dice.choice(SPOILED), count=dice.choice([1, 1, 2]), transaction="TD2.1a")
            if dice.random() < 0.3:
                running.sandbox.dmp.faults.set(dice.choice(SPOILED), transaction="TD3.1b")
            answer = post(client, documents.report(next(numbers)))
            assert answer.status_code == 202, answer.text
            receipts.append(answer.json())
        for receipt in receipts:
            done = follow(client, receipt["id"], seconds=60)
            assert done["state"] == "completed", done
            unsure += any(row["to"] == "uncertain" for row in done["history"])
            sent.append(receipt["uniqueId"])
        running.sandbox.dmp.faults.clear()
    entries = Counter(e["uniqueId"] for e in simulator(running, "dmp", "/entries").json())
    assert {name: entries[name] for name in sent} == dict.fromkeys(sent, 1)
    assert unsure > RUNS // 4
    client.http.close()
