"""Many nodes on one PostgreSQL: killed one after the other under load, started together, taken over, stopped."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from adapters.sandbox import Sandbox
from gateway.demonstration import CABINET
from tests.integration.crash.test_crash_points import send
from tests.support import documents
from tests.support.feeding import Feeder, judge, settle
from tests.support.postgres import fresh_database
from tests.support.process import ROOT, GatewayProcess, History, register


@contextmanager
def cluster(folder: Path, database_url: str, *, serving: int, working: int) -> Iterator[list[GatewayProcess]]:
    """Nodes that take documents and nodes that deliver them, all ended at the end; the serving ones come first."""
    with Sandbox(folder / "sandbox", structure_id=CABINET[0], structure_name=CABINET[1]) as sandbox:
        role = register(database_url, folder)
        nodes = [
            GatewayProcess(
                folder,
                sandbox,
                database_url=database_url,
                role=role,
                name=f"{kind}-{number}",
                kind=kind,
                settings={"PASSERELLE_WORKERS_INSIDE": "false"},
            )
            for kind, count in (("serve", serving), ("worker", working))
            for number in range(count)
        ]
        try:
            yield nodes
        finally:
            for node in nodes:
                node.stop()


def killed_in_turn(folder: Path, kills: int, pause: float) -> list[str]:
    """Two gateways and three workers, one killed and started again at each turn under load; what the checker says."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    with fresh_database() as url, cluster(folder, url, serving=2, working=3) as nodes:
        for node in nodes:
            node.start()
        feeders = [Feeder(folder / f"client-{n}.jsonl", nodes[:2], seed + n, pause=0.08).start() for n in range(2)]
        for _ in range(kills):
            time.sleep(pause)
            victim = chance.choice(nodes)
            victim.kill()
            time.sleep(chance.uniform(0.0, pause))
            victim.start(wait=False)
        for node in nodes[:2]:
            node.wait_ready()
        for feeder in feeders:
            feeder.stop()
        feeders[1].settle()
        feeders[0].settle_keys()
        settle(nodes[0], feeders[0].history, seconds=120)
        feeders[0].history.close()
        print(f"{sum(f.sent for f in feeders)} sent over {kills} kills")  # noqa: T201
        return judge(nodes[0].sandbox, [f.history.path for f in feeders])


def test_nodes_killed_in_turn_lose_and_double_nothing(tmp_path: Path) -> None:
    """Eight kills among two gateways and three workers."""
    assert killed_in_turn(tmp_path, 8, 0.5) == []


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_nodes_killed_every_few_seconds_lose_and_double_nothing(tmp_path: Path) -> None:
    """Sixty kills, one every few seconds."""
    assert killed_in_turn(tmp_path, 60, 2.0) == []


def test_the_work_of_a_dead_worker_is_taken_over_within_two_leases(tmp_path: Path) -> None:
    """A worker dies with deliveries in its hands; another ends them, by lease alone, within two leases."""
    with fresh_database() as url, cluster(tmp_path, url, serving=1, working=2) as (front, first, second):
        history = History(tmp_path / "history.jsonl")
        front.start()
        first.start(crash_at="after_send")
        assert send(front, history, documents.report(70_001))
        assert first.wait_crash() == 137, first.log()
        died = time.monotonic()
        second.start()
        settle(front, history)
        # One lease of a second, one look of the other, and the time a loaded machine takes to start it.
        assert time.monotonic() - died < 2 * 1.0 + 10
        engine = create_engine(url)
        with engine.connect() as connection:
            first_note, taken = connection.execute(
                text("SELECT min(at), max(at) FROM history WHERE to_state IN ('sending', 'acknowledged')")
            ).one()
            fences = connection.execute(text("SELECT fence FROM deliveries")).scalars().all()
        engine.dispose()
        assert fences == [2]
        assert taken > first_note
        history.close()
        assert judge(front.sandbox, [history.path]) == []


def test_nodes_that_start_together_migrate_once(tmp_path: Path, database_url: str) -> None:
    """Four processes meet an empty database at the same moment; all of them come up."""
    from gateway.store.migrate import pending

    code = f"from gateway.store.migrate import upgrade; upgrade({database_url!r})"
    together = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    said = [one.communicate(timeout=60)[1] for one in together]
    assert [one.returncode for one in together] == [0, 0, 0, 0], said
    assert pending(database_url) == []


def test_the_worker_command_works_and_stops_in_time(tmp_path: Path) -> None:
    """``passerelle worker`` as people run it: it delivers what another node took, then ends within ten seconds."""
    with fresh_database() as url, cluster(tmp_path, url, serving=1, working=1) as (front, back):
        history = History(tmp_path / "history.jsonl")
        front.start()
        assert send(front, history, documents.report(70_002))
        with (tmp_path / "command.log").open("ab") as log:
            command = subprocess.Popen(
                [sys.executable, "-c", "from gateway.cli import main; main()", "worker"],
                cwd=ROOT,
                env=back.environment(),
                stdout=log,
                stderr=log,
            )
        try:
            settle(front, history)
            os.kill(command.pid, signal.SIGTERM)
            asked = time.monotonic()
            assert command.wait(20) == 0, (tmp_path / "command.log").read_text(encoding="utf-8")
            assert time.monotonic() - asked < 10
        finally:
            if command.poll() is None:
                command.kill()
                command.wait(10)
        history.close()
        assert judge(front.sandbox, [history.path]) == []


def test_the_worker_command_refuses_sqlite(tmp_path: Path) -> None:
    """A separate worker on a SQLite file is refused, with the reason and what to do."""
    done = subprocess.run(
        [sys.executable, "-c", "from gateway.cli import main; main()", "worker"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PASSERELLE_DATA_DIR": str(tmp_path)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert b"PASSERELLE_DATABASE_URL" in done.stderr
