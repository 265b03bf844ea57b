"""Tables of the ledger, and the triggers that keep it append-only on SQLite and PostgreSQL alike.

``feed_entries`` holds what happened, ``feed_links`` the seal of each entry, ``feed_heads`` the signed states: these
three refuse UPDATE and DELETE. ``feed_pending`` is the unsealed tail (a trigger fills it, the sealer empties it);
``feed_chains``, ``feed_nodes`` and the two rollups can be rebuilt from the entries at any time, and ``verify`` does.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)

from gateway.feeds.entry import FIELDS
from gateway.store.metadata import metadata

__all__ = [
    "APPEND_ONLY",
    "COARSE",
    "FINE",
    "chains",
    "departures",
    "entries",
    "exports",
    "heads",
    "links",
    "memberships",
    "nodes",
    "pending",
    "protection",
    "rights",
    "rollup",
    "rollup_coarse",
    "subjects",
    "verifications",
]

# SQLite counts rows by itself only for a column whose type is exactly INTEGER.
_ROW = BigInteger().with_variant(Integer, "sqlite")
_TYPES: Final[dict[str, Any]] = {
    "text": Text,
    "int": Integer,
    "bool": Boolean,
    "hash": LargeBinary,
    "json": Text,
}
_REQUIRED: Final = frozenset("entry_id kind state attempt day recorded_at test".split())

entries = Table(
    "feed_entries",
    metadata,
    Column("id", _ROW, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    *(Column(name, _TYPES[kind](), nullable=name not in _REQUIRED) for name, kind in FIELDS),
    Column("payload_hash", LargeBinary, nullable=False, comment="SHA-256 of the canonical JSON of the fields"),
)
# An index rather than a constraint, so that a bulk build can put it aside: sorting once is cheaper than 5 million
# insertions in random order.
Index("uq_feed_entries_entry_id", entries.c.tenant, entries.c.entry_id, unique=True)
# One professional, one structure, one document: the three ways into the lines.
Index("ix_feed_entries_actor", entries.c.actor_rpps, entries.c.kind, entries.c.day)
Index("ix_feed_entries_structure", entries.c.structure_finess, entries.c.kind, entries.c.day)
# With the day, so that whether a document was fed before a period is told by the index alone, whatever the years kept.
Index(
    "ix_feed_entries_lineage_day",
    entries.c.lineage_ref,
    entries.c.day,
    postgresql_where=text("lineage_ref IS NOT NULL"),
)
Index(
    "ix_feed_entries_behalf",
    entries.c.on_behalf_of_rpps,
    entries.c.kind,
    entries.c.day,
    postgresql_where=text("on_behalf_of_rpps IS NOT NULL"),
    sqlite_where=text("on_behalf_of_rpps IS NOT NULL"),
)
Index(
    "ix_feed_entries_legal",
    entries.c.legal_finess,
    entries.c.kind,
    entries.c.day,
    postgresql_where=text("legal_finess IS NOT NULL"),
    sqlite_where=text("legal_finess IS NOT NULL"),
)

pending = Table(
    "feed_pending",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("entry", _ROW, nullable=False),
    PrimaryKeyConstraint("tenant", "entry"),
    sqlite_with_rowid=False,
)

links = Table(
    "feed_links",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("seq", _ROW, nullable=False, comment="gapless from 1; leaf seq - 1 of the tree"),
    Column("entry", _ROW, nullable=False),
    Column("entry_hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant", "seq"),
    sqlite_with_rowid=False,
)
Index("uq_feed_links_entry", links.c.entry, unique=True)

chains = Table(
    "feed_chains",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("size", _ROW, nullable=False),
    Column("head_hash", LargeBinary, nullable=False),
    Column("frontier", LargeBinary, nullable=False, comment="perfect subtrees at the right edge, 32 bytes each"),
)

nodes = Table(
    "feed_nodes",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("level", Integer, nullable=False, comment="multiples of 8: one row for 256 leaves, 65,536, ..."),
    Column("position", _ROW, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant", "level", "position"),
    sqlite_with_rowid=False,
)

heads = Table(
    "feed_heads",
    metadata,
    Column("id", _ROW, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("size", _ROW, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("head_hash", LargeBinary, nullable=False),
    Column("signed_at", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("timestamp_token", LargeBinary, comment="RFC 3161 token over the signed bytes"),
)
Index("ix_feed_heads_tenant", heads.c.tenant, heads.c.id)

departures = Table(
    "feed_departures",
    metadata,
    Column("day", Text, nullable=False, comment="civil day in Europe/Paris"),
    Column("channel", Text, nullable=False, comment="bundle, timestamp, folder, mail"),
    Column("state", Text, nullable=False, comment="due, done, failed"),
    Column("content", Text, comment="of the bundle: the day's heads as they leave"),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Text, comment="when it is due again"),
    Column("done_at", Text),
    Column("detail", Text, comment="where it went, or why not; a code"),
    PrimaryKeyConstraint("day", "channel"),
)

exports = Table(
    "feed_exports",
    metadata,
    Column("id", Text, primary_key=True),
    Column("who", Text, nullable=False, comment="client or account that asked"),
    Column("state", Text, nullable=False, comment="running, ready, failed"),
    Column("request", Text, nullable=False),
    Column("total", Integer, nullable=False),
    Column("done", Integer, nullable=False),
    Column("detail", Text),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
)
Index("ix_feed_exports_who", exports.c.who, exports.c.created_at)

verifications = Table(
    "feed_verifications",
    metadata,
    Column("day", Text, nullable=False, comment="civil day in Europe/Paris"),
    Column("tenant", Text, nullable=False),
    Column("state", Text, nullable=False, comment="running, whole, altered, failed"),
    Column("begun_at", Text, nullable=False),
    Column("ended_at", Text),
    Column("sealed", _ROW, comment="entries read again"),
    Column("heads", Integer, comment="signed heads compared"),
    Column("findings", Text, comment="codes and places of what was found"),
    PrimaryKeyConstraint("day", "tenant"),
)

subjects = Table(
    "feed_subjects",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="patient or encounter"),
    Column("reference", LargeBinary, nullable=False, comment="keyed pseudonym of the reference, never the reference"),
    Column("salt", LargeBinary, nullable=False),
    Column("commitment", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant", "kind", "reference"),
    UniqueConstraint("tenant", "commitment"),
    sqlite_with_rowid=False,
)

memberships = Table(
    "feed_memberships",
    metadata,
    Column("id", _ROW, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("member", Text, nullable=False, comment="RPPS or FINESS"),
    Column("organisation_kind", Text, nullable=False, comment="cpts, msp, esp, centre"),
    Column("organisation", Text, nullable=False),
    Column("valid_from", Text, nullable=False),
    Column("valid_to", Text),
    Column("origin", Text, nullable=False),
)
Index("ix_feed_memberships_member", memberships.c.member, memberships.c.valid_from)

#: What the two rollups group by; absent values are the empty text, so that they can be keys.
COARSE: Final = ("month", "kind", "state", "doc_type")
FINE: Final = (
    *COARSE,
    "reason",
    "profession",
    "structure",
    "recipient_class",
    "care_mode",
    "care_place",
    "ins_status",
    "test",
)


def _rollup(name: str, dimensions: tuple[str, ...]) -> Table:
    return Table(
        name,
        metadata,
        Column("tenant", Text, nullable=False),
        *(Column(dimension, Text, nullable=False) for dimension in dimensions),
        Column("entries", _ROW, nullable=False),
        PrimaryKeyConstraint("tenant", *dimensions),
        sqlite_with_rowid=False,
    )


rollup_coarse = _rollup("feed_rollup_coarse", COARSE)
rollup = _rollup("feed_rollup", FINE)
Index("ix_feed_rollup_structure", rollup.c.structure, rollup.c.month)

#: Tables that refuse UPDATE, DELETE and TRUNCATE.
APPEND_ONLY: Final = ("feed_entries", "feed_links", "feed_heads")

_SQLITE_GUARD = """CREATE TRIGGER IF NOT EXISTS {table}_no_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, 'FEED-APPEND-ONLY: {table} accepts additions only'); END"""
_SQLITE_QUEUE = """CREATE TRIGGER IF NOT EXISTS feed_entries_queue AFTER INSERT ON feed_entries
BEGIN INSERT INTO feed_pending (tenant, entry) VALUES (NEW.tenant, NEW.id); END"""
_POSTGRES_REFUSE = """CREATE OR REPLACE FUNCTION feed_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'FEED-APPEND-ONLY: % accepts additions only', TG_TABLE_NAME; END $$"""
_POSTGRES_ROWS = """CREATE OR REPLACE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
FOR EACH ROW EXECUTE FUNCTION feed_append_only()"""
_POSTGRES_TRUNCATE = """CREATE OR REPLACE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION feed_append_only()"""
# A statement trigger costs one insert for a whole batch, where a row trigger would cost one a line.
_POSTGRES_QUEUE = """CREATE OR REPLACE FUNCTION feed_queue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO feed_pending (tenant, entry) SELECT tenant, id FROM added; RETURN NULL; END $$"""
_POSTGRES_QUEUE_TRIGGER = """CREATE OR REPLACE TRIGGER feed_entries_queue AFTER INSERT ON feed_entries
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION feed_queue()"""


def protection(table: str, dialect: str) -> tuple[str, ...]:
    """The statements that make one table append-only (and queue new entries), for a migration to run."""
    if table not in APPEND_ONLY:
        return ()
    if dialect == "sqlite":
        guards = tuple(_SQLITE_GUARD.format(table=table, verb=verb) for verb in ("UPDATE", "DELETE"))
        return (*guards, _SQLITE_QUEUE) if table == "feed_entries" else guards
    guards = (_POSTGRES_REFUSE, _POSTGRES_ROWS.format(table=table), _POSTGRES_TRUNCATE.format(table=table))
    return (*guards, _POSTGRES_QUEUE, _POSTGRES_QUEUE_TRIGGER) if table == "feed_entries" else guards


def rights(role: str) -> tuple[str, ...]:
    """The PostgreSQL statements that let a role add to the ledger and never change it; run them as the owner.

    Raises ``ValueError`` when the role's name is not a plain word, since names cannot be bound as values.
    """
    if not role.isidentifier() or not role.isascii():
        raise ValueError("a role is a plain word")
    free = (pending, chains, nodes, subjects, rollup, rollup_coarse, memberships, departures, exports, verifications)
    return (
        *(f'REVOKE ALL ON {table} FROM "{role}"' for table in APPEND_ONLY),
        *(f'GRANT SELECT, INSERT ON {table} TO "{role}"' for table in APPEND_ONLY),
        *(f'GRANT SELECT, INSERT, UPDATE, DELETE ON {table.name} TO "{role}"' for table in free),
        f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO "{role}"',
    )


def _protect(target: Table, connection: Connection, **_: Any) -> None:
    for statement in protection(target.name, connection.dialect.name):
        # A "%" in a function body is not a parameter.
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


for _table in (entries, links, heads):
    event.listen(_table, "after_create", _protect)
