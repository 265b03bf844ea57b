"""What a check costs: beside the official rules through saxonche, beside parsing alone, in memory, on hostile bytes.

All in one run and in processor time, so that what else the machine does weighs on both sides of a ratio. The official
rules are measured warm and twice: as they were published (what ``check --official`` runs), and by the outside checker,
which rewrites them with indexes and leaves out patterns that cannot match.
"""

from __future__ import annotations

import functools
import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from lxml import etree

from conformance.cda import check, prepare
from gateway import packs
from gateway.official.runner import OfficialRules
from mappings import cda
from tests.benchmarks.test_cda_speed import large
from tests.support import outside
from tests.support.cda import official

pytestmark = [pytest.mark.official, pytest.mark.timeout(600)]

Record = Callable[[str, object], None]
ROUNDS = 5
SUMMARY = "VSM, official example"
PATIENT_SUMMARY = "IPS-FR, official example"


def samples() -> dict[str, bytes]:
    """The documents measured, by what they are."""
    return {
        SUMMARY: official("VSM_1.4_2022.01"),
        "VSM of our writers": cda.write(large()).data,
        "prescription, official example": official("eP-MED-DM_2024.01_PosoStruct"),
        "dispensation, official example": official("eDISP-MED_2024.01"),
        PATIENT_SUMMARY: official("IPS-FR_2024.01"),
    }


@pytest.fixture(scope="module")
def documents() -> dict[str, bytes]:
    """The documents, our rules warm, and nothing old left for the collector, as in a process of the pool."""
    found = samples()
    prepare()
    for data in found.values():
        for _ in range(5):
            check(data, environment="test")
    gc.collect()
    gc.freeze()
    return found


def say(line: str) -> None:
    """Show a line of figures (``pytest -s``); they are kept in ``build/bench.json`` too."""
    sys.stdout.write(f"\n{line}")


def spent(work: Callable[[], object]) -> float:
    """Milliseconds of processor."""
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1000


def repeated(work: Callable[[], object], times: int) -> list[float]:
    """Milliseconds of each of several goes, after one that is not counted."""
    work()
    return [spent(work) for _ in range(times)]


def test_a_summary_is_judged_thirty_times_faster_than_by_the_official_rules(
    documents: dict[str, bytes], tmp_path: Path, record_property: Record
) -> None:
    """The two official runners, ours and the parser alone, in turn on the same documents."""
    packs.add(outside.packs() / "ans-cda", tmp_path, datetime.now(UTC))
    published = OfficialRules(packs.current(tmp_path))
    checker: Any = outside.load_tool("ans_check").Checker(outside.packs() / "ans-cda")
    ratios = {}
    for name, data in documents.items():
        for _ in range(2):
            published.check(data)
            checker.check(data)
        times: dict[str, list[float]] = {"published": [], "indexed": [], "ours": [], "parse": []}
        for _ in range(ROUNDS):
            # Each some times in a row, as in a process that does nothing else: warm.
            times["published"] += repeated(functools.partial(published.check, data), 2)
            times["indexed"] += repeated(functools.partial(checker.check, data), 2)
            times["parse"] += repeated(functools.partial(etree.fromstring, data), 10)
            times["ours"] += repeated(functools.partial(check, data, environment="test"), 20)
        # A ratio of the best: what a neighbour takes from the processor weighs on the longer work and on the shorter.
        best = {key: min(each) for key, each in times.items()}
        middle = {key: statistics.median(each) for key, each in times.items()}
        ratios[name] = {
            "times faster than the rules as published": round(best["published"] / best["ours"], 1),
            "times faster than the rules indexed": round(best["indexed"] / best["ours"], 1),
            "times a bare parse": round(best["ours"] / best["parse"], 1),
        }
        shown = ", ".join(f"{key} {best[key]:.2f} ms (median {middle[key]:.2f})" for key in times)
        say(f"{name} ({len(data) / 1000:.0f} kB): {shown}; {ratios[name]}")
    sys.stdout.flush()
    record_property("ratios", ratios)
    assert ratios[SUMMARY]["times faster than the rules as published"] >= 30
    assert ratios[SUMMARY]["times faster than the rules indexed"] >= 12
    assert ratios[SUMMARY]["times a bare parse"] <= 20


def test_a_document_is_judged_in_milliseconds(documents: dict[str, bytes], record_property: Record) -> None:
    """A summary of 64 kB in 10 ms, 20 ms for the slowest in a hundred; a patient summary of 1.5 MB in 120 ms."""
    found = {}
    for name, data in documents.items():
        rounds = 60 if name == PATIENT_SUMMARY else 300
        times = sorted(repeated(functools.partial(check, data, environment="test"), rounds))
        found[name] = {"median": round(times[rounds // 2], 2), "p99": round(times[rounds * 99 // 100], 2)}
        say(f"{name} ({len(data) / 1000:.0f} kB): {found[name]} ms")
    record_property("milliseconds", found)
    assert found[SUMMARY]["median"] < 10
    assert found[SUMMARY]["p99"] < 20
    assert found[PATIENT_SUMMARY]["median"] < 120


_FRESH = """
import sys, time
start = time.process_time()
from conformance.cda import check, prepare
loaded = time.process_time() - start
prepare()
compiled = time.process_time() - start - loaded
for name in sys.argv[1:]:
    data = open(name, "rb").read()
    for _ in range(5):
        assert check(data, environment="test").ok or "eDISP" in name, name
# Not ru_maxrss: a child inherits the peak of the process that started it.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(loaded, compiled, int(peak.split()[1]) // 1024)
"""


def _child(script: str, *arguments: str) -> list[float]:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return [float(each) for each in done.stdout.split()]


def test_the_rules_are_loaded_in_half_a_second_and_a_process_is_small(record_property: Record) -> None:
    """A fresh interpreter: import, the schema, every official example judged, and the most memory it ever held."""
    folder = outside.packs() / "ans-cda" / "ExemplesCDA"
    loaded, compiled, megabytes = _child(_FRESH, *map(str, sorted(folder.glob("*.xml"))))
    say(f"import {loaded:.3f} s, schema {compiled:.3f} s, {megabytes:.0f} MB at most")
    record_property("process", {"import_s": loaded, "schema_s": compiled, "megabytes": megabytes})
    assert loaded < 0.5
    assert loaded + compiled < 1.0
    assert megabytes < 150


_HOSTILE = """
import time
from conformance.cda import check, prepare
from tests.unit.conformance.cda.test_hostile import UNREAD
def memory(what):
    return int(next(line for line in open("/proc/self/status") if line.startswith(what)).split()[1]) / 1024
prepare()
check(b"<a/>")
for data, _ in UNREAD.values():
    open("/proc/self/clear_refs", "w").write("5")  # the peak is counted from here
    before = memory("VmRSS")
    start = time.process_time()
    check(data)
    print((time.process_time() - start) * 1000, memory("VmHWM") - before)
"""


def test_hostile_bytes_are_refused_before_they_cost_anything(record_property: Record) -> None:
    """Each in under 100 ms of processor, and with little more memory than the bytes themselves."""
    from tests.unit.conformance.cda.test_hostile import UNREAD

    figures = iter(_child(_HOSTILE))
    found = {name: {"ms": round(next(figures), 1), "more MB": round(next(figures), 1)} for name in UNREAD}
    say("\n".join(f"{name}: {each}" for name, each in found.items()))
    record_property("hostile", orjson.dumps(found).decode())
    slow = {name: each for name, each in found.items() if each["ms"] >= 100}
    assert not slow
    assert all(each["more MB"] < 64 for each in found.values())
