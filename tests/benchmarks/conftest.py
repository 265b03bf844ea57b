"""What the benchmarks measured, kept as ``build/bench.json``: one object a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

KEPT = Path(__file__).parents[2] / "build" / "bench.json"


class _Figures:
    """The figures of one run."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the figures of a test that ran."""
        if report.when == "call":
            self.found[report.nodeid] = {"passed": report.passed, **dict(report.user_properties)}

    def pytest_sessionfinish(self) -> None:
        """Write them beside those of other tests."""
        if self.found:
            KEPT.parent.mkdir(exist_ok=True)
            before = orjson.loads(KEPT.read_bytes()) if KEPT.exists() else {}
            KEPT.write_bytes(orjson.dumps({**before, **self.found}, option=orjson.OPT_INDENT_2, default=str))


def pytest_configure(config: pytest.Config) -> None:
    """Listen to the tests of this folder."""
    config.pluginmanager.register(_Figures(), "figures")
