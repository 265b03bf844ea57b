"""The life of one e-prescription: its lines, its events, and the figures that the events make.

Nothing but events is kept of what happened: every figure is folded from them, so that history explains each one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from gateway.orders.states import LineEvent, LineState, OrderState, order_state, step
from mappings.document.medication import Medication
from mappings.document.prescription import DeviceLine, MedicationLine, Prescription
from mappings.document.values import moment_key

__all__ = [
    "Event",
    "EventKind",
    "Given",
    "LineView",
    "Order",
    "OrderView",
    "PrescribedLine",
    "Refused",
    "completeness",
    "fold",
    "order_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrescribedLine:
    """What one line orders."""

    id: str
    label: str
    device: bool = False
    medication: Medication | None = None
    codes: tuple[tuple[str, str], ...] = ()  #: (system, code) of the product
    quantity: Decimal | None = None  #: for one delivery; None when the prescriber gave none
    unit: str | None = None
    renewals: int = 0
    renewal_days: int | None = None  #: how long one delivery lasts, when known
    substitutable: bool = True

    @property
    def deliveries(self) -> int:
        """How many deliveries in all: the first and the renewals (repeatNumber + 1)."""
        return self.renewals + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was ordered, and between which moments it may be given."""

    issued_at: datetime
    valid_until: datetime | None
    lines: tuple[PrescribedLine, ...]
    marks: frozenset[str] = frozenset()

    def line(self, line_id: str) -> PrescribedLine | None:
        """The line of an id."""
        return next((line for line in self.lines if line.id == line_id), None)


class EventKind(StrEnum):
    """What may happen to an order."""

    CREATED = "created"
    REGISTERED = "registered"
    REGISTRATION_REFUSED = "registration_refused"
    DISPENSED = "dispensed"
    DISPENSATION_CANCELLED = "dispensation_cancelled"
    DISPENSATION_CORRECTED = "dispensation_corrected"  #: the former one no longer counts
    RELAY_ACCEPTED = "relay_accepted"
    RELAY_REFUSED = "relay_refused"
    RELAY_RESENT = "relay_resent"  #: given up, and sent again at a person's word
    CANCELLED = "cancelled"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A quantity of one line given."""

    line: str
    quantity: Decimal
    closes: bool | None = None  #: the pharmacist says that this delivery is complete, or not; None: by the quantity
    excess: Decimal = Decimal(0)  #: what goes over the quantity prescribed
    excess_reason: str | None = None
    code: str = ""  #: FFC, FFP, RFC, RFP


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A line a pharmacist did not give."""

    line: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened, and who did it."""

    seq: int
    kind: EventKind
    at: datetime
    by: str
    dispensation: str | None = None
    acted_at: datetime | None = None  #: when the products were handed over
    given: tuple[Given, ...] = ()
    refused: tuple[Refused, ...] = ()
    reason: str | None = None


@dataclass(slots=True, kw_only=True)
class LineView:
    """Where a line stands."""

    line: PrescribedLine
    state: LineState = LineState.PRESCRIBED
    made: int = 0  #: deliveries closed
    given: Decimal = Decimal(0)  #: in the delivery under way
    total: Decimal = Decimal(0)
    excess: Decimal = Decimal(0)
    goes: int = 0  #: how many times something was given
    closed_at: datetime | None = None  #: when the last delivery was closed
    refused: str | None = None
    rounds: dict[str, int] = field(default_factory=dict)  #: dispensation -> the delivery it gave to

    @property
    def open(self) -> bool:
        """True when something may still be given."""
        return self.state in (LineState.PRESCRIBED, LineState.PARTIALLY_DISPENSED, LineState.NOT_DISPENSED)

    @property
    def left(self) -> Decimal | None:
        """What may still be given in the delivery under way; None when the prescriber gave no quantity."""
        if self.line.quantity is None:
            return None
        return self.line.quantity - self.given if self.open else Decimal(0)

    @property
    def renewals_left(self) -> int:
        """Renewals not begun."""
        return max(0, self.line.deliveries - self.made - 1) if self.open else 0

    def closes(self, quantity: Decimal, said: bool | None) -> bool:
        """Does giving this much end the delivery under way?"""
        if self.line.quantity is not None and self.given + quantity >= self.line.quantity:
            return True
        return said if said is not None else self.line.quantity is None

    def give(self, one: Given, dispensation: str, at: datetime) -> None:
        """Take account of a quantity given."""
        if self.state is LineState.DISPENSED:
            # Two pharmacies gave the last of it, one of them offline or elsewhere: it is told, not hidden.
            self.total += one.quantity
            self.excess += one.quantity
            self.goes += 1
            return
        closes = self.closes(one.quantity, one.closes)
        self.rounds[dispensation] = self.made
        self.total += one.quantity
        self.given += one.quantity
        self.goes += 1
        self.refused = None
        if closes:
            if self.line.quantity is not None and self.given > self.line.quantity:
                self.excess += self.given - self.line.quantity
            self.made += 1
            self.given = Decimal(0)
            self.closed_at = at
        last = closes and self.made >= self.line.deliveries
        self.state = step(self.state, LineEvent.GIVEN_LAST if last else LineEvent.GIVEN)


@dataclass(slots=True, kw_only=True)
class OrderView:
    """Where an order stands at an instant."""

    order: Order
    lines: dict[str, LineView]
    version: int = 0
    registered: bool = False
    cancelled: bool = False
    replaced: bool = False
    expired: bool = False
    contested: set[str] = field(default_factory=set)  #: dispensations that the national service refused
    live: dict[str, Event] = field(default_factory=dict)  #: dispensations that count

    @property
    def state(self) -> OrderState:
        """The aggregate of the lines."""
        return order_state(
            (view.state for view in self.lines.values()),
            registered=self.registered,
            cancelled=self.cancelled,
            replaced=self.replaced,
            expired=self.expired,
        )

    @property
    def open(self) -> bool:
        """True when something may still be given."""
        return any(view.open for view in self.lines.values())


_UNDONE = (EventKind.DISPENSATION_CANCELLED, EventKind.DISPENSATION_CORRECTED)


def fold(order: Order, events: Sequence[Event], now: datetime) -> OrderView:
    """Where an order stands at an instant after its events, in their order."""
    view = OrderView(order=order, lines={line.id: LineView(line=line) for line in order.lines})
    undone = {event.dispensation for event in events if event.kind in _UNDONE}
    for event in events:
        view.version = event.seq
        if event.kind is EventKind.DISPENSED and event.dispensation and event.dispensation not in undone:
            view.live[event.dispensation] = event
            _apply(view, event)
        elif event.kind is EventKind.REGISTERED:
            view.registered = True
        elif event.kind is EventKind.CANCELLED:
            view.cancelled = True
        elif event.kind is EventKind.REPLACED:
            view.replaced = True
        elif event.kind is EventKind.RELAY_REFUSED and event.dispensation and event.dispensation not in undone:
            view.contested.add(event.dispensation)
        elif event.kind is EventKind.RELAY_ACCEPTED and event.dispensation:
            view.contested.discard(event.dispensation)
    # Undoing a dispensation after a cancellation leaves the line cancelled: the prescriber's word stands.
    if view.cancelled or view.replaced:
        _all(view, LineEvent.CANCELLED)
    if order.valid_until is not None and now > order.valid_until:
        view.expired = True
        if not (view.cancelled or view.replaced):
            _all(view, LineEvent.EXPIRED)
    return view


def _apply(view: OrderView, event: Event) -> None:
    at = event.acted_at or event.at
    for one in event.given:
        view.lines[one.line].give(one, event.dispensation or "", at)
    for other in event.refused:
        line = view.lines[other.line]
        if line.open:
            line.state = step(line.state, LineEvent.REFUSED)
            line.refused = other.reason


def _all(view: OrderView, event: LineEvent) -> None:
    for line in view.lines.values():
        line.state = step(line.state, event)


def completeness(line: LineView, quantity: Decimal, said: bool | None) -> str:
    """The code of a go: first or later, complete or partial (JDV_CompletudeDispensation)."""
    first = "FF" if line.goes == 0 else "RF"
    return first + ("C" if line.closes(quantity, said) else "P")


def order_of(document: Prescription) -> Order:
    """What a prescription orders; each of its lines must have its id."""
    period = document.acts[0].period
    lines = tuple(_line(line) for line in document.lines)
    end = period.end if period else None
    return Order(
        issued_at=moment_key(document.created_at),
        valid_until=_end_of(end) if end else None,
        lines=lines,
        marks=frozenset(document.context_marks),
    )


def _end_of(moment: str) -> datetime:
    """The last instant of a moment: a date alone is inclusive."""
    at = moment_key(moment)
    if len(moment) > 10:
        return at
    if len(moment) == 10:
        return at.replace(hour=23, minute=59, second=59)
    year, month = int(moment[:4]), int(moment[5:7]) if len(moment) == 7 else 12
    following = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return datetime.fromtimestamp(following.timestamp() - 1, UTC)


def _line(line: MedicationLine | DeviceLine) -> PrescribedLine:
    if line.id is None:
        raise ValueError("a line of an order needs its id")
    quantity = line.quantity
    if isinstance(line, DeviceLine):
        return PrescribedLine(
            id=str(line.id),
            label=line.name,
            device=True,
            codes=tuple((c.system, c.code) for c in line.codes),
            quantity=quantity.value if quantity else None,
            unit=quantity.unit if quantity else None,
            renewals=line.renewals or 0,
        )
    package = line.medication.package
    codes = [(c.system, c.code) for c in line.medication.codes]
    if package is not None and package.code is not None:
        codes.append((package.code.system, package.code.code))
    return PrescribedLine(
        id=str(line.id),
        label=line.medication.label,
        medication=line.medication,
        codes=tuple(codes),
        quantity=quantity.value if quantity else None,
        unit=quantity.unit if quantity else None,
        renewals=line.renewals or 0,
        renewal_days=_renewal_days(line),
        substitutable=line.substitution.permitted,
    )


_DAYS = {"d": 1, "wk": 7, "mo": 30}


def _renewal_days(line: MedicationLine) -> int | None:
    period = line.renewal_period
    dosage = line.posology.dosage
    if period is None and dosage is not None:
        period = dosage.period
        if period is None and dosage.duration is not None and dosage.duration.unit in _DAYS:
            return int(dosage.duration.value * _DAYS[dosage.duration.unit])
    if period is None or not period.start or not period.end:
        return None
    return max(0, (moment_key(period.end) - moment_key(period.start)).days)
