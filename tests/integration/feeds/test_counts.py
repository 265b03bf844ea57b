"""Counts by every dimension, the tail included, equal to a recount line by line."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, insert

from gateway.feeds import ledger, tables
from gateway.feeds.bulk import build
from gateway.feeds.counts import CountError, counts
from gateway.feeds.verification import recount
from tests.support.feeds import PRACTICE, fed, many


def _fill(engine: Engine) -> None:
    march, april = datetime(2026, 3, 10, 9, tzinfo=UTC), datetime(2026, 4, 10, 9, tzinfo=UTC)
    with engine.begin() as connection:
        ledger.record_many(
            connection,
            "t1",
            [
                fed(1, accepted_at=march),
                fed(2, accepted_at=march, doc_type="11490-0", care_mode="teleconsultation"),
                fed(3, accepted_at=april),
                fed(3, state="submitted", submitted_at=april),
                fed(4, state="rejected", submitted_at=april, reason="dmp_closed"),
            ],
        )
        ledger.seal(connection, "t1")
        ledger.record(connection, "t1", fed(5, accepted_at=april, test=True))
        ledger.record(connection, "t2", fed(6, accepted_at=april, structure_finess="690000026"))
        ledger.record(
            connection,
            "t2",
            fed(7, kind="mss.message", state="delivered", submitted_at=april, recipient_class="citizen"),
        )


def test_the_tail_counts_at_once_and_is_told_apart(engine: Engine) -> None:
    """By type and month, over all tenants: sealed and unsealed together, services never added up."""
    _fill(engine)
    with engine.connect() as connection:
        rows = [(c.service, c.group["type"], c.group["month"], c.count, c.unsealed) for c in counts(connection)]
    assert rows == [
        ("dmp.document", "11488-4", "2026-03", 1, 0),
        ("dmp.document", "11488-4", "2026-04", 3, 2),
        ("dmp.document", "11490-0", "2026-03", 1, 0),
        ("mss.message", "11488-4", "2026-04", 1, 1),
    ]


@pytest.mark.parametrize("seal", [False, True])
def test_sealing_moves_no_figure(engine: Engine, seal: bool) -> None:
    """Every dimension gives the same counts before and after the seal."""
    _fill(engine)
    if seal:
        with engine.begin() as connection:
            for tenant in ledger.tenants_to_seal(connection):
                ledger.seal(connection, tenant)
    with engine.connect() as connection:
        by = ("outcome", "reason", "structure", "mode", "test", "tenant")
        got = {tuple(c.group.values()): c.count for c in counts(connection, by=by, where={"service": ["dmp.document"]})}
        assert got == {
            ("accepted", "", PRACTICE, "", "0", "t1"): 2,
            ("accepted", "", PRACTICE, "", "1", "t1"): 1,
            ("accepted", "", PRACTICE, "teleconsultation", "0", "t1"): 1,
            ("accepted", "", "690000026", "", "0", "t2"): 1,
            ("rejected", "dmp_closed", PRACTICE, "", "0", "t1"): 1,
            ("submitted", "", PRACTICE, "", "0", "t1"): 1,
        }
        assert [c.count for c in counts(connection, by=(), since="2026-04", until="2026-04")] == [3, 1]
        assert [c.count for c in counts(connection, by=(), tenants=["t2"])] == [1, 1]
        assert counts(connection, tenants=[]) == []
        one = counts(connection, by=("day", "professional"), where={"structure": [PRACTICE], "month": ["2026-03"]})
        assert [(c.group["day"], c.count) for c in one] == [("2026-03-10", 2)]


def test_running_totals_are_those_of_the_lines(engine: Engine) -> None:
    """The rollup, summed, is the recount of the chain line by line."""
    _fill(engine)
    with engine.begin() as connection:
        ledger.seal(connection, "t1")
        by_lines: Counter[str] = Counter()
        for key, number in recount(connection, "t1").items():
            by_lines[f"{key[0]} {key[2]}"] += number
        by_totals = {
            f"{c.group['month']} {c.group['outcome']}": c.count
            for c in counts(connection, tenants=["t1"], by=("month", "outcome"))
        }
    assert by_lines == by_totals


def test_membership_is_a_dimension_by_date(engine: Engine) -> None:
    """An act counts for the organisation its author or structure belonged to that day, and once in it."""
    _fill(engine)
    belongs = {"tenant": "t1", "organisation_kind": "cpts", "origin": "declared"}
    with engine.begin() as connection:
        connection.execute(
            insert(tables.memberships),
            [
                belongs | {"member": PRACTICE, "organisation": "CPTS-1", "valid_from": "2026-04-01", "valid_to": None},
                belongs
                | {"member": fed(1).actor_rpps, "organisation": "CPTS-1", "valid_from": "2026-01-01", "valid_to": None},
            ],
        )
        got = counts(connection, by=("membership",), where={"service": ["dmp.document"]})
    assert {c.group["membership"]: c.count for c in got} == {"CPTS-1": 4, "": 1}


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"by": ("month; DROP TABLE feed_entries",)}, "FEED-COUNT-001"),
        ({"where": {"1=1 OR month": ["x"]}}, "FEED-COUNT-001"),
        ({"since": "2026-1"}, "FEED-COUNT-003"),
        ({"until": "2026-01-01' OR 1=1"}, "FEED-COUNT-003"),
        ({"by": ("month", "type"), "max_groups": 2}, "FEED-COUNT-002"),
    ],
)
def test_what_cannot_be_counted_is_a_named_error(engine: Engine, asked: dict[str, object], code: str) -> None:
    """Unknown dimensions, malformed months and too many groups never give a figure."""
    _fill(engine)
    with engine.connect() as connection, pytest.raises(CountError) as caught:
        counts(connection, **asked)  # type: ignore[arg-type]
    assert caught.value.code == code
    assert "DROP" not in str(caught.value)


def test_a_value_with_sql_in_it_is_only_a_value(engine: Engine) -> None:
    """A filter's value is bound, whatever it says: it matches nothing and breaks nothing."""
    _fill(engine)
    with engine.connect() as connection:
        assert counts(connection, where={"type": ["' OR 1=1 --"]}) == []
        assert len(counts(connection)) == 4


def test_ten_thousand_groups_are_refused(engine: Engine) -> None:
    """Counted by professional, a country has more groups than a page can hold: named, and no partial figure."""
    with engine.begin() as connection:
        build(connection, "t1", many(10_005, structures=2001))
        with pytest.raises(CountError) as caught:
            counts(connection, by=("professional",))
        assert caught.value.code == "FEED-COUNT-002"
        found = counts(connection, by=("professional",), where={"professional": ["10000000042"]})
    assert sum(one.count for one in found) >= 1
