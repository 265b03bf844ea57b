"""Drawing lines at random so that anybody can draw them again, and entering who asked for what."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, select

from gateway.feeds.entry import LedgerEntry, entry_id
from gateway.feeds.export import Selection
from gateway.feeds.ledger import chain_state, record
from gateway.feeds.tables import entries, links

__all__ = ["AuditQuery", "Draw", "draw", "rank", "record_query"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """A sample: the same seed over the same sealed entries always gives the same lines."""

    seed: str
    size: int  #: lines asked for
    population: int  #: lines they were drawn from
    sizes: dict[str, int]  #: sealed entries of each chain at the time, without which the draw cannot be redone
    entries: dict[str, list[int]]  #: numbers of the lines drawn, by tenant, in order

    def as_json(self) -> dict[str, Any]:
        """The draw as a manifest or a page shows it."""
        return {
            "method": "SHA-256(seed/entry_id), smallest first",
            "seed": self.seed,
            "size": self.size,
            "population": self.population,
            "chains": self.sizes,
            "entries": self.entries,
        }


def rank(seed: str, entry: bytes) -> bytes:
    """The place of an entry in the draw of a seed: SHA-256 of ``seed/entry_id``; the smallest are drawn."""
    return sha256(f"{seed}/{entry.hex()}".encode()).digest()


def draw(connection: Connection, selection: Selection, *, size: int, seed: str) -> Draw:
    """Draw ``size`` sealed lines of a selection; raises ``ValueError`` for a size under 1 or an empty seed.

    The seed should come from outside (the auditor's own words, a public number): whoever chose both lines and seed
    could choose the sample.
    """
    if size < 1 or not seed or len(seed) > 200:
        raise ValueError("FEED-SAMPLE-001: a size of 1 or more and a seed of 1 to 200 characters")
    sizes: dict[str, int] = {}
    population = 0
    best: list[tuple[bytes, str, int]] = []
    for tenant in sorted(set(selection.tenants)):
        sizes[tenant] = chain_state(connection, tenant)[0].size
        query = (
            select(links.c.seq, entries.c.entry_id)
            .select_from(links.join(entries, entries.c.id == links.c.entry))
            .where(*selection.conditions(tenant, sizes[tenant]))
        )
        ranked: list[tuple[bytes, str, int]] = []
        for page in connection.execute(query, execution_options={"yield_per": 5000}).partitions():
            population += len(page)
            ranked = heapq.nsmallest(
                size, [*ranked, *((rank(seed, bytes(row.entry_id)), tenant, row.seq) for row in page)]
            )
        best = heapq.nsmallest(size, [*best, *ranked])
    drawn: dict[str, list[int]] = {tenant: [] for tenant in sizes}
    for _, tenant, seq in best:
        drawn[tenant].append(seq)
    return Draw(
        seed=seed,
        size=size,
        population=population,
        sizes=sizes,
        entries={tenant: sorted(numbers) for tenant, numbers in drawn.items()},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """What an auditor asked: it goes into the ledger like everything else."""

    who: str  #: account or client, never a free text
    purpose: str
    legal_basis: str
    scope: dict[str, Any]  #: filters, dimensions, seed
    rows: int  #: rows given
    accreditation: str | None = None  #: reference of the approval and oath of an agent of a fund


def record_query(
    connection: Connection, tenants: Sequence[str], query: AuditQuery, *, request: str, now: datetime
) -> list[str]:
    """Enter an auditor's query in the chain of each tenant whose lines it read; ``request`` makes it once only."""
    if not query.purpose.strip() or not query.legal_basis.strip():
        raise ValueError("FEED-AUDIT-001: a query states its purpose and its legal basis")
    return [
        record(
            connection,
            tenant,
            LedgerEntry(
                entry_id=entry_id("audit", request, 1, "answered"),
                kind="audit.query",
                state="answered",
                recorded_at=now,
                details={
                    "who": query.who,
                    "accreditation": query.accreditation,
                    "purpose": query.purpose,
                    "legal_basis": query.legal_basis,
                    "scope": query.scope,
                    "rows": query.rows,
                },
            ),
        )
        for tenant in tenants
    ]
