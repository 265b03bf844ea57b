"""A process that has everything loaded and forks nodes on demand, so that a test may kill and start hundreds of them.

Run as ``python -m tests.support.zygote``: one JSON line in for each node to start, lines ``started N PID`` and
``ended N CODE`` out. A node is the real program of :mod:`tests.support.crashing`, in a process of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).resolve().parent.parent.parent


def _preload() -> None:
    # By name, so that no tidying of imports takes them away: a node that loads all this by itself takes seconds.
    for name in (
        "psycopg",
        "uvicorn",
        "alembic.command",
        "gateway.app",
        "gateway.journey.mail",
        "gateway.neighbours",
        "gateway.store.migrate",
        "tests.support.crashing",
    ):
        importlib.import_module(name)
    from gateway.services.warmup import warm_up

    warm_up()


def main() -> None:
    """Serve the requests of the parent until it closes our input."""
    _preload()
    wakeup, signalled = os.pipe()
    os.set_blocking(signalled, False)
    signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    names: dict[int, int] = {}
    buffer = b""
    _say("ready")
    while True:
        ready, _, _ = select.select([0, wakeup], [], [])
        if wakeup in ready:
            os.read(wakeup, 512)
            _reap(names)
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                for pid in names:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                return
            buffer += data
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                order = orjson.loads(line)
                pid = os.fork()
                if pid == 0:
                    _become(order)
                names[pid] = order["number"]
                _say(f"started {order['number']} {pid}")


def _say(line: str) -> None:
    os.write(1, line.encode() + b"\n")


def _reap(names: dict[int, int]) -> None:
    while names:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        _say(f"ended {names.pop(pid)} {os.waitstatus_to_exitcode(status)}")


def _become(order: dict[str, Any]) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(order["environment"])
    code = 1
    try:
        from tests.support import crashing

        crashing.main()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class Node:
    """A forked node, as the test sees it."""

    def __init__(self) -> None:
        self.pid = 0
        self.code: int | None = None
        self.started = threading.Event()
        self.ended = threading.Event()

    def poll(self) -> int | None:
        """Its exit code once it ended."""
        return self.code if self.ended.is_set() else None

    def wait(self, seconds: float) -> int:
        """Wait for its end; raises :class:`TimeoutError`."""
        if not self.ended.wait(seconds):
            raise TimeoutError
        assert self.code is not None
        return self.code

    def signal(self, number: int) -> None:
        """Send it a signal, by its id."""
        if not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Zygote:
    """The process that forks nodes; one is kept for the whole test run."""

    _shared: Zygote | None = None

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.zygote"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._nodes: dict[int, Node] = {}
        self._ready = threading.Event()
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="zygote", daemon=True)
        self._reader.start()
        while not self._ready.wait(0.2):
            if self._process.poll() is not None:
                raise RuntimeError("the nodes' parent did not start")

    @classmethod
    def shared(cls) -> Zygote:
        """The one of this test run."""
        if cls._shared is None or cls._shared._process.poll() is not None:
            cls._shared = cls()
            atexit.register(cls._shared.close)
        return cls._shared

    def start(self, environment: dict[str, str], log: Path) -> Node:
        """Fork a node with exactly this environment."""
        node = Node()
        with self._lock:
            number = len(self._nodes)
            self._nodes[number] = node
            order = {"number": number, "environment": environment, "log": str(log)}
            assert self._process.stdin is not None
            self._process.stdin.write(orjson.dumps(order) + b"\n")
            self._process.stdin.flush()
        if not node.started.wait(10):
            raise RuntimeError("a node did not start")
        return node

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            what, *rest = line.decode().split()
            if what == "ready":
                self._ready.set()
                continue
            node = self._nodes[int(rest[0])]
            if what == "started":
                node.pid = int(rest[1])
                node.started.set()
            else:
                node.code = int(rest[1])
                node.ended.set()

    def close(self) -> None:
        """End it, and every node that still runs."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._reader.join(5)
        self._process.stdout.close()


if __name__ == "__main__":
    main()
