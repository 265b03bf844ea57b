"""``passerelle worker --mail``: a process that sends and reads mail, and nothing else, beside a gateway."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson

from adapters.sandbox import Sandbox
from gateway.demonstration import CABINET
from tests.support import documents
from tests.support.postgres import fresh_database
from tests.support.process import GatewayProcess

COMMAND = (sys.executable, "-c", "from gateway.cli import main; main()", "worker", "--mail")
PRO = {"address": "dr.morel@medecin.formation.mssante.fr", "kind": "professional"}


def test_it_sends_and_reads_mail_only(tmp_path: Path) -> None:
    """The mail of a document leaves and is told read; its feed to the DMP waits for another worker."""
    with (
        fresh_database() as url,
        Sandbox(tmp_path / "sandbox", structure_id=CABINET[0], structure_name=CABINET[1]) as sandbox,
    ):
        settings = {"PASSERELLE_WORKERS_INSIDE": "false"}
        serve = GatewayProcess(tmp_path, sandbox, database_url=url, settings=settings)
        serve.start()
        log = (tmp_path / "mail.log").open("wb")
        worker = subprocess.Popen(COMMAND, env=serve.environment(), stdout=log, stderr=log)
        try:
            client = serve.client()
            value = documents.load(documents.report(1)).model_dump(mode="json", exclude_none=True, by_alias=True)
            answer = client.request(
                "POST",
                "/v1/documents",
                content=orjson.dumps({"document": value, "deliverTo": {"mss": {"recipients": [PRO]}}}),
                headers={"Content-Type": "application/json", "Idempotency-Key": "mail-worker"},
            )
            assert answer.status_code == 202, answer.text

            def deliveries() -> dict[str, dict[str, Any]]:
                body = client.request("GET", f"/v1/documents/{answer.json()['id']}").json()
                return {one["to"]: one for one in body["deliveries"]}

            deadline = time.monotonic() + 60
            while (found := deliveries())["mss"]["recipientStates"][0]["state"] != "read":
                assert time.monotonic() < deadline, (found, (tmp_path / "mail.log").read_text()[-2000:])
                time.sleep(0.1)
            assert found["mss"]["state"] == "acknowledged"
            assert found["dmp"]["state"] == "queued"
            client.http.close()
        finally:
            worker.send_signal(signal.SIGTERM)
            code = worker.wait(30)
            log.close()
            serve.stop()
        assert code == 0
        assert b'"level":"error"' not in (tmp_path / "mail.log").read_bytes()


def test_it_is_refused_on_sqlite(tmp_path: Path) -> None:
    """One process writes to a SQLite file, and that is the gateway itself: said in words, exit 2."""
    done = subprocess.run(
        COMMAND,
        env={"PASSERELLE_DATA_DIR": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "SQLite" in done.stderr
