"""Gateway nodes of the crash tests: started, killed, started again on the same database; a history kept on disk."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson

from adapters.sandbox import Sandbox
from gateway import tenants
from gateway.demonstration import CABINET, Client, Role, free_port
from gateway.journey.clock import utc_now
from gateway.store.engine import Store
from gateway.store.migrate import upgrade
from security.tokens import make_client_key
from tests.support.zygote import Node, Zygote

ROOT = Path(__file__).resolve().parent.parent.parent

SCOPES = (
    "documents:write",
    "documents:read",
    "feeds:read",
    "identities:write",
    "identities:read",
    "messages:write",
    "messages:read",
    "operations",
)


def register(database_url: str, folder: Path) -> Role:
    """Make the structure and a client of it in a database; gives the client."""
    pem, jwks = make_client_key("P-256")
    key = folder / "client.pem"
    key.write_bytes(pem)
    upgrade(database_url)
    store = Store(database_url)

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
            scopes=SCOPES,
            acts_for=(tenant.id,),
            actors=None,
            now=utc_now(),
        )

    try:
        store.write_now(add)
    finally:
        store.close()
    return Role(client_id="crash", private_key=key, scopes=SCOPES)


class GatewayProcess:
    """One node: by default the interface with its workers inside, its simulators in the test's own process."""

    def __init__(
        self,
        folder: Path,
        sandbox: Sandbox,
        *,
        database_url: str | None = None,
        role: Role | None = None,
        name: str = "gateway",
        kind: str = "serve",
        settings: dict[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.name = name
        self.kind = kind
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.database_url = database_url or f"sqlite:///{folder / 'passerelle.db'}"
        self.settings = settings or {}
        self.node: Node | None = None
        self.role = role or register(self.database_url, folder)

    def environment(self) -> dict[str, str]:
        """The settings of the node, as variables."""
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("PASSERELLE_")},
            **self.sandbox.environment(),
            "PASSERELLE_BASE_URL": self.base_url,
            "PASSERELLE_DATA_DIR": str(self.folder),
            "PASSERELLE_DATABASE_URL": self.database_url,
            "PASSERELLE_DATABASE_CONNECTIONS": "4",
            "PASSERELLE_LEASE_SECONDS": "1",
            "PASSERELLE_POLL_SECONDS": "0.05",
            "PASSERELLE_SEAL_SECONDS": "0.1",
            "PASSERELLE_RETRY_FIRST_SECONDS": "0.05",
            "PASSERELLE_RETRY_CAP_SECONDS": "2",
            "PASSERELLE_BREAKER_PAUSE_SECONDS": "0.2",
            "PASSERELLE_BREAKER_CAP_SECONDS": "1",
            "PASSERELLE_DMP__TIMEOUT_SECONDS": "3",
            "PORT": str(self.port),
            "ROLE": self.kind,
            **self.settings,
        }

    def start(self, *, crash_at: str | None = None, bug: str | None = None, wait: bool = True) -> None:
        """Start the node and, unless told otherwise, wait until it takes documents."""
        environment = self.environment()
        if crash_at:
            environment["CRASH_AT"] = crash_at
        if bug:
            environment["SEEDED_BUG"] = bug
        self.node = Zygote.shared().start(environment, self.folder / f"{self.name}.log")
        if wait and self.kind == "serve":
            self.wait_ready()

    def wait_ready(self, seconds: float = 120) -> None:
        """Wait until it answers, or ends."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.alive:
                return  # it may crash as soon as it has something to do
            try:
                if httpx.get(f"{self.base_url}/health/live", trust_env=False, timeout=1).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.01)
        raise AssertionError("the gateway did not start: " + self.log())

    def log(self) -> str:
        """The end of its log."""
        path = self.folder / f"{self.name}.log"
        return path.read_text(encoding="utf-8")[-3000:] if path.exists() else ""

    def wait_crash(self, seconds: float = 20) -> int:
        """Wait until the node ended by itself; its exit code."""
        assert self.node is not None
        return self.node.wait(seconds)

    @property
    def alive(self) -> bool:
        """True while the node runs."""
        return self.node is not None and self.node.poll() is None

    def kill(self) -> None:
        """kill -9, by its id."""
        if self.alive and self.node is not None:
            self.node.signal(signal.SIGKILL)
            self.node.wait(10)

    def stop(self, seconds: float = 20) -> None:
        """SIGTERM, then wait."""
        if self.alive and self.node is not None:
            self.node.signal(signal.SIGTERM)
            try:
                self.node.wait(seconds)
            except TimeoutError:
                self.kill()

    def client(self) -> Client:
        """A caller of this gateway."""
        return Client.open(self.base_url, self.role)


class History:
    """What a client asked and was promised, each line durable before the next step."""

    def __init__(self, path: Path) -> None:
        self.path = path
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
        return self._ids("ok")

    def asked(self) -> set[str]:
        """The unique ids that were sent at least once."""
        return self._ids("invoke")

    def _ids(self, event: str) -> set[str]:
        lines = [orjson.loads(line) for line in self.path.read_bytes().splitlines()]
        return {line["uniqueId"] for line in lines if line["event"] == event}


@contextmanager
def gateway_process(folder: Path, **options: Any) -> Iterator[GatewayProcess]:
    """A gateway node with simulators, both ended at the end."""
    with Sandbox(folder / "sandbox", structure_id=CABINET[0], structure_name=CABINET[1]) as sandbox:
        one = GatewayProcess(folder, sandbox, **options)
        try:
            yield one
        finally:
            one.stop()
