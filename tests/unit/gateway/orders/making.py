"""Orders for the tests: lines of any quantity and renewals, and what pharmacies ask of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from gateway.orders.life import Event, EventKind, Order, OrderView, PrescribedLine, Refused, fold
from gateway.orders.rules import Asked, AskedLine, OrderRules, Plan, judge
from mappings.document.medication import Medication

START = datetime(2026, 11, 24, 9, tzinfo=UTC)
RULES = OrderRules()
BOX = "30009000"
A = Medication.model_validate({"name": "ALPHA", "codes": [{"code": "60000001", "system": "1.2.250.1.213.2.3.1"}]})


def line(identifier: str = "a", **changes: Any) -> PrescribedLine:
    """Two boxes of ALPHA, renewed once."""
    values: dict[str, Any] = {
        "id": identifier,
        "label": "ALPHA",
        "medication": A,
        "codes": (("1.2.250.1.213.2.3.1", "60000001"),),
        "quantity": Decimal(2),
        "unit": BOX,
        "renewals": 1,
    }
    return PrescribedLine(**{**values, **changes})


def order(*lines: PrescribedLine, **changes: Any) -> Order:
    """An order of the day, valid for half a year."""
    values: dict[str, Any] = {"issued_at": START, "valid_until": START + timedelta(days=180)}
    return Order(lines=lines or (line(),), **{**values, **changes})


def ask(*lines: AskedLine, at: datetime = START, refused: tuple[Refused, ...] = ()) -> Asked:
    """A dispensation."""
    return Asked(at=at, lines=lines, refused=refused)


def give(quantity: str = "1", identifier: str | None = "a", **said: Any) -> AskedLine:
    """A quantity of a line, in boxes."""
    values: dict[str, Any] = {"medication": A, "unit": BOX}
    return AskedLine(line=identifier, quantity=Decimal(quantity), **{**values, **said})


class Story:
    """An order and its events, grown one by one."""

    def __init__(self, ordered: Order) -> None:
        self.order = ordered
        self.events: list[Event] = []
        self.now = START
        self.add(EventKind.CREATED)

    def view(self) -> OrderView:
        """Where it stands."""
        return fold(self.order, self.events, self.now)

    def add(self, kind: EventKind, **said: Any) -> None:
        """One more event."""
        self.events.append(Event(seq=len(self.events) + 1, kind=kind, at=self.now, by="test", **said))

    def dispense(self, name: str, asked: Asked) -> Plan:
        """Judge, then keep; raises RefusedDispensation."""
        plan = judge(self.view(), asked, now=self.now, rules=RULES)
        self.add(EventKind.DISPENSED, dispensation=name, acted_at=asked.at, given=plan.given, refused=plan.refused)
        return plan
