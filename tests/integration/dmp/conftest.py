"""One simulator a session, emptied for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dmp import Bench, a_bench


@pytest.fixture(scope="session")
def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The simulator itself; making certificates and sockets once."""
    folder: Path = tmp_path_factory.mktemp("pki")
    bench = a_bench(folder)
    yield bench
    bench.sandbox.stop()


@pytest.fixture
def bench(shared_bench: Bench) -> Bench:
    """The simulator, empty, with its first patients and no fault."""
    shared_bench.sandbox.state.clear()
    shared_bench.sandbox.state.reset_patients()
    shared_bench.sandbox.journal.clear()
    shared_bench.sandbox.faults.clear()
    shared_bench.records.clear()
    return shared_bench
