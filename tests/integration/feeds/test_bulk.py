"""A ledger built in bulk is the ledger that would have been built line by line."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, inspect, select

from gateway.feeds import ledger, tables
from gateway.feeds.bulk import build, build_many
from gateway.feeds.counts import counts
from gateway.feeds.entry import row_of
from gateway.feeds.verification import verify
from tests.support.feeds import fed, many


def test_the_same_hashes_tree_and_counts_as_one_by_one(engine: Engine) -> None:
    """Same entries one by one and in bulk: same links, nodes, state and totals; both verify."""
    batch = [fed(n, details={"n": n} if n % 7 == 0 else None) for n in range(600)]
    with engine.begin() as connection:
        ledger.record_many(connection, "t1", batch)
        while ledger.seal(connection, "t1", batch=100).more:
            pass
        slow = connection.execute(select(tables.links.c.entry_hash).order_by(tables.links.c.seq)).scalars().all()
        state = ledger.chain_state(connection, "t1")
        counted = counts(connection, by=("type", "month", "structure"))
        nodes = connection.execute(select(tables.nodes.c.level, tables.nodes.c.position, tables.nodes.c.hash)).all()
        connection.rollback()
    with engine.begin() as connection:
        assert build(connection, "t1", map(row_of, batch), batch=128) == 600
        fast = connection.execute(select(tables.links.c.entry_hash).order_by(tables.links.c.seq)).scalars().all()
        assert [bytes(one) for one in fast] == [bytes(one) for one in slow]
        assert ledger.chain_state(connection, "t1") == state
        assert counts(connection, by=("type", "month", "structure")) == counted
        assert {tuple(map(str, one)) for one in nodes} == {
            tuple(map(str, one))
            for one in connection.execute(select(tables.nodes.c.level, tables.nodes.c.position, tables.nodes.c.hash))
        }
        assert verify(connection, "t1").ok


def test_a_ledger_goes_on_after_a_bulk_build(engine: Engine) -> None:
    """Indexes, the queue and the numbering are as before: more can be added either way."""
    with engine.begin() as connection:
        before = {index["name"] for index in inspect(connection).get_indexes("feed_entries")}
        sizes = build_many(connection, [("t1", many(500, seed=1)), ("t2", many(400, seed=2))])
        assert sizes == {"t1": 500, "t2": 400}
        assert {index["name"] for index in inspect(connection).get_indexes("feed_entries")} == before
        ledger.record(connection, "t1", fed(1))
        assert ledger.tenants_to_seal(connection) == ["t1"]
        with pytest.raises(ValueError, match="FEED-BULK-001"):
            build(connection, "t1", many(10, seed=3))
        ledger.seal(connection, "t1")
        assert build(connection, "t1", many(100, seed=3)) == 601
        assert verify(connection, "t1").ok
        assert verify(connection, "t2").ok
