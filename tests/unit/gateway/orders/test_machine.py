"""Two pharmacies, retries, corrections, cancellations and a clock: no figure is ever negative, over, or unexplained."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from decimal import Decimal

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from gateway.orders.life import EventKind, Refused, fold
from gateway.orders.rules import RefusedDispensation
from gateway.orders.states import LineState
from tests.unit.gateway.orders.making import Story, ask, give, line, order

#: Why a dispensation of this machine may be refused: closed, too much, too late, nothing left.
REASONS = {"ORD-004", "ORD-005", "ORD-006", "ORD-007", "ORD-016", "ORD-021", "ORD-025", "ORD-116"}


class Life(RuleBasedStateMachine):
    """An order of two lines, one with a quantity and renewals, one without quantity."""

    kept = Bundle("kept")

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        #: A count of our own, made without the fold: dispensation -> quantities given by line.
        self.own: dict[str, dict[str, Decimal]] = {}
        self.said_over: set[str] = set()

    @initialize(quantity=st.integers(1, 4), renewals=st.integers(0, 3), free=st.integers(0, 2))
    def begin(self, quantity: int, renewals: int, free: int) -> None:
        """A fresh order."""
        self.most = Decimal(quantity * (renewals + 1))
        self.free = free + 1
        self.story = Story(
            order(
                line("a", quantity=Decimal(quantity), renewals=renewals),
                line("b", quantity=None, unit=None, renewals=free),
            )
        )

    def _relay(self, name: str, lines: dict[str, int], reason: str | None) -> bool:
        asked = ask(
            *(give(str(q), identifier, excess_reason=reason) for identifier, q in lines.items()), at=self.story.now
        )
        before = self.story.view()
        plan, codes = None, set()
        try:
            plan = self.story.dispense(name, asked)
        except RefusedDispensation as exc:
            codes = {f.code for f in exc.findings}
        if plan is None:
            assert codes <= REASONS
            return False
        for one, (identifier, q) in zip(plan.given, lines.items(), strict=True):
            was = before.lines[identifier]
            assert one.code[:2] == ("FF" if was.goes == 0 else "RF")
            closed = self.story.view().lines[identifier].made > was.made
            assert one.code[2] == ("C" if closed else "P")
            if one.excess:
                self.said_over.add(name)
            assert q > 0
        self.own[name] = {identifier: Decimal(q) for identifier, q in lines.items()}
        return True

    @rule(
        target=kept,
        lines=st.dictionaries(st.sampled_from(["a", "b"]), st.integers(1, 6), min_size=1),
        reason=st.sampled_from([None, None, None, "indivisible"]),
    )
    def dispense(self, lines: dict[str, int], reason: str | None) -> object:
        """A pharmacy gives something, within what is left or over it with a reason."""
        self.number += 1
        name = f"d{self.number}"
        return name if self._relay(name, lines, reason) else multiple()

    @rule(identifier=st.sampled_from(["a", "b"]))
    def refuse(self, identifier: str) -> None:
        """A pharmacy does not give a line."""
        self.number += 1
        try:
            self.story.dispense(
                f"d{self.number}", ask(at=self.story.now, refused=(Refused(line=identifier, reason="rupture"),))
            )
        except RefusedDispensation:
            return
        self.own[f"d{self.number}"] = {}

    @rule(name=consumes(kept))
    def take_back(self, name: str) -> None:
        """A dispensation is cancelled."""
        self.story.add(EventKind.DISPENSATION_CANCELLED, dispensation=name)
        self.own.pop(name)

    @rule(target=kept, name=consumes(kept), quantity=st.integers(1, 6))
    def correct(self, name: str, quantity: int) -> object:
        """A dispensation is replaced by another, judged as if the former had not been."""
        events = list(self.story.events)
        self.story.add(EventKind.DISPENSATION_CORRECTED, dispensation=name)
        former = self.own.pop(name)
        self.number += 1
        fresh = f"d{self.number}"
        if self._relay(fresh, {"a": quantity}, None):
            return fresh
        self.story.events = events
        self.own[name] = former
        return name

    @rule()
    def cancel(self) -> None:
        """The prescriber cancels what is left."""
        if not self.story.view().cancelled:
            self.story.add(EventKind.CANCELLED)

    @rule(days=st.integers(1, 40))
    def wait(self, days: int) -> None:
        """Time passes."""
        self.story.now += timedelta(days=days)

    @invariant()
    def figures_hold(self) -> None:
        """Totals are those of the live dispensations; nothing negative; nothing over without a reason."""
        view = self.story.view()
        for identifier, one in view.lines.items():
            told = sum((given.get(identifier, Decimal(0)) for given in self.own.values()), Decimal(0))
            assert one.total == told
            assert one.renewals_left >= 0
            assert one.made <= one.line.deliveries
            if one.left is not None:
                assert one.left >= 0
        if not self.said_over & set(self.own):
            assert view.lines["a"].total <= self.most
        assert view.lines["b"].goes <= self.free

    @invariant()
    def history_explains_it(self) -> None:
        """Folding again, or folding the events one by one, gives the same figures."""
        again = fold(self.story.order, list(self.story.events), self.story.now)
        assert dataclasses.asdict(again.lines["a"]) == dataclasses.asdict(self.story.view().lines["a"])
        assert set(again.live) == set(self.own)

    @invariant()
    def closed_stays_closed(self) -> None:
        """After a cancellation nothing may be given."""
        view = self.story.view()
        if view.cancelled:
            assert not view.open
            assert all(one.state in (LineState.CANCELLED, LineState.DISPENSED) for one in view.lines.values())


TestLife = Life.TestCase
