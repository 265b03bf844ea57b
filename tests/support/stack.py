"""A gateway and its simulators as programs of their own, as they are run for real: what load is measured on.

Run alone as ``python -m tests.support.stack FOLDER`` it stays up until interrupted and says where its access file is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson

from adapters.sandbox import structure_certificates
from gateway import tenants
from gateway.demonstration import CABINET, PHARMACY, SCOPES, free_port
from gateway.journey.clock import utc_now
from gateway.store.engine import Store
from gateway.store.migrate import upgrade
from security.pki import make_sandbox_pki
from security.tokens import make_client_key
from tests.support.process import ROOT

__all__ = ["Stack", "stack"]

_MAIN = [sys.executable, "-c", "from gateway.cli import main; main()"]
_ROLES = ("vendor", "pharmacy", "operator")


class Stack:
    """Where everything is."""

    def __init__(self, folder: Path, access: Path, base_url: str, gateway: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.access = access
        self.base_url = base_url
        self.gateway = gateway

    def load(self, *options: str, timeout: float = 600) -> dict[str, Any]:
        """Run ``passerelle load`` against it; gives its summary."""
        done = subprocess.run(
            [*_MAIN, "load", "--access-file", str(self.access), "--json", *options],
            cwd=ROOT,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        assert done.stdout, done.stderr.decode()
        summary: dict[str, Any] = orjson.loads(done.stdout)
        return summary


def _register(database_url: str, folder: Path, pharmacy: dict[str, str]) -> dict[str, dict[str, Any]]:
    upgrade(database_url)
    store = Store(database_url)
    now = utc_now()
    made: dict[str, dict[str, Any]] = {}

    def add(connection: Any) -> None:
        ids = {
            structure: tenants.add_tenant(
                connection,
                structure_id=structure,
                name=name,
                activity_sector=sector,
                references={"mailbox": mailbox, **references},
                now=now,
            ).id
            for (structure, name, sector, mailbox), references in ((CABINET, {}), (PHARMACY, pharmacy))
        }
        for role in _ROLES:
            pem, jwks = make_client_key("P-256")
            key = folder / f"{role}.pem"
            key.write_bytes(pem)
            acts_for = {"vendor": (ids[CABINET[0]],), "pharmacy": (ids[PHARMACY[0]],)}.get(role, tuple(ids.values()))
            tenants.add_client(
                connection,
                client_id=role,
                name=role,
                jwks=jwks,
                scopes=SCOPES[role],
                acts_for=acts_for,
                actors=None,
                now=now,
            )
            made[role] = {"client_id": role, "private_key": str(key), "scopes": " ".join(SCOPES[role])}

    try:
        store.write_now(add)
    finally:
        store.close()
    return made


def _wait(url: str, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url, trust_env=False, timeout=2).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"{url} does not answer")


@contextmanager
def stack(folder: Path, *, database_url: str | None = None, settings: dict[str, str] | None = None) -> Iterator[Stack]:
    """Simulators and a gateway, each a process; both ended at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    url = database_url or f"sqlite:///{folder / 'passerelle.db'}"
    sandbox_dir, env_file = folder / "sandbox", folder / "sandbox.env"
    pki = make_sandbox_pki(sandbox_dir / "pki", structure_id=CABINET[0])
    pharmacy = structure_certificates(pki, folder / "pharmacy", structure_id=PHARMACY[0], structure_name=PHARMACY[1])
    clients = _register(url, folder, pharmacy)
    plain = {k: v for k, v in os.environ.items() if not k.startswith("PASSERELLE_")}
    with (folder / "sandbox.log").open("wb") as said, (folder / "gateway.log").open("wb") as log:
        sandbox = subprocess.Popen(
            [*_MAIN, "sandbox", "--no-fixed-ports", "--dir", str(sandbox_dir), "--env-file", str(env_file)],
            cwd=ROOT,
            env=plain,
            stdout=said,
            stderr=log,
        )
        gateway = None
        try:
            deadline = time.monotonic() + 60
            while not env_file.exists() or b"Ctrl-C" not in (folder / "sandbox.log").read_bytes():
                if sandbox.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the simulators did not start")
                time.sleep(0.1)
            wanted = dict(line.split("=", 1) for line in env_file.read_text(encoding="utf-8").splitlines())
            port = free_port()
            base_url = f"http://127.0.0.1:{port}"
            wanted |= {
                "PASSERELLE_BASE_URL": base_url,
                "PASSERELLE_DATA_DIR": str(folder),
                "PASSERELLE_DATABASE_URL": url,
                "PASSERELLE_ALLOW_PRIVATE_WEBHOOKS": "true",
                **(settings or {}),
            }
            gateway = subprocess.Popen(
                [*_MAIN, "serve", "--port", str(port)], cwd=ROOT, env={**plain, **wanted}, stdout=log, stderr=log
            )
            _wait(f"{base_url}/health/ready", gateway)
            access = folder / "access.json"
            access.write_bytes(
                orjson.dumps(
                    {
                        "base_url": base_url,
                        "token_url": f"{base_url}/oauth/token",
                        "clients": clients,
                        "simulators": _addresses((folder / "sandbox.log").read_text(encoding="utf-8")),
                    }
                )
            )
            yield Stack(folder, access, base_url, gateway)
        finally:
            for process in (gateway, sandbox):
                if process is not None and process.poll() is None:
                    process.terminate()
                    try:
                        process.wait(20)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait(10)


def _addresses(said: str) -> dict[str, dict[str, str]]:
    out: dict[str, dict[str, str]] = {}
    for line in said.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] != "settings":
            out.setdefault(words[0], {})[words[1]] = words[2]
    return out


def main() -> None:
    """Stay up until interrupted."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with stack(Path(sys.argv[1])) as up:
        sys.stdout.write(f"{up.access}\n{up.gateway.pid}\n")
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    main()
