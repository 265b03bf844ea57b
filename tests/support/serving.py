"""A demonstration in a process of its own: the gateway in one, the simulators in another, whoever calls in a third.

Run as ``python -m tests.support.serving``: one line of JSON on the standard input says how, one line on the standard
output says that it answers; it ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Served", "serving"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A gateway that answers."""

    access: Path  #: its access file
    pid: int
    seconds: float  #: from the start of the process to its first answer


@contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[Served]:
    """Start one in a folder, with these settings beside its own; stop it at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.serving"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"folder": str(folder), "settings": settings}).encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline().strip() == b"ready", "the gateway did not start"
        yield Served(access=folder / "access.json", pid=process.pid, seconds=time.perf_counter() - began)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()


def main() -> None:
    """Serve until the standard input ends."""
    from gateway.demonstration import Demonstration
    from gateway.heap import own_process
    from security.redaction import configure_logging

    own_process()
    configure_logging(level="error")
    asked = json.loads(sys.stdin.buffer.readline())
    folder, settings = Path(asked["folder"]), asked["settings"]
    processes = settings.pop("pool_processes", 1)
    with Demonstration(folder, settings=settings, pool_processes=processes, apart=True).running() as running:
        if running.access is not None:
            (folder / "access.json").write_text(json.dumps(running.access.as_json()))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
