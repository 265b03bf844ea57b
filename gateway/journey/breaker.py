"""Whether a destination is asked at all: after failures in a row it is left alone, then tried with one delivery.

While it is left alone, what waits for it spends no attempt: an hour without the DMP costs no document.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

__all__ = ["Breaker", "RateLimit"]


@dataclass(slots=True, kw_only=True)
class Breaker:
    """The circuit breaker of one destination, on one node; instants come in as arguments."""

    failures: int = 5  #: in a row, before the destination is held to be down
    pause: float = 5.0  #: seconds, before the first trial
    cap: float = 60.0  #: seconds, between two trials at the most
    random: Random | None = None
    _row: int = 0
    _trials: int = 0
    _until: datetime | None = None
    _open_since: datetime | None = None
    _told: bool = False

    @property
    def open(self) -> bool:
        """True while the destination is held to be down."""
        return self._open_since is not None

    @property
    def since(self) -> datetime | None:
        """Since when it is down."""
        return self._open_since

    def allowance(self, now: datetime, free: int, flying: int) -> int:
        """How many deliveries may leave now, out of ``free`` places, while ``flying`` are under way."""
        if self._until is not None and now < self._until:
            return 0
        if self._open_since is not None:
            return 1 if flying == 0 and free > 0 else 0
        return free

    def succeeded(self) -> None:
        """The destination answered, whatever it said."""
        self._row = self._trials = 0
        self._until = self._open_since = None

    def failed(self, now: datetime, retry_after: float | None = None) -> None:
        """The destination was not reached, or said that it cannot serve; its own Retry-After is obeyed."""
        self._row += 1
        if self._row >= self.failures and self._open_since is None:
            self._open_since = now
        if self._open_since is not None:
            ceiling = min(self.cap, self.pause * 2**self._trials)
            self._trials += 1
            chance = self.random or Random()  # noqa: S311 - jitter, not a secret
            wait = max(chance.uniform(ceiling / 2, ceiling), retry_after or 0.0)
            self._until = now + timedelta(seconds=wait)
        elif retry_after:
            until = now + timedelta(seconds=retry_after)
            self._until = max(self._until, until) if self._until is not None else until

    def news(self) -> bool | None:
        """True or False, once, when the destination went down or came back since the last call; else None."""
        if self.open == self._told:
            return None
        self._told = self.open
        return self.open


@dataclass(slots=True, kw_only=True)
class RateLimit:
    """At most so many deliveries a second to a destination; 0 is no limit."""

    per_second: float = 0.0
    _tokens: float = 1.0
    _at: datetime | None = None

    def allowance(self, now: datetime, wanted: int) -> int:
        """How many of ``wanted`` may leave now."""
        if self.per_second <= 0:
            return wanted
        # A quarter of a second's worth may leave at once, and one at the least.
        burst = max(1.0, self.per_second / 4)
        if self._at is None:
            self._tokens = burst
        elif now > self._at:
            self._tokens = min(burst, self._tokens + (now - self._at).total_seconds() * self.per_second)
        self._at = now
        return min(wanted, int(self._tokens))

    def spend(self, count: int) -> None:
        """Note that so many left."""
        self._tokens -= count if self.per_second > 0 else 0
