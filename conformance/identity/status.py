"""The status of an identity: four states, three attributes, and the events that move them (RNIV 1, EXI SI 07 to 09).

The table below is the rule; the code only reads it. An identity never becomes qualified without both an accepted INSi
answer and a high-confidence proof, the Appli carte Vitale giving the two at once (RNIV 1 v2.0, 4.3.4).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = [
    "EVENTS",
    "Attribute",
    "Event",
    "IdentityState",
    "Refusal",
    "Status",
    "StatusError",
    "feed_dmp",
    "transition",
    "transitions",
]


class Status(StrEnum):
    """The four exclusive statuses."""

    PROV = "PROV"  #: provisoire
    RECUP = "RECUP"  #: récupérée: INSi answered
    VALI = "VALI"  #: validée: a proof was checked
    QUAL = "QUAL"  #: qualifiée: both

    @classmethod
    def of(cls, word: str) -> Status:
        """Read a status as a code or as the French word of a document. Raises ``ValueError``."""
        return _WORDS.get(word) or cls(word)


_WORDS: Final = {
    "provisoire": Status.PROV,
    "recuperee": Status.RECUP,
    "récupérée": Status.RECUP,
    "validee": Status.VALI,
    "validée": Status.VALI,
    "qualifiee": Status.QUAL,
    "qualifiée": Status.QUAL,
}


class Attribute(StrEnum):
    """What else is known of an identity."""

    HOMONYME = "homonyme"  #: strong resemblance with another file
    DOUTEUX = "douteux"  #: doubt on the claimed identity: locks the status to PROV
    FICTIF = "fictif"  #: test, training or protected identity: locks as well


class Refusal(StrEnum):
    """Why an event was refused."""

    INSI_CALL_FORBIDDEN = "INSI_CALL_FORBIDDEN"
    STATUS_LOCKED_BY_ATTRIBUTE = "STATUS_LOCKED_BY_ATTRIBUTE"
    ATTRIBUTES_INCOMPATIBLE = "ATTRIBUTES_INCOMPATIBLE"
    FORBIDDEN_NOT_QUALIFIED = "FORBIDDEN_NOT_QUALIFIED"


class StatusError(Exception):
    """An event is not allowed on an identity in its present state; ``refusal`` says why."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(str(refusal))


_LOCKING: Final = frozenset({Attribute.DOUTEUX, Attribute.FICTIF})


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityState:
    """A status, its attributes, and whether an INS is attached.

    Raises :class:`StatusError` on an attribute mix or a status that cannot be.
    """

    status: Status = Status.PROV
    attributes: frozenset[Attribute] = frozenset()
    ins: bool = False

    def __post_init__(self) -> None:
        # Only douteux and homonyme may stand together.
        if Attribute.FICTIF in self.attributes and len(self.attributes) > 1:
            raise StatusError(Refusal.ATTRIBUTES_INCOMPATIBLE)
        if self.locked and self.status is not Status.PROV:
            raise StatusError(Refusal.STATUS_LOCKED_BY_ATTRIBUTE)

    @property
    def locked(self) -> bool:
        """True when an attribute keeps the status at PROV and forbids INSi calls."""
        return not _LOCKING.isdisjoint(self.attributes)

    @property
    def may_call_insi(self) -> bool:
        """True when an INSi search is allowed at all."""
        return not self.locked


class _Kind(StrEnum):
    INSI = "insi"  # an answer of the teleservice: forbidden on a locked identity
    PROOF = "proof"  # a proof or an app reading: the lock holds the status
    LOCAL = "local"  # something the structure does


class _Ins(StrEnum):
    KEEP = "keep"
    ATTACH = "attach"
    DROP = "drop"


class Event(StrEnum):
    """What happens to an identity; ``FEED_DMP`` is a question, not a change."""

    INSI_FOUND_ACCEPTED = "INSI_FOUND_ACCEPTED"
    INSI_FOUND_REJECTED = "INSI_FOUND_REJECTED"
    INSI_NOT_FOUND = "INSI_NOT_FOUND"
    INSI_SEVERAL = "INSI_SEVERAL"
    INSI_TECHNICAL_FAULT = "INSI_TECHNICAL_FAULT"
    INSI_VERIFY_OK = "INSI_VERIFY_OK"
    INSI_VERIFY_KO = "INSI_VERIFY_KO"
    PROOF_HIGH_CHECKED = "PROOF_HIGH_CHECKED"
    PROOF_LOW_CHECKED = "PROOF_LOW_CHECKED"
    APCV_READ_ACCEPTED = "APCV_READ_ACCEPTED"
    SET_DOUTEUX = "SET_DOUTEUX"
    SET_FICTIF = "SET_FICTIF"
    SET_HOMONYME = "SET_HOMONYME"
    CLEAR_DOUTEUX = "CLEAR_DOUTEUX"
    CLEAR_HOMONYME = "CLEAR_HOMONYME"
    STRICT_TRAIT_EDITED = "STRICT_TRAIT_EDITED"
    FEED_DMP = "FEED_DMP"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    kind: _Kind
    to: tuple[Status, Status, Status, Status] | None = None  # from PROV, RECUP, VALI, QUAL; None: unchanged
    ins: tuple[_Ins, _Ins, _Ins, _Ins] = (_Ins.KEEP,) * 4
    sets: Attribute | None = None
    clears: Attribute | None = None


_P, _R, _V, _Q = Status.PROV, Status.RECUP, Status.VALI, Status.QUAL
_K, _A, _D = _Ins.KEEP, _Ins.ATTACH, _Ins.DROP

# Rows: RNIV 1 and FR Core, but INSI_VERIFY_KO, STRICT_TRAIT_EDITED and CLEAR_HOMONYME, which are this project's.
EVENTS: Final[dict[Event, _Row]] = {
    Event.INSI_FOUND_ACCEPTED: _Row(kind=_Kind.INSI, to=(_R, _R, _Q, _Q), ins=(_A, _A, _A, _A)),
    Event.INSI_FOUND_REJECTED: _Row(kind=_Kind.INSI),
    Event.INSI_NOT_FOUND: _Row(kind=_Kind.INSI),
    Event.INSI_SEVERAL: _Row(kind=_Kind.INSI),
    Event.INSI_TECHNICAL_FAULT: _Row(kind=_Kind.INSI),
    Event.INSI_VERIFY_OK: _Row(kind=_Kind.INSI),
    Event.INSI_VERIFY_KO: _Row(kind=_Kind.INSI, to=(_P, _P, _V, _V), ins=(_K, _D, _K, _D)),
    Event.PROOF_HIGH_CHECKED: _Row(kind=_Kind.PROOF, to=(_V, _Q, _V, _Q)),
    Event.PROOF_LOW_CHECKED: _Row(kind=_Kind.PROOF),
    Event.APCV_READ_ACCEPTED: _Row(kind=_Kind.PROOF, to=(_Q, _Q, _Q, _Q), ins=(_A, _A, _A, _A)),
    Event.SET_DOUTEUX: _Row(kind=_Kind.LOCAL, to=(_P, _P, _P, _P), ins=(_D, _D, _D, _D), sets=Attribute.DOUTEUX),
    Event.SET_FICTIF: _Row(kind=_Kind.LOCAL, to=(_P, _P, _P, _P), ins=(_D, _D, _D, _D), sets=Attribute.FICTIF),
    Event.SET_HOMONYME: _Row(kind=_Kind.LOCAL, sets=Attribute.HOMONYME),
    Event.CLEAR_DOUTEUX: _Row(kind=_Kind.LOCAL, clears=Attribute.DOUTEUX),
    Event.CLEAR_HOMONYME: _Row(kind=_Kind.LOCAL, clears=Attribute.HOMONYME),
    Event.STRICT_TRAIT_EDITED: _Row(kind=_Kind.LOCAL, to=(_P, _P, _P, _P), ins=(_K, _D, _K, _D)),
}
_COLUMN: Final = {_P: 0, _R: 1, _V: 2, _Q: 3}


def feed_dmp(state: IdentityState) -> Refusal | None:
    """Why a document of this identity may not feed the DMP, or None when it may (EXI ID 29).

    The status must be qualified with an INS attached; homonyme alone does not block.
    """
    allowed = state.status is Status.QUAL and state.ins and not state.locked
    return None if allowed else Refusal.FORBIDDEN_NOT_QUALIFIED


def transition(state: IdentityState, event: Event) -> IdentityState:
    """The state after an event. Raises :class:`StatusError` when the event is refused; the state then stands."""
    if event is Event.FEED_DMP:
        if refusal := feed_dmp(state):
            raise StatusError(refusal)
        return state
    row = EVENTS[event]
    if state.locked and row.kind is _Kind.INSI:
        raise StatusError(Refusal.INSI_CALL_FORBIDDEN)
    if state.locked and row.kind is _Kind.PROOF:
        raise StatusError(Refusal.STATUS_LOCKED_BY_ATTRIBUTE)
    column = _COLUMN[state.status]
    attributes = state.attributes
    if row.sets is not None:
        attributes |= {row.sets}
    if row.clears is not None:
        attributes -= {row.clears}
    effect = row.ins[column]
    return IdentityState(
        status=row.to[column] if row.to else state.status,
        attributes=attributes,
        ins=state.ins if effect is _Ins.KEEP else effect is _Ins.ATTACH,
    )


def transitions(state: IdentityState, events: Iterable[Event]) -> tuple[str | None, IdentityState]:
    """Apply events in order; gives the word and the state where it ends.

    A refused event stops the walk and gives its refusal. ``FEED_DMP`` changes nothing: it gives ``ALLOWED`` or its
    refusal, and the walk goes on.
    """
    word: str | None = None
    for event in events:
        if event is Event.FEED_DMP:
            word = str(feed_dmp(state) or "ALLOWED")
            continue
        try:
            state = transition(state, event)
        except StatusError as error:
            return str(error.refusal), state
    return word, state
