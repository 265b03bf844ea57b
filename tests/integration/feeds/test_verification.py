"""A ledger tampered with by its own operator, with all rights on the database, is found out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, Engine, delete, select, text, update

from gateway.feeds import heads, ledger, tables
from gateway.feeds.entry import COLUMNS, payload
from gateway.feeds.verification import Report, all_tenants, verify
from tests.support.feeds import fed

NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def _fill(connection: Connection, number: int = 300) -> None:
    ledger.record_many(connection, "t1", [fed(n) for n in range(number)])
    while ledger.seal(connection, "t1", batch=100).more:
        pass


def _disarm(connection: Connection) -> None:
    """What a dishonest owner of the database can do: drop the guards."""
    for table in tables.APPEND_ONLY:
        if connection.dialect.name == "sqlite":
            connection.execute(text(f"DROP TRIGGER {table}_no_UPDATE"))
            connection.execute(text(f"DROP TRIGGER {table}_no_DELETE"))
        else:
            connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))


def _codes(report: Report) -> set[str]:
    return {finding.code for finding in report.verdict.findings}


def test_an_untouched_ledger_is_whole_and_names_its_tail(engine: Engine) -> None:
    """Nothing to find; what is not sealed yet is named and is no fault."""
    with engine.begin() as connection:
        _fill(connection)
        waiting = ledger.record(connection, "t1", fed(1000))
        report = verify(connection, "t1")
        assert report.ok
        assert (report.sealed, report.unsealed, report.unsealed_entries) == (300, 1, (waiting,))
        assert report.as_json()["findings"] == []
        assert all_tenants(connection) == ["t1"]
        assert verify(connection, "nobody").sealed == 0


TAMPERINGS: dict[str, tuple[str, str]] = {
    "an edited field": ("UPDATE feed_entries SET actor_rpps = '10100000009' WHERE id = 5", "FEED-VERIFY-002"),
    "an edited day": ("UPDATE feed_entries SET day = '2025-12-31' WHERE id = 5", "FEED-VERIFY-002"),
    "a field added": ("UPDATE feed_entries SET reason = 'x' WHERE id = 5", "FEED-VERIFY-002"),
    "a field emptied": ("UPDATE feed_entries SET doc_type = NULL WHERE id = 5", "FEED-VERIFY-002"),
    "another owner": ("UPDATE feed_entries SET tenant = 't2' WHERE id = 5", "FEED-VERIFY-005"),
    "an entry removed": ("DELETE FROM feed_entries WHERE id = 5", "FEED-VERIFY-001"),
    "a link removed": ("DELETE FROM feed_links WHERE seq = 5", "FEED-VERIFY-004"),
    "the last link removed": ("DELETE FROM feed_links WHERE seq = 300", "FEED-VERIFY-006"),
    "a link pointing elsewhere": (
        "UPDATE feed_links SET entry = CASE entry WHEN 5 THEN -1 ELSE entry END WHERE seq = 5",
        "FEED-VERIFY-001",
    ),
    "the chain's state set back": ("UPDATE feed_chains SET size = 299", "FEED-VERIFY-007"),
    "a stored node changed": ("UPDATE feed_nodes SET hash = zeroblob(32)", "FEED-VERIFY-008"),
    "a stored node removed": ("DELETE FROM feed_nodes", "FEED-VERIFY-008"),
    "a total raised": ("UPDATE feed_rollup SET entries = entries + 1", "FEED-VERIFY-012"),
    "a coarse total raised": ("UPDATE feed_rollup_coarse SET entries = entries + 1", "FEED-VERIFY-012"),
    "a total removed": ("DELETE FROM feed_rollup", "FEED-VERIFY-012"),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_any_change_to_what_is_sealed_is_found(engine: Engine, what: str) -> None:
    """Edits, removals, moves: each one gives its finding, at its place."""
    statement, code = TAMPERINGS[what]
    if engine.dialect.name == "postgresql":
        statement = statement.replace("zeroblob(32)", "decode(repeat('00', 32), 'hex')")
    with engine.begin() as connection:
        _fill(connection)
        _disarm(connection)
        if what == "the chain's state set back":
            state, _ = ledger.chain_state(connection, "t1")
            assert state.size == 300
            connection.execute(text("UPDATE feed_chains SET frontier = :f"), {"f": bytes(32 * (299).bit_count())})
        connection.execute(text(statement))
        report = verify(connection, "t1")
    assert not report.ok
    assert code in _codes(report)


def test_two_entries_exchanged_are_found(engine: Engine) -> None:
    """The same entries in another order are not the same history."""
    with engine.begin() as connection:
        _fill(connection, 10)
        _disarm(connection)
        # Through -1, since two links never name one entry.
        for seq, entry in ((3, -1), (4, 3), (3, 4)):
            connection.execute(update(tables.links).where(tables.links.c.seq == seq).values(entry=entry))
        report = verify(connection, "t1")
    assert "FEED-VERIFY-003" in _codes(report)
    assert {finding.location for finding in report.verdict.findings} >= {"seq/3", "seq/4"}


def test_an_entry_taken_out_of_the_queue_is_found(engine: Engine) -> None:
    """An entry that would never be sealed cannot hide, nor be edited while it waits."""
    with engine.begin() as connection:
        ledger.record(connection, "t1", fed(1))
        ledger.record(connection, "t1", fed(2))
        _disarm(connection)
        connection.execute(text("DELETE FROM feed_pending WHERE entry = 1"))
        connection.execute(text("UPDATE feed_entries SET actor_rpps = '10100000009' WHERE id = 2"))
        report = verify(connection, "t1")
    assert _codes(report) == {"FEED-VERIFY-002", "FEED-VERIFY-006"}


def _rewrite(connection: Connection, change: Callable[[Connection], None]) -> None:
    """Forge the whole history: change it, then compute every hash, link, node and total again."""
    _disarm(connection)
    change(connection)
    columns = [tables.entries.c[name] for name in COLUMNS]
    for row in connection.execute(select(tables.entries.c.id, *columns)).all():
        hashed = sha256(payload(row[1:])).digest()
        connection.execute(update(tables.entries).where(tables.entries.c.id == row[0]).values(payload_hash=hashed))
    for table in (
        tables.links,
        tables.chains,
        tables.nodes,
        tables.rollup,
        tables.rollup_coarse,
        tables.pending,
    ):
        connection.execute(delete(table))
    connection.execute(text("INSERT INTO feed_pending (tenant, entry) SELECT tenant, id FROM feed_entries"))
    while ledger.seal(connection, "t1").more:
        pass


@pytest.mark.parametrize("what", ["edit", "truncation"])
def test_a_history_rewritten_whole_needs_yesterdays_head(engine: Engine, what: str) -> None:
    """Every hash recomputed and signed with the true key: consistent in itself, caught by a head kept outside."""
    changes = {
        "edit": "UPDATE feed_entries SET actor_rpps = '10100000009' WHERE id = 5",
        "truncation": "DELETE FROM feed_entries WHERE id > 290",
    }
    with engine.begin() as connection:
        _fill(connection)
        yesterday = heads.sign_head(connection, "t1", KEY, now=NOW)
    with engine.begin() as connection:
        _rewrite(connection, lambda c: c.execute(text(changes[what])) and None)
        connection.execute(text("DELETE FROM feed_heads"))
        forged = heads.sign_head(connection, "t1", KEY, now=NOW)
        keys = [KEY.public_key()]
        assert verify(connection, "t1", heads=[forged], keys=keys).ok
        report = verify(connection, "t1", heads=[yesterday], keys=keys)
    assert _codes(report) == {"FEED-VERIFY-010" if what == "edit" else "FEED-VERIFY-009"}


def test_a_ledger_that_only_grew_still_answers_to_its_old_heads(engine: Engine) -> None:
    """Heads of every size, the empty one included, hold as entries are added."""
    with engine.begin() as connection:
        kept = [heads.sign_head(connection, "t1", KEY, now=NOW)]
        for number in range(4):
            ledger.record_many(connection, "t1", [fed(10 * number + n) for n in range(10)])
            ledger.seal(connection, "t1")
            kept.append(heads.sign_head(connection, "t1", KEY, now=NOW))
        assert [head.size for head in kept] == [0, 10, 20, 30, 40]
        report = verify(connection, "t1", heads=kept, keys=[KEY.public_key()])
        assert report.ok
        assert report.heads_checked == 5
        assert heads.kept_heads(connection, "t1") == kept[::-1]
        # Nothing new: the same head again, not another signature.
        assert heads.sign_head(connection, "t1", KEY, now=NOW) == kept[-1]
        assert heads.sign_all(connection, KEY, now=NOW) == [kept[-1]]


def test_a_head_signed_by_a_stranger_is_refused(engine: Engine) -> None:
    """A head whose signature is not that of a known key proves nothing, and the report says so."""
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    with engine.begin() as connection:
        _fill(connection, 3)
        head = heads.sign_head(connection, "t1", stranger, now=NOW)
        report = verify(connection, "t1", heads=[head], keys=[KEY.public_key()])
    assert _codes(report) == {"FEED-VERIFY-011"}
