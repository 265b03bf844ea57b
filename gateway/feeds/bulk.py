"""Building large ledgers at once, for test sets and restores: the same rows, hashes and tree as one by one.

Rows come as plain tuples in the order of ``COLUMNS`` and are not checked again: what makes them must make true ones.
"""

from __future__ import annotations

import gc
import re
from binascii import hexlify
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice, repeat
from typing import Any, Final

import orjson
from sqlalchemy import Connection, LargeBinary, Table, func, insert, select, update
from sqlalchemy.schema import CreateIndex, DropIndex

from gateway.feeds.entry import COLUMNS, FIELDS, SCHEMA, canonical
from gateway.feeds.ledger import add_rollups, chain_state
from gateway.feeds.tables import chains, entries, links, nodes, pending, protection
from gateway.feeds.verification import PLACES

__all__ = ["build", "build_many"]

#: Rows of one statement: few enough to stay in the processor's cache between two columns.
_BATCH: Final = 1_000


class _Part:
    """A batch of rows seen as columns: what no row of it has is neither hashed nor stored."""

    def __init__(self, rows: Sequence[Sequence[Any]]) -> None:
        self.size = len(rows)
        self._columns = list(zip(*rows, strict=True))
        self._used = [at for at, column in enumerate(self._columns) if not _empty(column)]
        self._same = {at for at in self._used if _constant(self._columns[at])}

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
        return {COLUMNS[at]: self._columns[at][0] for at in self._same if isinstance(self._columns[at][0], (str, int))}

    def payload_hashes(self) -> list[bytes]:
        """The SHA-256 of the canonical JSON of each row.

        The texts are put together column by column, what is the same in every row once: no row becomes a dictionary.
        """
        pieces: list[Iterable[str]] = []
        fixed = "{"
        for name, at in self._members():
            # "schema" is in every row: members before it end with a comma, those behind begin with one.
            before, after = ("", ",") if name < "schema" else (",", "")
            if at is None:
                fixed += f'"schema":"{SCHEMA}"'
                continue
            key, kind, column = f'{before}"{name}":', FIELDS[at][1], self._columns[at]
            if at in self._same:
                fixed += f"{key}{_JSON[kind](column[0])}{after}"
                continue
            whole = _whole(column)
            mark, texts = _texts(column if whole else [value for value in column if value is not None], kind)
            left, right = key + mark, mark + after
            if whole:
                pieces += [repeat(fixed + left), texts]
                fixed = right
            else:
                rest = iter(texts)
                pieces += [repeat(fixed), ["" if v is None else f"{left}{next(rest)}{right}" for v in column]]
                fixed = ""
        pieces.append(repeat(fixed + "}"))
        if len(pieces) == 1:  # nothing varies
            return [sha256(f"{fixed}}}".encode()).digest()] * self.size
        return [sha256(text).digest() for text in map(str.encode, map("".join, zip(*pieces, strict=False)))]

    def _members(self) -> list[tuple[str, int | None]]:
        """The members of the canonical JSON in their order, and where each comes from."""
        members: list[tuple[str, int | None]] = [("schema", None), *((COLUMNS[at], at) for at in self._used)]
        return sorted(members, key=lambda member: member[0])

    def tally(self) -> Counter[tuple[Any, ...]]:
        """The rows counted by the dimensions of the running totals."""
        columns = [
            [value[:7] for value in self._columns[at]] if name == "month" else self._columns[at] for name, at in PLACES
        ]
        varying = [place for place, column in enumerate(columns) if not _constant(column)]
        key = [column[0] for column in columns]
        out: Counter[tuple[Any, ...]] = Counter()
        for values, number in Counter(zip(*(columns[place] for place in varying), strict=True)).items():
            for place, value in zip(varying, values, strict=True):
                key[place] = value
            out[tuple(key)] = number
        return out if varying else Counter({tuple(key): self.size})


def _empty(column: Sequence[Any]) -> bool:
    """Whether no row has a value; looks at the values' truth first, which is quickest."""
    return column[0] is None and not any(column) and column.count(None) == len(column)


def _constant(column: Sequence[Any]) -> bool:
    first = column[0]
    return bool(first == column[-1]) and column.count(first) == len(column)


def _whole(column: Sequence[Any]) -> bool:
    return all(column) or None not in column


#: How a value of each kind of field is written in canonical JSON.
_JSON: Final[Mapping[str, Callable[[Any], str]]] = {
    "hash": lambda value: f'"{value.hex()}"',
    "text": lambda value: canonical(value).decode(),
    "int": str,
    "bool": lambda value: "true" if value else "false",
    "json": lambda value: canonical(orjson.loads(value)).decode(),
}
#: What JSON escapes, or cannot hold.
_ESCAPED: Final = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')


def _texts(values: Sequence[Any], kind: str) -> tuple[str, Iterable[str]]:
    """Values as JSON: the mark that stands on both sides of each, and what stands between."""
    if kind == "hash":
        return '"', map(bytes.hex, values)
    if kind == "text" and _ESCAPED.search("".join(values)) is None:
        return '"', values
    return "", map(_JSON[kind], values)


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
    form = (
        b'{"chain":%b,"payload_hash":"%%b","prev_hash":"' % canonical(tenant).replace(b"%", b"%%"),
        b'","seq":%d}',
    )
    before = hexlify(head)
    seq = frontier.size
    tally: Counter[tuple[Any, ...]] = Counter()
    for part in _parts(rows, batch):
        hashes: list[bytes] = []
        payload_hashes = part.payload_hashes()
        # As link_hash, without a call and two spellings a row: only what hangs on the link before is made one by one.
        lefts = map(form[0].__mod__, map(hexlify, payload_hashes))
        rights = map(form[1].__mod__, range(seq + 1, seq + 1 + part.size))
        for left, right in zip(lefts, rights, strict=True):
            link = sha256(left + before + right).digest()
            before = hexlify(link)
            hashes.append(link)
        seq += part.size
        numbers = range(last + 1, last + 1 + len(hashes))
        last += len(hashes)
        writer.add(
            entries,
            ["id", "tenant", "payload_hash", *part.names],
            [numbers, repeat(tenant), payload_hashes, *part.columns],
            {"tenant": tenant, **part.constants()},
        )
        head = hashes[-1]
        seqs = range(seq - len(hashes) + 1, seq + 1)
        writer.add(
            links,
            ["tenant", "seq", "entry", "entry_hash"],
            [repeat(tenant), seqs, numbers, hashes],
            {"tenant": tenant},
        )
        tally.update(part.tally())
        done = frontier.extend([sha256(b"\x00" + link).digest() for link in hashes])
        if done:
            writer.add(
                nodes,
                ["tenant", "level", "position", "hash"],
                [repeat(tenant), *zip(*done, strict=True)],
                {"tenant": tenant},
            )
    add_rollups(connection, tenant, tally)
    connection.execute(
        update(chains)
        .where(chains.c.tenant == tenant)
        .values(size=frontier.size, head_hash=head, frontier=frontier.to_bytes())
    )
    return last, frontier.size


def _parts(rows: Iterable[Sequence[Any]], size: int) -> Iterator[_Part]:
    iterator = iter(rows)
    while part := list(islice(iterator, size)):
        yield _Part(part)


def _literal(value: str | int) -> str:
    """A value as SQLite writes it in a statement; raises ``ValueError`` for a text that cannot stand there."""
    if isinstance(value, int):
        return str(int(value))
    if "\0" in value:
        raise ValueError("FEED-BULK-002: a text with a NUL character")
    return "'" + value.replace("'", "''") + "'"


def _bindable(column: Iterable[Any], *, binary: bool) -> tuple[str, Iterable[Any]]:
    """How a column is best bound: its place in the statement, and its values.

    Python's driver binds text, numbers and ``bytearray`` at once; for anything else, ``bytes`` and None included, it
    looks first for somebody who would adapt it, which takes as long as all the rest.
    """
    if not isinstance(column, (tuple, list)) or not column:
        return "?", column
    if binary:
        return "?", map(bytearray, column) if _whole(column) else [None if v is None else bytearray(v) for v in column]
    missing = 0 if all(column) else column.count(None)
    if (
        missing
        and all(isinstance(v, str) for v in filter(None, column))
        and sum(map(bool, column)) + missing == len(column)
    ):
        return "NULLIF(?, '')", ["" if value is None else value for value in column]
    return "?", column


class _Sqlite:
    """Plain statements straight to the driver; the queue's trigger is put aside meanwhile."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.exec_driver_sql("DROP TRIGGER IF EXISTS feed_entries_queue")

    def add(self, table: Table, names: list[str], columns: Sequence[Iterable[Any]], constants: dict[str, Any]) -> None:
        values: list[str] = []
        bound: list[Iterable[Any]] = []
        for name, column in zip(names, columns, strict=True):
            if name in constants:
                values.append(_literal(constants[name]))
                continue
            value, quick = _bindable(column, binary=isinstance(table.c[name].type, LargeBinary))
            values.append(value)
            bound.append(quick)
        # Names are those of our own table; constants are quoted as the engine says.
        statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join(values)})"  # noqa: S608
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
