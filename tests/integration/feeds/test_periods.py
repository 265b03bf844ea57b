"""Periods close once, keep their counts, and are worked out again under new thresholds."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine

from gateway.feeds import ledger, merkle
from gateway.feeds.imports import OutsideMeasure, record_measures
from gateway.feeds.measures import Subject
from gateway.feeds.periods import PeriodError, State, amend, close, closings, entries_root, reevaluate, state_of
from gateway.feeds.verification import verify
from tests.integration.feeds.test_measures import AS_OF, FIRST, _import, example_1, rule
from tests.support.feeds import DOCTOR, PRACTICE, fed

OLD, NEW = (rule("fr.medecin.forfait-structure.2023.dmp", version) for version in (1, 2))
DR_A = Subject(by="rpps", id=DOCTOR)


def _filled(connection: Connection) -> None:
    ledger.record_many(connection, "t1", example_1())
    _import(connection, consultations=4812)


def test_a_closed_period_is_one_entry_with_its_counts(engine: Engine) -> None:
    """Counts, exclusions, rule version and the root over the entries used; closing again changes nothing."""
    with engine.begin() as connection:
        _filled(connection)
        made = close(connection, "t1", OLD, DR_A, now=AS_OF)
        assert close(connection, "t1", OLD, DR_A, now=AS_OF + timedelta(days=9)) == made
        assert dict(made.measures) == {"fed_lineages": 488, "fed_days": 471, "consultations": 4812}
        assert made.details["measures"]["fed_lineages"]["funnel"]["excluded"]["deleted_by_author"] == 6
        assert (made.state, made.version, made.policy) == (State.CLOSED, 1, "fr-default-1")
        assert made.details["entries_used"] == 489
        assert len(made.entries_root) == 64
        ledger.seal(connection, "t1")
        assert verify(connection, "t1").ok


def test_a_new_threshold_works_closed_counts_out_again(engine: Engine) -> None:
    """Version 2 pays what version 1 did not, on the same closed counts; no entry is added."""
    with engine.begin() as connection:
        _filled(connection)
        made = close(connection, "t1", OLD, DR_A, now=AS_OF)
        assert made.details["result"]["amount"] == "0.00"
        assert reevaluate(made, NEW).as_json()["total"] == {"points": 40, "amount": "280.00"}
        assert closings(connection, OLD.id, DR_A) == [made]


def test_a_period_is_not_closed_before_its_grace_is_over(engine: Engine) -> None:
    """Open, in grace, due, closed: by the French day."""
    period = OLD.period
    assert state_of(period, date(2023, 12, 31), []) is State.OPEN
    assert state_of(period, date(2024, 1, 31), []) is State.GRACE
    assert state_of(period, date(2024, 2, 1), []) is State.DUE
    with engine.begin() as connection:
        _filled(connection)
        # 23:30 UTC on 31 January is already February in Paris.
        with pytest.raises(PeriodError, match="FEED-PERIOD-001"):
            close(connection, "t1", OLD, DR_A, now=datetime(2024, 1, 31, 22, 30, tzinfo=UTC))
        made = close(connection, "t1", OLD, DR_A, now=datetime(2024, 1, 31, 23, 30, tzinfo=UTC))
        assert state_of(period, date(2024, 2, 1), [made]) is State.CLOSED


def test_late_answers_and_deletions_do_not_move_a_closed_count(engine: Engine) -> None:
    """What comes after the close stays out; the closed figure is kept."""
    with engine.begin() as connection:
        _filled(connection)
        made = close(connection, "t1", OLD, DR_A, now=AS_OF)
        later = AS_OF + timedelta(days=3)
        ledger.record(
            connection,
            "t1",
            fed(50, state="deleted", reason="error", submitted_at=later, recorded_at=later),
        )
        with pytest.raises(PeriodError, match="FEED-PERIOD-003"):
            amend(connection, "t1", OLD, DR_A, reason="late_deletion", now=later + timedelta(days=1))
        assert closings(connection, OLD.id, DR_A) == [made]


def test_an_amended_closing_lists_its_difference(engine: Engine) -> None:
    """A corrected denominator and an answer recorded late: a new closing, the former kept."""
    with engine.begin() as connection:
        _filled(connection)
        with pytest.raises(PeriodError, match="FEED-PERIOD-002"):
            amend(connection, "t1", OLD, DR_A, reason="payer_correction", now=AS_OF)
        made = close(connection, "t1", OLD, DR_A, now=AS_OF)
        late = fed(900, submitted_at=FIRST, accepted_at=FIRST, recorded_at=AS_OF + timedelta(days=1))
        ledger.record(connection, "t1", late)
        record_measures(
            connection,
            "t1",
            [
                OutsideMeasure(
                    measure="consultations",
                    by="rpps",
                    subject=DOCTOR,
                    value=4900,
                    start=date(2023, 1, 1),
                    end=date(2023, 12, 31),
                )
            ],
            origin="cnam",
            now=AS_OF + timedelta(days=2),
        )
        amended = amend(connection, "t1", OLD, DR_A, reason="payer_correction", now=AS_OF + timedelta(days=3))
        assert closings(connection, OLD.id, DR_A) == [made, amended]
        assert amended.state is State.AMENDED
        assert dict(amended.measures) == {"fed_lineages": 489, "fed_days": 472, "consultations": 4900}
        difference = amended.details["difference"]
        assert late.entry_id in difference["added"]
        assert (len(difference["added"]), len(difference["removed"])) == (2, 1)
        assert difference["before"]["fed_lineages"] == 488


def test_a_structure_closes_its_own_period(engine: Engine) -> None:
    """Closings of one subject are not those of another."""
    rules = rule("fr.officine.remu-num.2024")
    with engine.begin() as connection:
        made = close(connection, "t1", rules, Subject(by="finess", id=PRACTICE), now=datetime(2025, 3, 1, tzinfo=UTC))
        assert made.measures["erx_dispensed"] == 0
        assert "segur" not in made.measures
        assert closings(connection, rules.id, Subject(by="finess", id="690000026")) == []


def test_the_root_over_entries_is_that_of_the_rfc() -> None:
    """Sorted identifiers, hashed as leaves: anybody can redo it."""
    names = ["22" * 32, "11" * 32]
    left, right = (merkle.leaf_hash(bytes.fromhex(name)) for name in sorted(names))
    assert entries_root(names) == merkle.node_hash(left, right).hex()
    assert entries_root([]) == merkle.EMPTY_ROOT.hex()
