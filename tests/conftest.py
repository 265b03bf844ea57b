"""Fixtures every test may use."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

from security.redaction import configure_logging
from tests.support import outside

# Logs of the tests go through the same sieve as those of the service.
configure_logging(level="info")

settings.register_profile("default", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long tests out unless they are asked for with ``-m long``."""
    if "long" in (config.option.markexpr or ""):
        return
    kept = [item for item in items if item.get_closest_marker("long") is None]
    dropped = [item for item in items if item.get_closest_marker("long") is not None]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


@pytest.fixture(scope="session")
def ans_check() -> Callable[[bytes], list[str]]:
    """Run the official CDA rules on bytes; gives the errors as short texts, empty when the document is clean."""
    tool: ModuleType = outside.load_tool("ans_check")
    checker = tool.Checker(outside.packs() / "ans-cda")

    def run(data: bytes) -> list[str]:
        return [str(finding) for finding in tool.errors(checker.check(data))]

    return run


@pytest.fixture(scope="session")
def xds_check() -> Callable[[bytes], list[str]]:
    """Run the outside XDS.b and SOAP schema checker on a message; gives what it found."""
    tool: ModuleType = outside.load_tool("xds_check")

    def run(data: bytes) -> list[str]:
        return list(tool.check(data))

    return run
