"""A ledger built in bulk is the ledger that would have been built line by line."""

from __future__ import annotations

from hashlib import sha256

import pytest
from sqlalchemy import Engine, inspect, select

from gateway.feeds import ledger, tables
from gateway.feeds.bulk import build, build_many
from gateway.feeds.counts import counts
from gateway.feeds.entry import COLUMNS, as_json, opaque_hash, payload, row_of
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


ODD = (
    {"software_id": 'guillemet " barre \\ tabulation \t', "software_version": "é 漢 \U0001f600 \x7f"},
    {"software_id": "", "segur_ref": None},
    {"segur_ref": "", "recipients": 0, "ald_listed": False},
    {"segur_ref": "100 %s %b {0}", "recipients": 12, "ald_listed": True, "test": True},
    {"details": {"b": [1, "é"], "a": {"z": None, "y": 1.5}}, "encounter_commit": opaque_hash("encounter", "1")},
    {"co_authors_rpps": ("10100000002", "10100000003"), "version_no": None, "content_digest": None},
)


@pytest.mark.parametrize("batch", [1, 2, 6, 100])
def test_whatever_the_values_the_hashes_are_those_of_one_by_one(engine: Engine, batch: int) -> None:
    """Quotes, accents, empty texts beside absent ones, flags and details: same hashes, same values kept, any batch."""
    lines = [fed(n, **ODD[n % len(ODD)]) for n in range(30)]
    with engine.begin() as connection:
        assert build(connection, "100 % « tenant »", map(row_of, lines), batch=batch) == 30
        kept = connection.execute(
            select(tables.entries.c.payload_hash, *(tables.entries.c[name] for name in COLUMNS)).order_by(
                tables.entries.c.id
            )
        ).all()
        for line, (stored, *values) in zip(lines, kept, strict=True):
            assert bytes(stored) == sha256(payload(row_of(line))).digest()
            assert as_json(values) == as_json(row_of(line))
            assert [value is None for value in values] == [value is None for value in row_of(line)]
        assert verify(connection, "100 % « tenant »").ok


def test_rows_all_alike_but_for_their_number(engine: Engine) -> None:
    """A batch in which nothing but the identifier varies, and one of a single row."""
    lines = [fed(1, entry_id=opaque_hash("entry", str(n))) for n in range(5)]
    with engine.begin() as connection:
        assert build(connection, "t1", map(row_of, lines), batch=4) == 5
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
