"""Heads leave the gateway: stamped by an authority, filed outside, mailed to auditors; and are found good there."""

from __future__ import annotations

import quopri
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import update

from gateway.demonstration import Client, Demonstration
from gateway.feeds.tables import departures
from tests.acceptance.conftest import follow, post, simulator
from tests.support import documents
from tests.support.tsa import Authority, authority

AUDITORS = "controle@structure.formation.mssante.fr"


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """A time-stamping authority that is down at first."""
    with authority(tmp_path_factory.mktemp("tsa")) as one:
        one.fault = "down"
        yield one


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is not the gateway's."""
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, tsa: Authority, outside: Path) -> Iterator[Demonstration]:
    """A gateway whose heads leave by every way."""
    feeds = {
        "head_seconds": 0.3,
        "drop_folder": outside,
        "mail_to": (AUDITORS,),
        "timestamp_url": tsa.url,
        "timestamp_roots": tsa.root,
    }
    folder = tmp_path_factory.mktemp("gateway")
    with Demonstration(folder, pool_processes=0, settings={"feeds": feeds}).running() as one:
        yield one


def until(found: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait for something to be there."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, value
        time.sleep(0.1)
    return value


def heads(client: Client) -> dict[str, Any]:
    """The last heads and the departures."""
    answer = client.request("GET", "/v1/feeds/heads")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.fixture(scope="module")
def gone(running: Demonstration, vendor: Client, tsa: Authority, outside: Path) -> dict[str, Any]:
    """The day's heads once they left; while the authority is down the copies wait for its time-stamp."""
    answer = post(vendor, documents.report(71_001))
    assert follow(vendor, answer.json()["id"])["state"] == "completed"
    assert until(lambda: heads(vendor)["items"])[0]["size"] >= 1
    waiting = until(lambda: [d for d in heads(vendor)["departures"] if d["channel"] == "timestamp" and d["detail"]])
    assert (waiting[0]["detail"], waiting[0]["state"]) == ("TSA-HTTP", "due")
    assert not list(outside.glob("heads-*.json"))
    tsa.fault = ""

    def all_gone() -> list[dict[str, Any]]:
        # What waits a minute or more in life is due now.
        due = update(departures).where(departures.c.state == "due").values(next_at="2000-01-01T00:00:00.000Z")
        running.gateway.store.write_now(lambda c: c.execute(due))
        told = heads(vendor)["departures"]
        return told if len(told) == 3 and all(one["state"] == "done" for one in told) else []

    told = until(all_gone)
    assert {one["channel"] for one in told} == {"timestamp", "folder", "mail"}
    return dict(orjson.loads(next(outside.glob("heads-*.json")).read_bytes()))


def test_the_days_heads_verify_where_they_are_kept(
    running: Demonstration, vendor: Client, tsa: Authority, outside: Path, gone: dict[str, Any]
) -> None:
    """The file outside: stamped, the same as the interface gives, good against the ledger by key and time-stamp."""
    assert gone["timestamp"]
    assert vendor.request("GET", f"/v1/feeds/heads/{gone['day']}").json() == gone
    file = next(outside.glob("heads-*.json"))
    verified = verify(running, "--head", file, "--key", outside / "feeds.pub.pem", "--timestamp-roots", tsa.root)
    assert verified.returncode == 0, verified.stderr
    assert "horodaté" in verified.stderr


def test_auditors_get_one_mail_a_day(running: Demonstration, gone: dict[str, Any]) -> None:
    """The whole bundle in words, taken by the operator, once."""
    mails = [mail for mail in simulator(running, "mss", "/messages").json() if AUDITORS in mail["recipients"]]
    assert len(mails) == 1
    raw = simulator(running, "mss", f"/messages/{mails[0]['id']}/raw").content
    words = quopri.decodestring(raw.partition(b"\r\n\r\n")[2])
    assert gone["root"].encode() in words


def verify(running: Demonstration, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """``passerelle feeds verify`` on the gateway's database."""
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "feeds", "verify", *map(str, words)]
    command += ["--database", f"sqlite:///{running.gateway.store.url.database}"]
    return subprocess.run(command, capture_output=True, check=False, text=True)


def test_a_bundle_put_together_by_somebody_else_is_found(
    running: Demonstration, gone: dict[str, Any], a_folder: Path
) -> None:
    """A head of the day's bundle changed: its root is no longer theirs."""
    bundle = orjson.loads(orjson.dumps(gone))
    bundle["heads"][0]["size"] += 1
    forged = a_folder / "forged.json"
    forged.write_bytes(orjson.dumps(bundle))
    found = verify(running, "--head", forged)
    assert found.returncode == 1
    assert "FEED-HEAD-002" in found.stderr


def test_a_day_without_heads_is_not_found(vendor: Client) -> None:
    """Nothing left that day."""
    assert vendor.request("GET", "/v1/feeds/heads/2001-01-01").status_code == 404
    assert vendor.request("GET", "/v1/feeds/heads/today").status_code == 422
