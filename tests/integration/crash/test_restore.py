"""An older backup put back: nothing is sent before the registry was asked, nothing is in it twice, mails wait."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from tests.integration.crash.test_crash_points import ledger_holds, send
from tests.support import documents
from tests.support.feeding import judge, mails_of, registry_of, settle
from tests.support.process import ROOT, GatewayProcess, History, gateway_process

numbers = itertools.count(90_000)

#: No destination: what is taken in charge stays where it is.
NOWHERE = {"PASSERELLE_DMP__BASE_URL": "", "PASSERELLE_MSS__SMTP_HOST": ""}
#: A lease lost on a busy machine has the same mail leave twice, under one Message-ID, as it should: not asked here.
UNHURRIED = {"PASSERELLE_LEASE_SECONDS": "60"}


def passerelle(one: GatewayProcess, *words: str | Path) -> subprocess.CompletedProcess[bytes]:
    """A command with the node's settings."""
    command = [sys.executable, "-c", "from gateway.cli import main; main()", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, env=one.environment(), capture_output=True, check=False, timeout=120)


def simulator(one: GatewayProcess, method: str, path: str, **options: Any) -> Any:
    """The simulated DMP's own interface."""
    url = f"{one.sandbox.addresses['dmp']['api']}/{path}"
    answer = httpx.request(method, url, trust_env=False, timeout=30, **options)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def until(one: GatewayProcess, number: str, state: str) -> dict[str, Any]:
    """Follow a document until one of its deliveries is in a state; that delivery."""
    client = one.client()
    deadline = time.monotonic() + 60
    while True:
        body = client.request("GET", f"/v1/documents/{number}").json()
        for delivery in body["deliveries"]:
            if delivery["state"] == state:
                client.http.close()
                return dict(delivery)
        assert time.monotonic() < deadline, body
        time.sleep(0.05)


def test_a_restored_backup_asks_before_it_sends(tmp_path: Path, database_url: str) -> None:
    """Queued, tried without success, or taken since the copy: each was fed once, and once only."""
    with gateway_process(tmp_path, database_url=database_url) as one:
        history = History(tmp_path / "history.jsonl")
        tried, queued, since = (documents.report(next(numbers)) for _ in range(3))
        fault = {"fault": "http_error", "transaction": "TD2.1a", "count": None, "parameters": {"status": 503}}
        simulator(one, "POST", "faults", json=fault)
        one.start()
        assert send(one, history, tried)
        until(one, one_document(one), "retrying")
        one.stop()
        simulator(one, "DELETE", "faults")
        one.settings = NOWHERE
        one.start()
        assert send(one, history, queued)
        # While it serves.
        copy = tmp_path / "copy"
        done = passerelle(one, "backup", "--output", copy)
        assert done.returncode == 0, done.stderr
        assert copy.stat().st_mode & 0o077 == 0
        assert send(one, history, since)
        one.stop()

        one.settings = {}
        one.start()
        settle(one, history)
        one.stop()
        assert len(registry_of(one.sandbox)) == 3

        done = passerelle(one, "restore", copy, "--yes")
        assert done.returncode == 0, done.stderr
        simulator(one, "DELETE", "exchanges")
        one.start()
        # The receipt of the last one is lost with the database: its client asks again under the same key.
        assert send(one, history, since)
        settle(one, history)
        one.stop()
        ledger_holds(one)
        history.close()
        assert simulator(one, "GET", "exchanges", params={"transaction": "TD2.1a"}) == []
        assert judge(one.sandbox, [history.path]) == []


def one_document(one: GatewayProcess) -> str:
    """The id of the only document there is."""
    client = one.client()
    items = client.request("GET", "/v1/documents").json()["items"]
    client.http.close()
    assert len(items) == 1
    return str(items[0]["id"])


def test_a_mail_that_may_have_left_waits_for_a_person(tmp_path: Path, database_url: str) -> None:
    """No operator can be asked: the mail of a restored backup is a dead letter, sent again at a word."""
    with gateway_process(tmp_path, database_url=database_url) as one:
        history = History(tmp_path / "history.jsonl")
        one.settings = NOWHERE | UNHURRIED
        one.start()
        assert send(one, history, documents.report(next(numbers)), mail=True)
        number = one_document(one)
        copy = tmp_path / "copy"
        assert passerelle(one, "backup", "-o", copy).returncode == 0
        one.stop()
        one.settings = UNHURRIED
        one.start()
        settle(one, history)
        one.stop()
        assert len(mails_of(one.sandbox)) == 1

        assert passerelle(one, "restore", copy, "--yes").returncode == 0
        one.start()
        letter = until(one, number, "dead_letter")
        assert (letter["to"], letter["reason"]) == ("mss", "restored")
        assert "sauvegarde" in letter["cause"]
        settle(one, history)
        assert len(mails_of(one.sandbox)) == 1
        client = one.client()
        again = client.request("POST", f"/v1/deliveries/{letter['id']}/replay")
        assert again.is_success, again.text
        client.http.close()
        settle(one, history)
        assert len(mails_of(one.sandbox)) == 2
        one.stop()
        history.close()


def test_what_cannot_be_copied_or_put_back_is_said(tmp_path: Path, database_url: str) -> None:
    """A file in the way, one that is no copy, a database being served: refused in one line, nothing changed."""
    with gateway_process(tmp_path, database_url=database_url) as one:
        one.start()
        copy = tmp_path / "copy"
        copy.write_bytes(b"in the way")
        done = passerelle(one, "backup", "-o", copy)
        assert (done.returncode, copy.read_bytes()) == (1, b"in the way")
        served = passerelle(one, "restore", copy, "--yes")
        one.stop()
        no_copy = passerelle(one, "restore", copy, "--yes")
        neither = passerelle(one, "restore", "--yes")
        assert no_copy.returncode == 1
        assert neither.returncode == 2
        if database_url.startswith("sqlite"):
            assert served.returncode == 2
        for said in (done, served, no_copy, neither):
            assert said.stderr
            assert b"Traceback" not in said.stderr
        one.start()
        assert httpx.get(f"{one.base_url}/health/ready", trust_env=False, timeout=10).status_code == 200
        marked = passerelle(one, "restore", "--mark-only", "--yes")
        one.stop()
        assert marked.returncode == (2 if database_url.startswith("sqlite") else 0)
        assert passerelle(one, "restore", "--mark-only", "--yes").returncode == 0
