"""Building large ledgers at once, for test sets and restores: the same rows, hashes and tree as one by one.

Rows come as plain tuples in the order of ``COLUMNS`` and are not checked again: what makes them must make true ones.
"""

from __future__ import annotations

import gc
import itertools
from binascii import hexlify
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Table, func, insert, select, update
from sqlalchemy.schema import CreateIndex, DropIndex

from gateway.feeds.entry import COLUMNS, FIELDS, canonical
from gateway.feeds.ledger import add_rollups, chain_state, rolled
from gateway.feeds.tables import chains, entries, links, nodes, pending, protection
from gateway.feeds.verification import PLACES

__all__ = ["build", "build_many"]

#: One SQL statement a batch; larger batches gain nothing and hold memory.
_BATCH: Final = 20_000


class _Part:
    """A batch of rows seen as columns: what no row of it has is neither hashed nor stored."""

    def __init__(self, rows: Sequence[Sequence[Any]]) -> None:
        self.size = len(rows)
        self._columns = list(zip(*rows, strict=True))
        self._used = [at for at, column in enumerate(self._columns) if column.count(None) < len(rows)]

    @property
    def names(self) -> list[str]:
        """The columns some row has."""
        return [COLUMNS[at] for at in self._used]

    @property
    def columns(self) -> list[Sequence[Any]]:
        """Their values, column by column."""
        return [self._columns[at] for at in self._used]

    def constants(self) -> dict[str, Any]:
        """The columns whose value is the same in every row: written once in a statement rather than bound each time."""
        return {
            COLUMNS[at]: column[0]
            for at in self._used
            if isinstance((column := self._columns[at])[0], (str, int))
            and column[0] == column[-1]
            and column.count(column[0]) == self.size
        }

    def payload_hashes(self) -> list[bytes]:
        """The SHA-256 of the canonical JSON of each row."""
        shown: dict[str, Sequence[Any]] = {"schema": ["feed-entry/1"] * self.size}
        optional: list[str] = []
        for at in self._used:
            name, kind = FIELDS[at]
            column = self._columns[at]
            whole = None not in column
            if not whole:
                optional.append(name)
            if kind == "hash":
                shown[name] = (
                    list(map(bytes.hex, column))
                    if whole
                    else [None if value is None else value.hex() for value in column]
                )
            elif kind == "json":
                shown[name] = [None if value is None else orjson.loads(value) for value in column]
            else:
                shown[name] = column
        names = sorted(shown)
        option = orjson.OPT_SORT_KEYS if "details" in shown else 0
        out: list[bytes] = []
        for line in zip(*(shown[name] for name in names), strict=True):
            said = dict(zip(names, line, strict=False))
            for name in optional:
                if said[name] is None:
                    del said[name]
            out.append(sha256(orjson.dumps(said, option=option)).digest())
        return out

    def tally(self) -> Counter[tuple[Any, ...]]:
        """The rows counted by the dimensions of the running totals."""
        columns = [
            [value[:7] for value in self._columns[at]] if name == "month" else self._columns[at] for name, at in PLACES
        ]
        return Counter(zip(*columns, strict=True))


def build(connection: Connection, tenant: str, rows: Iterable[Sequence[Any]], *, batch: int = _BATCH) -> int:
    """Add and seal many rows of one tenant, in order, in the caller's transaction; gives the size of its chain.

    Raises ``ValueError`` when the tenant has unsealed entries: they come first.
    """
    return build_many(connection, [(tenant, rows)], batch=batch)[tenant]


def build_many(
    connection: Connection, tenants: Iterable[tuple[str, Iterable[Sequence[Any]]]], *, batch: int = _BATCH
) -> dict[str, int]:
    """Add and seal many rows of several tenants, one after the other; gives the size of each chain.

    Indexes are made anew at the end when the ledger was empty, since they cost most while rows come in.
    """
    last = int(connection.execute(select(func.max(entries.c.id))).scalar() or 0)
    indexes = [] if last else [*entries.indexes, *links.indexes]
    for index in indexes:
        connection.execute(DropIndex(index))
    writer = _Postgres(connection) if connection.dialect.name == "postgresql" else _Sqlite(connection)
    sizes: dict[str, int] = {}
    # Rows make millions of small objects and no cycle: looking for cycles would cost a tenth of the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        with writer:
            for tenant, rows in tenants:
                last, sizes[tenant] = _add(connection, writer, tenant, rows, last, batch)
    finally:
        if collecting:
            gc.enable()
    for index in indexes:
        connection.execute(CreateIndex(index))
    return sizes


def _add(
    connection: Connection,
    writer: _Sqlite | _Postgres,
    tenant: str,
    rows: Iterable[Sequence[Any]],
    last: int,
    batch: int,
) -> tuple[int, int]:
    """Add the rows of one tenant after entry number ``last``; give the new last number and the chain's size."""
    if connection.execute(select(pending.c.entry).where(pending.c.tenant == tenant).limit(1)).first():
        raise ValueError("FEED-BULK-001: seal what is waiting before adding in bulk")
    frontier, head = chain_state(connection, tenant)
    if frontier.size == 0:
        connection.execute(insert(chains).values(tenant=tenant, size=0, head_hash=head, frontier=b""))
    form = b'{"chain":%b,"payload_hash":"%%b","prev_hash":"%%b","seq":%%d}' % canonical(tenant).replace(b"%", b"%%")
    before = hexlify(head)
    seq = frontier.size
    tally: Counter[tuple[Any, ...]] = Counter()
    for part in _parts(rows, batch):
        hashes: list[bytes] = []
        payload_hashes = part.payload_hashes()
        for payload_hash in payload_hashes:
            seq += 1
            # As link_hash, without a call and two spellings a row.
            link = sha256(form % (hexlify(payload_hash), before, seq)).digest()
            before = hexlify(link)
            hashes.append(link)
        numbers = range(last + 1, last + 1 + len(hashes))
        last += len(hashes)
        writer.add(
            entries,
            ["id", "tenant", "payload_hash", *part.names],
            [numbers, itertools.repeat(tenant), payload_hashes, *part.columns],
            {"tenant": tenant, **part.constants()},
        )
        head = hashes[-1]
        seqs = range(seq - len(hashes) + 1, seq + 1)
        writer.add(
            links,
            ["tenant", "seq", "entry", "entry_hash"],
            [itertools.repeat(tenant), seqs, numbers, hashes],
            {"tenant": tenant},
        )
        tally.update(part.tally())
        done = frontier.extend([sha256(b"\x00%b" % link).digest() for link in hashes])
        if done:
            writer.add(
                nodes,
                ["tenant", "level", "position", "hash"],
                [itertools.repeat(tenant), *zip(*done, strict=True)],
                {"tenant": tenant},
            )
    add_rollups(connection, *rolled(tenant, tally))
    connection.execute(
        update(chains)
        .where(chains.c.tenant == tenant)
        .values(size=frontier.size, head_hash=head, frontier=frontier.to_bytes())
    )
    return last, frontier.size


def _parts(rows: Iterable[Sequence[Any]], size: int) -> Iterator[_Part]:
    iterator = iter(rows)
    while part := list(itertools.islice(iterator, size)):
        yield _Part(part)


def _literal(value: str | int) -> str:
    """A value as SQLite writes it in a statement; raises ``ValueError`` for a text that cannot stand there."""
    if isinstance(value, int):
        return str(int(value))
    if "\0" in value:
        raise ValueError("FEED-BULK-002: a text with a NUL character")
    return "'" + value.replace("'", "''") + "'"


class _Sqlite:
    """Plain statements straight to the driver; the queue's trigger is put aside meanwhile."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.exec_driver_sql("DROP TRIGGER IF EXISTS feed_entries_queue")

    def add(self, table: Table, names: list[str], columns: Sequence[Iterable[Any]], constants: dict[str, Any]) -> None:
        values = ", ".join(_literal(constants[name]) if name in constants else "?" for name in names)
        bound = [column for name, column in zip(names, columns, strict=True) if name not in constants]
        # Names are those of our own table; constants are quoted as the engine says.
        statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({values})"  # noqa: S608
        driver: Any = self._connection.connection.driver_connection
        driver.executemany(statement, zip(*bound, strict=False))

    def __exit__(self, *failure: object) -> None:
        for statement in protection("feed_entries", "sqlite"):
            self._connection.exec_driver_sql(statement)


class _Postgres:
    """COPY, which PostgreSQL reads fastest; the queue's trigger is put aside meanwhile."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.exec_driver_sql("ALTER TABLE feed_entries DISABLE TRIGGER feed_entries_queue")

    def add(self, table: Table, names: list[str], columns: Sequence[Iterable[Any]], constants: dict[str, Any]) -> None:
        named = ", ".join(names)
        driver: Any = self._connection.connection.driver_connection
        with (
            driver.cursor() as cursor,
            cursor.copy(f"COPY {table.name} ({named}) FROM STDIN (FORMAT BINARY)") as copy,
        ):
            copy.set_types([_POSTGRES_TYPES[str(table.c[name].type)] for name in names])
            for row in zip(*columns, strict=False):
                copy.write_row(row)

    def __exit__(self, *failure: object) -> None:
        if failure[0] is not None:
            return  # The transaction is lost, and the change of trigger with it.
        self._connection.exec_driver_sql("ALTER TABLE feed_entries ENABLE TRIGGER feed_entries_queue")
        self._connection.exec_driver_sql(
            "SELECT setval(pg_get_serial_sequence('feed_entries', 'id'), (SELECT max(id) FROM feed_entries))"
        )


_POSTGRES_TYPES: Final = {
    "BIGINT": "int8",
    "INTEGER": "int4",
    "TEXT": "text",
    "BOOLEAN": "bool",
    "BLOB": "bytea",
}
