"""A large document is fed without needless copies: the memory of the client alone, then of the whole gateway."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import orjson
import psutil
import pytest

from gateway.demonstration import Client, Role
from tests.acceptance.conftest import follow
from tests.support import documents
from tests.support.dmp import Bench
from tests.support.stack import stack

ROOT = Path(__file__).resolve().parents[3]
MB = 1_000_000
PAGE = os.sysconf("SC_PAGE_SIZE")

CHILD = """
import asyncio, json, sys
from pathlib import Path
from adapters.dmp.prepare import OutgoingDocument, PreparedSubmission
from adapters.dmp.sandbox import DmpSandbox
from security.pki import make_sandbox_pki
from tests.support.dmp import Bench, a_doctor, STRUCTURE

said = json.loads(sys.argv[1])

def kilobytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))

class There:
    base_url = said["url"]

async def main():
    bench = Bench(sandbox=There(), pki=make_sandbox_pki(Path(said["pki"]), structure_id=STRUCTURE))
    async with bench.client(max_document_bytes=6_000_000) as client:
        out = []
        for name in said["documents"]:
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
            before = kilobytes("VmRSS")
            content = Path(name).read_bytes()
            prepared = client.prepare([OutgoingDocument(content=content)], a_doctor())
            answer = await client.submit(prepared, a_doctor())
            bench.records.clear()
            out.append([answer.code, (kilobytes("VmHWM") - before) * 1024])
            del content, prepared
        print(json.dumps(out))

asyncio.run(main())
"""


def a_cda(number: int, size: int) -> bytes:
    """A report whose PDF has about so many bytes."""
    from mappings import cda

    content = documents.PDF[:-6] + os.urandom(size) if size else documents.PDF
    return cda.write(documents.load(documents.report(number, content)), pdf=content).data


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of a process is told by Linux only")
def test_a_large_report_is_fed_within_forty_megabytes(bench: Bench, tmp_path: Path) -> None:
    """3.5 MB of PDF, 4.7 MB of CDA: read, signed, packaged and sent within 40 MB above what a small one needs."""
    names = []
    for number, size in ((91_001, 0), (91_002, 0), (91_003, 3_500_000)):
        path = tmp_path / f"{number}.xml"
        path.write_bytes(a_cda(number, size))
        names.append(str(path))
    said = {"url": bench.sandbox.base_url, "pki": str(bench.pki.folder), "documents": names}
    run = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(said)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    *_, (small, _), (large, extra) = json.loads(run.stdout)
    assert small == large == "DMP-ACCEPTED"
    assert 5 * MB < extra < 40 * MB, f"{extra / MB:.1f} MB"
    assert len(bench.sandbox.state.document("1.2.250.1.999.9.2.91003") or b"") > 4_600_000


# --- the gateway, its pool and its database ---

numbers = itertools.count(94_001)


@contextmanager
def watched(processes: list[int]) -> Iterator[list[list[int]]]:
    """What each process holds, in bytes, looked at every few milliseconds."""
    seen: list[list[int]] = []
    over = threading.Event()
    with ExitStack() as stack_of_files:
        files = [stack_of_files.enter_context(Path(f"/proc/{pid}/statm").open(encoding="ascii")) for pid in processes]

        def look() -> None:
            while not over.wait(0.002):
                row = []
                for file in files:
                    file.seek(0)
                    row.append(int(file.read().split()[1]) * PAGE)
                seen.append(row)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield seen
        finally:
            over.set()
            thread.join()


def extra(up: int, client: Client, size: int) -> tuple[list[int], int]:
    """Bytes that the gateway took for a time while one report was fed, and gave back: by process, and all together."""
    processes = [up, *(child.pid for child in psutil.Process(up).children(recursive=True))]

    def kilobytes(pid: int, name: str) -> int:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))

    before = {}
    for pid in processes:
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
        before[pid] = kilobytes(pid, "VmRSS")
    said = documents.load(documents.report(next(numbers))).model_dump(
        mode="json", exclude_none=True, by_alias=True, exclude={"content", "media_type"}
    )
    files = {
        "metadata": ("m.json", orjson.dumps({"document": said}), "application/json"),
        "file": ("r.pdf", documents.PDF[:-6] + os.urandom(size), "application/pdf"),
    }
    with watched(processes) as seen:
        answer = client.request("POST", "/v1/documents", files=files)
        assert answer.status_code == 202, answer.text
        assert follow(client, answer.json()["id"], seconds=60)["state"] == "completed"
    # What stays is the database's cache of pages, which has a bound of its own.
    settled = {pid: max(before[pid], kilobytes(pid, "VmRSS")) for pid in processes}
    # A process that already gave back what it had before this report does not make room for another.
    held = [sum(max(0, now - settled[pid] * 1024) for pid, now in zip(processes, row, strict=True)) for row in seen]
    return [(kilobytes(pid, "VmHWM") - settled[pid]) * 1024 for pid in processes], max(held, default=0)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of a process is told by Linux only")
def test_the_whole_gateway_takes_forty_megabytes(tmp_path: Path) -> None:
    """Received, converted, kept, signed and sent, evidence kept: 40 MB above what its processes settle at, together.

    What converts has given its memory back when what sends begins.
    """
    with stack(tmp_path / "stack") as up:
        role = json.loads(up.access.read_text(encoding="utf-8"))["clients"]["vendor"]
        client = Client.open(
            up.base_url,
            Role(client_id="vendor", private_key=Path(role["private_key"]), scopes=tuple(role["scopes"].split())),
        )
        try:
            for _ in range(5):
                extra(up.gateway.pid, client, 10)
            seen: list[tuple[float, float]] = []
            for _ in range(12):
                each, together = extra(up.gateway.pid, client, 3_500_000)
                seen.append((max(each) / MB, together / MB))
                if max(seen[-1]) < 40:
                    break
            assert max(seen[-1]) < 40, seen
            assert together > 5 * MB  # something was seen
        finally:
            client.http.close()
