"""Notices of every kind move a recipient's state, in whatever order they come."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest

from adapters.mss.receive import receive
from adapters.mss.tracking import (
    EventKind,
    RecipientState,
    advance,
    conversation,
    events,
    references,
    stale,
)
from tests.support.mss import DOCTOR, WHEN, mail
from tests.unit.adapters.mss.test_receive import notice, plain

S, E = RecipientState, EventKind


def after(*told: EventKind, start: RecipientState = S.SUBMITTED) -> RecipientState:
    state = start
    for event in told:
        state = advance(state, event)
    return state


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ([E.DELAYED], S.SUBMITTED),
        ([E.DELIVERED], S.DELIVERED),
        ([E.DELIVERED, E.HANDLED], S.READ),
        ([E.DELIVERED, E.BOUNCED], S.FAILED),
        ([E.DELIVERED, E.REJECTED], S.FAILED),
        ([E.BOUNCED, E.DELIVERED], S.FAILED),
        ([E.BOUNCED, E.HANDLED], S.READ),
        ([E.HANDLED, E.BOUNCED], S.READ),
        ([E.HANDLED, E.REJECTED], S.READ),
    ],
)
def test_notices_move_the_state(told: list[EventKind], state: RecipientState) -> None:
    """A late bounce undoes a delivery; what was handled stays handled."""
    assert after(*told) is state


def test_every_state_answers_every_event() -> None:
    """The table is whole, and never goes back to submitted."""
    for state in S:
        for event in E:
            new = advance(state, event)
            assert new is not S.SUBMITTED or state is S.SUBMITTED
            assert advance(new, event) is new


def test_the_order_of_notices_does_not_matter_once_handled() -> None:
    """Whatever comes with it, and in any order, a handled mail is read."""
    for told in permutations([E.DELIVERED, E.BOUNCED, E.HANDLED, E.DELAYED]):
        assert after(*told) is S.READ


def test_delivered_and_bounced_are_failed_in_either_order() -> None:
    """Notices of one mailbox are read in no particular order."""
    assert {after(*told) for told in permutations([E.DELIVERED, E.BOUNCED])} == {S.FAILED}


def test_silence_is_said_after_a_while() -> None:
    """Two days by default; only for what nobody has spoken of; news still counts afterwards."""
    assert not stale(S.SUBMITTED, WHEN, WHEN + timedelta(days=1))
    assert stale(S.SUBMITTED, WHEN, WHEN + timedelta(days=2))
    assert not stale(S.DELIVERED, WHEN, WHEN + timedelta(days=20))
    assert after(E.DELIVERED, start=S.UNKNOWN) is S.DELIVERED


@pytest.mark.parametrize(
    ("kind", "code", "expected"),
    [
        ("delivered", "", (E.DELIVERED, "dlv_1", "2.0.0")),
        ("bounced", "5.2.2", (E.BOUNCED, "dlv_1", "5.2.2")),
        ("processed", "", (E.HANDLED, "", "")),
        ("error", "904", (E.REJECTED, "", "904")),
    ],
)
def test_a_notice_becomes_an_event(kind: str, code: str, expected: tuple[EventKind, str, str]) -> None:
    """Tied to the sending by envelope or Message-ID, to the recipient, with its code."""
    (event,) = events(receive(notice(kind, code)))
    assert (event.kind, event.envelope_id, event.code) == expected
    assert (event.message_id, event.recipient) == (mail().message_id, DOCTOR)
    assert (event.cause is not None) is (kind == "error")
    assert DOCTOR not in repr(event)


def test_a_notice_for_people_is_an_event_too() -> None:
    """The failure notice names its sender as the recipient that could not handle the mail."""
    data = plain("[KO Intégration système !][902] XDM/1.0/DDM+x".encode(), more=b"In-Reply-To: <1@y.fr>\r\n")
    (event,) = events(receive(data))
    assert (event.kind, event.code, event.message_id, event.recipient) == (E.REJECTED, "902", "<1@y.fr>", DOCTOR)


def test_other_mails_tell_nothing() -> None:
    """Documents and words are not notices."""
    assert events(receive(mail().data)) == ()
    assert events(receive(plain())) == ()


def test_a_request_and_its_answers_are_one_conversation() -> None:
    """Both sides find the same first message, however long it lasts."""
    request = "<1@a.fr>"
    chain, earlier = [request], ()
    for number in range(2, 60):
        earlier = references(chain[-1], earlier)
        chain.append(f"<{number}@b.fr>")
        assert earlier[-1] == chain[-2]
        assert len(earlier) <= 20
        assert conversation(chain[-1], earlier[-1], earlier) == request
    assert conversation("<9@a.fr>") == "<9@a.fr>"
    assert conversation("<2@a.fr>", "<1@a.fr>") == "<1@a.fr>"
    assert references("<1@a.fr>", ("<1@a.fr>",)) == ("<1@a.fr>",)
