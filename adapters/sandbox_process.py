"""The simulators in a process of their own: what they cost is theirs, and the gateway shares no interpreter with them.

Run as ``python -m adapters.sandbox_process``: one line of JSON on the standard input says what to start, one on the
standard output says where it is; it ends when its standard input does, so that it never outlives who started it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from security.pki import SandboxPki, make_sandbox_pki

__all__ = ["SandboxProcess"]

#: Seconds to start: certificates are made at the first run.
_PATIENCE = 60.0


class SandboxProcess:
    """All the simulators, apart; the same addresses, certificates and settings as :class:`adapters.sandbox.Sandbox`."""

    def __init__(self, folder: Path, *, structure_id: str, structure_name: str, **options: dict[str, Any]) -> None:
        """``options`` are those of each simulator, as plain values."""
        self.folder = folder
        # Made here: whoever starts them issues certificates from the same authority.
        self.pki: SandboxPki = make_sandbox_pki(
            folder / "pki", structure_id=structure_id, structure_name=structure_name
        )
        self._asked = {
            "folder": str(folder),
            "structure_id": structure_id,
            "structure_name": structure_name,
            "options": options,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.addresses: dict[str, dict[str, str]] = {}
        self._environment: dict[str, str] = {}

    @property
    def pid(self) -> int:
        """The number of the process; 0 before it starts."""
        return self._process.pid if self._process is not None else 0

    def environment(self) -> dict[str, str]:
        """The settings of a gateway that talks to these simulators, as environment variables."""
        return dict(self._environment)

    def start(self) -> Self:
        """Start all of them; returns once they answer. Raises RuntimeError when they do not."""
        # What is imported there is what is imported here, wherever that comes from.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen(
            [sys.executable, "-m", "adapters.sandbox_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._process = process
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the simulators have no pipes")
        process.stdin.write(json.dumps(self._asked).encode() + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            self.stop()
            raise RuntimeError("the simulators did not start")
        said = json.loads(line)
        self.addresses, self._environment = said["addresses"], said["environment"]
        return self

    def stop(self) -> None:
        """Stop all of them."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def main() -> None:
    """Serve until the standard input ends."""
    import signal

    from adapters.sandbox import Sandbox
    from security.redaction import configure_logging

    # An interrupt at the terminal reaches the whole group: who started us says when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure_logging(level="error")
    asked = json.loads(sys.stdin.buffer.readline())
    with Sandbox(
        Path(asked["folder"]),
        structure_id=asked["structure_id"],
        structure_name=asked["structure_name"],
        **asked["options"],
    ) as running:
        said = {"addresses": running.addresses, "environment": running.environment()}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
