"""How late the event loop runs: the first sign that something holds it."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from prometheus_client import Histogram

__all__ = ["Pulse"]

LAG = Histogram(
    "passerelle_event_loop_lag_seconds",
    "How late the event loop wakes.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0),
)

_EVERY = 0.05


class Pulse:
    """Measures the lag of the running loop until stopped."""

    def __init__(self, keep: int = 1200) -> None:
        self._recent: deque[float] = deque(maxlen=keep)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Measure from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="pulse")

    async def stop(self) -> None:
        """Stop measuring."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def percentile(self, share: float) -> float:
        """The lag in seconds that ``share`` of the recent beats (about a minute of them) stayed under."""
        lags = sorted(self._recent)
        return lags[min(len(lags) - 1, int(share * len(lags)))] if lags else 0.0

    async def _run(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(_EVERY)
            late = max(0.0, time.perf_counter() - before - _EVERY)
            LAG.observe(late)
            self._recent.append(late)
