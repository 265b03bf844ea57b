"""Recording and sealing on each engine: once, in order, and never changed."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from sqlalchemy import Engine, delete, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from gateway.feeds import ledger, tables
from gateway.feeds.entry import canonical, leaf, link_hash
from gateway.feeds.merkle import Frontier
from gateway.feeds.tree import NotSealed, StoredTree, inclusion
from tests.support.feeds import fed


def test_the_same_entry_again_changes_nothing(engine: Engine) -> None:
    """A repeat, even stamped later by the ledger's clock, is a no-op."""
    with engine.begin() as connection:
        first = ledger.record(connection, "t1", fed(1))
        later = replace(fed(1), recorded_at=fed(9).recorded_at)
        assert ledger.record(connection, "t1", later) == first
        assert connection.execute(select(func.count()).select_from(tables.entries)).scalar_one() == 1


def test_another_payload_under_one_key_is_logged_as_conflict(engine: Engine) -> None:
    """The first payload stays; the attempt is an entry of its own, once however often it is tried."""
    with engine.begin() as connection:
        kept = ledger.record(connection, "t1", fed(1))
        other = fed(1, doc_type="11490-0")
        conflict = ledger.record(connection, "t1", other)
        assert conflict != kept
        assert ledger.record(connection, "t1", other) == conflict
        rows = connection.execute(
            select(tables.entries.c.kind, tables.entries.c.doc_type, tables.entries.c.corrects).order_by(
                tables.entries.c.id
            )
        ).all()
    assert [(row.kind, row.doc_type) for row in rows] == [("dmp.document", "11488-4"), ("conflict", None)]
    assert bytes(rows[1].corrects).hex() == kept


def test_a_batch_with_repeats_records_each_entry_once(engine: Engine) -> None:
    """Repeats inside a batch and against the ledger give the same identifiers and no second row."""
    with engine.begin() as connection:
        ledger.record(connection, "t1", fed(2))
        batch = [fed(1), fed(2), fed(1), fed(3, doc_type="x"), fed(3)]
        kept = ledger.record_many(connection, "t1", batch)
        assert kept[:3] == [batch[0].entry_id, batch[1].entry_id, batch[0].entry_id]
        assert kept[3] == batch[3].entry_id != kept[4]
        assert connection.execute(select(func.count()).select_from(tables.entries)).scalar_one() == 4
        assert ledger.record_many(connection, "t1", []) == []


def test_a_transaction_rolled_back_leaves_no_entry_and_no_wait(engine: Engine) -> None:
    """The entry lives and dies with the outcome it counts."""
    with engine.connect() as connection:
        ledger.record(connection, "t1", fed(1))
        connection.rollback()
        assert ledger.tenants_to_seal(connection) == []
        connection.rollback()


def test_sealing_numbers_links_and_leaves(engine: Engine) -> None:
    """Each entry gets its number, its link over the one before, and its leaf; the tail empties."""
    with engine.begin() as connection:
        ledger.record_many(connection, "t1", [fed(number) for number in range(5)])
        ledger.record(connection, "t2", fed(0))
        assert sorted(ledger.tenants_to_seal(connection)) == ["t1", "t2"]
    with engine.begin() as connection:
        first = ledger.seal(connection, "t1", batch=3)
        assert (first.count, first.size, first.more) == (3, 3, True)
    with engine.begin() as connection:
        second = ledger.seal(connection, "t1", batch=3)
        assert (second.count, second.size, second.more) == (2, 5, False)
        assert ledger.seal(connection, "t1").count == 0
        assert ledger.tenants_to_seal(connection) == ["t2"]
        rows = connection.execute(
            select(tables.links.c.seq, tables.links.c.entry_hash, tables.entries.c.payload_hash)
            .join(tables.entries, tables.entries.c.id == tables.links.c.entry)
            .where(tables.links.c.tenant == "t1")
            .order_by(tables.links.c.seq)
        ).all()
    previous, frontier = bytes(32), Frontier()
    for number, row in enumerate(rows, 1):
        assert row.seq == number
        previous = link_hash(canonical("t1"), number, previous, bytes(row.payload_hash))
        assert bytes(row.entry_hash) == previous
        frontier.append([leaf(previous)])
    assert second.head_hash == previous
    with engine.begin() as connection:
        kept, head = ledger.chain_state(connection, "t1")
    assert (kept, head) == (frontier, previous)


def test_what_was_recorded_cannot_be_changed_or_removed(engine: Engine) -> None:
    """The database itself refuses UPDATE and DELETE on entries, links and heads."""
    with engine.begin() as connection:
        ledger.record(connection, "t1", fed(1))
        ledger.seal(connection, "t1")
        connection.execute(
            insert(tables.heads).values(
                tenant="t1", size=1, root=b"r", head_hash=b"h", signed_at="x", key_id="k", signature=b"s"
            )
        )
    attempts = [
        update(tables.entries).values(state="deleted"),
        delete(tables.entries),
        update(tables.links).values(seq=2),
        delete(tables.links),
        update(tables.heads).values(size=0),
        delete(tables.heads),
    ]
    for attempt in attempts:
        with engine.connect() as connection:
            with pytest.raises(DBAPIError, match="FEED-APPEND-ONLY"):
                connection.execute(attempt)
            connection.rollback()


def test_two_sealers_of_one_tenant_make_one_chain(engine: Engine) -> None:
    """Sealers that run at once never number an entry twice and leave nothing behind."""
    with engine.begin() as connection:
        ledger.record_many(connection, "t1", [fed(number) for number in range(600)])
    sealed: list[int] = []

    def run() -> None:
        for _ in range(200):
            try:
                with engine.begin() as connection:
                    if engine.dialect.name == "sqlite":
                        connection.exec_driver_sql("PRAGMA busy_timeout=5000")
                    done = ledger.seal(connection, "t1", batch=20)
            except DBAPIError:
                # SQLite refuses the second writer; PostgreSQL never comes here.
                assert engine.dialect.name == "sqlite"
                continue
            sealed.append(done.count)
            if done.size == 600:
                return

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.begin() as connection:
        while ledger.seal(connection, "t1").more:
            pass
        numbers = connection.execute(select(tables.links.c.seq).order_by(tables.links.c.seq)).scalars().all()
        assert list(numbers) == list(range(1, 601))
        assert ledger.tenants_to_seal(connection) == []
    assert sum(sealed) <= 600


def test_proofs_read_from_the_stored_tree_verify(engine: Engine) -> None:
    """Inclusion and consistency proofs come from stored nodes and pass an independent check."""
    with engine.begin() as connection:
        batch = [fed(number) for number in range(700)]
        ledger.record_many(connection, "t1", batch)
        while ledger.seal(connection, "t1", batch=97).more:
            pass
        tree = StoredTree(connection, "t1")
        frontier, _ = ledger.chain_state(connection, "t1")
        assert tree.root(700) == frontier.root()
        for number in (0, 1, 255, 256, 511, 512, 699):
            proof = inclusion(connection, "t1", batch[number].entry_id, 700)
            assert proof.seq == number + 1
            assert proof.entry_hash == link_hash(canonical("t1"), proof.seq, proof.prev_hash, proof.payload_hash)
            assert _climb(leaf(proof.entry_hash), proof.seq - 1, 700, list(proof.path)) == frontier.root()
        for old in (1, 255, 256, 257, 512, 699):
            assert tree.consistency_proof(old, 700)
        with pytest.raises(NotSealed):
            inclusion(connection, "t2", batch[0].entry_id, 700)
        with pytest.raises(NotSealed):
            inclusion(connection, "t1", batch[699].entry_id, 600)
        with pytest.raises(LookupError, match="FEED-TREE-001"):
            tree.root(701)


def _climb(node: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """RFC 6962 audit path, recomputed recursively: written apart from the product's own checker."""
    from hashlib import sha256

    if size == 1:
        assert path == []
        return node
    k = 1
    while k * 2 < size:
        k *= 2
    sibling = path.pop()
    if index < k:
        return sha256(b"\x01" + _climb(node, index, k, path) + sibling).digest()
    return sha256(b"\x01" + sibling + _climb(node, index - k, size - k, path)).digest()


def test_rights_are_those_of_an_appender() -> None:
    """The role of the service may add to the ledger and not change it; a strange name is refused."""
    statements = "\n".join(tables.rights("passerelle"))
    assert 'GRANT SELECT, INSERT ON feed_entries TO "passerelle"' in statements
    assert "UPDATE, DELETE ON feed_entries" not in statements
    with pytest.raises(ValueError, match="plain word"):
        tables.rights('x"; DROP TABLE feed_entries; --')
    assert tables.protection("feed_rollup", "sqlite") == ()
