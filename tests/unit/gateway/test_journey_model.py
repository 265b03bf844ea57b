"""A model of the journey, step by step at random: whatever the order, once in the registry and once in the count."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule
from sqlalchemy import Connection, Row, select

from gateway import tenants
from gateway.feeds.ledger import seal, tenants_to_seal
from gateway.feeds.tables import entries
from gateway.feeds.verification import all_tenants, verify
from gateway.journey.accept import Request, accept
from gateway.journey.cause import cause_of
from gateway.journey.claims import claim, extend, let_go
from gateway.journey.purge import Retention, purge
from gateway.journey.record import LostLease, move, withdraw_all
from gateway.journey.states import DELIVERY_MOVES, ENDED, CauseCode, Delivery
from gateway.problems import Conflict
from gateway.services.intake import Intake, IntakeOptions, convert
from gateway.services.operations import replay_one
from gateway.store.engine import Store
from gateway.store.migrate import upgrade
from gateway.store.tables import deliveries, documents, history
from gateway.vault import Vault
from tests.support import documents as samples
from tests.unit.gateway.conftest import HandClock

LEASE = timedelta(seconds=30)
#: What the journey is about; converting takes longer than all the rest, and is not what is tried here.
INTAKES: dict[int, Intake] = {}


def intake(number: int) -> Intake:
    """The document of a number, converted once."""
    if number not in INTAKES:
        value = samples.load(samples.report(number))
        content = value.model_dump_json(exclude_none=True).encode()
        INTAKES[number] = convert(content, "json", IntakeOptions(fresh_oid="2.25.7"))
    return INTAKES[number]


class Journey(RuleBasedStateMachine):
    """Clients, workers that die or come back late, a registry that remembers, an operator, a clock that jumps."""

    held = Bundle("held")  #: claims in the hands of workers

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        url = f"sqlite:///{Path(self.folder.name) / 'store.db'}"
        upgrade(url)
        self.store = Store(url)
        self.vault = Vault(bytes(range(32)))
        self.clock = HandClock()
        self.tenant = self.store.write_now(
            lambda c: tenants.add_tenant(
                c,
                structure_id="1290099886",
                name="CABINET FICTIF",
                activity_sector="SA07",
                references={},
                now=self.clock(),
            )
        ).id
        self.registry: Counter[str] = Counter()  #: what the destination accepted, by unique id
        self.receipts: dict[str, str] = {}  #: what was promised, by key
        self.order: list[tuple[str, str]] = []

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    # --- clients

    def _send(self, number: int, key: str, body_mac: str) -> str:
        made = intake(number)
        request = Request(
            tenant=self.tenant,
            client="client",
            actor=made.authors[0],
            intake=made,
            body_mac=body_mac,
            idempotency_key=key,
        )
        return self.store.write_now(
            lambda c: accept(c, self.vault, request, now=self.clock(), hold_days=90, max_pending=1000)
        ).document_id

    @rule(number=st.integers(1, 4))
    def send(self, number: int) -> None:
        """Send a document, or send it again: the same receipt each time."""
        number_key = f"k{number}"
        receipt = self._send(number, number_key, f"mac{number}")
        assert self.receipts.setdefault(number_key, receipt) == receipt

    @rule(number=st.integers(1, 4))
    def send_another_under_the_same_key(self, number: int) -> None:
        """Refused, and nothing changes."""
        key = f"k{number}"
        if key in self.receipts:
            with pytest.raises(Conflict):
                self._send(number + 10, key, "another")

    @rule(number=st.integers(1, 4))
    def withdraw(self, number: int) -> None:
        """Stop what has not left."""
        document = self.receipts.get(f"k{number}")

        def work(connection: Connection) -> None:
            rows = connection.execute(
                select(deliveries).where(deliveries.c.document_id == document, deliveries.c.ended_at.is_(None))
            ).all()
            unsent = [row for row in rows if row.state in ("queued", "held")]
            withdraw_all(connection, self.vault, unsent, at=self.clock(), by="client")

        if document is not None:
            self.store.write_now(work)

    # --- workers

    @rule(target=held, owner=st.sampled_from(["one", "two"]), limit=st.integers(1, 3))
    def claim(self, owner: str, limit: int) -> Any:
        """Take what is due; nobody gets what another holds."""
        rows = self.store.write_now(lambda c: claim(c, "dmp", owner=owner, now=self.clock(), lease=LEASE, limit=limit))
        return multiple(*rows)

    def _move(self, row: Row[Any], to: Delivery, **values: Any) -> bool:
        """As couriers write: under the fence of the claim. False when it is lost."""

        def work(connection: Connection) -> None:
            now = connection.execute(select(deliveries).where(deliveries.c.id == row.id)).one()
            if now.fence != row.fence:
                raise LostLease(row.id)
            cause = cause_of(CauseCode.TOO_MANY_ATTEMPTS) if to is Delivery.DEAD_LETTER else None
            move(
                connection,
                self.vault,
                now,
                to,
                at=self.clock(),
                by="worker",
                cause=cause,
                fence=row.fence,
                values=values,
            )

        try:
            self.store.write_now(work)
        except LostLease:
            return False
        return True

    @rule(
        row=consumes(held),
        network=st.sampled_from(["accepted", "lost_answer", "not_reached", "refused", "dies_before", "dies_after"]),
        later=st.integers(0, 90),
    )
    def carry(self, row: Row[Any], network: str, later: int) -> None:
        """Carry a claim as a courier does, perhaps long after it was taken; the registry is asked in doubt."""
        if later > 60:
            self.clock.forward(seconds=later)
        state = self._state(row)
        if state in ENDED:
            return
        if state in (Delivery.SENDING, Delivery.UNCERTAIN) and self.registry[self._unique_id(row)]:
            self._move(row, Delivery.ACKNOWLEDGED)
            return
        if state is not Delivery.SENDING and not self._move(row, Delivery.SENDING, next_attempt_at=self.clock()):
            return
        if not self._mine(row):
            return  # a courier writes nothing more; what it sends meets the registry's own memory
        if network == "dies_before":
            return
        if network in ("accepted", "lost_answer", "dies_after"):
            self.registry[self._unique_id(row)] = 1  # the registry refuses a second one of an identifier
        if network == "accepted":
            self._move(row, Delivery.ACKNOWLEDGED)
        elif network == "lost_answer":
            self._move(row, Delivery.UNCERTAIN, next_attempt_at=self.clock())
        elif network == "not_reached":
            self._move(row, Delivery.RETRYING, next_attempt_at=self.clock() + timedelta(seconds=5))
        elif network == "refused":
            self._move(row, Delivery.REFUSED)

    @rule(row=held)
    def beat(self, row: Row[Any]) -> None:
        """A heartbeat lengthens only a lease still held."""
        self.store.write_now(lambda c: extend(c, [(row.id, row.fence)], until=self.clock() + LEASE))

    @rule(row=consumes(held))
    def give_back(self, row: Row[Any]) -> None:
        """A graceful stop."""
        self.store.write_now(lambda c: let_go(c, [(row.id, row.fence)]))

    @rule(row=consumes(held))
    def give_up(self, row: Row[Any]) -> None:
        """Attempts spent: a dead letter."""
        if self._state(row) in (Delivery.RETRYING, Delivery.UNCERTAIN, Delivery.QUEUED) and self._mine(row):
            self._move(row, Delivery.DEAD_LETTER)

    # --- others

    @rule(seconds=st.sampled_from([1, 20, 31, 3600, 86_400, -3600, -86_400]))
    def time_passes(self, seconds: int) -> None:
        """Also backwards, and by a day."""
        self.clock.forward(seconds=seconds)

    @rule()
    def an_operator_sends_dead_letters_again(self) -> None:
        """Each once."""
        for row in self._rows():
            if row.state == "dead_letter":
                self.store.write_now(
                    lambda c, one=row.id: replay_one(c, self.vault, [self.tenant], one, now=self.clock(), by="operator")  # type: ignore[misc]
                )

    @rule()
    def seal(self) -> None:
        """The ledger's chain grows."""
        for tenant in self.store.read_now(tenants_to_seal):
            while self.store.write_now(lambda c, t=tenant: seal(c, t)).more:  # type: ignore[misc]
                pass

    @rule()
    def purge(self) -> None:
        """Whatever ended loses its contents; what is open keeps them."""
        now = self.clock()
        purge(self.store, self.vault, Retention(contents=now, evidence=now, keys=now - timedelta(days=4000)), now)

    # --- what holds at every moment

    def _rows(self) -> list[Row[Any]]:
        return self.store.read_now(lambda c: list(c.execute(select(deliveries))))

    def _state(self, row: Row[Any]) -> Delivery:
        return Delivery(next(one.state for one in self._rows() if one.id == row.id))

    def _mine(self, row: Row[Any]) -> bool:
        return bool(next(one.fence for one in self._rows() if one.id == row.id) == row.fence)

    def _unique_id(self, row: Row[Any]) -> str:
        return str(row.lineage)

    @invariant()
    def promises_are_kept(self) -> None:
        """One document a receipt; acknowledged means in the registry; counted once for each."""
        rows = self._rows()
        assert {row.document_id for row in rows} == set(self.receipts.values())
        assert len(rows) == len(self.receipts)
        acknowledged = [row for row in rows if row.state == "acknowledged"]
        assert all(self.registry[self._unique_id(row)] == 1 for row in acknowledged)
        counted = self.store.read_now(
            lambda c: c.execute(select(entries.c.state).where(entries.c.kind == "dmp.document")).scalars().all()
        )
        assert Counter(counted)["accepted"] == len(acknowledged)

    @invariant()
    def contents_are_there_while_needed(self) -> None:
        """A document whose delivery is open is not purged."""
        open_ones = {row.document_id for row in self._rows() if row.ended_at is None or row.state == "dead_letter"}
        gone = self.store.read_now(
            lambda c: set(c.execute(select(documents.c.id).where(documents.c.purged_at.is_not(None))).scalars())
        )
        assert not open_ones & gone

    @invariant()
    def history_is_legal(self) -> None:
        """Every step of every delivery is one that the table of states allows."""
        steps = self.store.read_now(
            lambda c: c.execute(
                select(history.c.from_state, history.c.to_state).where(
                    history.c.delivery_id.is_not(None), history.c.from_state.is_not(None)
                )
            ).all()
        )
        assert all(Delivery(to) in DELIVERY_MOVES[Delivery(before)] for before, to in steps)

    @invariant()
    def the_ledger_verifies(self) -> None:
        """Every chain, at every moment."""
        for tenant in self.store.read_now(all_tenants):
            assert self.store.read_now(lambda c, t=tenant: verify(c, t)).ok  # type: ignore[misc]


Journey.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
TestJourney = Journey.TestCase
