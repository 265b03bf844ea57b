"""What became of a mail at each recipient: notices become events, and one table says what an event changes.

Three different things are kept apart: accepted by our operator, delivered to the recipient's server, handled there. No
news is not success: after a delay the state is said to be unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from adapters.mss.receipts import INTEGRATION_CODES, State
from adapters.mss.receive import MailKind, Received
from conformance.verdict import Text

__all__ = ["Event", "EventKind", "RecipientState", "advance", "conversation", "events", "references", "stale"]


class RecipientState(StrEnum):
    """How far a mail is known to have come, for one recipient."""

    SUBMITTED = "submitted"  #: our operator took charge of it
    DELIVERED = "delivered"  #: it reached the recipient's server, as far as anybody knows
    READ = "read"  #: handled by the recipient's system, or read by a person
    FAILED = "failed"  #: it did not arrive, or could not be handled
    UNKNOWN = "unknown"  #: no news for too long


class EventKind(StrEnum):
    """What a notice tells."""

    DELIVERED = "delivered"
    DELAYED = "delayed"
    BOUNCED = "bounced"
    HANDLED = "handled"
    REJECTED = "rejected"  #: the recipient's system could not handle it


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing a notice tells about one recipient of one mail of ours."""

    kind: EventKind
    envelope_id: str  #: the surest link to the sending; empty when the notice does not tell it
    message_id: str  #: of our mail
    recipient: str = field(repr=False)
    code: str = ""  #: enhanced status of a bounce, or code of an integration error
    text: str = ""  #: the remote words, safe to show
    cause: Text | None = None  #: from the table of integration errors


_S, _E = RecipientState, EventKind

# Rows: what is known; columns: what is told. A late bounce undoes a delivery; a delivery notice read after the bounce
# it preceded does not undo it; what was handled stays handled, whatever a forwarding server says afterwards.
_TABLE: dict[RecipientState, dict[EventKind, RecipientState]] = {
    _S.SUBMITTED: {
        _E.DELIVERED: _S.DELIVERED,
        _E.DELAYED: _S.SUBMITTED,
        _E.BOUNCED: _S.FAILED,
        _E.HANDLED: _S.READ,
        _E.REJECTED: _S.FAILED,
    },
    _S.UNKNOWN: {
        _E.DELIVERED: _S.DELIVERED,
        _E.DELAYED: _S.UNKNOWN,
        _E.BOUNCED: _S.FAILED,
        _E.HANDLED: _S.READ,
        _E.REJECTED: _S.FAILED,
    },
    _S.DELIVERED: {
        _E.DELIVERED: _S.DELIVERED,
        _E.DELAYED: _S.DELIVERED,
        _E.BOUNCED: _S.FAILED,
        _E.HANDLED: _S.READ,
        _E.REJECTED: _S.FAILED,
    },
    _S.READ: dict.fromkeys(_E, _S.READ),
    _S.FAILED: {
        _E.DELIVERED: _S.FAILED,
        _E.DELAYED: _S.FAILED,
        _E.BOUNCED: _S.FAILED,
        _E.HANDLED: _S.READ,
        _E.REJECTED: _S.FAILED,
    },
}
_OF_STATE = {State.DELIVERED: _E.DELIVERED, State.DELAYED: _E.DELAYED, State.FAILED: _E.BOUNCED}


def advance(state: RecipientState, event: EventKind) -> RecipientState:
    """The state of a recipient once an event is known."""
    return _TABLE[state][event]


def stale(state: RecipientState, since: datetime, now: datetime, *, after: timedelta = timedelta(days=2)) -> bool:
    """True when a mail was submitted so long ago that silence must be said: its state is then ``unknown``."""
    return state is RecipientState.SUBMITTED and now - since >= after


def events(received: Received) -> tuple[Event, ...]:
    """What a notice tells, recipient by recipient; nothing for any other mail.

    Whether the mail it speaks of is ours is for the caller to look up: a notice about anything else is not trusted.
    """
    if received.delivery is not None:
        notice = received.delivery
        return tuple(
            Event(
                kind=_OF_STATE[one.state],
                envelope_id=notice.envelope_id,
                message_id=notice.original_message_id,
                recipient=one.address,
                code=one.status or one.smtp_code,
                text=one.diagnostic,
            )
            for one in notice.recipients
        )
    if received.disposition is not None:
        told = received.disposition
        return (
            Event(
                kind=_E.REJECTED if told.failed else _E.HANDLED,
                envelope_id="",
                message_id=told.original_message_id,
                recipient=told.recipient or received.sender,
                code=told.error_code,
                text=told.error_text,
                cause=INTEGRATION_CODES.get(told.error_code),
            ),
        )
    if received.kind is MailKind.FAILURE and received.failure is not None:
        code = received.failure.error_code
        return (
            Event(
                kind=_E.REJECTED,
                envelope_id="",
                message_id=received.failure.original_message_id,
                recipient=received.sender,
                code=code,
                cause=INTEGRATION_CODES.get(code),
            ),
        )
    return ()


def conversation(message_id: str, in_reply_to: str = "", references: Sequence[str] = ()) -> str:
    """The Message-ID that began the conversation a mail belongs to; its own when it begins one.

    A request of télé-expertise or télésoin and its answers share it on both sides (RFC 5322 3.6.4; ECO.2.2.2).
    """
    return next(iter(references), "") or in_reply_to or message_id


def references(message_id: str, earlier: Sequence[str] = (), *, limit: int = 20) -> tuple[str, ...]:
    """The References of an answer to a mail: those of that mail, then its own identifier.

    Long conversations keep the first one, which names the conversation, and the last ones.
    """
    whole = [*(r for r in earlier if r != message_id), message_id]
    return tuple(whole if len(whole) <= limit else [whole[0], *whole[1 - limit :]])
