"""Sixty submissions a second of client work on one core, the simulator on the other; a bare POST of the same beside."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from adapters.dmp.prepare import OutgoingDocument
from security.pki import make_sandbox_pki
from security.tls import client_ssl_context
from tests.support.cda_samples import STRUCTURE, level1_cda
from tests.support.dmp import Bench, a_bench, a_doctor

COUNT = 150


def _serve(folder: str, pipe: Connection) -> None:
    bench = a_bench(Path(folder))
    pipe.send(bench.sandbox.base_url)
    pipe.recv()
    bench.sandbox.stop()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A client whose simulator runs in another process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(str(tmp_path), theirs))
    process.start()
    base = ours.recv()
    yield Bench(
        sandbox=cast("Any", SimpleNamespace(base_url=base)), pki=make_sandbox_pki(tmp_path, structure_id=STRUCTURE)
    )
    ours.send("stop")
    process.join(20)
    ours.close()
    theirs.close()


def test_sixty_submissions_a_second_of_client_work(bench: Bench, record_property: Callable[[str, object], None]):
    """Preparing, signing twice and sending a 60 kB report costs under 16 ms of processor."""
    body = random.Random(1).randbytes(42_000)
    doctor = a_doctor()

    async def scenario() -> tuple[float, float, float]:
        async with bench.client() as client:
            first = client.prepare([OutgoingDocument(content=level1_cda("1.2.250.1.999.9.8.1", body=body))], doctor)
            assert (await client.submit(first, doctor)).ok
            contents = [level1_cda(f"1.2.250.1.999.9.9.{n + 1}", body=body) for n in range(COUNT)]
            wall, cpu = time.perf_counter(), time.process_time()
            for content in contents:
                prepared = client.prepare([OutgoingDocument(content=content)], doctor)
                assert (await client.submit(prepared, doctor)).ok
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        # The same bytes by themselves: what any client pays for TLS and HTTP. Refused as replays after being read.
        records = bench.records[1:]
        context = client_ssl_context(bench.pki.auth, bench.pki.trust)
        async with httpx.AsyncClient(verify=context, trust_env=False) as http:
            bare = time.process_time()
            for record in records:
                headers = {"Content-Type": record.request_type}
                answer = await http.post(record.url, content=b"".join(record.request), headers=headers)
                assert answer.status_code == 500
            bare = time.process_time() - bare
        return wall / COUNT, cpu / COUNT, bare / COUNT

    wall, cpu, bare = asyncio.run(scenario())
    values = (("submissions_per_second", 1 / wall), ("cpu_ms", cpu * 1000), ("bare_post_cpu_ms", bare * 1000))
    for name, value in values:
        record_property(name, round(value, 2))
    assert cpu < 1 / 60, f"{cpu * 1000:.1f} ms of processor a submission"
