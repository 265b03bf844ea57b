"""When to try again: full jitter, a cap, an end, and the word of the destination first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from random import Random

__all__ = ["RetryPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long to wait after each failed attempt, and how often to try (reliability.md 3)."""

    first: float = 1.0  #: seconds
    cap: float = 900.0  #: seconds
    attempts: int = 8  #: in all, the first included
    within: timedelta = timedelta(hours=24)  #: after the first failure, however few attempts were made

    def exhausted(self, attempts: int) -> bool:
        """True when no attempt is left after so many."""
        return attempts >= self.attempts

    def delay(self, attempts: int, random: Random, retry_after: float | None = None) -> timedelta:
        """How long to wait after the given number of attempts; a destination's own Retry-After is the least."""
        ceiling = min(self.cap, self.first * 2 ** max(0, attempts - 1))
        jittered = random.uniform(0.0, ceiling)
        # Half of the ceiling at the least keeps a burst of failures from hammering a service that just fell.
        seconds = max(jittered, ceiling / 2 if attempts > 1 else 0.0, retry_after or 0.0)
        return timedelta(seconds=min(seconds, max(self.cap, retry_after or 0.0)))
