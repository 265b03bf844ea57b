"""Memory of large blocks goes back to the system."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.heap import give_back_large_blocks

ROOT = Path(__file__).resolve().parents[3]

CHILD = """
from pathlib import Path
from gateway.heap import give_back_large_blocks
assert give_back_large_blocks()
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
def large():
    return b"x" * 12_000_000
large()  # would teach the C library to keep such blocks
before = resident()
kept = []
for _ in range(4):
    block = large()
    kept.append(bytes(200_000))  # above the freed block, so that the heap cannot shrink from its end
    del block
print(resident() - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library has no mallopt")
def test_what_a_large_document_took_is_given_back() -> None:
    """Blocks of 12 MB freed leave nothing behind, whatever small ones were asked for meanwhile."""
    run = subprocess.run([sys.executable, "-c", CHILD], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(run.stdout) < 4_000_000


def test_a_library_without_the_call_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere than with glibc nothing is set, and nothing fails."""
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert give_back_large_blocks() is False


@pytest.mark.parametrize("owned", [True, False])
def test_what_a_service_loaded_is_never_garbage(owned: bool) -> None:
    """The collector leaves what was loaded alone, in a process that says it only serves."""
    program = f"""
import gc
from gateway import heap
if {owned}:
    heap.own_process()
heap.settle()
print(gc.get_freeze_count() > 0, gc.get_threshold()[0] > 700)
"""
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == [str(owned), str(owned)]
