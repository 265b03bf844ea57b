"""Reading the whole ledger of a tenant again: every hash, link, node and total recomputed from the entries alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, and_, func, select

from conformance.verdict import Finding, Verdict
from gateway.feeds import findings
from gateway.feeds.entry import COLUMNS, GENESIS, canonical, leaf, link_hash, payload
from gateway.feeds.heads import SignedHead, key_id, verify_head
from gateway.feeds.ledger import chain_state, dimension_text
from gateway.feeds.merkle import Frontier
from gateway.feeds.tables import COARSE, FINE, chains, entries, links, nodes, pending, rollup, rollup_coarse

__all__ = ["PLACES", "Report", "all_tenants", "dimensions_of", "recount", "verify"]

_PAGE = 2000
#: A ledger edited everywhere would give millions of findings; the first hundred say enough.
_MOST_FINDINGS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a verification found; ``ok`` when every sealed entry is as it was sealed."""

    tenant: str
    sealed: int
    unsealed: int
    unsealed_entries: tuple[str, ...]  #: entry_id of the tail, the first thousand
    root: bytes
    head_hash: bytes
    heads_checked: int
    verdict: Verdict
    more_findings: int = 0  #: beyond those listed

    @property
    def ok(self) -> bool:
        return self.verdict.ok

    def as_json(self, language: str = "fr") -> dict[str, Any]:
        """The report as the command line and the HTTP interface give it."""
        return {
            "tenant": self.tenant,
            "ok": self.ok,
            "sealed": self.sealed,
            "unsealed": self.unsealed,
            "unsealedEntries": list(self.unsealed_entries),
            "root": self.root.hex(),
            "headHash": self.head_hash.hex(),
            "headsChecked": self.heads_checked,
            "findings": [finding.as_json(language) for finding in self.verdict.findings],
            "moreFindings": self.more_findings,
        }


class _Findings:
    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.more = 0

    def add(self, finding: Finding) -> None:
        if len(self.kept) < _MOST_FINDINGS:
            self.kept.append(finding)
        else:
            self.more += 1


def all_tenants(connection: Connection) -> list[str]:
    """Every tenant that has a chain, an entry waiting, or a link, whatever was done to the other tables."""
    found: set[str] = set()
    for table in (chains, pending, links, rollup_coarse):
        found.update(connection.execute(select(table.c.tenant).distinct()).scalars())
    return sorted(found)


def _lines(connection: Connection, tenant: str) -> Iterator[Sequence[Any]]:
    """Seq, stored link, owner, stored payload hash, then the fields of each sealed entry in order."""
    query = (
        select(
            links.c.seq,
            links.c.entry_hash,
            entries.c.tenant,
            entries.c.payload_hash,
            *(entries.c[name] for name in COLUMNS),
        )
        .select_from(links.outerjoin(entries, entries.c.id == links.c.entry))
        .where(links.c.tenant == tenant)
        .order_by(links.c.seq)
    )
    for page in connection.execute(query, execution_options={"yield_per": _PAGE}).partitions():
        yield from page


def dimensions_of(row: Sequence[Any]) -> tuple[Any, ...]:
    """The dimensions of ``FINE`` of a row in the order of ``COLUMNS``."""
    return tuple(row[at][:7] if name == "month" else row[at] for name, at in PLACES)


_COLUMN_OF = {
    "month": "day",
    "profession": "actor_profession",
    "structure": "structure_finess",
}
#: Where each dimension of the running totals lies in a row in the order of ``COLUMNS``.
PLACES = tuple((name, COLUMNS.index(_COLUMN_OF.get(name, name))) for name in FINE)


def recount(connection: Connection, tenant: str) -> Counter[tuple[Any, ...]]:
    """Count the sealed entries by the dimensions of ``FINE``, line by line, without the running totals."""
    return Counter(dimensions_of(line[4:]) for line in _lines(connection, tenant) if line[2] is not None)


def _check_rollups(connection: Connection, tenant: str, counted: Counter[tuple[Any, ...]], report: _Findings) -> None:
    expected_fine: Counter[tuple[str, ...]] = Counter()
    expected_coarse: Counter[tuple[str, ...]] = Counter()
    for key, number in counted.items():
        texts = tuple(map(dimension_text, key))
        expected_fine[texts] += number
        expected_coarse[texts[: len(COARSE)]] += number
    for table, names, expected in ((rollup, FINE, expected_fine), (rollup_coarse, COARSE, expected_coarse)):
        query = select(*(table.c[name] for name in names), table.c.entries).where(table.c.tenant == tenant)
        kept = {tuple(row[:-1]): int(row[-1]) for row in connection.execute(query)}
        for key in kept.keys() | expected.keys():
            if kept.get(key, 0) != expected.get(key, 0):
                report.add(
                    findings.ROLLUP_DIFFERS.finding(
                        f"{table.name}/{'/'.join(key)}",
                        found=str(kept.get(key, 0)),
                        expected=str(expected.get(key, 0)),
                    )
                )


def _check_head(head: SignedHead, frontier: Frontier, last: bytes, report: _Findings) -> None:
    place = f"head/{head.size}"
    if head.root != frontier.root() or head.head_hash != last:
        report.add(
            findings.HEAD_DIFFERS.finding(place, found=frontier.root().hex()[:16], expected=head.root.hex()[:16])
        )


def verify(
    connection: Connection,
    tenant: str,
    *,
    heads: Sequence[SignedHead] = (),
    keys: Sequence[Ed25519PublicKey] = (),
    progress: Callable[[int], object] | None = None,
) -> Report:
    """Check a tenant's whole ledger against itself, and against signed heads kept elsewhere.

    Finds any edit, removal or reordering of sealed entries and any total that does not match; a cut at the end, or a
    history rewritten whole, needs a head from before. Entries not sealed yet are named, not faulted. With ``keys``,
    the signature of each head is checked too. ``progress`` is called now and then with the entries read so far.
    """
    report = _Findings()
    known = {key_id(key): key for key in keys}
    by_size: dict[int, list[SignedHead]] = {}
    for head in heads:
        if known and (head.key_id not in known or not verify_head(head, known[head.key_id])):
            report.add(findings.HEAD_SIGNATURE.finding(f"head/{head.size}"))
        if head.chain == tenant:
            by_size.setdefault(head.size, []).append(head)

    chain = canonical(tenant)
    frontier = Frontier()
    stored_nodes = {
        (row.level, row.position): bytes(row.hash)
        for row in connection.execute(select(nodes).where(nodes.c.tenant == tenant))
    }
    counted: Counter[tuple[Any, ...]] = Counter()
    previous, expected_seq = GENESIS, 0
    for head in by_size.pop(0, []):
        _check_head(head, frontier, previous, report)
    for seq, stored_link, owner, stored_hash, *row in _lines(connection, tenant):
        expected_seq += 1
        place = f"seq/{seq}"
        if seq != expected_seq:
            report.add(findings.SEQUENCE_BROKEN.finding(place, found=str(seq), expected=str(expected_seq)))
            expected_seq = seq
        if owner is None:
            report.add(findings.ENTRY_MISSING.finding(place))
            payload_hash = b""
        else:
            payload_hash = sha256(payload(row)).digest()
            if payload_hash != bytes(stored_hash):
                report.add(findings.ENTRY_EDITED.finding(place))
            if owner != tenant:
                report.add(findings.ENTRY_MOVED.finding(place))
            counted[dimensions_of(row)] += 1
        computed = link_hash(chain, seq, previous, payload_hash)
        if computed != bytes(stored_link):
            report.add(findings.LINK_BROKEN.finding(place))
        # Going on from the stored link names each broken place instead of every line after the first.
        previous = bytes(stored_link)
        for level, position, node in frontier.append([leaf(computed)]):
            if stored_nodes.pop((level, position), None) != node:
                report.add(findings.NODE_DIFFERS.finding(f"node/{level}/{position}"))
        for head in by_size.pop(frontier.size, []):
            _check_head(head, frontier, previous, report)
        if progress is not None and frontier.size % _PAGE == 0:
            progress(frontier.size)

    for level, position in stored_nodes:
        report.add(findings.NODE_DIFFERS.finding(f"node/{level}/{position}", found="a node beyond the tree"))
    for size, later in by_size.items():
        for _ in later:
            report.add(
                findings.HEAD_TRUNCATED.finding(f"head/{size}", found=str(frontier.size), expected=f"{size} or more")
            )
    kept, kept_hash = chain_state(connection, tenant)
    if kept != frontier or kept_hash != previous:
        report.add(findings.STATE_DIFFERS.finding("chain", found=str(kept.size), expected=str(frontier.size)))
    _check_rollups(connection, tenant, counted, report)

    tail = _tail(connection, tenant, report)
    return Report(
        tenant=tenant,
        sealed=frontier.size,
        unsealed=tail[0],
        unsealed_entries=tail[1],
        root=frontier.root(),
        head_hash=previous,
        heads_checked=len(heads),
        verdict=Verdict.of(report.kept),
        more_findings=report.more,
    )


def _tail(connection: Connection, tenant: str, report: _Findings) -> tuple[int, tuple[str, ...]]:
    """Count and name what is waiting for its seal; report what is neither sealed nor waiting."""
    waiting = connection.execute(
        select(entries.c.payload_hash, *(entries.c[name] for name in COLUMNS))
        .select_from(pending.join(entries, entries.c.id == pending.c.entry))
        .where(pending.c.tenant == tenant)
        .order_by(pending.c.entry)
        .limit(1000)
    )
    names: list[str] = []
    for stored_hash, *row in waiting:
        names.append(bytes(row[0]).hex())
        if sha256(payload(row)).digest() != bytes(stored_hash):
            report.add(findings.ENTRY_EDITED.finding(f"entry/{names[-1]}"))
    number = connection.execute(
        select(func.count()).select_from(pending).where(pending.c.tenant == tenant)
    ).scalar_one()
    hidden = (
        select(entries.c.entry_id)
        .select_from(
            entries.outerjoin(links, links.c.entry == entries.c.id).outerjoin(
                pending, and_(pending.c.tenant == entries.c.tenant, pending.c.entry == entries.c.id)
            )
        )
        .where(entries.c.tenant == tenant, links.c.seq.is_(None), pending.c.entry.is_(None))
        .limit(_MOST_FINDINGS)
    )
    for value in connection.execute(hidden).scalars():
        report.add(findings.ENTRY_HIDDEN.finding(f"entry/{bytes(value).hex()}"))
    return int(number), tuple(names)
