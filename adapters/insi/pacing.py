"""Restraint towards the teleservice: so many calls a second, and none at all for a while after repeated failures.

No public quota exists for INSi; both are settings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Breaker", "Pace"]


class Pace:
    """Spaces calls evenly; ``None`` a second means no limit."""

    def __init__(self, per_second: float | None, clock: Callable[[], float]) -> None:
        self._gap = 1 / per_second if per_second else 0.0
        self._clock = clock
        self._next = 0.0

    async def wait(self) -> None:
        """Wait for one's turn."""
        if not self._gap:
            return
        now = self._clock()
        turn = max(now, self._next)
        self._next = turn + self._gap
        if turn > now:
            await asyncio.sleep(turn - now)


class Breaker:
    """Opens after ``threshold`` technical failures in a row, for ``seconds``; then lets one call try."""

    def __init__(self, threshold: int, seconds: float, clock: Callable[[], float]) -> None:
        self._threshold = threshold
        self._seconds = seconds
        self._clock = clock
        self._failures = 0
        self._until = 0.0

    @property
    def open(self) -> bool:
        """True while calls must not be made."""
        return self._clock() < self._until

    def saw(self, *, failure: bool) -> None:
        """Take note of how a call went."""
        self._failures = self._failures + 1 if failure else 0
        if self._failures >= self._threshold:
            self._until = self._clock() + self._seconds
