"""Back-pressure: how many documents may be in the gateway's hands at once, before memory runs out rather than after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.problems import Busy, rule

__all__ = ["Gate"]

FULL = rule(
    "API-LOAD-002",
    "La passerelle traite déjà autant de documents qu'elle peut.",
    "The gateway is working on as many documents as it can.",
    "Recommencez après le délai indiqué, avec la même clé d'idempotence.",
    "Try again after the delay given, with the same idempotency key.",
)


@dataclass(slots=True, kw_only=True)
class Gate:
    """Counts the documents being received and converted, and refuses those above either limit."""

    documents: int  #: most at once
    octets: int  #: most bytes of bodies at once
    inside: int = 0
    held: int = 0
    refused: int = 0

    @contextmanager
    def enter(self, size: int) -> Iterator[None]:
        """Hold a place for a body of about ``size`` bytes; raises :class:`gateway.problems.Busy` (503) when full.

        A body larger than the whole allowance is let in when nothing else is.
        """
        if self.inside >= self.documents or (self.inside and self.held + size > self.octets):
            self.refused += 1
            raise Busy([FULL.finding("")], slug="busy", retry_after=1)
        self.inside += 1
        self.held += size
        try:
            yield
        finally:
            self.inside -= 1
            self.held -= size
