"""The migrations and the code's tables make the same schema, on both engines: what one has the other has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from gateway.feeds import ledger
from gateway.feeds.verification import verify
from gateway.store.engine import Store
from gateway.store.migrate import upgrade
from tests.support.feeds import fed
from tests.support.postgres import fresh_database

#: What to do when the comparison fails.
WHAT_TO_DO = (
    "The code's tables are not what the migrations make. Add a revision in gateway/store/migrations/versions (the next "
    "number, down_revision the last one) that brings an existing database there without stopping the service: add "
    "columns as nullable or with a server default, add indexes. Never edit a revision that is released, nor "
    "gateway/store/migrations/first."
)


def lite_schema(connection: Connection) -> dict[str, Any]:
    """Tables, columns, indexes, keys and triggers of a SQLite database, whatever the order they were made in."""

    def rows(query: str, **values: Any) -> list[Any]:
        return [tuple(row) for row in connection.execute(text(query), values)]

    out: dict[str, Any] = {}
    for (table,) in rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"):
        if table == "alembic_version":
            continue
        for name, *rest in rows('SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(:t)', t=table):
            out[f"column {table}.{name}"] = rest
        for row in rows('SELECT "from", "table", "to", on_delete FROM pragma_foreign_key_list(:t)', t=table):
            out[f"foreign key {table}.{row[0]}"] = row[1:]
        for name, unique, origin, partial in rows(
            'SELECT name, "unique", origin, partial FROM pragma_index_list(:t)', t=table
        ):
            columns = rows("SELECT name FROM pragma_index_info(:i) ORDER BY seqno", i=name)
            # SQLite numbers those of constraints by itself.
            label = name if origin == "c" else f"{origin} {columns}"
            out[f"index {table} {label}"] = (unique, partial, columns)
        ((made,),) = rows("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :t", t=table)
        out[f"table {table}"] = "WITHOUT ROWID" in made.upper()
        out[f"constraints {table}"] = sorted(
            line.strip().rstrip(",") for line in made.splitlines() if line.strip().startswith("CONSTRAINT")
        )
    for kind, name, made in rows("SELECT type, name, sql FROM sqlite_master WHERE type IN ('trigger', 'index')"):
        if made is not None:
            out[f"{kind} {name}"] = " ".join(made.split())
    return out


_POSTGRES = {
    "column": """
        SELECT c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attstattarget,
               pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')""",
    "index": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "constraint": """
        SELECT conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace""",
    "trigger": "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "function": "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    "sequence": "SELECT sequencename, data_type::text FROM pg_sequences WHERE schemaname = 'public'",
}


def postgres_schema(connection: Connection) -> dict[str, Any]:
    """The same of a PostgreSQL database, with functions, sequences and what is sampled for statistics."""
    return {
        f"{kind} {name}": rest
        for kind, query in _POSTGRES.items()
        for name, *rest in connection.execute(text(query))
        if "alembic_version" not in name
    }


@pytest.fixture(params=["sqlite", "postgresql"])
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Two empty databases of each engine."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'a.db'}", f"sqlite:///{tmp_path / 'b.db'}"
        return
    with fresh_database() as one, fresh_database() as other:
        yield one, other


def schema_of(url: str) -> dict[str, Any]:
    """The schema of a database."""
    store = Store(url)
    try:
        return store.read_now(lite_schema if store.sqlite else postgres_schema)
    finally:
        store.close()


def test_the_migrations_make_what_the_code_expects(two: tuple[str, str]) -> None:
    """Column by column, with defaults, indexes and their conditions, keys and triggers."""
    migrated, made = two
    upgrade(migrated)
    store = Store(made)
    store.create_all()
    store.close()
    by_migrations, by_code = schema_of(migrated), schema_of(made)
    assert len(by_code) > 300
    differences = {
        name: (by_migrations.get(name), by_code.get(name))
        for name in sorted(by_migrations.keys() | by_code.keys())
        if by_migrations.get(name) != by_code.get(name)
    }
    assert differences == {}, WHAT_TO_DO


def test_a_ledger_of_the_first_schema_is_brought_on_with_its_lines(two: tuple[str, str]) -> None:
    """Lines recorded before a new index are as they were, and the index is the code's; doing it again does nothing."""
    url, made = two
    upgrade(url, to="0001")
    store = Store(url)
    store.write_now(lambda c: ledger.record_many(c, "one", [fed(n) for n in range(20)]))
    store.close()
    upgrade(url)
    upgrade(url)
    store = Store(url)
    store.write_now(lambda c: ledger.seal(c, "one"))
    assert store.read_now(lambda c: verify(c, "one")).sealed == 20
    store.close()
    store = Store(made)
    store.create_all()
    store.close()
    assert schema_of(url) == schema_of(made)


def test_the_comparison_sees_each_kind_of_difference(tmp_path: Path) -> None:
    """A column, a default, an index and its condition, a trigger: none goes unseen."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    upgrade(url)
    before = schema_of(url)
    store = Store(url)
    for statement in (
        "ALTER TABLE tenants ADD COLUMN more TEXT",
        "CREATE INDEX ix_more ON tenants (name) WHERE disabled_at IS NULL",
        "DROP TRIGGER feed_links_no_UPDATE",
        "DROP INDEX ix_deliveries_open",
    ):
        store.write_now(lambda c, one=statement: c.exec_driver_sql(one))  # type: ignore[misc]
    store.close()
    after = schema_of(url)
    seen = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert {"column tenants.more", "index ix_more", "trigger feed_links_no_UPDATE", "index ix_deliveries_open"} <= seen
