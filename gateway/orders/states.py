"""The states of an e-prescription and of its lines, and the one table of what may follow.

The national teleservice publishes no list of states: this one is the project's own (cda-eprescription.md 8). A renewal
is a counter, not a state.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

__all__ = ["LINE_MOVES", "IllegalLineMove", "LineEvent", "LineState", "OrderState", "order_state", "step"]


class LineState(StrEnum):
    """Where a line stands."""

    PRESCRIBED = "prescribed"
    PARTIALLY_DISPENSED = "partially-dispensed"  #: something was given, and something may still be given
    DISPENSED = "dispensed"  #: every delivery was made, renewals included
    NOT_DISPENSED = "not-dispensed"  #: a pharmacist did not give it, with a reason; another still may
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class LineEvent(StrEnum):
    """What happens to a line."""

    GIVEN = "given"  #: something given, and something left
    GIVEN_LAST = "given_last"  #: the last delivery made whole
    REFUSED = "refused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class OrderState(StrEnum):
    """Where a prescription stands: the aggregate of its lines, and what was done to the whole."""

    PRESCRIBED = "prescribed"  #: written, not yet taken by the national service
    REGISTERED = "registered"
    PARTIALLY_DISPENSED = "partially-dispensed"
    DISPENSED = "dispensed"
    NOT_DISPENSED = "not-dispensed"
    CANCELLED = "cancelled"
    REPLACED = "replaced"
    EXPIRED = "expired"


_S, _E = LineState, LineEvent

#: From each state, what each event makes of a line; what is not here may not happen.
LINE_MOVES: dict[tuple[LineState, LineEvent], LineState] = {
    (_S.PRESCRIBED, _E.GIVEN): _S.PARTIALLY_DISPENSED,
    (_S.PRESCRIBED, _E.GIVEN_LAST): _S.DISPENSED,
    (_S.PRESCRIBED, _E.REFUSED): _S.NOT_DISPENSED,
    (_S.PRESCRIBED, _E.CANCELLED): _S.CANCELLED,
    (_S.PRESCRIBED, _E.EXPIRED): _S.EXPIRED,
    (_S.PARTIALLY_DISPENSED, _E.GIVEN): _S.PARTIALLY_DISPENSED,
    (_S.PARTIALLY_DISPENSED, _E.GIVEN_LAST): _S.DISPENSED,
    # What was given stays given: refusing the rest leaves the line partly dispensed.
    (_S.PARTIALLY_DISPENSED, _E.REFUSED): _S.PARTIALLY_DISPENSED,
    (_S.PARTIALLY_DISPENSED, _E.CANCELLED): _S.CANCELLED,
    (_S.PARTIALLY_DISPENSED, _E.EXPIRED): _S.EXPIRED,
    (_S.NOT_DISPENSED, _E.GIVEN): _S.PARTIALLY_DISPENSED,
    (_S.NOT_DISPENSED, _E.GIVEN_LAST): _S.DISPENSED,
    (_S.NOT_DISPENSED, _E.REFUSED): _S.NOT_DISPENSED,
    (_S.NOT_DISPENSED, _E.CANCELLED): _S.CANCELLED,
    (_S.NOT_DISPENSED, _E.EXPIRED): _S.EXPIRED,
    # Nothing undoes what was given to the end.
    (_S.DISPENSED, _E.CANCELLED): _S.DISPENSED,
    (_S.DISPENSED, _E.EXPIRED): _S.DISPENSED,
}


class IllegalLineMove(Exception):
    """The table does not allow this event in this state."""


def step(state: LineState, event: LineEvent) -> LineState:
    """The state after an event; raises :class:`IllegalLineMove`."""
    after = LINE_MOVES.get((state, event))
    if after is None:
        raise IllegalLineMove(f"{state} does not take {event}")
    return after


def order_state(
    lines: Iterable[LineState], *, registered: bool, cancelled: bool, replaced: bool, expired: bool
) -> OrderState:
    """The state of the whole from its lines."""
    if replaced:
        return OrderState.REPLACED
    states = set(lines)
    if states == {LineState.DISPENSED}:
        return OrderState.DISPENSED
    if cancelled:
        return OrderState.CANCELLED
    if expired:
        return OrderState.EXPIRED
    if states & {LineState.DISPENSED, LineState.PARTIALLY_DISPENSED}:
        return OrderState.PARTIALLY_DISPENSED
    if states == {LineState.NOT_DISPENSED}:
        return OrderState.NOT_DISPENSED
    return OrderState.REGISTERED if registered else OrderState.PRESCRIBED
