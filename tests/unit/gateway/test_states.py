"""The table of states: what may follow what, and what a document is from its deliveries."""

from __future__ import annotations

import itertools

import pytest

from gateway.journey.states import CAUSES, DELIVERY_MOVES, ENDED, CauseCode, Delivery, Document, IllegalMove, check
from gateway.journey.states import document_state as state_of


def test_every_state_has_its_row_and_every_cause_its_words() -> None:
    """No state and no cause is forgotten, in either language."""
    assert set(DELIVERY_MOVES) == set(Delivery)
    assert set(CAUSES) == set(CauseCode)
    assert all(text.fr and text.en and fix.fr and fix.en for text, fix in CAUSES.values())


def test_ended_states_lead_nowhere_but_a_dead_letter() -> None:
    """Only a person's hand moves a delivery that has ended."""
    for state in ENDED - {Delivery.DEAD_LETTER}:
        assert DELIVERY_MOVES[state] == frozenset()
    assert DELIVERY_MOVES[Delivery.DEAD_LETTER] == {Delivery.QUEUED, Delivery.WITHDRAWN}


def test_every_state_can_reach_an_end() -> None:
    """No delivery can be stuck by the table itself."""
    for start in Delivery:
        seen, todo = {start}, [start]
        while todo:
            for following in DELIVERY_MOVES[todo.pop()] - seen:
                seen.add(following)
                todo.append(following)
        assert seen & ENDED


def test_an_uncertain_delivery_is_never_simply_queued_again() -> None:
    """After a lost answer only the destination's word, or giving up, moves the delivery on."""
    assert Delivery.QUEUED not in DELIVERY_MOVES[Delivery.UNCERTAIN]
    assert Delivery.WITHDRAWN not in DELIVERY_MOVES[Delivery.UNCERTAIN]


def test_an_illegal_move_says_which() -> None:
    """The refusal names both states."""
    with pytest.raises(IllegalMove, match="acknowledged does not lead to queued"):
        check("acknowledged", "queued")


@pytest.mark.parametrize(("first", "second"), list(itertools.product(Delivery, repeat=2)))
def test_a_document_is_what_its_deliveries_make(first: Delivery, second: Delivery) -> None:
    """Open while one is open; complete when all are acknowledged; partly, failed or withdrawn otherwise."""
    got = state_of([first, second])
    states = {first, second}
    if not states <= ENDED:
        assert got is Document.ACCEPTED
    elif states == {Delivery.ACKNOWLEDGED}:
        assert got is Document.COMPLETED
    elif Delivery.ACKNOWLEDGED in states:
        assert got is Document.PARTIALLY_COMPLETED
    elif states == {Delivery.WITHDRAWN}:
        assert got is Document.WITHDRAWN
    else:
        assert got is Document.FAILED


def test_a_document_without_delivery_is_complete() -> None:
    """Converting only is an end in itself."""
    assert state_of([]) is Document.COMPLETED
