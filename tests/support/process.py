"""Gateway processes of the crash tests: started, killed, started again on the same folder; a history kept on disk."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson

from adapters.sandbox import Sandbox
from gateway import tenants
from gateway.demonstration import CABINET, Client, Role
from gateway.journey.clock import utc_now
from gateway.store.engine import Store
from gateway.store.migrate import upgrade
from security.tokens import make_client_key

ROOT = Path(__file__).resolve().parent.parent.parent


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class GatewayProcess:
    """One gateway, as a process, with its simulators in this one."""

    def __init__(self, folder: Path, sandbox: Sandbox, *, database_url: str | None = None) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.database_url = database_url or f"sqlite:///{folder / 'passerelle.db'}"
        self.process: subprocess.Popen[bytes] | None = None
        self.role = self._register()

    def _register(self) -> Role:
        pem, jwks = make_client_key("P-256")
        key = self.folder / "client.pem"
        key.write_bytes(pem)
        upgrade(self.database_url)
        store = Store(self.database_url)
        scopes = ("documents:write", "documents:read", "feeds:read", "identities:write", "identities:read")
        try:

            def add(connection: Any) -> None:
                tenant = tenants.add_tenant(
                    connection,
                    structure_id=CABINET[0],
                    name=CABINET[1],
                    activity_sector=CABINET[2],
                    references={"mailbox": CABINET[3]},
                    now=utc_now(),
                )
                tenants.add_client(
                    connection,
                    client_id="crash",
                    name="crash",
                    jwks=jwks,
                    scopes=scopes,
                    acts_for=(tenant.id,),
                    actors=None,
                    now=utc_now(),
                )

            store.write_now(add)
        finally:
            store.close()
        return Role(client_id="crash", private_key=key, scopes=scopes)

    def start(self, *, crash_at: str | None = None) -> None:
        """Start the process and wait until it takes documents."""
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("PASSERELLE_")},
            **self.sandbox.environment(),
            "PASSERELLE_BASE_URL": self.base_url,
            "PASSERELLE_DATA_DIR": str(self.folder),
            "PASSERELLE_DATABASE_URL": self.database_url,
            "PASSERELLE_LEASE_SECONDS": "1",
            "PASSERELLE_POLL_SECONDS": "0.05",
            "PASSERELLE_RETRY_FIRST_SECONDS": "0.05",
            "PASSERELLE_DMP__TIMEOUT_SECONDS": "3",
            "PORT": str(self.port),
        }
        if crash_at:
            environment["CRASH_AT"] = crash_at
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.crashing"], cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return  # it may crash as soon as it has something to do
            try:
                if httpx.get(f"{self.base_url}/health/live", trust_env=False, timeout=1).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.02)
        raise AssertionError("the gateway did not start: " + self.log())

    def log(self) -> str:
        """The end of its log."""
        return (self.folder / "gateway.log").read_text(encoding="utf-8")[-3000:]

    def wait_crash(self, seconds: float = 20) -> int:
        """Wait until the process ended by itself; its exit code."""
        assert self.process is not None
        return self.process.wait(seconds)

    @property
    def alive(self) -> bool:
        """True while the process runs."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """kill -9, by its id."""
        if self.alive and self.process is not None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait(10)

    def stop(self) -> None:
        """SIGTERM, then wait."""
        if self.alive and self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def client(self) -> Client:
        """A caller of this gateway."""
        return Client.open(self.base_url, self.role)


class History:
    """What a client asked and was promised, each line durable before the next step."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab")

    def write(self, event: str, **fields: Any) -> None:
        """Add a line and fsync it."""
        self._file.write(orjson.dumps({"event": event, **fields}) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def promised(self) -> set[str]:
        """The unique ids whose receipt came back."""
        lines = [orjson.loads(line) for line in self._path.read_bytes().splitlines()]
        return {line["uniqueId"] for line in lines if line["event"] == "ok"}

    def asked(self) -> set[str]:
        """The unique ids that were sent at least once."""
        lines = [orjson.loads(line) for line in self._path.read_bytes().splitlines()]
        return {line["uniqueId"] for line in lines if line["event"] == "invoke"}


@contextmanager
def gateway_process(folder: Path, **options: Any) -> Iterator[GatewayProcess]:
    """A gateway process with simulators, both ended at the end."""
    with Sandbox(folder / "sandbox", structure_id=CABINET[0], structure_name=CABINET[1]) as sandbox:
        one = GatewayProcess(folder, sandbox, **options)
        try:
            yield one
        finally:
            one.stop()
