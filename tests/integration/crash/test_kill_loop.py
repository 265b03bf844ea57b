"""kill -9 at random moments while clients send: every promise kept, nothing twice; the checker finds seeded bugs."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from gateway.store.engine import Store
from tests.support.counting import differences, seal_all
from tests.support.feeding import Feeder, judge, settle
from tests.support.process import gateway_process


def run(
    folder: Path, database_url: str, kills: int, *, bug: str | None = None, life: tuple[float, float] = (0.08, 0.35)
) -> list[str]:
    """Kill a node so many times under load, then start it for good; what the checker says."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    with gateway_process(folder, database_url=database_url) as one:
        feeders = [Feeder(folder / f"client-{n}.jsonl", [one], seed + n, pause=0.06).start() for n in range(2)]
        for _ in range(kills):
            one.start(bug=bug)
            time.sleep(chance.uniform(*life))
            one.kill()
        one.start()
        for feeder in feeders:
            feeder.stop()
        for feeder in feeders[1:]:
            feeder.settle()
        last = feeders[0]
        history = last.history
        last.settle_keys()
        settle(one, history, seconds=120)
        history.close()
        one.stop()
        print(f"{sum(f.sent for f in feeders)} sent over {kills} kills")  # noqa: T201
        store = Store(one.database_url)
        try:
            seal_all(store)
            counted = differences(store, one.sandbox)
        finally:
            store.close()
        return judge(one.sandbox, [f.history.path for f in feeders]) + counted


def test_kills_at_random_moments_lose_and_double_nothing(tmp_path: Path, database_url: str) -> None:
    """Twenty kills on each engine."""
    assert run(tmp_path, database_url, 20) == []


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_hundreds_of_kills_lose_and_double_nothing(tmp_path: Path, database_url: str) -> None:
    """Two hundred and fifty kills on each engine."""
    assert run(tmp_path, database_url, 250) == []


@pytest.mark.parametrize("bug", ["receipt_before_commit", "mail_before_commit"])
def test_the_checker_finds_a_bug_put_in_on_purpose(tmp_path: Path, bug: str) -> None:
    """A node that sends before it commits is found out."""
    assert run(tmp_path, f"sqlite:///{tmp_path / 'passerelle.db'}", 3, bug=bug, life=(0.5, 1.5)) != []
