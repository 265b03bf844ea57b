"""A large document is fed without needless copies: the memory of the client alone, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import documents
from tests.support.dmp import Bench

ROOT = Path(__file__).resolve().parents[3]
MB = 1_000_000

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
