"""A full or read-only disk, ten thousand idle connections, one key with two bodies: refused, nothing lost or twice."""

from __future__ import annotations

import contextlib
import itertools
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, make_url, text

from tests.acceptance.conftest import body_of
from tests.integration.crash.test_bad_network import ready, until_ready
from tests.integration.crash.test_crash_points import ledger_holds, send
from tests.support import documents
from tests.support.feeding import judge, settle
from tests.support.postgres import fresh_database
from tests.support.process import GatewayProcess, History, gateway_process

numbers = itertools.count(160_000)


def disk(one: GatewayProcess, room: int) -> None:
    """Let the node write no further than so many bytes into a file, as on a disk that is full; -1 for as it was."""
    assert one.node is not None
    resource.prlimit(one.node.pid, resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))


def outage(one: GatewayProcess, history: History, begin: Callable[[], None], end: Callable[[], None]) -> None:
    """While nothing can be written no document is taken and readiness says so; then everything goes on as promised."""
    one.start()
    assert send(one, history, documents.report(next(numbers)), mail=True)
    client = one.client()
    client.token()
    kept = documents.report(next(numbers))
    history.write("invoke", uniqueId=kept["id"]["root"], mail=False)
    headers = {"Content-Type": "application/json", "Idempotency-Key": kept["id"]["root"]}
    begin()
    try:
        for _ in range(5):
            answer = client.request("POST", "/v1/documents", content=body_of(kept), headers=headers)
            assert answer.status_code == 503, answer.text
            assert answer.headers["Retry-After"]
            assert answer.json()["faults"][0]["code"] == "API-STORE-001"
        assert ready(one) == 503
        assert httpx.get(f"{one.base_url}/health/live", trust_env=False, timeout=30).status_code == 200
        # What can be read still is.
        assert client.request("GET", "/v1/documents").status_code == 200
    finally:
        end()
    until_ready(one, 200)
    answer = client.request("POST", "/v1/documents", content=body_of(kept), headers=headers)
    assert answer.status_code == 202, answer.text
    history.write("ok", uniqueId=kept["id"]["root"])
    client.http.close()
    settle(one, history, seconds=120)
    one.stop()
    ledger_holds(one)
    history.close()
    assert judge(one.sandbox, [history.path]) == []


def test_a_full_disk(tmp_path: Path) -> None:
    """No document is taken while nothing can be written, readiness says so; with room again everything goes on."""
    with gateway_process(tmp_path) as one:
        history = History(tmp_path / "history.jsonl")
        outage(one, history, lambda: disk(one, 0), lambda: disk(one, -1))


def change(flag: str, files: Iterable[Path]) -> bool:
    """Set or lift (``+i``, ``-i``) that nobody may write files, those who hold them open included."""
    tool = shutil.which("chattr")
    return tool is not None and subprocess.run([tool, flag, *files], capture_output=True, check=False).returncode == 0


def binds(folder: Path) -> bool:
    """Whether this machine can forbid writing to a file that is already open: it takes root and such a file system."""
    probe = folder / "probe"
    with probe.open("wb", buffering=0) as file:
        held = change("+i", [probe])
        try:
            file.write(b"x")
        except OSError:
            return held
        finally:
            change("-i", [probe])
    return False


def test_a_read_only_disk(tmp_path: Path) -> None:
    """The same when the database's files may be read and no longer written: the kernel itself refuses."""
    if not binds(tmp_path):
        pytest.skip("no file can be made immutable here; the full disk and the read-only server stand for it")
    with gateway_process(tmp_path) as one:
        history = History(tmp_path / "history.jsonl")
        database = make_url(one.database_url).database
        assert database is not None

        def files() -> list[Path]:
            # Not the index of the log: it is memory shared by way of a file, and a page that may not be written kills.
            return [Path(database), Path(f"{database}-wal")]

        def begin() -> None:
            assert change("+i", files())

        outage(one, history, begin, lambda: change("-i", files()) and None)


def test_a_read_only_server(tmp_path: Path) -> None:
    """The same on PostgreSQL, as after a failover to a standby: it can be read and refuses every write."""
    with fresh_database() as url, gateway_process(tmp_path, database_url=url) as one:
        history = History(tmp_path / "history.jsonl")
        name = make_url(url).database
        engine = create_engine(url, isolation_level="AUTOCOMMIT")

        def writable(on: bool) -> None:
            with engine.connect() as connection:
                connection.execute(text("SET default_transaction_read_only = off"))
                connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {not on}'))
                # Whoever is connected meets the change as they connect again.
                connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = :name AND pid <> pg_backend_pid()"
                    ),
                    {"name": name},
                )

        outage(one, history, lambda: writable(False), lambda: writable(True))
        engine.dispose()


def test_ten_thousand_idle_connections(tmp_path: Path) -> None:
    """They take nothing from a caller who works, and are let go."""
    many = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < many + 500:
        pytest.skip("this machine does not let one process open so many")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, many + 500), hard))
    settings = {"PASSERELLE_MAX_CONNECTIONS": "2000", "PASSERELLE_CONNECTION_SECONDS": "3"}
    with gateway_process(tmp_path, settings=settings) as one, contextlib.ExitStack() as stack:
        history = History(tmp_path / "history.jsonl")
        one.start()
        idle = []
        for number in range(many):
            # Some are turned away while the node works through them: what counts is who works.
            with contextlib.suppress(OSError):
                idle.append(stack.enter_context(socket.create_connection(("127.0.0.1", one.port), timeout=30)))
            if number % 2500 == 2499:
                assert send(one, history, documents.report(next(numbers)))
        assert ready(one) == 200
        settle(one, history)
        deadline = time.monotonic() + 60
        for connection in idle:
            connection.settimeout(max(0.1, deadline - time.monotonic()))
            with contextlib.suppress(ConnectionError):
                assert connection.recv(1) == b""
        one.stop()
        history.close()
        assert judge(one.sandbox, [history.path]) == []


def test_one_key_with_two_bodies(tmp_path: Path, database_url: str) -> None:
    """The second is refused with 422, the first stays what it is; on each engine."""
    with gateway_process(tmp_path, database_url=database_url) as one:
        history = History(tmp_path / "history.jsonl")
        one.start()
        document = documents.report(next(numbers))
        assert send(one, history, document)
        other = documents.report(next(numbers))
        client = one.client()
        answer = client.request(
            "POST",
            "/v1/documents",
            content=body_of(other),
            headers={"Content-Type": "application/json", "Idempotency-Key": document["id"]["root"]},
        )
        client.http.close()
        assert (answer.status_code, answer.json()["faults"][0]["code"]) == (422, "API-IDEM-002"), answer.text
        assert send(one, history, document)
        settle(one, history)
        one.stop()
        history.close()
        assert judge(one.sandbox, [history.path]) == []
