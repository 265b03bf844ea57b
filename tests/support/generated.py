"""Generated documents in number: a fixed run of them, in blocks under seeds of their own.

One long run of hypothesis mostly varies what it drew first, and keeps a tree of all it drew: a gigabyte for two
thousand documents. Blocks are more different from one another, and are forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

__all__ = ["each"]

BLOCK = 50


def each(strategy: Callable[[], Any], number: int, use: Callable[[Any], object], *, first: int = 20261120) -> int:
    """Use ``number`` documents of a strategy, always the same; gives how many there were."""
    total = 0
    for start in range(0, number, BLOCK):

        @seed(first + start)
        @settings(
            max_examples=min(BLOCK, number - start),
            database=None,
            phases=[Phase.generate],
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy())
        def run(document: Any) -> None:
            nonlocal total
            total += 1
            use(document)

        run()
    return total
