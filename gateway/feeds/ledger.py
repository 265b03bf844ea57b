"""Adding to the ledger of feeds, and sealing what was added.

``record`` runs in the transaction of the outcome it counts and takes no lock but that of its own row; ``seal`` comes
after the commit, once a second or more often, and gives each entry its number, its link and its leaf.
Whoever calls owns the transaction: nothing here opens or commits one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, Insert, Select, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.feeds.entry import (
    COLUMNS,
    GENESIS,
    OWN_CLOCK,
    LedgerEntry,
    as_json,
    canonical,
    entry_id,
    leaf,
    link_hash,
    payload,
    row_of,
)
from gateway.feeds.merkle import Frontier
from gateway.feeds.tables import COARSE, FINE, chains, entries, links, nodes, pending, rollup, rollup_coarse
from gateway.store.plan import run

__all__ = [
    "Sealed",
    "add_rollups",
    "chain_state",
    "dimension_text",
    "link_up",
    "record",
    "record_many",
    "seal",
    "tenants_to_seal",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What one call of the sealer did."""

    count: int  #: entries sealed by this call
    size: int  #: entries sealed in the whole chain
    head_hash: bytes  #: hash of the last link
    more: bool  #: whether the batch was full, so that another call is due


# SQLAlchemy does not keep the number of rows of an INSERT unless asked to; it tells a repeat from a new row.
_COUNTING: Final = {"preserve_rowcount": True}


@cache
def _add_entry(dialect: str) -> Insert:
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return insert(entries).on_conflict_do_nothing(index_elements=["tenant", "entry_id"])


@cache
def _add_chain(dialect: str) -> Insert:
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return insert(chains).on_conflict_do_nothing(index_elements=["tenant"])


@cache
def _add_rollup(dialect: str, fine: bool) -> str:
    """Plain SQL, for tuples: groups are many in a bulk build, and dictionaries of them cost more than adding them."""
    table, dimensions = (rollup.name, FINE) if fine else (rollup_coarse.name, COARSE)
    keys = ", ".join(("tenant", *dimensions))
    marks = ", ".join(["?" if dialect == "sqlite" else "%s"] * (len(dimensions) + 2))
    # Names are those of our own tables.
    return (
        f"INSERT INTO {table} ({keys}, entries) VALUES ({marks}) "  # noqa: S608
        f"ON CONFLICT ({keys}) DO UPDATE SET entries = {table}.entries + excluded.entries"
    )


def _parameters(tenant: str, row: Sequence[Any]) -> dict[str, Any]:
    values = dict(zip(COLUMNS, row, strict=True))
    values["tenant"] = tenant
    values["payload_hash"] = sha256(payload(row)).digest()
    return values


def record(connection: Connection, tenant: str, entry: LedgerEntry) -> str:
    """Add one entry, unsealed, in the caller's transaction; gives the identifier it is kept under.

    The same entry again is a no-op. Another payload under the same ``entry_id`` is refused: the first stays, and a
    ``conflict`` entry, whose identifier is given, says that it was tried.
    """
    row = row_of(entry)
    statement = _add_entry(connection.dialect.name)
    if run(connection, statement, _parameters(tenant, row)).count == 1:
        return entry.entry_id
    return _settle(connection, tenant, entry, row)


def record_many(connection: Connection, tenant: str, batch: Sequence[LedgerEntry]) -> list[str]:
    """Add several entries at once; as :func:`record` for each, with one statement when none is a repeat."""
    if not batch:
        return []
    rows = [row_of(entry) for entry in batch]
    statement = _add_entry(connection.dialect.name)
    result = connection.execute(statement, [_parameters(tenant, row) for row in rows], execution_options=_COUNTING)
    if result.rowcount == len(batch):
        return [entry.entry_id for entry in batch]
    return [_settle(connection, tenant, entry, row) for entry, row in zip(batch, rows, strict=True)]


def _without_clock(row: Sequence[Any], dated: bool) -> dict[str, Any]:
    left_out = OWN_CLOCK if dated else OWN_CLOCK | {"day"}
    return {name: value for name, value in as_json(row).items() if name not in left_out}


def _settle(connection: Connection, tenant: str, entry: LedgerEntry, row: Sequence[Any]) -> str:
    """Tell a repeat from a conflict, for an entry whose identifier is already kept."""
    query = select(*(entries.c[name] for name in COLUMNS)).where(
        entries.c.tenant == tenant, entries.c.entry_id == bytes.fromhex(entry.entry_id)
    )
    kept = connection.execute(query).one()
    dated = entry.accepted_at is not None or entry.submitted_at is not None
    wanted = _without_clock(row, dated)
    if _without_clock(kept, dated) == wanted:
        return entry.entry_id
    refused = sha256(canonical(wanted)).hexdigest()
    conflict = LedgerEntry(
        entry_id=entry_id("ledger", entry.entry_id, 1, refused),
        kind="conflict",
        state="refused",
        recorded_at=entry.recorded_at,
        actor_rpps=entry.actor_rpps,
        structure_finess=entry.structure_finess,
        test=entry.test,
        corrects=entry.entry_id,
        reason="entry_id_reused",
        details={"refused": refused},
    )
    return record(connection, tenant, conflict)


def tenants_to_seal(connection: Connection) -> list[str]:
    """The tenants that have unsealed entries."""
    return list(connection.execute(select(pending.c.tenant).distinct()).scalars())


def chain_state(connection: Connection, tenant: str) -> tuple[Frontier, bytes]:
    """The right edge of a tenant's tree and the hash of its last link; an empty tree when nothing is sealed."""
    row = connection.execute(
        select(chains.c.size, chains.c.frontier, chains.c.head_hash).where(chains.c.tenant == tenant)
    ).one_or_none()
    if row is None:
        return Frontier(), GENESIS
    return Frontier.from_bytes(row.size, bytes(row.frontier)), bytes(row.head_hash)


def link_up(tenant: str, size: int, prev_hash: bytes, payload_hashes: Iterable[bytes]) -> list[bytes]:
    """The link hashes that follow link number ``size`` for these payloads, in order."""
    chain = canonical(tenant)
    out: list[bytes] = []
    for seq, payload_hash in enumerate(payload_hashes, size + 1):
        prev_hash = link_hash(chain, seq, prev_hash, payload_hash)
        out.append(prev_hash)
    return out


#: Where each dimension of a rollup comes from.
_SOURCES = {
    "month": func.substr(entries.c.day, 1, 7),
    "kind": entries.c.kind,
    "state": entries.c.state,
    "doc_type": entries.c.doc_type,
    "reason": entries.c.reason,
    "profession": entries.c.actor_profession,
    "structure": entries.c.structure_finess,
    "recipient_class": entries.c.recipient_class,
    "care_mode": entries.c.care_mode,
    "care_place": entries.c.care_place,
    "ins_status": entries.c.ins_status,
    "test": entries.c.test,
}


def _unsealed(tenant: str, batch: int) -> Select[Any]:
    return (
        select(entries.c.id, entries.c.payload_hash, *(_SOURCES[name].label(f"d_{name}") for name in FINE))
        .select_from(pending.join(entries, entries.c.id == pending.c.entry))
        .where(pending.c.tenant == tenant)
        .order_by(pending.c.entry)
        .limit(batch)
    )


def dimension_text(value: object) -> str:
    """Write a dimension's value as a rollup keys it: absent is empty, yes and no are 1 and 0."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)


def add_rollups(connection: Connection, tenant: str, groups: Mapping[tuple[object, ...], int]) -> None:
    """Add entries counted by the dimensions of ``FINE`` to the two running totals."""
    fine: Counter[tuple[str, ...]] = Counter()
    coarse: Counter[tuple[str, ...]] = Counter()
    for key, number in groups.items():
        texts = tuple([value if type(value) is str else dimension_text(value) for value in key])
        fine[texts] += number
        coarse[texts[: len(COARSE)]] += number
    for of, totals in ((True, fine), (False, coarse)):
        if totals:
            rows = [(tenant, *key, number) for key, number in totals.items()]
            connection.exec_driver_sql(_add_rollup(connection.dialect.name, of), rows)


def seal(connection: Connection, tenant: str, *, batch: int = 2000) -> Sealed:
    """Seal up to ``batch`` entries of a tenant, oldest first, in the caller's transaction.

    One sealer a tenant at a time: another that comes meanwhile finds the chain's row locked and does nothing; where
    the engine has no row locks, the unique number of a link refuses the second.
    """
    dialect = connection.dialect.name
    row = connection.execute(
        select(chains).where(chains.c.tenant == tenant).with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        fresh = {"tenant": tenant, "size": 0, "head_hash": GENESIS, "frontier": b""}
        if connection.execute(_add_chain(dialect), fresh, execution_options=_COUNTING).rowcount == 0:
            frontier, head = chain_state(connection, tenant)
            return Sealed(count=0, size=frontier.size, head_hash=head, more=False)
        frontier, head = Frontier(), GENESIS
    else:
        frontier, head = Frontier.from_bytes(row.size, bytes(row.frontier)), bytes(row.head_hash)

    unsealed = connection.execute(_unsealed(tenant, batch)).all()
    if not unsealed:
        return Sealed(count=0, size=frontier.size, head_hash=head, more=False)
    start = frontier.size
    hashes = link_up(tenant, start, head, (bytes(line.payload_hash) for line in unsealed))
    connection.execute(
        links.insert(),
        [
            {"tenant": tenant, "seq": seq, "entry": line.id, "entry_hash": entry_hash}
            for seq, (line, entry_hash) in enumerate(zip(unsealed, hashes, strict=True), start + 1)
        ],
    )
    done = frontier.append(map(leaf, hashes))
    if done:
        connection.execute(
            nodes.insert(),
            [{"tenant": tenant, "level": level, "position": at, "hash": node} for level, at, node in done],
        )
    add_rollups(connection, tenant, Counter(tuple(line[2:]) for line in unsealed))
    connection.execute(
        delete(pending).where(pending.c.tenant == tenant, pending.c.entry.in_(bindparam("sealed", expanding=True))),
        {"sealed": [line.id for line in unsealed]},
    )
    connection.execute(
        update(chains)
        .where(chains.c.tenant == tenant)
        .values(size=frontier.size, head_hash=hashes[-1], frontier=frontier.to_bytes())
    )
    return Sealed(count=len(unsealed), size=frontier.size, head_hash=hashes[-1], more=len(unsealed) == batch)
