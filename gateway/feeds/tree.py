"""Proofs read from the stored tree: three small reads whatever the size of the ledger.

Links are the leaves; one stored node stands for 256 leaves, one for 65,536, and so on. What lies between is hashed
again when asked for, from at most 256 neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from gateway.feeds import merkle
from gateway.feeds.entry import leaf
from gateway.feeds.tables import entries, links, nodes

__all__ = ["Inclusion", "NotSealed", "StoredTree", "inclusion"]

_LEVELS = 8


class NotSealed(LookupError):
    """The entry is unknown to this tenant, or not sealed yet: it has no place in the tree."""

    code = "FEED-PROOF-001"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """That one entry is in the tree of a given size: all a stranger needs beside the entry itself."""

    chain: str
    seq: int  #: from 1; the leaf is number seq - 1
    payload_hash: bytes
    prev_hash: bytes
    entry_hash: bytes
    size: int
    root: bytes
    path: tuple[bytes, ...]


class StoredTree:
    """The Merkle tree of one tenant, read from the database in tiles of 256 hashes."""

    def __init__(self, connection: Connection, tenant: str) -> None:
        self._connection = connection
        self._tenant = tenant
        self._tiles: dict[tuple[int, int], list[bytes]] = {}

    def _tile(self, level: int, number: int) -> list[bytes]:
        key = (level, number)
        if key not in self._tiles:
            first = number << _LEVELS
            if level == 0:
                query = (
                    select(links.c.entry_hash)
                    .where(links.c.tenant == self._tenant, links.c.seq > first, links.c.seq <= first + (1 << _LEVELS))
                    .order_by(links.c.seq)
                )
                self._tiles[key] = [leaf(bytes(value)) for value in self._connection.execute(query).scalars()]
            else:
                query = (
                    select(nodes.c.hash)
                    .where(
                        nodes.c.tenant == self._tenant,
                        nodes.c.level == level,
                        nodes.c.position >= first,
                        nodes.c.position < first + (1 << _LEVELS),
                    )
                    .order_by(nodes.c.position)
                )
                self._tiles[key] = [bytes(value) for value in self._connection.execute(query).scalars()]
        return self._tiles[key]

    def complete(self, level: int, index: int) -> bytes:
        """The hash of the perfect subtree ``index`` of ``2**level`` leaves; raises ``LookupError`` when not stored."""
        base = level // _LEVELS * _LEVELS
        width = 1 << (level - base)
        first = index * width
        number, offset = first >> _LEVELS, first & ((1 << _LEVELS) - 1)
        layer = self._tile(base, number)[offset : offset + width]
        if len(layer) < width:
            raise LookupError(f"FEED-TREE-001: node {index} of level {level} is not stored")
        while len(layer) > 1:
            layer = [merkle.node_hash(layer[i], layer[i + 1]) for i in range(0, len(layer), 2)]
        return layer[0]

    def root(self, size: int) -> bytes:
        """The root of the first ``size`` leaves."""
        return merkle.root(size, self.complete)

    def inclusion_proof(self, seq: int, size: int) -> list[bytes]:
        """The audit path of entry number ``seq`` (from 1) in the tree of ``size`` entries."""
        return merkle.inclusion_proof(seq - 1, size, self.complete)

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """That the tree of ``new`` entries begins with that of ``old`` entries."""
        return merkle.consistency_proof(old, new, self.complete)


def inclusion(connection: Connection, tenant: str, entry_id: str, size: int) -> Inclusion:
    """Prove that one entry is in the tenant's tree of ``size`` entries; raises :class:`NotSealed`."""
    row = connection.execute(
        select(links.c.seq, links.c.entry_hash, entries.c.payload_hash)
        .select_from(links.join(entries, entries.c.id == links.c.entry))
        .where(entries.c.tenant == tenant, entries.c.entry_id == bytes.fromhex(entry_id), links.c.seq <= size)
    ).one_or_none()
    if row is None:
        raise NotSealed("FEED-PROOF-001: this entry is not in the sealed tree of that size")
    before = connection.execute(
        select(links.c.entry_hash).where(links.c.tenant == tenant, links.c.seq == row.seq - 1)
    ).scalar_one_or_none()
    tree = StoredTree(connection, tenant)
    return Inclusion(
        chain=tenant,
        seq=row.seq,
        payload_hash=bytes(row.payload_hash),
        prev_hash=bytes(before) if before is not None else bytes(32),
        entry_hash=bytes(row.entry_hash),
        size=size,
        root=tree.root(size),
        path=tuple(tree.inclusion_proof(row.seq, size)),
    )
